//! SIGHUP over live connections: each kind of policy before and after, and reloads without effect.

mod bad;
mod keys;
mod load;
mod policies;
mod topics;
