// Drives socket.io-client in a browser and posts the results to the server of the page.

async function report(body) {
  await fetch('/report', { method: 'POST', body: JSON.stringify(body) });
}

async function run({ url, token, modes, refused }) {
  const results = {};
  if (refused) {
    for (const mode of modes) {
      const socket = io(url, { ...MODES[mode], auth: { token }, forceNew: true, reconnection: false });
      const { next } = recordEvents(socket);
      results[mode] = (await next('connect_error'))[0].message;
      socket.close();
    }
    return { results };
  }
  for (const mode of modes) results[mode] = await drive(io, url, mode, token);
  return { results };
}

window.addEventListener('error', (event) => report({ failed: event.message }));
run(JSON.parse(document.getElementById('hub').textContent)).then(report, (error) =>
  report({ failed: String(error.stack) }),
);
