// node restart.js URL TOKEN: clients on all transports while the hub shuts down and another starts at its address.

const { io } = require('socket.io-client');
const { MODES, ask, connect } = require('./drive.js');

async function run(url, token) {
  const clients = [];
  for (const mode of Object.keys(MODES)) {
    clients.push([mode, await connect(io, url, mode, token, { reconnectionDelayMax: 50 })]);
  }
  process.stdout.write('connected\n');
  const results = {};
  for (const [mode, { socket, next }] of clients) {
    const result = {};
    const after = (await next('system:draining'))[0].reconnect_after_ms;
    result.hasDelay = Number.isInteger(after) && after >= 0 && after <= 1000;
    result.reason = (await next('disconnected'))[0].reason;
    result.serverDisconnect = (await next('disconnect'))[0] === 'io server disconnect';
    await next('connect');
    await next('connected');
    result.recovered = socket.recovered;
    result.reconnected = (await ask(socket, 'ping')) === undefined;
    results[mode] = result;
  }
  clients.forEach(([, { socket }]) => socket.close());
  return results;
}

require('./report.js')(run);
