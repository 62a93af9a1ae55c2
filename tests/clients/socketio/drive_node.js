// node drive_node.js URL MODE TOKEN: drives socket.io-client in Node.

const { io } = require('./client.js');
const { drive } = require('./drive.js');

require('./report.js')((url, mode, token) => drive(io, url, mode, token));
