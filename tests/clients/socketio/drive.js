// What socket.io-client does with a hub, in Node and in a browser alike: connects, says events with and without an
// acknowledgement, hears events, sends and gets bytes, enters and leaves rooms, goes and comes back. Gives what it heard,
// or fails with all that it saw.

const PATIENCE = 20000;

const MODES = {
  polling: { transports: ['polling'] },
  websocket: { transports: ['websocket'] },
  upgrade: { transports: ['polling', 'websocket'] },
};

// Everything that a socket hears, in order, from before it is connected.
function ears(socket) {
  const seen = [];
  const looks = new Set();
  const note = (name, args) => {
    seen.push({ name, args });
    looks.forEach((look) => look());
  };
  socket.onAny((name, ...args) => note(name, args));
  for (const name of ['connect', 'disconnect', 'connect_error']) {
    socket.on(name, (...args) => note(name, args));
  }
  const next = (name) =>
    new Promise((resolve, reject) => {
      const look = () => {
        const at = seen.findIndex((one) => one.name === name);
        if (at >= 0) {
          looks.delete(look);
          clearTimeout(timer);
          resolve(seen.splice(at, 1)[0].args);
        }
      };
      const late = () => reject(new Error(`no ${name} came; seen: ${JSON.stringify(seen)}`));
      const timer = setTimeout(late, PATIENCE);
      looks.add(look);
      look();
    });
  return { next, seen };
}

// Bytes, however a platform gives them, as numbers.
function numbers(bytes) {
  if (bytes instanceof ArrayBuffer) return [...new Uint8Array(bytes)];
  if (ArrayBuffer.isView(bytes)) return [...bytes];
  throw new Error(`no bytes: ${JSON.stringify(bytes)}`);
}

function upgraded(socket) {
  const { engine } = socket.io;
  if (engine.transport.name === 'websocket') return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('was not upgraded')), PATIENCE);
    engine.once('upgrade', () => {
      clearTimeout(timer);
      resolve();
    });
    engine.once('upgradeError', (error) => reject(error));
  });
}

// A client on `/` that is greeted, on the transport it should be on.
async function enter(io, url, mode, token, options = {}) {
  const socket = io(url, { ...MODES[mode], auth: { token }, forceNew: true, reconnectionDelay: 10, ...options });
  const { next, seen } = ears(socket);
  let first;
  socket.io.once('open', () => {
    first = socket.io.engine.transport.name;
  });
  await next('connect');
  const [connected] = await next('connected');
  const [welcome] = await next('system:welcome');
  if (connected.socketId !== socket.id || welcome.socketId !== socket.id) throw new Error('greeted as somebody else');
  if (mode === 'upgrade') await upgraded(socket);
  return { socket, next, seen, transports: [first, socket.io.engine.transport.name] };
}

const ask = (socket, event, ...args) => socket.timeout(PATIENCE).emitWithAck(event, ...args);

async function drive(io, url, mode, token) {
  const heard = {};
  const { socket, next, seen, transports } = await enter(io, url, mode, token);
  heard.transports = transports;

  // With an acknowledgement, and without.
  heard.ping = (await ask(socket, 'ping')) ?? 'nothing';
  heard.joined = await ask(socket, 'room:join', { room: 'first' });
  heard.joinedEvent = (await next('room:join:ack'))[0];
  socket.emit('room:join', { room: 'second' });
  heard.joinedSecond = (await next('room:join:ack'))[0];
  heard.refused = await ask(socket, 'nonsense', { x: 1 });
  heard.error = (await next('error'))[0].code;

  // The other side answers this from here on.
  heard.ack = await ask(socket, 'Broadcast', { topic: 'first', payload: { text: 'ünï ☃', list: [1, 2.5, null] } });
  heard.pushed = await next('pushed');
  heard.toRoom = await next('to-room');
  heard.broadcast = (await next('Broadcast'))[0];
  const [bytes] = await next('Broadcast');
  heard.bytes = [numbers(bytes.payload.one), numbers(bytes.payload.two[0])];

  // Bytes to others, of this kind and not.
  const other = await enter(io, url, mode, token);
  await ask(other.socket, 'room:join', { room: 'first' });
  const payload = new Uint8Array([0, 1, 2, 254, 255]);
  heard.bytesAck = await ask(socket, 'Broadcast', { topic: 'first', payload });
  heard.otherBytes = numbers((await other.next('Broadcast'))[0].payload);
  other.socket.disconnect();

  heard.left = await ask(socket, 'room:leave', { room: 'second' });

  // Goes, and comes back by itself only when it did not mean to go: as who it was.
  const id = socket.id;
  socket.io.engine.close();
  heard.lost = (await next('disconnect'))[0];
  await next('connect');
  await next('connected');
  heard.cameBack = socket.id === id && (await ask(socket, 'room:join', { room: 'first' })).success;
  heard.recovered = [socket.recovered];
  socket.disconnect();
  heard.went = (await next('disconnect'))[0];
  socket.connect();
  await next('connect');
  heard.cameAgain = socket.id !== id && (await ask(socket, 'ping')) === undefined;
  heard.recovered.push(socket.recovered);
  socket.disconnect();
  await next('disconnect');
  heard.unexpected = seen.map((one) => one.name).filter((name) => !/^(connected|system:welcome|room:.*)$/.test(name));
  return heard;
}

if (typeof module !== 'undefined') {
  module.exports = { MODES, PATIENCE, ask, drive, ears, enter, numbers, upgraded };
}
