// node burst.js URL TOKEN COUNT TRANSPORTS: receives COUNT notifications and then COUNT `burst` events with bytes.

const { io } = require('./client.js');

require('./report.js')(async (url, token, count, transports) => {
  const socket = io(url, { transports: transports.split(','), auth: { token }, reconnection: false, timeout: 20000 });
  const received = { notification: [], burst: [] };
  let lost = null;
  const all = new Promise((resolve) => {
    const add = (event, value) => {
      received[event].push(value);
      // 300 ms later, when the client has polled again.
      if (event === 'notification' && received.notification.length === Number(count)) {
        setTimeout(() => process.stdout.write('notified\n'), 300);
      }
      if (received.burst.length === Number(count)) resolve();
    };
    socket.on('notification', (data) => add('notification', data.id));
    socket.on('burst', (data) => add('burst', [data.n, ...data.bytes.map((bytes) => bytes.length)].join(' ')));
    socket.on('connect_error', (error) => {
      lost = error.message;
      resolve();
    });
    socket.on('disconnect', (reason) => {
      lost = reason;
      resolve();
    });
  });
  await all;
  const state = lost ?? (await new Promise((resolve) => socket.emit('ping', {}, () => resolve('connected'))));
  socket.disconnect();
  return { ...received, state };
});
