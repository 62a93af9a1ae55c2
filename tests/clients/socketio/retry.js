// node retry.js URL NAMESPACE TOKEN LINES: a client with these lines of the documents, which is refused at a limit. Tells what it
// was refused with, and whether it came in by itself.

const { io } = require('./client.js');

const PATIENCE = 30000;

require('./report.js')(
  (url, namespace, token, lines) =>
    new Promise((resolve, reject) => {
      const auth = token ? { token } : {};
      const socket = io(url + namespace, { transports: ['websocket'], auth, forceNew: true });
      const timer = setTimeout(() => reject(new Error(`did not come in: ${JSON.stringify(refusals)}`)), PATIENCE);
      const refusals = [];
      socket.on('connect_error', (error) => refusals.push({ code: error.data?.code, after: error.data?.retryAfter }));
      new Function('socket', lines)(socket);
      socket.on('connect', () => {
        clearTimeout(timer);
        socket.disconnect();
        resolve({ refusals });
      });
    }),
);
