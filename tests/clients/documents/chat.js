// node chat.js URL TOKEN MODE: the chat document's client class and its use, as they are printed; MODE says by which
// transports, or `any` for what socket.io-client does by itself.

const { MODES, ask, ears } = require('../socketio/drive.js');
const { imported, printed, snippet } = require('./snippet.js');
const { io } = require('socket.io-client');

const PRINTED = 'ws://localhost:3001/chat';
const messageOf = (promise) => promise.then(() => 'nothing', (error) => error.message);

async function chat(url, token, mode) {
  const address = `${url.replace('http', 'ws')}/chat`;
  const replaced = { [PRINTED]: address, 'your-jwt-token': token };
  const names = ['WebSocketClient', 'client'];
  const { WebSocketClient, client } = await imported('chat/client.mjs', replaced, names, MODES[mode]?.transports);
  // By now it has joined and said something, and it types.
  const { next } = ears(client.socket);
  const heard = { connected: client.socket.connected };
  await ask(client.socket, 'message:typing-users', { chatId: 'chat-uuid' });
  heard.transport = client.socket.io.engine.transport.name;
  process.stdout.write('typing\n');

  // The other side answers this from here on, and somebody else comes and goes.
  heard.answer = (await next('message:new'))[0];
  heard.typing = (await next('user:typing'))[0];
  heard.online = (await next('user:online'))[0];
  heard.offline = (await next('user:offline'))[0];

  heard.image = await client.sendMessage('chat-uuid', 'cat.png', 'image');
  client.setTyping('chat-uuid', false);
  heard.refusals = [
    await messageOf(client.joinRoom('chat-uuid')),
    await messageOf(client.joinRoom('no-chat')),
    await messageOf(client.sendMessage('general', 'without having joined')),
    await messageOf(client.sendMessage('chat-uuid', '')),
  ];

  // One more of the class, and the document's way to connect without it.
  const second = new WebSocketClient(token);
  heard.second = await second.joinRoom('chat-uuid');
  second.disconnect();
  const socket = snippet('chat/connect.js', { io }, replaced);
  heard.plain = (await ask(socket, 'room:list', {})).rooms.map((room) => room.chatId);
  socket.disconnect();
  const stranger = new WebSocketClient('nonsense');
  heard.stranger = (await ears(stranger.socket).next('connect_error'))[0].message;
  stranger.disconnect();

  client.disconnect();
  heard.went = (await next('disconnect'))[0];
  return { ...heard, printed };
}

require('../socketio/report.js')(chat);
