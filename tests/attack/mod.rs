//! The edge as an enemy meets it: each kind of attack, with its bytes and counts asserted.

// What was done once is not done twice, whatever happens to the hub.
mod once;

// What a token does not allow to write.
mod publish;
