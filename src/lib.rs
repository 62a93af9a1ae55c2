//! Hubbub: an actor-based realtime hub. This crate is its edge: sockets, HTTP, tokens and configuration. Rooms and sessions
//! are in the crate `hubbub_actors`, which knows none of these.
//!
//! # The life of one message
//!
//! 1. Bytes arrive on a WebSocket ([`websocket`]) and become whole messages, or they arrive in the body of a polling request
//!    ([`socketio`]).
//! 2. [`codec`] decodes a message into a request: the name of an event, its data, and the client's id for the reply.
//! 3. The session's actor finds the event in the table, checks surface, access and rate limit, and calls its handler.
//! 4. The handler publishes to a room. The room's shard puts the publication in order, and posts it to the fan-out of each
//!    worker that has members.
//! 5. The fan-out encodes the publication once per format and adds it to the outboxes of its members.
//! 6. The worker's flusher ([`websocket`]) writes every outbox that has new entries; a poll fetches them for a polling client.
//!
//! A command of a backend ([`api`]) enters at step 4.
//!
//! # Layout
//!
//! Imports flow one way: from each line to the lines below it, and within a line from left to right.
//!
//! * `main`, [`cli`]: commands and their output.
//! * [`serve`]: listens, composes the hub, serves, reloads, shuts down.
//! * [`api`]: the HTTP API and the middleware of all requests. [`ops`]: the endpoints for operators.
//! * [`ws`], [`socketio`]: the surfaces. They never import each other. [`api`] reads the session id of [`socketio`] requests.
//! * [`websocket`]: handshake, reader and writer. [`admission`], [`bearer`]: which clients may connect, and their tokens.
//! * [`state`]: the shared state. [`telemetry`]: metrics. [`policies`]: the rules that a reload replaces.
//! * [`request_body`], [`http_stream`]: plain HTTP connections within bounds. [`error`]: faults as HTTP. [`notices`]: log lines that
//!   clients can cause.
//! * [`accounts`], [`config`], [`auth`], [`upstream`]: accounts, configuration, tokens, and the services that the hub calls.
//! * [`codec`], [`peer`], [`request_id`], [`logging`]: they import no other module.

pub mod accounts;
pub mod admission;
pub mod api;
pub mod auth;
pub mod bearer;
pub mod cli;
pub mod codec;
pub mod config;
pub mod error;
pub mod http_stream;
pub mod logging;
pub mod notices;
pub mod ops;
pub mod peer;
pub mod policies;
pub mod request_body;
pub mod request_id;
pub mod serve;
pub mod socketio;
pub mod state;
pub mod telemetry;
pub mod upstream;
pub mod websocket;
pub mod ws;
