// Missed messages follow after a cut; after more than the history has, the client reloads its state.
const TOPIC = "news:sport";

/** Publishes `texts` while the client is away. */
async function away(ws, texts) {
  ws.close();
  await sessions(TOPIC, 0);
  for (const text of texts) await publish(TOPIC, { text });
  const next = connect();
  await sessions(TOPIC, 1);
  return next;
}

async function main() {
  let ws = connect();
  await sessions(TOPIC, 1);
  await publish(TOPIC, { text: "first" });
  await until("the message arrives", () => shown.length === 1);
  ws = await away(ws, ["second", "third"]);
  await until("the missed messages follow", () => shown.length === 3);
  const before = reloads;
  ws = await away(ws, Array.from({ length: 12 }, (_, number) => `lost ${number}`));
  await until("the client reloads", () => reloads === 1);
  await publish(TOPIC, { text: "live" });
  await until("the live message arrives", () => shown.length === 4);
  report({ before });
}
main();
