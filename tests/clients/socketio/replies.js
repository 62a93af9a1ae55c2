// node replies.js URL NAMESPACE AUTH REQUESTS: connects with AUTH and sends [event, data] pairs one after the other, each
// with an ack. Returns the acks and the `error` events. A string that starts with "$" in the data is replaced by a field
// of an earlier reply: "$sentMessage.id".

const { io } = require('./client.js');
const { recordEvents } = require('./drive.js');

const TIMEOUT = 20000;

const acknowledged = (socket, event, data) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${event} was not acknowledged`)), TIMEOUT);
    socket.emit(event, data, (answer) => {
      clearTimeout(timer);
      resolve(answer ?? null);
    });
  });

const field = (path, replies) => {
  const get = (reply) => path.split('.').reduce((value, key) => value?.[key], reply);
  return replies.map(get).find((value) => value !== undefined);
};

require('./report.js')(async (url, namespace, auth, requests) => {
  const socket = io(url + namespace, { transports: ['websocket'], auth: JSON.parse(auth), reconnection: false });
  const { next, events } = recordEvents(socket);
  await next('connect');
  const replies = [];
  for (const [event, data] of JSON.parse(requests)) {
    const filled = JSON.parse(JSON.stringify(data), (_, value) =>
      typeof value === 'string' && value.startsWith('$') ? field(value.slice(1), replies) : value,
    );
    replies.push(await acknowledged(socket, event, filled));
  }
  const errors = events.filter((event) => event.name === 'error').map((event) => event.args[0]);
  const welcome = events.find((event) => event.name === 'system:welcome')?.args[0] ?? null;
  socket.disconnect();
  return { replies, errors, welcome };
});
