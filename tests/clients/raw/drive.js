// Drives the document's JavaScript clients in Node and in a browser: connects, receives the welcome, subscribes, publishes,
// sends a direct message to a peer, and receives the same from it. Returns the messages, or fails with all received ones.

function listen(client) {
  const messages = [];
  const waiting = new Set();
  for (const type of ['Status', 'Ack', 'Broadcast', 'DirectMessage', 'Pong', 'Error']) {
    client.on(type, (data) => {
      messages.push({ type, data });
      waiting.forEach((check) => check());
    });
  }
  return function next(type, matches = () => true) {
    return new Promise((resolve, reject) => {
      const check = () => {
        const found = messages.find((message) => !message.taken && message.type === type && matches(message.data));
        if (found) {
          found.taken = true;
          waiting.delete(check);
          clearTimeout(timer);
          resolve(found.data);
        }
      };
      const fail = () => reject(new Error(`no ${type} arrived; received: ${JSON.stringify(messages)}`));
      const timer = setTimeout(fail, 20000);
      waiting.add(check);
      check();
    });
  };
}

async function drive(client, peer, next = listen(client)) {
  const result = {};
  await client.connect();
  result.welcome = await next('Status', (data) => data.status === 'connected');
  client.send({ type: 'Subscribe', data: { topics: ['chat.general', 'updates'] } });
  result.subscribed = await next('Status', (data) => data.status === 'subscribed');
  const payload = { message: 'Hello from the document', list: [1, 2.5, null, 'ünï ☃'] };
  client.send({ type: 'Broadcast', data: { topic: 'chat.general', payload } });
  result.broadcastAck = await next('Ack');
  client.send({ type: 'DirectMessage', data: { target_user: peer, payload: 'just for you' } });
  result.directAck = await next('Ack');
  result.broadcast = await next('Broadcast');
  result.direct = await next('DirectMessage');
  return result;
}

if (typeof module !== 'undefined') {
  module.exports = { drive, listen };
}
