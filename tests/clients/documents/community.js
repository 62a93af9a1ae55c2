// node community.js URL TOKEN: runs the community document's code blocks for browsers and for its events.

const { ask, recordEvents } = require('../socketio/drive.js');
const { imported, printed, snippet } = require('./snippet.js');

async function community(url, token) {
  const replaced = { 'https://realtime.mechamap.com': url, sanctum_token: token };
  const { socket } = await imported('community/browser.mjs', replaced, ['socket']);
  const { next } = recordEvents(socket);
  const results = {};
  results.connected = (await next('connected'))[0];
  results.authenticated = (await next('authenticated'))[0];
  results.ownId = [results.connected, results.authenticated].every((data) => data.socketId === socket.id);
  results.transport = socket.io.engine.transport.name;

  snippet('community/typing_start.js', { socket });
  // The test's peer replies from here on.
  results.notification = (await next('notification'))[0];
  snippet('community/notification_read.js', { socket });
  results.updated = (await next('notification_updated'))[0];
  snippet('community/typing_stop.js', { socket });
  results.typing = [(await next('user_typing'))[0], (await next('user_typing'))[0]];

  snippet('community/debug_mode.js', { socket });
  results.debug = [];
  for (const event of ['connection_stats', 'memory_usage', 'event_metrics']) {
    results.debug.push(typeof (await next(event))[0]);
  }
  results.ping = (await ask(socket, 'ping')) ?? 'nothing';
  socket.disconnect();
  return { ...results, printed };
}

require('../socketio/report.js')(community);
