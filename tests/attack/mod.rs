//! The edge as an enemy meets it: each kind of attack, with its bytes and counts asserted.

// Plain HTTP before any upgrade.
mod http;

// What one anonymous connection makes the hub hold, as the README states it.
mod held;

// Socket.IO without a namespace, and connections that send too much.
mod engine;

// How many places strangers hold, and for how long.
mod places;
// What was done once is not done twice, whatever happens to the hub.
mod once;

// What a token does not allow to write.
mod neighbours;
mod publish;
