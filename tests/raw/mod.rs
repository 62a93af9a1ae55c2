//! The raw WebSocket on `/ws`.

// Events of the other surfaces.
mod namespace_events;
// Handshakes, their tokens, and admission.
mod connect;
// The expiry of tokens, and fresh tokens.
mod expiry;
// Frames, and the close codes of invalid ones.
mod frames;
// The histories of topics.
mod history;
// Pings, and the timeout of silent clients.
mod heartbeat;
// User ids and direct messages.
mod identity;
// Limits of messages.
mod limits;
// Every message of a client, and the errors for invalid ones.
mod messages;
// Pipelined requests.
mod pipelining;
// The rules of topics.
mod topics;
