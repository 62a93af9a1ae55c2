//! WebSocket connections: sockets that the hub takes over at the upgrade, for every surface that speaks WebSocket.
//!
//! With a response-body actor, one slow reader blocks the actor's timers, mailbox and heartbeat, and the hub cannot
//! close the socket. So the hub owns the socket from the upgrade on:
//!
//! * [`handshake`] checks the request and answers it;
//! * [`assembler`] builds whole messages from frames, and checks sizes, UTF-8 and protocol rules;
//! * [`SocketReader`] is the reading side: a stream of the client's messages;
//! * [`SocketWriter`] is the writing side. It frames and writes the connection's outbox once per turn, when its worker's
//!   [`Flusher`] calls, and can shut the socket at any time.
//!
//! `actix_web_actors`, which is deprecated, and actix-http's WebSocket types are used in this module alone.

pub mod assembler;
mod flusher;
mod framing;
pub mod handshake;
mod reader;
mod refusal;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::time::Duration;

use actix_rt::net::TcpStream;
use socket2::SockRef;

pub use self::flusher::{Flushable, Flusher};
pub use self::reader::{SocketMessage, SocketReader};
pub use self::refusal::refuse;
pub use self::writer::SocketWriter;

/// Bytes that the kernel may hold for a socket that is not read. The kernel doubles the number for its own bookkeeping
/// (socket(7)). Together with the outbox, this bounds the memory of a client that stops reading.
const SEND_BUFFER: usize = 65_536;

/// Sets the options of every socket of the hub: no delay to fill a segment, and bounds on unread data and dead peers.
/// The kernel gives up a connection when data stays unacknowledged for `patience` (tcp(7), `TCP_USER_TIMEOUT`). That
/// time also counts while the peer's window is closed, so `patience` must not be shorter than a client may stay silent.
///
/// # Errors
/// The system's error.
pub fn prepare(socket: &TcpStream, patience: Duration) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(patience))?;
    Ok(())
}
