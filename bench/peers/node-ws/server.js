// The peer: Node's `ws` with the hub's raw envelope and nothing else: no tokens, rules or limits. It is written for speed:
// no compression, and one serialisation for each broadcast.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const HEARTBEAT_MS = Number(process.argv[2] ?? 30_000);

const rooms = new Map();
const envelope = (type, data) => JSON.stringify({ type, data, timestamp: Date.now() });
const send = (socket, text) => socket.send(text, { binary: false });

const events = {
  Ping: (socket, { timestamp }) => send(socket, envelope("Pong", { timestamp })),
  Subscribe(socket, { topics }) {
    for (const topic of topics) {
      if (!rooms.has(topic)) rooms.set(topic, new Set());
      rooms.get(topic).add(socket);
      socket.topics.add(topic);
    }
    const details = { topics, denied: [], positions: {}, recovered: {} };
    send(socket, envelope("Status", { status: "subscribed", details }));
  },
  Broadcast(socket, { topic, payload }) {
    const message_id = randomUUID();
    // As bytes: `ws` would encode a string again for every member.
    const bytes = Buffer.from(envelope("Broadcast", { topic, payload, from_user: socket.user, message_id }));
    let recipients = 0;
    for (const member of rooms.get(topic) ?? []) {
      if (member === socket) continue;
      send(member, bytes);
      recipients += 1;
    }
    send(socket, envelope("Ack", { message_id, recipients }));
  },
};

const http = createServer();
const server = new WebSocketServer({ server: http, path: "/ws", perMessageDeflate: false, maxPayload: 65_536 });
let users = 0;
server.on("connection", (socket) => {
  socket.user = `bench-${users++}`;
  socket.topics = new Set();
  socket.alive = true;
  socket.on("pong", () => (socket.alive = true));
  socket.on("message", (bytes) => {
    const { type, data } = JSON.parse(bytes);
    events[type](socket, data);
  });
  socket.on("error", () => socket.terminate());
  socket.on("close", () => {
    for (const topic of socket.topics) {
      const members = rooms.get(topic);
      members.delete(socket);
      if (members.size === 0) rooms.delete(topic);
    }
  });
  const details = { connection_id: randomUUID(), server_time: Date.now(), protocol_version: "1.0" };
  send(socket, envelope("Status", { status: "connected", details }));
});
setInterval(() => {
  for (const socket of server.clients) {
    if (!socket.alive) socket.terminate();
    socket.alive = false;
    socket.ping();
  }
}, HEARTBEAT_MS);

// Exits when the bench exits, also after a crash.
process.stdin.on("end", () => process.exit(0)).resume();
http.listen({ host: "127.0.0.1", port: 0, backlog: 4_096 }, () =>
  console.error(`listening on http://127.0.0.1:${http.address().port}`),
);
