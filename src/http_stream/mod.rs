//! What the HTTP service reads from: a TCP connection that gives it one request at a time, and no more than was judged.
//!
//! actix-http's dispatcher decodes all that it can read, queues each request with its head, and times neither a body nor
//! any head but the first. Clients that pipeline and do not read, drip, or announce bodies that never come would make it
//! hold what they like. So [`HttpStream`] stands between the socket and the dispatcher:
//!
//! * [`head`] finds where a head ends, and removes the offers to upgrade that are no WebSocket; [`body`] finds where a
//!   body ends. Both are pure.
//! * While a request is in work, its body is read as far as its handler permitted it ([`Exchange::permit_body`]), then one
//!   head ahead. While an answer waits for the socket, nothing is read.
//! * A handler that waits learns what comes behind its request ([`Exchange::behind`]), and when its answer is written
//!   ([`Exchange::watch_answer`]).
//! * Every head and every body has a deadline ([`Times`]). What is refused here is answered by the application, with an
//!   error body and a request id: a stand-in for the request is passed on, and [`Exchange::take_refusal`] says why.
//! * Requests of clients that are not known take turns ([`pacer`]), so that they leave the worker time for its sessions.
//! * [`linger`] closes connections whose clients may still be sending; [`Connections`] counts the plain ones.
//!
//! It knows no route but the WebSockets' paths, and nothing of the hub.

pub mod body;
pub mod connections;
pub mod exchange;
pub mod head;
pub mod linger;
mod listener;
pub mod pacer;
mod stream;

pub use self::connections::Connections;
pub use self::exchange::{Exchange, body_too_slow};
pub use self::listener::{ClientTimeouts, Listener};
pub use self::stream::{HttpStream, KEEP_ALIVE};
