//! Attacks on the edge, with their bytes and counts asserted.

// Plain HTTP before any upgrade.
mod http;

// The memory that the hub holds for an anonymous connection, as docs/limits.md states it.
mod memory;

// Socket.IO before a namespace is joined, and connections that send too much.
mod engine;

// The share of the connections that anonymous clients can hold, and for how long.
mod anonymous;
// Replayed requests have no second effect, over restarts and crashes too.
mod replay;

// Attacks of a signed-in client on others.
mod signed_in;
// Tokens without the right to publish.
mod publish;
