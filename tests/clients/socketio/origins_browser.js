// Connects in a browser by each of several options, and posts how each went to the server that sent the page.

function connect(url, token, options) {
  return new Promise((resolve) => {
    const socket = io(url, { ...options, auth: { token }, forceNew: true, reconnection: false });
    const done = (what) => {
      resolve(what);
      socket.close();
    };
    socket.on('connect_error', (error) => done(error.message));
    socket.on('connect', () => {
      const { engine } = socket.io;
      // The upgrade may be over before the namespace is joined.
      if (options.transports || engine.transport.name === 'websocket') done(engine.transport.name);
      else engine.on('upgrade', (transport) => done(transport.name));
    });
  });
}

async function run({ url, token, tries }) {
  const heard = {};
  for (const [name, options] of Object.entries(tries)) heard[name] = await connect(url, token, options);
  return heard;
}

// A sandboxed frame is of another origin than its server: it may post, and may not read the answer.
const report = (body) => fetch('/report', { method: 'POST', mode: 'no-cors', body: JSON.stringify(body) });

run(JSON.parse(document.getElementById('hub').textContent)).then(report, (error) => report({ failed: String(error) }));
