//! The input of the HTTP service: a TCP connection that passes on one request at a time, within limits.
//!
//! actix-http's dispatcher decodes everything that it can read, queues each request with its head, and has no timeout
//! for bodies or for any head but the first. So clients that pipeline without reading, send slowly, or announce bodies
//! and never send them could use unbounded memory. [`HttpStream`] stands between the socket and the dispatcher:
//!
//! * [`head`] finds the end of a head and removes offers to upgrade to anything but a WebSocket; [`body`] finds the end
//!   of a body. Both are pure.
//! * While a request is processed, its body is read as far as its handler permits ([`Exchange::permit_body`]), then one
//!   head ahead. While a response waits for the socket, nothing is read.
//! * A waiting handler learns what follows its request ([`Exchange::next_input`]), and when its response is written
//!   ([`Exchange::watch_answer`]).
//! * Every head and every body has a deadline ([`ClientTimeouts`]). The application answers refused requests, with an
//!   error body and a request id: it receives a substitute request, and [`Exchange::take_refusal`] returns the reason.
//! * Requests of unknown clients take turns ([`pacer`]), so that they leave the worker time for its sessions.
//! * [`linger`] closes connections while their clients may still be sending; [`Connections`] counts the plain
//!   connections.
//!
//! It depends on no route but the WebSocket paths, and on no other part of the hub.

pub mod body;
pub mod connections;
mod context;
pub mod exchange;
pub mod head;
pub mod linger;
mod listener;
pub mod pacer;
mod stream;

pub use self::connections::{ClientTimeouts, Connections};
pub use self::exchange::{Exchange, body_too_slow};
pub use self::listener::Listener;
pub use self::stream::{HttpStream, KEEP_ALIVE};
