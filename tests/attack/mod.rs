//! The edge as an enemy meets it: each kind of attack, with its bytes and counts asserted.

mod neighbours;
