// node burst.js URL TOKEN COUNT TRANSPORTS: hears so many notifications and then so many events called `burst` with bytes.

const { io } = require('./client.js');

require('./report.js')(async (url, token, count, transports) => {
  const socket = io(url, { transports: transports.split(','), auth: { token }, reconnection: false, timeout: 20000 });
  const heard = { notification: [], burst: [] };
  let lost = null;
  const all = new Promise((resolve) => {
    const note = (event, what) => {
      heard[event].push(what);
      // After a while, in which it has polled again.
      if (event === 'notification' && heard.notification.length === Number(count)) {
        setTimeout(() => process.stdout.write('notified\n'), 300);
      }
      if (heard.burst.length === Number(count)) resolve();
    };
    socket.on('notification', (data) => note('notification', data.id));
    socket.on('burst', (data) => note('burst', [data.n, ...data.bytes.map((bytes) => bytes.length)].join(' ')));
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
  const stays = lost ?? (await new Promise((resolve) => socket.emit('ping', {}, () => resolve('connected'))));
  socket.disconnect();
  return { ...heard, stays };
});
