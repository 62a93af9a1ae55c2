// Connects in a browser with each of several options and posts the results to the server of the page.

function connect(url, token, options) {
  return new Promise((resolve) => {
    const socket = io(url, { ...options, auth: { token }, forceNew: true, reconnection: false });
    const done = (result) => {
      resolve(result);
      socket.close();
    };
    socket.on('connect_error', (error) => done(error.message));
    socket.on('connect', () => {
      const { engine } = socket.io;
      // The upgrade can end before the namespace is joined.
      if (options.transports || engine.transport.name === 'websocket') done(engine.transport.name);
      else engine.on('upgrade', (transport) => done(transport.name));
    });
  });
}

async function run({ url, token, tries }) {
  const results = {};
  for (const [name, options] of Object.entries(tries)) results[name] = await connect(url, token, options);
  return results;
}

// A sandboxed frame has another origin than its server: it can post but cannot read the response.
const report = (body) => fetch('/report', { method: 'POST', mode: 'no-cors', body: JSON.stringify(body) });

run(JSON.parse(document.getElementById('hub').textContent)).then(report, (error) => report({ failed: String(error) }));
