// Drives socket.io-client in Node and in a browser: it connects, sends events with and without an ack, receives events and
// bytes, joins and leaves rooms, disconnects and reconnects. Returns the results, or fails with all received events.

const TIMEOUT = 20000;

const MODES = {
  polling: { transports: ['polling'] },
  websocket: { transports: ['websocket'] },
  upgrade: { transports: ['polling', 'websocket'] },
};

// Records all events of a socket, in order, from before its connect. `next` takes the next event of a name.
function recordEvents(socket) {
  const events = [];
  const waiting = new Set();
  const add = (name, args) => {
    events.push({ name, args });
    waiting.forEach((check) => check());
  };
  socket.onAny((name, ...args) => add(name, args));
  for (const name of ['connect', 'disconnect', 'connect_error']) {
    socket.on(name, (...args) => add(name, args));
  }
  const next = (name) =>
    new Promise((resolve, reject) => {
      const check = () => {
        const index = events.findIndex((event) => event.name === name);
        if (index >= 0) {
          waiting.delete(check);
          clearTimeout(timer);
          resolve(events.splice(index, 1)[0].args);
        }
      };
      const fail = () => reject(new Error(`no ${name} arrived; received: ${JSON.stringify(events)}`));
      const timer = setTimeout(fail, TIMEOUT);
      waiting.add(check);
      check();
    });
  return { next, events };
}

// Bytes of any platform type, as numbers.
function numbers(bytes) {
  if (bytes instanceof ArrayBuffer) return [...new Uint8Array(bytes)];
  if (ArrayBuffer.isView(bytes)) return [...bytes];
  throw new Error(`no bytes: ${JSON.stringify(bytes)}`);
}

function upgraded(socket) {
  const { engine } = socket.io;
  if (engine.transport.name === 'websocket') return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('was not upgraded')), TIMEOUT);
    engine.once('upgrade', () => {
      clearTimeout(timer);
      resolve();
    });
    engine.once('upgradeError', (error) => reject(error));
  });
}

// Connects a client to `/` and waits for its welcome and for its final transport.
async function connect(io, url, mode, token, options = {}) {
  const socket = io(url, { ...MODES[mode], auth: { token }, forceNew: true, reconnectionDelay: 10, ...options });
  const { next, events } = recordEvents(socket);
  let first;
  socket.io.once('open', () => {
    first = socket.io.engine.transport.name;
  });
  await next('connect');
  const [connected] = await next('connected');
  const [welcome] = await next('system:welcome');
  if (connected.socketId !== socket.id || welcome.socketId !== socket.id) throw new Error('the welcome has another socketId');
  if (mode === 'upgrade') await upgraded(socket);
  return { socket, next, events, transports: [first, socket.io.engine.transport.name] };
}

const ask = (socket, event, ...args) => socket.timeout(TIMEOUT).emitWithAck(event, ...args);

async function drive(io, url, mode, token) {
  const results = {};
  const { socket, next, events, transports } = await connect(io, url, mode, token);
  results.transports = transports;

  // With an ack, and without.
  results.ping = (await ask(socket, 'ping')) ?? 'nothing';
  results.joined = await ask(socket, 'room:join', { room: 'first' });
  results.joinedEvent = (await next('room:join:ack'))[0];
  socket.emit('room:join', { room: 'second' });
  results.joinedSecond = (await next('room:join:ack'))[0];
  results.refused = await ask(socket, 'nonsense', { x: 1 });
  results.error = (await next('error'))[0].code;

  // The test's peer replies from here on.
  results.ack = await ask(socket, 'Broadcast', { topic: 'first', payload: { text: 'ünï ☃', list: [1, 2.5, null] } });
  results.pushed = await next('pushed');
  results.toRoom = await next('to-room');
  results.broadcast = (await next('Broadcast'))[0];
  const [bytes] = await next('Broadcast');
  results.bytes = [numbers(bytes.payload.one), numbers(bytes.payload.two[0])];

  // Bytes, to a client on the same surface and to the raw peer.
  const other = await connect(io, url, mode, token);
  await ask(other.socket, 'room:join', { room: 'first' });
  const payload = new Uint8Array([0, 1, 2, 254, 255]);
  results.bytesAck = await ask(socket, 'Broadcast', { topic: 'first', payload });
  results.otherBytes = numbers((await other.next('Broadcast'))[0].payload);
  other.socket.disconnect();

  results.left = await ask(socket, 'room:leave', { room: 'second' });

  // After a lost connection the client reconnects by itself and recovers its session. After disconnect() it does neither.
  const id = socket.id;
  socket.io.engine.close();
  results.lostReason = (await next('disconnect'))[0];
  await next('connect');
  await next('connected');
  results.reconnected = socket.id === id && (await ask(socket, 'room:join', { room: 'first' })).success;
  results.recovered = [socket.recovered];
  socket.disconnect();
  results.disconnectReason = (await next('disconnect'))[0];
  socket.connect();
  await next('connect');
  results.newSession = socket.id !== id && (await ask(socket, 'ping')) === undefined;
  results.recovered.push(socket.recovered);
  socket.disconnect();
  await next('disconnect');
  results.unexpected = events.map((event) => event.name).filter((name) => !/^(connected|system:welcome|room:.*)$/.test(name));
  return results;
}

if (typeof module !== 'undefined') {
  module.exports = { MODES, TIMEOUT, ask, connect, drive, numbers, recordEvents, upgraded };
}
