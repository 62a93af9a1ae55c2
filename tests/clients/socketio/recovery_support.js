// node recovery_support.js URL TOKEN: loses its connection with options that change its handshake.
// Returns whether each client recovers.

const { io } = require('socket.io-client');
const { ask, connect } = require('./drive.js');

// From the engine.io-client of this socket.io-client.
const { Fetch } = require(require.resolve('engine.io-client', { paths: [require.resolve('socket.io-client')] }));

const OWN_AGENT = { 'User-Agent': 'my-app/1.0' };
const OPTIONS = {
  'own agent, websocket': { transports: ['websocket'], extraHeaders: OWN_AGENT },
  'own agent, polling': { transports: ['polling'], extraHeaders: OWN_AGENT },
  'own agent, upgrade': { transports: ['polling', 'websocket'], extraHeaders: OWN_AGENT },
  'no compression': { transports: ['websocket'], perMessageDeflate: false },
  'own agent, no compression': { transports: ['websocket'], perMessageDeflate: false, extraHeaders: OWN_AGENT },
  fetch: { transports: [Fetch] },
  'own agent, fetch': { transports: [Fetch], extraHeaders: OWN_AGENT },
  'recovery requested': { transports: ['websocket'], extraHeaders: { 'User-Agent': 'python-like' }, query: { recovery: 1 } },
};

require('./report.js')(async (url, token) => {
  const results = {};
  for (const [name, options] of Object.entries(OPTIONS)) {
    const { socket, next } = await connect(io, url, 'polling', token, options);
    await ask(socket, 'room:join', { room: 'first' });
    socket.io.engine.close();
    await next('disconnect');
    await next('connect');
    results[name] = socket.recovered;
    socket.disconnect();
  }
  return results;
});
