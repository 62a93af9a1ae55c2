//! SIGHUP over live connections: each kind of policy before and after, and what changes nothing.

mod bad;
mod keys;
mod load;
mod policies;
mod topics;
