// node namespace_changes.js URL TRANSPORTS TOKEN: joins and leaves one namespace faster than the hub replies, while the
// connection stable in another. Returns the events of both.

const { Manager } = require('./client.js');

const TIMEOUT = 20000;

const ORDERS = {
  // As React's StrictMode: mount, unmount, mount.
  mountTwice: (socket) => socket.disconnect().connect(),
  // connect() on a socket that is already connecting.
  connectAgain: (socket) => socket.connect(),
  // Leaves and joins five times, and stable.
  toggle: (socket) => {
    for (let n = 0; n < 5; n += 1) socket.disconnect().connect();
  },
};

const next = (socket, event) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} on ${socket.nsp}`)), TIMEOUT);
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
    const timer = setTimeout(() => reject(new Error(`no reply to ${event} on ${socket.nsp}`)), TIMEOUT);
    socket.emit(event, data, (answer) => {
      clearTimeout(timer);
      resolve(answer);
    });
  });

const sessions = async (url) => (await (await fetch(`${url}/health`)).json()).active_connections;

async function run(url, transports, token) {
  const results = {};
  for (const [name, mount] of Object.entries(ORDERS)) {
    for (const [other, namespace] of [['/chat', '/'], ['/', '/chat']]) {
      const manager = new Manager(url, { transports: transports.split(','), reconnectionDelay: 50 });
      const stable = manager.socket(other, { auth: { token } });
      await next(stable, 'connect');
      const result = { disconnects: [], greetings: 0 };
      stable.on('disconnect', (reason) => result.disconnects.push(reason));

      const socket = manager.socket(namespace, { auth: { token } });
      socket.on('connected', () => (result.greetings += 1));
      socket.on('disconnect', (reason) => result.disconnects.push(reason));
      const connected = next(socket, 'connect');
      mount(socket);
      await connected;
      result.joined = [await ask(socket, 'room:join', { room: 'one' }), await ask(stable, 'room:join', { room: 'two' })].map(
        (answer) => answer.success,
      );
      // The reply to the second CONNECT arrives before these.
      result.sessions = await sessions(url);
      results[`${name} ${namespace}`] = result;
      socket.off('disconnect');
      stable.off('disconnect');
      socket.disconnect();
      stable.disconnect();
      const deadline = Date.now() + TIMEOUT;
      while ((await sessions(url)) > 0 && Date.now() < deadline);
    }
  }

  // A page component that joins a namespace when it is shown and leaves it when it is hidden.
  const manager = new Manager(url, { transports: transports.split(',') });
  const root = manager.socket('/', { auth: { token } });
  await next(root, 'connect');
  const disconnects = [];
  root.on('disconnect', (reason) => disconnects.push(reason));
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
  results.toggled = { ids: ids.size, disconnects, alive: (await ask(root, 'room:join', { room: 'one' })).success };
  root.off('disconnect');
  root.disconnect();
  return results;
}

require('./report.js')(run);
