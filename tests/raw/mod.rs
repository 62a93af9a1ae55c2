//! The raw WebSocket on `/ws`, sentence by sentence.

// Events of the other surfaces.
mod by_name;
// Which token counts, and who is let in.
mod connect;
// What expires, and what a fresh token changes.
mod expiry;
// Frames, right and wrong, and the close codes of the wrong ones.
mod frames;
// What was missed, and where it is kept.
mod history;
// The hub's pings, and who is cut for silence.
mod heartbeat;
// Who is whom: ids, names, direct messages.
mod identity;
// Messages a minute.
mod limits;
// Every message that a client may send, and what is wrong with the others.
mod messages;
// Many requests at once.
mod pipelining;
// Who may subscribe and publish where.
mod topics;
