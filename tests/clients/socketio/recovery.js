// node recovery.js URL TOKEN KEY: socket.io-client loses its connection on each transport, misses events, and recovers.

const { io } = require('socket.io-client');
const { MODES, ask, connect } = require('./drive.js');

async function run(url, token, key) {
  const push = async (path, body) => {
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
    const answer = await fetch(`${url}/api/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
  };
  const results = {};
  for (const mode of Object.keys(MODES)) {
    const result = { recovered: [], missed: [], recoveryEvents: [] };
    const { socket, next, events } = await connect(io, url, mode, token);
    result.recovered.push(socket.recovered);
    await ask(socket, 'room:join', { room: 'first' });
    const id = socket.id;
    await push('room', { room: 'first', event: 'live', data: { n: 0 } });
    result.live = (await next('live')).slice(0, -1);

    socket.io.reconnection(false);
    for (const round of [1, 2]) {
      socket.io.engine.close();
      await next('disconnect');
      await push('room', { room: 'first', event: 'to-room', data: { round } });
      await push('push', { userId: 'alice', event: 'to-user', data: { round } });
      await push('broadcast', { event: 'to-all', data: `round ${round}` });
      socket.connect();
      await next('connect');
      result.recovered.push(socket.recovered);
      result.recoveryEvents.push((await next('system:reconnect_status'))[0].attempt);
      result.recoveryEvents.push((await next('system:state_recovered'))[0].userId);
      for (const name of ['to-room', 'to-user', 'to-all']) {
        const args = await next(name);
        result.missed.push([name, ...args.slice(0, -1)]);
      }
    }
    result.sameId = socket.id === id;
    await push('room', { room: 'first', event: 'live', data: { n: 1 } });
    result.after = (await next('live')).slice(0, -1);
    await ask(socket, 'ping');
    result.unexpected = events.map((event) => event.name).filter((name) => !/^(connected|system:welcome|room:.*)$/.test(name));

    // After disconnect() the client gets a new session.
    socket.disconnect();
    await next('disconnect');
    socket.connect();
    await next('connect');
    result.recovered.push(socket.recovered);
    await next('system:state_recovery_failed');
    socket.disconnect();
    results[mode] = result;
  }
  return results;
}

require('./report.js')(run);
