// node push.js URL TOKEN: runs the push document's code blocks, and sends its events with its parameters.

const { io } = require('socket.io-client');
const { ask, recordEvents } = require('../socketio/drive.js');
const { printed, snippet } = require('./snippet.js');

async function push(url, token) {
  const socket = snippet('push/connect.js', { io }, { 'http://your-server-url': url, 'your-jwt-token': token });
  const { next } = recordEvents(socket);
  const results = {};
  snippet('push/registered.js', { socket });
  await next('connect');
  results.welcome = (await next('system:welcome'))[0];
  results.ownId = results.welcome.socketId === socket.id;
  snippet('push/register.js', { socket });
  results.registered = (await next('register:ack'))[0];

  const send = async (event, data, reply) => {
    socket.emit(event, data);
    results[event] = (await next(reply))[0];
  };
  if (results.registered.success) {
    await send('client:event', { type: 'string', data: { any: 'object' } }, 'server:response');
    await send('client:message', { content: 'string', type: 'string', metadata: {} }, 'message:ack');
    await send('client:action', { action: 'echo', params: { any: 1 } }, 'action:result');
    await send('client:message', { type: 'string' }, 'error');
    results.error = results['client:message'];
    await send('client:message', { content: 'string', type: 'string' }, 'message:ack');
    await send('room:join', { room: 'lobby' }, 'room:join:ack');
    results.ping = (await ask(socket, 'ping', { timestamp: 1625097600000 })) ?? 'nothing';
    process.stdout.write('in the room\n');
    results.toRoom = await next('to-room');
    results.toUser = await next('system:notification');
    results.toAll = await next('to-all');
    await send('room:leave', { room: 'lobby' }, 'room:leave:ack');
  }
  socket.disconnect();
  return { ...results, printed };
}

require('../socketio/report.js')(push);
