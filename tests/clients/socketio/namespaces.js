// node namespaces.js URL TRANSPORTS TOKEN: a page enters and leaves a namespace faster than the hub answers, while it is in
// another one. Tells what it saw of both.

const { Manager } = require('./client.js');

const PATIENCE = 20000;

const ORDERS = {
  // What React's StrictMode does: mount, unmount, mount.
  mountTwice: (socket) => socket.disconnect().connect(),
  // connect() on a socket that connects by itself.
  connectAgain: (socket) => socket.connect(),
  // Changes its mind often, and stays.
  hesitate: (socket) => {
    for (let n = 0; n < 5; n += 1) socket.disconnect().connect();
  },
};

const next = (socket, event) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} on ${socket.nsp}`)), PATIENCE);
    const done = (...args) => {
      clearTimeout(timer);
      socket.off('connect_error', failed);
      resolve(args);
    };
    const failed = (error) => reject(new Error(`${socket.nsp}: ${error.message} ${JSON.stringify(error.data)}`));
    socket.once(event, done);
    if (event === 'connect') socket.once('connect_error', failed);
  });

const ask = (socket, event, data) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no answer to ${event} on ${socket.nsp}`)), PATIENCE);
    socket.emit(event, data, (answer) => {
      clearTimeout(timer);
      resolve(answer);
    });
  });

const sessions = async (url) => (await (await fetch(`${url}/health`)).json()).active_connections;

async function run(url, transports, token) {
  const told = {};
  for (const [name, mount] of Object.entries(ORDERS)) {
    for (const [other, tried] of [['/chat', '/'], ['/', '/chat']]) {
      const manager = new Manager(url, { transports: transports.split(','), reconnectionDelay: 50 });
      const stays = manager.socket(other, { auth: { token } });
      await next(stays, 'connect');
      const seen = { cuts: [], greetings: 0 };
      stays.on('disconnect', (reason) => seen.cuts.push(reason));

      const socket = manager.socket(tried, { auth: { token } });
      socket.on('connected', () => (seen.greetings += 1));
      socket.on('disconnect', (reason) => seen.cuts.push(reason));
      const connected = next(socket, 'connect');
      mount(socket);
      await connected;
      seen.joined = [await ask(socket, 'room:join', { room: 'one' }), await ask(stays, 'room:join', { room: 'two' })].map(
        (answer) => answer.success,
      );
      // The second answer to a CONNECT came before those.
      seen.sessions = await sessions(url);
      told[`${name} ${tried}`] = seen;
      socket.off('disconnect');
      stays.off('disconnect');
      socket.disconnect();
      stays.disconnect();
      const late = Date.now() + PATIENCE;
      while ((await sessions(url)) > 0 && Date.now() < late);
    }
  }

  // A page that shows and hides a part of itself.
  const manager = new Manager(url, { transports: transports.split(',') });
  const root = manager.socket('/', { auth: { token } });
  await next(root, 'connect');
  const cuts = [];
  root.on('disconnect', (reason) => cuts.push(reason));
  const ids = new Set();
  for (let n = 0; n < 20; n += 1) {
    const chat = manager.socket('/chat', { auth: { token } });
    if (!chat.connected) {
      if (!chat.active) chat.connect();
      await next(chat, 'connect');
    }
    ids.add(chat.id);
    chat.disconnect();
  }
  told.toggled = { ids: ids.size, cuts, alive: (await ask(root, 'room:join', { room: 'one' })).success };
  root.off('disconnect');
  root.disconnect();
  return told;
}

require('./report.js')(run);
