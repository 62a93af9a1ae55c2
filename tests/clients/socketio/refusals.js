// node refusals.js URL TOKEN API_KEY: the errors of socket.io-client for refused connects and a server disconnect.

const { io } = require('socket.io-client');
const { MODES, ask, connect, recordEvents } = require('./drive.js');

async function refusal(url, options) {
  const socket = io(url, { forceNew: true, reconnection: false, ...options });
  const [error] = await recordEvents(socket).next('connect_error');
  socket.close();
  return { message: error.message, data: error.data ?? null };
}

async function run(url, token, key) {
  const results = {};
  for (const [mode, options] of Object.entries(MODES)) {
    const result = {};
    result.badToken = await refusal(url, { ...options, auth: { token: 'nonsense' } });
    result.noNamespace = await refusal(`${url}/nowhere`, { ...options, auth: { token } });
    result.chatWithoutToken = await refusal(`${url}/chat`, options);

    // Two namespaces of one connection.
    const { socket, next, events } = await connect(io, url, mode, token);
    const chat = socket.io.socket('/chat', { auth: { token } });
    const chatEvents = recordEvents(chat);
    await chatEvents.next('connect');
    result.ownIds = chat.id !== socket.id;
    result.onChat = (await ask(chat, 'Broadcast', { topic: 'lobby', payload: 1 })).recipients;

    // After a server disconnect the client does not reconnect by itself.
    const answer = await fetch(`${url}/api/disconnect`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-API-Key': key },
      body: JSON.stringify({ userId: 'alice' }),
    });
    if (answer.status !== 200) throw new Error(await answer.text());
    result.reason = (await next('disconnected'))[0].reason;
    result.disconnectReason = (await next('disconnect'))[0];
    result.chatDisconnectReason = (await chatEvents.next('disconnect'))[0];
    result.staysDisconnected = !socket.active && !chat.active;

    // connect() makes it reconnect.
    socket.connect();
    await next('connect');
    result.reconnected = (await ask(socket, 'ping')) === undefined;
    socket.close();
    result.unexpected = events.filter((event) => event.name === 'connect_error');
    results[mode] = result;
  }
  return results;
}

require('./report.js')(run);
