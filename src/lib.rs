//! Hubbub: an actor-based realtime hub. This crate is its edge: sockets, HTTP, tokens, configuration. What happens behind
//! it, rooms and sessions, is the crate `hubbub_actors`, which knows none of these.
//!
//! # The life of one message
//!
//! 1. Bytes come in on a socket that was taken over at the upgrade ([`websocket`]) and become whole messages; or in the body of
//!    a polling request ([`socketio`]).
//! 2. [`codec`] reads one as a request: an event's name, its data, what the client named it by.
//! 3. The session's actor finds the event's row in the table, checks surface, access and limit, and runs its handler.
//! 4. The handler publishes to a room: one message to the room's shard, which gives it its place in the order and hands
//!    it to the fan-out of each worker that has members.
//! 5. A fan-out puts the frame, encoded once, into its members' outboxes.
//! 6. The worker's flusher ([`websocket`]) writes every outbox that got something, once.
//!
//! What a backend pushes over HTTP ([`api`]) enters at step 4.
//!
//! # Layout
//!
//! Imports go one way: `main` → [`cli`] → [`serve`] → [`serve::signals`] → [`serve::reload`], [`serve::settings`] → [`api`], [`ws`], [`socketio`] → [`websocket`],
//! [`codec`], [`admission`] → [`state`], [`error`] → [`telemetry`] → [`policies`] → [`accounts`], [`auth`] → [`config`], [`upstream`], [`peer`], [`bearer`] →
//! `hubbub_actors`. [`logging`] and [`notices`] are imported wherever something is to be told. [`api`], [`ws`] and [`socketio`] never import each other.

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
