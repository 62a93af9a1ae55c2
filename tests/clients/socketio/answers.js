// node answers.js URL NAMESPACE AUTH REQUESTS: connects with AUTH, sends [event, data] pairs with an acknowledgement each,
// one after the other. Tells the acknowledgements, and the `error` events that came. Strings of the data that begin with
// "$" stand for a field of an earlier answer: "$sentMessage.id".

const { io } = require('./client.js');
const { ears } = require('./drive.js');

const PATIENCE = 20000;

const acknowledged = (socket, event, data) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${event} was not acknowledged`)), PATIENCE);
    socket.emit(event, data, (answer) => {
      clearTimeout(timer);
      resolve(answer ?? null);
    });
  });

const found = (path, answers) => {
  const dig = (answer) => path.split('.').reduce((value, key) => value?.[key], answer);
  return answers.map(dig).find((value) => value !== undefined);
};

require('./report.js')(async (url, namespace, auth, requests) => {
  const socket = io(url + namespace, { transports: ['websocket'], auth: JSON.parse(auth), reconnection: false });
  const { next, seen } = ears(socket);
  await next('connect');
  const answers = [];
  for (const [event, data] of JSON.parse(requests)) {
    const filled = JSON.parse(JSON.stringify(data), (_, value) =>
      typeof value === 'string' && value.startsWith('$') ? found(value.slice(1), answers) : value,
    );
    answers.push(await acknowledged(socket, event, filled));
  }
  const errors = seen.filter((one) => one.name === 'error').map((one) => one.args[0]);
  const welcome = seen.find((one) => one.name === 'system:welcome')?.args[0] ?? null;
  socket.disconnect();
  return { answers, errors, welcome };
});
