// node recovery.js URL TOKEN KEY: socket.io-client is cut off on each transport, misses something, and comes back.

const { io } = require('socket.io-client');
const { MODES, ask, enter } = require('./drive.js');

async function run(url, token, key) {
  const push = async (path, body) => {
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
    const answer = await fetch(`${url}/api/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
  };
  const heard = {};
  for (const mode of Object.keys(MODES)) {
    const said = { recovered: [], missed: [], told: [] };
    const { socket, next, seen } = await enter(io, url, mode, token);
    said.recovered.push(socket.recovered);
    await ask(socket, 'room:join', { room: 'first' });
    const id = socket.id;
    await push('room', { room: 'first', event: 'live', data: { n: 0 } });
    said.live = (await next('live')).slice(0, -1);

    socket.io.reconnection(false);
    for (const round of [1, 2]) {
      socket.io.engine.close();
      await next('disconnect');
      await push('room', { room: 'first', event: 'to-room', data: { round } });
      await push('push', { userId: 'alice', event: 'to-user', data: { round } });
      await push('broadcast', { event: 'to-all', data: `round ${round}` });
      socket.connect();
      await next('connect');
      said.recovered.push(socket.recovered);
      said.told.push((await next('system:reconnect_status'))[0].attempt);
      said.told.push((await next('system:state_recovered'))[0].userId);
      for (const name of ['to-room', 'to-user', 'to-all']) {
        const args = await next(name);
        said.missed.push([name, ...args.slice(0, -1)]);
      }
    }
    said.sameId = socket.id === id;
    await push('room', { room: 'first', event: 'live', data: { n: 1 } });
    said.after = (await next('live')).slice(0, -1);
    await ask(socket, 'ping');
    said.unexpected = seen.map((one) => one.name).filter((name) => !/^(connected|system:welcome|room:.*)$/.test(name));

    // Who leaves on purpose comes back as somebody new.
    socket.disconnect();
    await next('disconnect');
    socket.connect();
    await next('connect');
    said.recovered.push(socket.recovered);
    await next('system:state_recovery_failed');
    socket.disconnect();
    heard[mode] = said;
  }
  return heard;
}

require('./report.js')(run);
