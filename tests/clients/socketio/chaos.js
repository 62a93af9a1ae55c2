// node chaos.js READERS: readers, each [{name, url, mode, token, topics}], whose connections are cut off again and again.
// Each joins its topics, and again where it is not recovered, and reads to their ends. Says "there" when all are in their
// topics; the last line on stdout is what each met, as tests/chaos/ledger.rs has it.

const { io } = require('socket.io-client');
const { MODES, PATIENCE } = require('./drive.js');

// Who publishes the ends.
const THE_END = 999;
// How long a reader may take to come to its ends once one of them has come to one.
const LATE = 45000;

function read({ name, url, mode, token, topics }) {
  const met = Object.fromEntries(topics.map((topic) => [topic, []]));
  const record = { name, met, connections: 0, counts: {}, faults: [] };
  const joined = new Set();
  const ended = new Set();
  // Whether it was said that there was no recovery, where one was asked for.
  let isTold = true;
  const meet = (topic, one) => met[topic].push(one);
  const count = (what) => (record.counts[what] = (record.counts[what] ?? 0) + 1);
  let [there, done] = [() => {}, () => {}];
  const isThere = new Promise((resolve) => (there = resolve));
  const isDone = new Promise((resolve) => (done = resolve));

  const socket = io(url, {
    ...MODES[mode],
    auth: { token },
    forceNew: true,
    reconnectionDelay: 20,
    reconnectionDelayMax: 500,
    timeout: PATIENCE,
  });

  function join(topic) {
    const connection = record.connections;
    socket.timeout(PATIENCE).emit('room:join', { room: `topic-${topic}` }, (error, answer) => {
      if (connection !== record.connections || joined.has(topic)) return;
      if (error || !answer.success) {
        count(`socket.io: joins refused: ${error ? 'no answer' : answer.code}`);
        if (socket.connected) setTimeout(() => connection === record.connections && join(topic), 50);
        return;
      }
      joined.add(topic);
      if (joined.size === topics.length) there();
    });
  }

  function hear(message) {
    const { by, n, topic } = message;
    if (!isTold) record.faults.push(`${JSON.stringify(message)} came before a loss was told`);
    meet(topic, { by, n });
    if (by !== THE_END) return;
    ended.add(topic);
    if (ended.size < topics.length) return;
    socket.disconnect();
    done();
  }

  socket.on('connect', () => {
    const asked = record.connections > 0;
    record.connections += 1;
    isTold = !asked || socket.recovered;
    if (asked) count(socket.recovered ? 'socket.io: recovered' : 'socket.io: not recovered');
    // Topics whose messages come before the answer to the join count as well.
    if (asked) topics.forEach((topic) => meet(topic, socket.recovered ? 'recovered' : 'lost'));
    if (!socket.recovered) joined.clear();
    topics.filter((topic) => !joined.has(topic)).forEach(join);
  });
  socket.on('disconnect', () => count('socket.io: disconnected'));
  socket.on('connect_error', () => count('socket.io: connections that came to nothing'));
  socket.on('system:state_recovery_failed', () => {
    if (socket.recovered) record.faults.push('was recovered, and told that it was not');
    isTold = true;
  });
  socket.on('system:state_recovered', () => {
    if (!socket.recovered) record.faults.push('was not recovered, and told that it was');
  });
  socket.on('news', hear);
  socket.on('Broadcast', ({ payload }) => hear(payload));
  return { record, isThere, isDone, socket };
}

async function run(asked) {
  const readers = JSON.parse(asked).map(read);
  await Promise.all(readers.map(({ isThere }) => isThere));
  process.stdout.write('there\n');
  const all = Promise.all(readers.map(({ isDone }) => isDone));
  await Promise.race(readers.map(({ isDone }) => isDone));
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, LATE)));
  await Promise.race([all, late]);
  clearTimeout(timer);
  readers.forEach(({ socket }) => socket.disconnect());
  return readers.map(({ record }) => record);
}

require('./report.js')(run);
