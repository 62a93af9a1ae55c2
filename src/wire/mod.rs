//! Wire formats: pure codecs between bytes and typed messages. No I/O, no actor.

pub mod engine;
pub mod frame;
pub mod raw;
pub mod socket;
