// node push.js URL TOKEN: the push document's blocks, and its events with the parameters it prints.

const { io } = require('socket.io-client');
const { ask, ears } = require('../socketio/drive.js');
const { printed, snippet } = require('./snippet.js');

async function push(url, token) {
  const socket = snippet('push/connect.js', { io }, { 'http://your-server-url': url, 'your-jwt-token': token });
  const { next } = ears(socket);
  const heard = {};
  snippet('push/registered.js', { socket });
  await next('connect');
  heard.welcome = (await next('system:welcome'))[0];
  heard.ownId = heard.welcome.socketId === socket.id;
  snippet('push/register.js', { socket });
  heard.registered = (await next('register:ack'))[0];

  const say = async (event, data, answer) => {
    socket.emit(event, data);
    heard[event] = (await next(answer))[0];
  };
  if (heard.registered.success) {
    await say('client:event', { type: 'string', data: { any: 'object' } }, 'server:response');
    await say('client:message', { content: 'string', type: 'string', metadata: {} }, 'message:ack');
    await say('client:action', { action: 'echo', params: { any: 1 } }, 'action:result');
    await say('client:message', { type: 'string' }, 'error');
    heard.error = heard['client:message'];
    await say('client:message', { content: 'string', type: 'string' }, 'message:ack');
    await say('room:join', { room: 'lobby' }, 'room:join:ack');
    heard.ping = (await ask(socket, 'ping', { timestamp: 1625097600000 })) ?? 'nothing';
    process.stdout.write('in the room\n');
    heard.toRoom = await next('to-room');
    heard.toUser = await next('system:notification');
    heard.toAll = await next('to-all');
    await say('room:leave', { room: 'lobby' }, 'room:leave:ack');
  }
  socket.disconnect();
  return { ...heard, printed };
}

require('../socketio/report.js')(push);
