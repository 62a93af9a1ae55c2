// node chaos.js READERS: runs readers over a faulty network. READERS is JSON: [{name, url, mode, token, topics}].
// Each reader joins its topics, joins them again if it is not recovered, and reads until their last messages. Prints
// "joined" when all readers have joined. The last line on stdout is the record of each, as in tests/chaos/audit.rs.

const { io } = require('socket.io-client');
const { MODES, TIMEOUT } = require('./drive.js');

// The number of the publisher of the last messages.
const LAST_PUBLISHER = 999;
// The time in ms for the other readers to end, once the first has ended.
const END_TIMEOUT = 45000;

function read({ name, url, mode, token, topics }) {
  const events = Object.fromEntries(topics.map((topic) => [topic, []]));
  const record = { name, events, connections: 0, counts: {}, faults: [] };
  const joined = new Set();
  const ended = new Set();
  // False between a failed recovery and the hub's report of it.
  let isReported = true;
  const add = (topic, event) => events[topic].push(event);
  const count = (name) => (record.counts[name] = (record.counts[name] ?? 0) + 1);
  let [joinedAll, done] = [() => {}, () => {}];
  const hasJoined = new Promise((resolve) => (joinedAll = resolve));
  const isDone = new Promise((resolve) => (done = resolve));

  const socket = io(url, {
    ...MODES[mode],
    auth: { token },
    forceNew: true,
    reconnectionDelay: 20,
    reconnectionDelayMax: 500,
    timeout: TIMEOUT,
  });

  function join(topic) {
    const connection = record.connections;
    socket.timeout(TIMEOUT).emit('room:join', { room: `topic-${topic}` }, (error, answer) => {
      if (connection !== record.connections || joined.has(topic)) return;
      if (error || !answer.success) {
        count(`socket.io: joins refused: ${error ? 'no reply' : answer.code}`);
        if (socket.connected) setTimeout(() => connection === record.connections && join(topic), 50);
        return;
      }
      joined.add(topic);
      if (joined.size === topics.length) joinedAll();
    });
  }

  function receive(message) {
    const { publisher, n, topic } = message;
    if (!isReported) record.faults.push(`${JSON.stringify(message)} arrived before the loss was reported`);
    add(topic, { publisher, n });
    if (publisher !== LAST_PUBLISHER) return;
    ended.add(topic);
    if (ended.size < topics.length) return;
    socket.disconnect();
    done();
  }

  socket.on('connect', () => {
    const isReconnect = record.connections > 0;
    record.connections += 1;
    isReported = !isReconnect || socket.recovered;
    if (isReconnect) count(socket.recovered ? 'socket.io: recovered' : 'socket.io: not recovered');
    // All topics count, because messages can arrive before the reply to the join.
    if (isReconnect) topics.forEach((topic) => add(topic, socket.recovered ? 'recovered' : 'lost'));
    if (!socket.recovered) joined.clear();
    topics.filter((topic) => !joined.has(topic)).forEach(join);
  });
  // Why the last connection ended, or the last attempt failed.
  let last = 'never connected';
  socket.on('disconnect', (reason, details) => {
    count(`socket.io: disconnected: ${reason}`);
    last = `${reason} ${details?.description ?? ''}`;
  });
  // After a refusal by the hub, which has data, the client does not reconnect by itself.
  socket.on('connect_error', ({ data, message }) => {
    count(data ? `socket.io: connects refused: ${data.code}` : 'socket.io: failed connections');
    last = `connect_error ${message}`;
  });
  socket.on('system:state_recovery_failed', () => {
    if (socket.recovered) record.faults.push('recovered, but a failed recovery was reported');
    isReported = true;
  });
  socket.on('system:state_recovered', () => {
    if (!socket.recovered) record.faults.push('not recovered, but a recovery was reported');
  });
  socket.on('news', receive);
  socket.on('Broadcast', ({ payload }) => receive(payload));
  return { record, ended, hasJoined, isDone, socket, state: () => `${last}, recovered ${socket.recovered}, active ${socket.active}` };
}

async function run(options) {
  const readers = JSON.parse(options).map(read);
  await Promise.all(readers.map(({ hasJoined }) => hasJoined));
  process.stdout.write('joined\n');
  const all = Promise.all(readers.map(({ isDone }) => isDone));
  await Promise.race(readers.map(({ isDone }) => isDone));
  let timer;
  const timeout = new Promise((resolve) => (timer = setTimeout(resolve, END_TIMEOUT)));
  await Promise.race([all, timeout]);
  clearTimeout(timer);
  // The state of a client tells whether the hub or the client stopped.
  for (const { record, socket, state } of readers.filter(({ record, ended }) => ended.size < Object.keys(record.events).length)) {
    const { engine, _readyState } = socket.io;
    const { transport, upgrading } = engine ?? {};
    record.faults.push(
      `stopped: ${state()}, connected ${socket.connected}, manager ${_readyState}, engine ${engine?.readyState}, ` +
        `${transport?.name} ${transport?.readyState}, upgrading ${upgrading}`,
    );
  }
  readers.forEach(({ socket }) => socket.disconnect());
  return readers.map(({ record }) => record);
}

require('./report.js')(run);
