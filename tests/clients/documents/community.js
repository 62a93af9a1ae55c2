// node community.js URL TOKEN: the community document's block for browsers, and those of its events.

const { ask, ears } = require('../socketio/drive.js');
const { imported, printed, snippet } = require('./snippet.js');

async function community(url, token) {
  const replaced = { 'https://realtime.mechamap.com': url, sanctum_token: token };
  const { socket } = await imported('community/browser.mjs', replaced, ['socket']);
  const { next } = ears(socket);
  const heard = {};
  heard.connected = (await next('connected'))[0];
  heard.authenticated = (await next('authenticated'))[0];
  heard.ownId = [heard.connected, heard.authenticated].every((data) => data.socketId === socket.id);
  heard.transport = socket.io.engine.transport.name;

  snippet('community/typing_start.js', { socket });
  // The other side answers this from here on.
  heard.notification = (await next('notification'))[0];
  snippet('community/notification_read.js', { socket });
  heard.updated = (await next('notification_updated'))[0];
  snippet('community/typing_stop.js', { socket });
  heard.typing = [(await next('user_typing'))[0], (await next('user_typing'))[0]];

  snippet('community/debug_mode.js', { socket });
  heard.debug = [];
  for (const event of ['connection_stats', 'memory_usage', 'event_metrics']) {
    heard.debug.push(typeof (await next(event))[0]);
  }
  heard.ping = (await ask(socket, 'ping')) ?? 'nothing';
  socket.disconnect();
  return { ...heard, printed };
}

require('../socketio/report.js')(community);
