//! How the hub shuts down.

pub mod schedule;
