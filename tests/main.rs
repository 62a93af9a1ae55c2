//! Tests of a running hub over sockets. A test starts the real binary on a port of its own; or, where it would wait for
//! real time, the same service in its own process with a clock that it moves. No test reads the hub's state in memory:
//! unit tests beside the code do that.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test panics, also in its supporting functions"
)]

// A running hub, clients, tokens, and waits with a deadline.
mod support;

// The support itself works: a hub starts, answers and stops.
mod start;

// The push document over HTTP, and the endpoints that Hubbub adds to it.
mod push;

// Notifications: stored, and delivered until they are read.
mod notifications;

// Chats over HTTP, and access to them.
mod chats;

// Presence in the chat document.
mod presence;

// The chat system for its members: joins, leaves, messages, limits and recovery.
mod chat;

// Deliveries to the clients of all surfaces.
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

// The store after a crash, and the hub without its store.
mod store;

// Full disks, and files that are removed while the hub runs.
mod disk;

// The clients of the documents, unmodified.
mod clients;

// The raw document: `/ws`.
mod raw;

// JSON text and names on every surface: escapes, unreadable values, invisible characters.
mod text;

// Socket.IO: `/socket.io/`.
mod sio;

// `Origin` and `Host` on every surface.
mod origins;

// Paths, the base path, and listening addresses.
mod paths;

// Every client event on every surface: plays tests/golden/*.md.
mod golden;

// Tokens of every kind, and the issuers and backends that verify them: slow, down, wrong or back.
mod tokens;

// The application that answers client events: slow, down, wrong or back.
mod backend;

// One order for all members of a room, without loss.
mod order;

// Cut connections and restarts of every kind: every client receives its messages or learns that it missed some.
mod chaos;

// A client that stops reading.
mod slow;

// Full queues.
mod overload;

// A thousand faulty connections.
mod abuse;

// Signals, and deliveries after one.
mod shutdown;

// SIGHUP: the settings before and after, without a disconnect.
mod reload;

// The spread of closes and reconnects over a shutdown.
mod drain;

// The lines of the log, and a log without a reader.
mod logging;

// The command line and its exit statuses.
mod command;

// The log: every kind of refusal once and with its id, changes by operators, and connections.
mod refusals;

// Attacks on the hub's network interface.
mod attack;

// The description of the HTTP API, compared with a running hub.
mod openapi;

// The documents.
mod documents;

// The code blocks in the documents.
mod manual;

// The files in deploy/.
mod deploy;
