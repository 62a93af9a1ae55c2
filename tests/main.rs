//! The hub as its clients meet it: every test starts the real binary on a port of its own and talks
//! to it over sockets. Nothing here reaches into the hub's memory; what cannot be seen from outside
//! is a unit test beside the code.
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

// Tokens that no longer hold.
mod revocation;

// The community document over Socket.IO: presence, typing, debug mode, and its limits.
mod community;

// The chat document's monitoring, of connections on every surface.
mod monitoring;

// A PHP backend as the laravel document has it.
mod laravel;

// The community document over plain HTTP.
mod community_http;

// The raw document over plain HTTP, and what every answer has.
mod raw_http;

// The metrics, against the other surfaces and what was delivered.
mod metrics;

// Users with a password: signing in, staying in, and out.
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

// Every client event on every surface: plays tests/golden/*.md.
mod golden;

// Tokens of every kind, and those the hub asks about them: slow, down, wrong, and back again.
mod tokens;

// The application that answers what clients send it: slow, down, wrong, and back again.
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

// Signals, and what is still delivered after one.
mod shutdown;

// SIGHUP: what holds before and after, and that nobody is disconnected.
mod reload;

// Sessions that are told when to come back, and do not all go at once.
mod drain;

// What is logged, how a line looks, and a log that nobody reads.
mod logging;

// The command line and its exit statuses.
mod command;

// Every kind of refusal in the log, once and by its id; who changed what; and what happened to connections.
mod refusals;

// The edge as an enemy meets it.
mod attack;

// What the README promises.
mod readme;
