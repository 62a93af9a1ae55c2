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

// The documents' own clients, unmodified.
mod clients;

// The raw document: `/ws`.
mod raw;

// Events that a backend pushes, as raw clients hear them.
mod push;

// One order for all members of a room, and nothing lost.
mod order;

// A client that stops reading.
mod slow;

// A thousand connections that do everything wrong.
mod abuse;

// Signals, and what is still delivered after one.
mod shutdown;

// The command line and its exit statuses.
mod command;
