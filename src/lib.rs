//! Hubbub: an actor-based realtime hub. This crate is its edge: sockets, HTTP, tokens and configuration. Rooms and sessions
//! are in the crate `hubbub_actors`, which knows none of these.
//!
//! `docs/architecture.md` follows a message, a recovery, a drain, a request, a sign-in and a reload through the files of both
//! crates.
//!
//! # Layout
//!
//! Imports flow one way: from each line to the lines below it, and within a line from left to right.
//!
//! * `main`, [`cli`]: commands and their output.
//! * [`serve`]: listens, composes the hub, serves, reloads, shuts down.
//! * [`api`]: the HTTP API and the middleware of all requests. [`ops`]: the endpoints for operators.
//! * [`ws`], [`socketio`]: the surfaces. They never import each other. [`api`] reads the session id of [`socketio`] requests.
//! * [`openapi`]: typed endpoints and their description.
//! * [`websocket`]: handshake, reader and writer. [`admission`], [`bearer`]: which clients may connect, and their tokens.
//! * [`state`]: the shared state. [`telemetry`]: metrics. [`policies`]: the rules that a reload replaces.
//! * [`request_body`], [`http_stream`]: plain HTTP connections within bounds. [`error`]: faults as HTTP. [`notices`]:
//!   log lines that clients can cause.
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
pub mod openapi;
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
