//! Tests of a running hub over sockets. A test starts the real binary on a port of its own; or, where it would wait for
//! real time, the same service in its own process with a clock that it moves. No test reads the hub's state in memory:
//! unit tests beside the code do that.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking, in its supporting functions too"
)]

// A running hub, its clients, its tokens, and waiting with a deadline.
mod support;

// That the support itself works: a hub starts, answers and stops.
mod start;

// POST /api/…: the push document, and what Hubbub adds to it.
mod push;

// Notifications: kept, delivered until they are read.
mod notifications;

// Chats over HTTP, and who may join them.
mod chats;

// Who is online and how, as the chat document has it.
mod presence;

// The chat system as those in it meet it: who comes and goes, what is said, cut off and recovered.
mod chat;

// What is sent to the clients of all surfaces.
mod surfaces;

// Revoked tokens.
mod revocation;

// The community document over Socket.IO: presence, typing, debug mode, and its limits.
mod community;

// The chat document's monitoring, of connections on every surface.
mod monitoring;

// A PHP backend by the laravel document.
mod laravel;

// The community document over plain HTTP.
mod community_http;

// The raw document over plain HTTP, and the parts of every answer.
mod raw_http;

// The metrics, compared with the other surfaces and with deliveries.
mod metrics;

// Users with a password: sign-ins, refreshes and sign-outs.
mod accounts;

// What survives a crash, and the hub without its store.
mod store;

// Full disks, and files that are removed while the hub runs.
mod disk;

// The documents' own clients, unmodified.
mod clients;

// The raw document: `/ws`.
mod raw;

// JSON text and names of every way in: escapes, odd values, what does not show.
mod text;

// Socket.IO: `/socket.io/`.
mod sio;

// `Origin` and `Host`, on every way in.
mod origins;

// Paths, prefixes and addresses.
mod paths;

// The chat system, event by event: what tests/golden/*.md say, played.
mod golden;

// Tokens of every kind, and the issuers and backends that verify them: slow, down, wrong or back.
mod tokens;

// The application that answers client events: slow, down, wrong or back.
mod backend;

// One order for all members of a room, and nothing lost.
mod order;

// Connections that are cut off and hubs that end, in every way: nobody misses a message unawares.
mod chaos;

// A client that stops reading.
mod slow;

// Queues that are full.
mod overload;

// A thousand connections that do everything wrong.
mod abuse;

// Signals, and deliveries after one.
mod shutdown;

// SIGHUP: what holds before and after, and that nobody is disconnected.
mod reload;

// The spread of closes and reconnects over a shutdown.
mod drain;

// The lines of the log, and a log without a reader.
mod logging;

// The command line and its exit statuses.
mod command;

// Every kind of refusal in the log, once and by its id; who changed what; and what happened to connections.
mod refusals;

// The edge as an enemy meets it.
mod attack;

// What the README promises.
mod readme;
