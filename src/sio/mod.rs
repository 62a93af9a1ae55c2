//! Socket.IO: `/socket.io/`, for clients that know nothing of this hub but that protocol.
//!
//! In layers, each of which knows only those below:
//!
//! * [`hub`]: the namespaces of this hub, where each connected client is a session actor like any other;
//! * [`polling`] and [`websocket`]: the two transports, and the step from one to the other;
//! * [`namespaces`]: Socket.IO over an Engine.IO session;
//! * [`house`]: the Engine.IO sessions of one worker, and the way to them from the others;
//! * [`engine`]: one of those, whatever transport reaches it; [`ground`]: what they all stand on;
//! * [`connects`]: how often a client may ask to be let in;
//! * [`polls`]: a poll between its request, its connection and its session;
//! * [`posting`]: a request whose body is read once its session was found;
//! * [`sid`], [`query`] and [`refusal`]: what a request shows, asks for and is refused with; [`timer`]: what is done later.
//!
//! The hub's part is behind [`house::Door`], [`house::Speaker`] and [`namespaces::Lobby`]: the same transports serve the
//! endpoints that the protocols' conformance suites run against (`examples/protocol_fixture.rs`).

mod auth;
mod connects;
pub mod dialect;
pub mod engine;
mod front_door;
pub mod ground;
pub mod house;
pub mod hub;
pub mod namespaces;
pub mod polling;
mod polls;
mod posting;
mod query;
pub mod refusal;
pub mod sid;
mod timer;
pub mod websocket;
