// node versions.js URL TRANSPORTS TOKEN: connects, joins a room with an ack, and disconnects.

const { io } = require('./client.js');

const connect = (url, transports, token) =>
  new Promise((resolve, reject) => {
    const socket = io(url, { transports: transports.split(','), auth: { token }, reconnection: false, timeout: 20000 });
    socket.on('connect', () => resolve(socket));
    socket.on('connect_error', reject);
  });

require('./report.js')(async (url, transports, token) => {
  const socket = await connect(url, transports, token);
  const joined = await new Promise((resolve) => socket.emit('room:join', { room: 'first' }, resolve));
  socket.disconnect();
  return { joined };
});
