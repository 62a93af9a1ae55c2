// node restart.js URL TOKEN: clients on all transports while the hub goes away and another one comes to its address.

const { io } = require('socket.io-client');
const { MODES, ask, enter } = require('./drive.js');

async function run(url, token) {
  const there = [];
  for (const mode of Object.keys(MODES)) {
    there.push([mode, await enter(io, url, mode, token, { reconnectionDelayMax: 50 })]);
  }
  process.stdout.write('there\n');
  const heard = {};
  for (const [mode, { socket, next }] of there) {
    const said = {};
    const after = (await next('system:draining'))[0].reconnect_after_ms;
    said.when = Number.isInteger(after) && after >= 0 && after <= 1000;
    said.told = (await next('disconnected'))[0].reason;
    said.serverDisconnect = (await next('disconnect'))[0] === 'io server disconnect';
    await next('connect');
    await next('connected');
    said.recovered = socket.recovered;
    said.back = (await ask(socket, 'ping')) === undefined;
    heard[mode] = said;
  }
  there.forEach(([, { socket }]) => socket.close());
  return heard;
}

require('./report.js')(run);
