//! Handlers for the events of the community document, for Socket.IO clients on `/` that authenticate after they connect;
//! most are on `/ws` too.

mod authentication;
mod notifications;
pub(in crate::session) mod typing;
