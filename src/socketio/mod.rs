//! Socket.IO: `/socket.io/`, for clients that know nothing of this hub but that protocol.
//!
//! In layers, each of which knows only those below:
//!
//! * [`namespace_sessions`]: the namespaces of this hub, where each connected client is a session actor like any other;
//!   [`namespace_session`] and [`inbox`]: what connects the two; [`connect_error`]: what a client reads that is not let in;
//! * [`polling`] and [`websocket`]: the two transports, and the step from one to the other;
//! * [`namespaces`]: Socket.IO over an Engine.IO session; [`namespace_auth`]: what it needs from the hub, [`mod@line`]: what it gives it;
//!   [`namespace_table`]: what each CONNECT and DISCONNECT does;
//! * [`router`]: the Engine.IO sessions of one worker, and the way to them from the others;
//! * [`engine`]: one of those, whatever transport reaches it; [`context`]: what they all stand on;
//! * [`connects`]: how often a client may ask to be let in;
//! * [`polls`]: a poll between its request, its connection and its session;
//! * [`posting`]: a request whose body is read once its session was found;
//! * [`sid`], [`query`] and [`refusal`]: what a request shows, asks for and is refused with; [`timer`]: what is done later.
//!
//! The hub's part is behind [`router::HandshakeAuth`], [`router::Speaker`] and [`namespace_auth::NamespaceAuth`]: the same transports serve the
//! endpoints that the protocols' conformance suites run against (`examples/protocol_fixture.rs`).

mod auth;
mod connect_error;
mod connects;
pub mod context;
pub mod engine;
pub mod error;
mod handshake_auth;
mod inbox;
pub mod namespace_auth;
pub mod namespace_sender;
mod namespace_session;
pub mod namespace_sessions;
mod namespace_table;
pub mod namespaces;
pub mod polling;
mod polls;
mod posting;
pub(crate) mod query;
pub mod recovery_clients;
pub mod router;
pub mod sid;
mod timer;
pub mod websocket;
