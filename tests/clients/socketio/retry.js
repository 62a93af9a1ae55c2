// node retry.js URL NAMESPACE TOKEN LINES: a client with these lines of code is refused at a limit and reconnects. Returns
// the refusals once it is connected.

const { io } = require('./client.js');

const TIMEOUT = 30000;

require('./report.js')(
  (url, namespace, token, lines) =>
    new Promise((resolve, reject) => {
      const auth = token ? { token } : {};
      const socket = io(url + namespace, { transports: ['websocket'], auth, forceNew: true });
      const timer = setTimeout(() => reject(new Error(`did not connect: ${JSON.stringify(refusals)}`)), TIMEOUT);
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
