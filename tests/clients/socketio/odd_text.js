// node odd_text.js URL TRANSPORTS TOKEN: events that the hub refuses or rewrites, and a refused CONNECT. Returns the
// replies and the number of connections.

const { io } = require('./client.js');

const deep = (levels) => (levels ? [deep(levels - 1)] : 1);

require('./report.js')(async (url, transports, token) => {
  const options = { transports: transports.split(','), auth: { token }, forceNew: true, reconnectionDelay: 20 };
  const socket = io(url, options);
  const results = { connections: 0, errors: [] };
  socket.on('connect', () => (results.connections += 1));
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  const ask = (event, data) => new Promise((resolve) => socket.emit(event, data, resolve));
  const error = () => new Promise((resolve) => socket.once('error', resolve));

  const refused = async (event, data) => {
    const [first, answer] = await Promise.all([error(), ask(event, data)]);
    results.errors.push([first.details.field, answer.success, answer.details.field]);
  };
  await refused(7, {});
  await refused('Broadcast', { topic: 'first', payload: deep(128) });
  await refused('Broadcast', null);

  results.half = (await ask('Broadcast', { topic: 'first', payload: 'cut \ud83d' })).recipients;
  results.deepest = (await ask('Broadcast', { topic: 'first', payload: deep(127) })).recipients;

  // The auth of another connection. After a refused CONNECT the library does not retry.
  const other = io(url, { ...options, auth: { token, deep: deep(200) } });
  let attempts = 0;
  other.io.on('open', () => (attempts += 1));
  const refusal = await new Promise((resolve) => other.once('connect_error', resolve));
  results.auth = { message: refusal.message, data: refusal.data };
  other.auth = { token };
  other.connect();
  await new Promise((resolve) => other.once('connect', resolve));
  results.attempts = attempts;
  other.disconnect();

  await ask('ping', {});
  socket.disconnect();
  return results;
});
