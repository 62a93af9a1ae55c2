// Drives socket.io-client in a browser and posts what it heard to the server that sent the page.

async function report(body) {
  await fetch('/report', { method: 'POST', body: JSON.stringify(body) });
}

async function run({ url, token, modes, refused }) {
  if (refused) {
    const heard = {};
    for (const mode of modes) {
      const socket = io(url, { ...MODES[mode], auth: { token }, forceNew: true, reconnection: false });
      const { next } = ears(socket);
      heard[mode] = (await next('connect_error'))[0].message;
      socket.close();
    }
    return { heard };
  }
  const heard = {};
  for (const mode of modes) heard[mode] = await drive(io, url, mode, token);
  return { heard };
}

window.addEventListener('error', (event) => report({ failed: event.message }));
run(JSON.parse(document.getElementById('hub').textContent)).then(report, (error) =>
  report({ failed: String(error.stack) }),
);
