// node echo.js URL: socket.io-client on the echo server of examples/protocol_fixture.rs. Arguments and bytes return
// unchanged in events and in acks.

const { io } = require('socket.io-client');
const { MODES, ask, recordEvents, upgraded } = require('./drive.js');

// Replaces bytes in a value by `bytes:` and their hexadecimal digits.
const plain = (value) => {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return `bytes:${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
};

async function echo(url, mode, options) {
  const results = {};
  const socket = io(url, { ...options, auth: { token: 'abc' }, forceNew: true, reconnection: false });
  const { next, events } = recordEvents(socket);
  await next('connect');
  results.auth = await next('auth');
  if (mode === 'upgrade') await upgraded(socket);
  results.transport = socket.io.engine.transport.name;
  const args = [1, '2', { 3: [true, null] }, Buffer.from([1, 2, 3]), { deep: [Buffer.from('ünï'), new Uint8Array(0)] }];
  socket.emit('message', ...args);
  results.echoed = plain(await next('message-back'));
  results.acknowledged = await new Promise((resolve) => {
    socket.emit('message-with-ack', ...args, (...answer) => resolve(plain(answer)));
  });
  results.large = (await ask(socket, 'message-with-ack', Buffer.alloc(500000, 7))).length;
  // Longer than the ping timeout. The client replies to pings by itself.
  await new Promise((resolve) => setTimeout(resolve, 1200));
  results.afterPings = socket.connected && (await ask(socket, 'message-with-ack', 'still here'));
  const custom = socket.io.socket('/custom', {});
  results.custom = await recordEvents(custom).next('auth');
  socket.close();
  custom.close();
  results.unexpected = events.map((event) => event.name).filter((name) => name !== 'disconnect');
  return results;
}

async function run(url) {
  const results = {};
  for (const [mode, options] of Object.entries(MODES)) results[mode] = await echo(url, mode, options);
  return results;
}

require('./report.js')(run);
