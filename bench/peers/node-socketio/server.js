// The peer: Node's `socket.io` with the hub's events and nothing else: no tokens, rules, limits or presence. It is
// configured as its own documentation on performance recommends: WebSocket only, no compression, and the handshake's
// request released.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Server } from "socket.io";

const HEARTBEAT_MS = Number(process.argv[2] ?? 25_000);

const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
  maxHttpBufferSize: 65_536,
  pingInterval: HEARTBEAT_MS,
});
io.engine.on("connection", (raw) => (raw.request = null));

const { rooms } = io.of("/").adapter;
let users = 0;
io.on("connection", (socket) => {
  const user = `bench-${users++}`;
  socket.on("room:join", ({ room }, acknowledge) => {
    socket.join(room);
    acknowledge({ success: true, room });
  });
  socket.on("Broadcast", ({ topic, payload }, acknowledge) => {
    const message_id = randomUUID();
    const members = rooms.get(topic);
    const recipients = (members?.size ?? 0) - (members?.has(socket.id) ? 1 : 0);
    // Excludes the sender and encodes once for all members.
    socket.to(topic).emit("Broadcast", { topic, payload, from_user: user, message_id });
    acknowledge({ message_id, recipients });
  });
  socket.on("ping", (_, acknowledge) => acknowledge());
});

// Exits when the bench exits, also after a crash.
process.stdin.on("end", () => process.exit(0)).resume();
http.listen({ host: "127.0.0.1", port: 0, backlog: 4_096 }, () =>
  console.error(`listening on http://127.0.0.1:${http.address().port}`),
);
