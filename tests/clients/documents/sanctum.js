// node sanctum.js URL: the community document's blocks with the tokens that they print: that for Node as it stands, and
// another on a socket of one's own.

const { io } = require('socket.io-client');
const { ears } = require('../socketio/drive.js');
const { printed, snippet } = require('./snippet.js');

async function sanctum(url) {
  const known = snippet('community/node.js', { require }, { 'https://realtime.mechamap.com': url });
  const heard = {};
  heard.known = (await ears(known).next('authenticated'))[0];
  heard.ownId = heard.known.socketId === known.id;
  const socket = io(url);
  const { next } = ears(socket);
  snippet('community/authenticate.js', { socket });
  heard.unknown = (await next('authentication_error'))[0];
  [known, socket].forEach((one) => one.disconnect());
  return { ...heard, printed };
}

require('../socketio/report.js')(sanctum);
