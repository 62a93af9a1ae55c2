// node echo.js URL: socket.io-client and the echo of examples/protocol_fixture.rs: arguments and bytes come back as they
// were, in events and in acknowledgements.

const { io } = require('socket.io-client');
const { MODES, ask, ears, upgraded } = require('./drive.js');

// The bytes in a value as `bytes:` and what they are, so that they can be told from text.
const plain = (value) => {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return `bytes:${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
};

async function talk(url, mode, options) {
  const said = {};
  const socket = io(url, { ...options, auth: { token: 'abc' }, forceNew: true, reconnection: false });
  const { next, seen } = ears(socket);
  await next('connect');
  said.auth = await next('auth');
  if (mode === 'upgrade') await upgraded(socket);
  said.transport = socket.io.engine.transport.name;
  const args = [1, '2', { 3: [true, null] }, Buffer.from([1, 2, 3]), { deep: [Buffer.from('ünï'), new Uint8Array(0)] }];
  socket.emit('message', ...args);
  said.back = plain(await next('message-back'));
  said.acked = await new Promise((resolve) => {
    socket.emit('message-with-ack', ...args, (...answer) => resolve(plain(answer)));
  });
  said.large = (await ask(socket, 'message-with-ack', Buffer.alloc(500000, 7))).length;
  // Longer than the hub waits for an answer to its pings, which the client gives by itself.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  said.alive = socket.connected && (await ask(socket, 'message-with-ack', 'still here'));
  const custom = socket.io.socket('/custom', {});
  said.custom = await ears(custom).next('auth');
  socket.close();
  custom.close();
  said.unexpected = seen.map((one) => one.name).filter((name) => name !== 'disconnect');
  return said;
}

async function run(url) {
  const heard = {};
  for (const [mode, options] of Object.entries(MODES)) heard[mode] = await talk(url, mode, options);
  return heard;
}

require('./report.js')(run);
