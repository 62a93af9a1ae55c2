// Drives the document's browser client and posts the result to the server of the page.

async function report(body) {
  await fetch('/report', { method: 'POST', body: JSON.stringify(body) });
}

async function run({ url, token, peer }) {
  const client = new RealtimeClient(url, token);
  client.maxReconnectAttempts = 0;
  // A refused connection rejects with an event, which has no message.
  const text = (error) => (error instanceof Error ? error.stack : `event ${error.type}`);
  try {
    const result = await drive(client, peer);
    client.disconnect();
    await report({ result });
  } catch (error) {
    await report({ failed: text(error), readyState: client.ws.readyState });
  }
}

window.addEventListener('error', (event) => report({ failed: event.message }));
run(JSON.parse(document.getElementById('hub').textContent));
