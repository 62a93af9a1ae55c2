//! Socket.IO: `/socket.io/`, for clients that know nothing of this hub but that protocol.
//!
//! In layers; imports go downwards, but for those that build one another:
//!
//! * [`sid`], [`query`] and [`refusal`]: what a request shows, asks for and is refused with;
//! * [`polling`] and [`websocket`]: the two transports, and the step from one to the other;
//! * [`engine`]: an Engine.IO session, whatever transport reaches it; [`house`]: all those of one worker, and the way to
//!   them from the others;
//! * [`namespaces`]: Socket.IO over one of those;
//! * [`hub`]: the namespaces of this hub, where each connected client is a session actor like any other.
//!
//! The hub's part is behind [`house::Door`], [`house::Speaker`] and [`namespaces::Lobby`]: the same transports serve the
//! endpoints that the protocols' conformance suites run against (`examples/protocol_fixture.rs`).

pub mod engine;
pub mod house;
pub mod hub;
pub mod namespaces;
pub mod polling;
mod query;
pub mod refusal;
pub mod sid;
pub mod websocket;
