// The socket.io-client that the test names in SOCKETIO_CLIENT (a name of package.json), by default the newest.

module.exports = require(process.env.SOCKETIO_CLIENT ?? 'socket.io-client');
