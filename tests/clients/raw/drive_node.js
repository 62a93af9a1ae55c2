// node drive_node.js URL TOKEN PEER: drives the document's Node client; the last line on stdout is
// what it heard, as JSON.

const NodeRealtimeClient = require('./node.js');
const { drive, listen } = require('./drive.js');

async function run([url, token, peer]) {
  const client = new NodeRealtimeClient(url, token, { heartbeatInterval: 50 });
  client.on('error', () => {});
  const frame = new Promise((resolve) => client.once('pong', resolve));
  const next = listen(client);
  const heard = await drive(client, peer, next);
  heard.pong = await next('Pong');
  await frame;
  const closed = new Promise((resolve) => client.once('disconnected', resolve));
  client.disconnect();
  heard.closed = (await closed).code;
  return heard;
}

run(process.argv.slice(2)).then(
  // The document's client comes back by itself after every disconnect, so the process has to end.
  (heard) => process.stdout.write(`${JSON.stringify(heard)}\n`, () => process.exit(0)),
  (error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
