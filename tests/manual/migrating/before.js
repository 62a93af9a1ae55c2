// What the code of docs/migrating.md needs: it is put between this file and the one of its test.
// node SCRIPT HUB KEY TOKEN PORT

const http = require("http");
const { io } = require("socket.io-client");
const WebSocket = require("ws");

const [HUB, KEY, token, port] = process.argv.slice(2);
const [shown, saved, denied] = [[], [], []];
let reloads = 0;

const show = (value) => shown.push(value);
const reload = () => { reloads += 1; };
const refused = (topics) => denied.push(...topics);
const save = async (user, note) => { saved.push([user, note]); return 41; };

async function until(what, holds) {
  const deadline = Date.now() + 15_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`${what}: not so after 15 s; shown: ${JSON.stringify(shown)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Waits until a room has this number of sessions. */
const sessions = (room, count) => until(`${room} has ${count} sessions`, async () => {
  const answer = await fetch(`${HUB}/api/rooms/${encodeURIComponent(room)}`, { headers: { "X-API-Key": KEY } });
  return (answer.status === 200 ? (await answer.json()).sessions : 0) === count;
});

function report(more) {
  console.log(JSON.stringify({ shown, saved, denied, reloads, ...more }));
  process.exit();
}
