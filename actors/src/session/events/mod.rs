//! The handlers of client events, one file per event family, as in [`crate::events`].

mod application;
mod chat;
pub(super) mod community;
pub(super) mod debug;
mod push;
mod raw;
