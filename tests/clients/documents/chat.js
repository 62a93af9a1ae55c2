// node chat.js URL TOKEN MODE: runs the chat document's client class and its usage, unchanged. MODE names the transports;
// `any` is the default of socket.io-client.

const { MODES, ask, recordEvents } = require('../socketio/drive.js');
const { imported, printed, snippet } = require('./snippet.js');
const { io } = require('socket.io-client');

const PRINTED = 'ws://localhost:3001/chat';
const messageOf = (promise) => promise.then(() => 'nothing', (error) => error.message);

async function chat(url, token, mode) {
  const address = `${url.replace('http', 'ws')}/chat`;
  const replaced = { [PRINTED]: address, 'your-jwt-token': token };
  const names = ['WebSocketClient', 'client'];
  const { WebSocketClient, client } = await imported('chat/client.mjs', replaced, names, MODES[mode]?.transports);
  // The client has joined, has sent a message, and is typing.
  const { next } = recordEvents(client.socket);
  const results = { connected: client.socket.connected };
  await ask(client.socket, 'message:typing-users', { chatId: 'chat-uuid' });
  results.transport = client.socket.io.engine.transport.name;
  process.stdout.write('typing\n');

  // The test's peer replies from here on, and another user connects and disconnects.
  results.reply = (await next('message:new'))[0];
  results.typing = (await next('user:typing'))[0];
  results.online = (await next('user:online'))[0];
  results.offline = (await next('user:offline'))[0];

  results.image = await client.sendMessage('chat-uuid', 'cat.png', 'image');
  client.setTyping('chat-uuid', false);
  results.refusals = [
    await messageOf(client.joinRoom('chat-uuid')),
    await messageOf(client.joinRoom('no-chat')),
    await messageOf(client.sendMessage('general', 'without having joined')),
    await messageOf(client.sendMessage('chat-uuid', '')),
  ];

  // A second client of the class, and the document's connection without the class.
  const second = new WebSocketClient(token);
  results.secondClient = await second.joinRoom('chat-uuid');
  second.disconnect();
  const socket = snippet('chat/connect.js', { io }, replaced);
  results.rooms = (await ask(socket, 'room:list', {})).rooms.map((room) => room.chatId);
  socket.disconnect();
  const refused = new WebSocketClient('nonsense');
  results.badToken = (await recordEvents(refused.socket).next('connect_error'))[0].message;
  refused.disconnect();

  client.disconnect();
  results.disconnected = (await next('disconnect'))[0];
  return { ...results, printed };
}

require('../socketio/report.js')(chat);
