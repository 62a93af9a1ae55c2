//! Handlers for Socket.IO clients on `/` that authenticate after they connect.

mod authentication;
mod notifications;
pub(in crate::session) mod typing;
