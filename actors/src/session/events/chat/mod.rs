//! Handlers for `/chat`.

mod connection;
mod messages;
mod monitoring;
mod presence;
mod rooms;
