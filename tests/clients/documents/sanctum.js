// node sanctum.js URL: runs the community document's code blocks with their own tokens: the block for Node unchanged, and
// the authentication block on a second socket.

const { io } = require('socket.io-client');
const { recordEvents } = require('../socketio/drive.js');
const { printed, snippet } = require('./snippet.js');

async function sanctum(url) {
  const known = snippet('community/node.js', { require }, { 'https://realtime.mechamap.com': url });
  const results = {};
  results.known = (await recordEvents(known).next('authenticated'))[0];
  results.ownId = results.known.socketId === known.id;
  const socket = io(url);
  const { next } = recordEvents(socket);
  snippet('community/authenticate.js', { socket });
  results.unknown = (await next('authentication_error'))[0];
  [known, socket].forEach((client) => client.disconnect());
  return { ...results, printed };
}

require('../socketio/report.js')(sanctum);
