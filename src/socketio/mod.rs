//! Socket.IO at `/socket.io/`, for clients that implement only that protocol. Layers, each of which depends only on the
//! layers below:
//!
//! * [`namespace_sessions`]: the hub's namespaces. Each connected client is a session actor, as on `/ws`.
//!   [`namespace_session`] and [`inbox`] connect the session to its connection; [`connect_error`] builds the payload of
//!   a refused CONNECT;
//! * [`polling`] and [`websocket`]: the two transports, and the upgrade from one to the other;
//! * [`namespaces`]: Socket.IO over an Engine.IO session. [`namespace_auth`] is its interface to the hub;
//! * [`namespace_member`]: the client in each namespace of a connection, and the sender of its packets;
//!   [`namespace_table`] decides the effect of each CONNECT and DISCONNECT;
//! * [`router`]: the Engine.IO sessions of one worker, and message routing to them from other workers;
//! * [`engine`]: one Engine.IO session, on either transport; [`context`]: the state that a worker's sessions share;
//! * [`connects`]: the rate limit of CONNECTs; [`auth`]: the `auth` of a CONNECT, with the private id and the offset;
//! * [`handshake_auth`]: the checks of a handshake; [`recovery_clients`]: which clients get offsets;
//! * [`polls`]: the state of a poll, shared by its request, its connection and its session;
//! * [`posting`]: a POST: its body is read after its session was found;
//! * [`sid`], [`query`] and [`error`]: session ids, query parameters and error responses; [`timer`]: a task that a drop
//!   cancels.
//!
//! The hub implements [`router::HandshakeAuth`], [`router::PacketHandlerFactory`] and
//! [`namespace_auth::NamespaceAuth`]. The conformance suites run against other implementations of them
//! (`examples/protocol_fixture.rs`).

mod auth;
mod connect_error;
mod connects;
pub mod context;
pub mod engine;
pub mod error;
mod handshake_auth;
mod inbox;
pub mod namespace_auth;
pub mod namespace_member;
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
