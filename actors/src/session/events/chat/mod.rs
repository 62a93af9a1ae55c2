//! Handlers for the events of the chat document, on `/chat` and `/ws`.

mod connection;
mod messages;
mod monitoring;
mod presence;
mod rooms;
