// node offered.js URL TOKEN: socket.io-client is cut off, with options by which it does not look like one; which of them go on.

const { io } = require('socket.io-client');
const { ask, enter } = require('./drive.js');

// Of the engine.io-client that this socket.io-client stands on.
const { Fetch } = require(require.resolve('engine.io-client', { paths: [require.resolve('socket.io-client')] }));

const OWN = { 'User-Agent': 'my-app/1.0' };
const WAYS = {
  'own agent, websocket': { transports: ['websocket'], extraHeaders: OWN },
  'own agent, polling': { transports: ['polling'], extraHeaders: OWN },
  'own agent, upgrade': { transports: ['polling', 'websocket'], extraHeaders: OWN },
  'no compression': { transports: ['websocket'], perMessageDeflate: false },
  'own agent, no compression': { transports: ['websocket'], perMessageDeflate: false, extraHeaders: OWN },
  fetch: { transports: [Fetch] },
  'own agent, fetch': { transports: [Fetch], extraHeaders: OWN },
  asked: { transports: ['websocket'], extraHeaders: { 'User-Agent': 'python-like' }, query: { recovery: 1 } },
};

require('./report.js')(async (url, token) => {
  const told = {};
  for (const [way, options] of Object.entries(WAYS)) {
    const { socket, next } = await enter(io, url, 'polling', token, options);
    await ask(socket, 'room:join', { room: 'first' });
    socket.io.engine.close();
    await next('disconnect');
    await next('connect');
    told[way] = socket.recovered;
    socket.disconnect();
  }
  return told;
});
