// node many_clients.js URL CLIENTS PUBLISHERS EACH TOKEN: clients on all transports in one room; some of them publish.
// Every client receives every message once, except its own, and all clients in the same order.

const { io } = require('socket.io-client');
const { MODES, TIMEOUT, ask, connect } = require('./drive.js');

async function run(url, ...args) {
  const [clients, publishers, each] = args.slice(0, 3).map(Number);
  const [, , , token] = args;
  const modes = Object.keys(MODES);
  const total = publishers * each;
  const all = await Promise.all(
    Array.from({ length: clients }, async (_, n) => {
      const { socket } = await connect(io, url, modes[n % modes.length], token);
      const received = [];
      const publishes = n < publishers;
      const complete = new Promise((resolve, reject) => {
        const expected = publishes ? total - each : total;
        const fail = () => reject(new Error(`client ${n} received ${received.length} of ${expected}`));
        const timer = setTimeout(fail, TIMEOUT * 2);
        socket.on('Broadcast', ({ payload, message_id }) => {
          received.push({ publisher: payload.publisher, n: payload.n, id: message_id });
          if (received.length >= expected) {
            clearTimeout(timer);
            resolve();
          }
        });
      });
      await ask(socket, 'room:join', { room: 'room' });
      return { socket, n, received, complete };
    }),
  );
  await Promise.all(
    all.slice(0, publishers).map(async ({ socket, n: publisher }) => {
      for (let n = 0; n < each; n++) {
        const ack = await ask(socket, 'Broadcast', { topic: 'room', payload: { publisher, n } });
        if (ack.recipients !== clients - 1) throw new Error(`reached ${ack.recipients}`);
      }
    }),
  );
  await Promise.all(all.map((client) => client.complete));
  // A round trip, in which a duplicate in transit would arrive.
  await Promise.all(all.map(({ socket }) => ask(socket, 'ping')));
  // The last client publishes nothing, so it receives every message.
  const order = all[clients - 1].received;
  const inOrder = (publisher) =>
    order.filter((message) => message.publisher === publisher).every((message, n) => message.n === n);
  const wrong = all.filter(({ n, received }) => {
    const expected = order.filter((message) => message.publisher !== n);
    return JSON.stringify(received) !== JSON.stringify(expected);
  });
  const transports = {};
  for (const { socket } of all) {
    const { name } = socket.io.engine.transport;
    transports[name] = (transports[name] ?? 0) + 1;
    socket.close();
  }
  return {
    received: order.length,
    publishersInOrder: all.slice(0, publishers).every(({ n }) => inOrder(n)),
    wrong: wrong.map(({ n }) => n),
    transports,
  };
}

require('./report.js')(run);
