// node drive_node.js URL MODE TOKEN: drives socket.io-client in Node.

const { io } = require('socket.io-client');
const { drive } = require('./drive.js');

require('./report.js')((url, mode, token) => drive(io, url, mode, token));
