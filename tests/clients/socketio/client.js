// The socket.io-client version of SOCKETIO_CLIENT, a name of package.json. The default is the newest.

module.exports = require(process.env.SOCKETIO_CLIENT ?? 'socket.io-client');
