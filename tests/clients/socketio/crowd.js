// node crowd.js URL CLIENTS PUBLISHERS EACH TOKEN: a room full of clients, on all transports; some of them publish.
// Every message has to come to every client but its publisher, once, in one order for all.

const { io } = require('socket.io-client');
const { MODES, PATIENCE, ask, enter } = require('./drive.js');

async function run(url, ...args) {
  const [clients, publishers, each] = args.slice(0, 3).map(Number);
  const [, , , token] = args;
  const modes = Object.keys(MODES);
  const total = publishers * each;
  const crowd = await Promise.all(
    Array.from({ length: clients }, async (_, n) => {
      const { socket } = await enter(io, url, modes[n % modes.length], token);
      const heard = [];
      const publishes = n < publishers;
      const all = new Promise((resolve, reject) => {
        const wanted = publishes ? total - each : total;
        const late = () => reject(new Error(`client ${n} heard ${heard.length} of ${wanted}`));
        const timer = setTimeout(late, PATIENCE * 2);
        socket.on('Broadcast', ({ payload, message_id }) => {
          heard.push({ by: payload.by, n: payload.n, id: message_id });
          if (heard.length >= wanted) {
            clearTimeout(timer);
            resolve();
          }
        });
      });
      await ask(socket, 'room:join', { room: 'crowd' });
      return { socket, n, heard, all };
    }),
  );
  await Promise.all(
    crowd.slice(0, publishers).map(async ({ socket, n: by }) => {
      for (let n = 0; n < each; n++) {
        const ack = await ask(socket, 'Broadcast', { topic: 'crowd', payload: { by, n } });
        if (ack.recipients !== clients - 1) throw new Error(`reached ${ack.recipients}`);
      }
    }),
  );
  await Promise.all(crowd.map((client) => client.all));
  // What is on its way when all have all would be one too many.
  await Promise.all(crowd.map(({ socket }) => ask(socket, 'ping')));
  const witness = crowd[clients - 1].heard;
  const inOrder = (by) => witness.filter((one) => one.by === by).every((one, n) => one.n === n);
  const wrong = crowd.filter(({ n, heard }) => {
    const wanted = witness.filter((one) => one.by !== n);
    return JSON.stringify(heard) !== JSON.stringify(wanted);
  });
  const transports = {};
  for (const { socket } of crowd) {
    const { name } = socket.io.engine.transport;
    transports[name] = (transports[name] ?? 0) + 1;
    socket.close();
  }
  return {
    heard: witness.length,
    publishersInOrder: crowd.slice(0, publishers).every(({ n }) => inOrder(n)),
    wrong: wrong.map(({ n }) => n),
    transports,
  };
}

require('./report.js')(run);
