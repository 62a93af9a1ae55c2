// node protocols.js URL TOKEN: connects with subprotocols to a hub below /hub: by WebSocket only, by the default
// transports, and at a path without a hub. Returns the final transports.

const { io } = require('./client.js');

const connect = (url, options) =>
  new Promise((resolve) => {
    const socket = io(url, { protocols: ['my-protocol', 'other'], reconnection: false, forceNew: true, ...options });
    const done = (result) => {
      resolve(result);
      socket.disconnect();
    };
    socket.on('connect_error', () => done('not connected'));
    socket.on('connect', () => {
      const { engine } = socket.io;
      if (engine.transport.name === 'websocket') return done('websocket');
      engine.on('upgrade', (transport) => done(transport.name));
      engine.on('upgradeError', () => done(engine.transport.name));
    });
  });

require('./report.js')(async (url, token) => ({
  alone: await connect(url, { path: '/hub/socket.io/', transports: ['websocket'], auth: { token } }),
  both: await connect(url, { path: '/hub/socket.io', auth: { token } }),
  elsewhere: await connect(url, { auth: { token } }),
}));
