// node drive_node.js URL TOKEN PEER: drives the document's Node client. The last line on stdout is the result, as JSON.

const NodeRealtimeClient = require('./node.js');
const { drive, listen } = require('./drive.js');

async function run([url, token, peer]) {
  const client = new NodeRealtimeClient(url, token, { heartbeatInterval: 50 });
  client.on('error', () => {});
  const frame = new Promise((resolve) => client.once('pong', resolve));
  const next = listen(client);
  const result = await drive(client, peer, next);
  result.pong = await next('Pong');
  await frame;
  const closed = new Promise((resolve) => client.once('disconnected', resolve));
  client.disconnect();
  result.closed = (await closed).code;
  return result;
}

run(process.argv.slice(2)).then(
  // The document's client reconnects after every disconnect, so the process must exit.
  (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0)),
  (error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
