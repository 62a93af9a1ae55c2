// node refusals.js URL TOKEN API_KEY: what socket.io-client tells of a hub that does not want it, or not any more.

const { io } = require('socket.io-client');
const { MODES, ask, ears, enter } = require('./drive.js');

async function refusal(url, options) {
  const socket = io(url, { forceNew: true, reconnection: false, ...options });
  const [error] = await ears(socket).next('connect_error');
  socket.close();
  return { message: error.message, data: error.data ?? null };
}

async function run(url, token, key) {
  const heard = {};
  for (const [mode, options] of Object.entries(MODES)) {
    const said = {};
    said.badToken = await refusal(url, { ...options, auth: { token: 'nonsense' } });
    said.noNamespace = await refusal(`${url}/nowhere`, { ...options, auth: { token } });
    said.chatWithoutToken = await refusal(`${url}/chat`, options);

    // Two namespaces of one connection.
    const { socket, next, seen } = await enter(io, url, mode, token);
    const chat = socket.io.socket('/chat', { auth: { token } });
    const chatEars = ears(chat);
    await chatEars.next('connect');
    said.ownIds = chat.id !== socket.id;
    said.onChat = (await ask(chat, 'Broadcast', { topic: 'lobby', payload: 1 })).recipients;

    // One who is put out stays out.
    const answer = await fetch(`${url}/api/disconnect`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-API-Key': key },
      body: JSON.stringify({ userId: 'alice' }),
    });
    if (answer.status !== 200) throw new Error(await answer.text());
    said.told = (await next('disconnected'))[0].reason;
    said.putOut = (await next('disconnect'))[0];
    said.putOutOfChat = (await chatEars.next('disconnect'))[0];
    said.staysOut = !socket.active && !chat.active;

    // And may come back when it is told to.
    socket.connect();
    await next('connect');
    said.back = (await ask(socket, 'ping')) === undefined;
    socket.close();
    said.unexpected = seen.filter((one) => one.name === 'connect_error');
    heard[mode] = said;
  }
  return heard;
}

require('./report.js')(run);
