// What the document's JavaScript clients do with a hub, in Node and in a browser alike: connect and
// be welcomed, subscribe, publish and be acknowledged, write to a peer, and hear the peer do the
// same. Gives what it heard, or fails with all that it saw.

function listen(client) {
  const seen = [];
  const looks = new Set();
  for (const type of ['Status', 'Ack', 'Broadcast', 'DirectMessage', 'Pong', 'Error']) {
    client.on(type, (data) => {
      seen.push({ type, data });
      looks.forEach((look) => look());
    });
  }
  return function next(type, matches = () => true) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = seen.find((one) => !one.taken && one.type === type && matches(one.data));
        if (found) {
          found.taken = true;
          looks.delete(look);
          clearTimeout(timer);
          resolve(found.data);
        }
      };
      const late = () => reject(new Error(`no ${type} came; seen: ${JSON.stringify(seen)}`));
      const timer = setTimeout(late, 20000);
      looks.add(look);
      look();
    });
  };
}

async function drive(client, peer, next = listen(client)) {
  const heard = {};
  await client.connect();
  heard.welcome = await next('Status', (data) => data.status === 'connected');
  client.send({ type: 'Subscribe', data: { topics: ['chat.general', 'updates'] } });
  heard.subscribed = await next('Status', (data) => data.status === 'subscribed');
  const payload = { message: 'Hello from the document', list: [1, 2.5, null, 'ünï ☃'] };
  client.send({ type: 'Broadcast', data: { topic: 'chat.general', payload } });
  heard.broadcastAck = await next('Ack');
  client.send({ type: 'DirectMessage', data: { target_user: peer, payload: 'just for you' } });
  heard.directAck = await next('Ack');
  heard.broadcast = await next('Broadcast');
  heard.direct = await next('DirectMessage');
  return heard;
}

if (typeof module !== 'undefined') {
  module.exports = { drive, listen };
}
