//! A socket taken over at the upgrade, as messages: for every surface that speaks WebSocket.
//!
//! A response-body actor would freeze with its socket: its timers, its mailbox and its heartbeat stand still while one
//! reader stalls, and it can not be closed at all. So the connection is ours from the upgrade on:
//!
//! * [`handshake`] judges the request and answers it;
//! * [`assembler`] makes whole messages of frames, and keeps sizes, UTF-8 and the protocol;
//! * [`SocketReader`] is the reading side, a stream of messages for one session;
//! * [`SocketWriter`] is the writing side: it empties the session's outbox in one write a turn, when its worker's [`Flusher`]
//!   calls, and shuts the socket whenever we say.
//!
//! The only user of `actix_web_actors`, which is deprecated, and of actix-http's WebSocket parts.

pub mod assembler;
mod flusher;
pub mod handshake;
mod reader;
mod refusal;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_rt::net::TcpStream;
use bytes::Bytes;
use hubbub_actors::connection::outbox::Outbox;
use hubbub_actors::connection::{OutboxSink, SessionHandle};
use hubbub_actors::model::close::Close;
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;

pub use self::flusher::{Flush, Flusher};
pub use self::reader::{Message, SocketReader};
pub use self::refusal::refuse;
use crate::codec::frame::{self, Opcode};

/// What the kernel may hold for one socket that is not read, bytes; it doubles the number for its own bookkeeping
/// (socket(7)). With the outbox this bounds what a client that stops reading costs.
const SEND_BUFFER: usize = 65_536;

/// What it may hold while a connection closes, so that the rest of a half-written frame and the reason still fit behind
/// what the client has not read yet.
const SEND_BUFFER_CLOSING: usize = 262_144;

/// Frames in one write.
const SLICES: usize = 64;

/// Sets what every socket of the hub has: no waiting to fill a segment, a bound on the unread, an end to the dead. Data
/// that stays unacknowledged for `patience` makes the kernel give the connection up (tcp(7), `TCP_USER_TIMEOUT`); that
/// also counts while the peer's window is closed, so it must not be less than a silent client may take.
///
/// # Errors
/// What the system says.
pub fn prepare(socket: &TcpStream, patience: Duration) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(patience))?;
    Ok(())
}

/// The writing side of a connection.
pub struct SocketWriter {
    socket: OwnedWriteHalf,
    handle: Rc<SessionHandle>,
    flusher: Rc<Flusher>,
    /// Waits in the flusher's queue.
    queued: Cell<bool>,
    /// The kernel took no more; the inlet waits until it does.
    blocked: Cell<bool>,
    /// The connection is gone.
    broken: Cell<bool>,
    /// What this side says when it closes, once it is to.
    close_state: RefCell<CloseState>,
    /// Wakes the inlet.
    reader: RefCell<Option<Waker>>,
}

#[derive(Debug)]
enum CloseState {
    Unsaid,
    /// A protocol error or the client's own close: the code to answer with.
    Due(u16, &'static str),
    Said,
}

impl SocketWriter {
    /// Puts the socket behind the seat.
    pub fn new(socket: OwnedWriteHalf, handle: Rc<SessionHandle>, flusher: Rc<Flusher>) -> Rc<Self> {
        let writer = Rc::new(Self {
            socket,
            handle: handle.clone(),
            flusher,
            queued: Cell::new(false),
            blocked: Cell::new(false),
            broken: Cell::new(false),
            close_state: RefCell::new(CloseState::Unsaid),
            reader: RefCell::new(None),
        });
        handle.attach(writer.clone());
        writer
    }

    /// Ends the connection with a code of the protocol: what is in the outbox goes first.
    fn end(&self, code: u16, reason: &'static str) {
        let mut close_state = self.close_state.borrow_mut();
        if matches!(*close_state, CloseState::Unsaid) && self.handle.closed().is_none() {
            *close_state = CloseState::Due(code, reason);
            drop(close_state);
            self.handle.with_outbox(|outbox| outbox.close());
            self.write();
        }
    }

    /// Whether the connection is to end.
    fn is_ending(&self) -> bool {
        self.broken.get() || self.handle.closed().is_some() || !matches!(*self.close_state.borrow(), CloseState::Unsaid)
    }

    /// Whether all was written, the farewell too.
    fn is_done(&self) -> bool {
        matches!(*self.close_state.borrow(), CloseState::Said) && self.handle.with_outbox(|outbox| outbox.is_empty())
    }

    /// Answers a ping of the client. One who pings and does not read overflows the outbox like any other.
    fn pong(&self, payload: &Bytes) {
        self.handle.send_ahead(Rc::new(frame::encode(Opcode::Pong, &[payload])));
    }

    /// Writes what the outbox holds, as far as the kernel takes it. Wakes nobody: the inlet calls it too, and one that
    /// woke itself would never rest.
    fn write(&self) {
        self.say_farewell();
        while !self.broken.get() && !self.blocked.get() {
            let result = self.handle.with_outbox(|outbox| {
                let result = self.write_once(outbox)?;
                Some(result.map(|written| outbox.advance(written)))
            });
            match result {
                None => break,
                Some(Ok(Some(accepted_us))) => self.handle.note_delivered(accepted_us),
                Some(Ok(None)) => {}
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => self.blocked.set(true),
                Some(Err(_)) => self.broken.set(true),
            }
        }
    }

    /// Writes what is ready in one go; `None` when nothing is. Mostly that is one frame, and filling the slices of a
    /// vectored write costs more than all else here.
    fn write_once(&self, outbox: &Outbox) -> Option<io::Result<usize>> {
        let mut ready = outbox.slices();
        let first = ready.next()?;
        let Some(second) = ready.next() else { return Some(self.socket.try_write(first)) };
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slot, bytes) in slices.iter_mut().zip([first, second].into_iter().chain(ready)) {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        Some(self.socket.try_write_vectored(&slices[..count]))
    }

    /// Puts the close frame behind what is still to be written, once.
    fn say_farewell(&self) {
        let mut close_state = self.close_state.borrow_mut();
        let (code, reason) = match (&*close_state, self.handle.closed()) {
            (CloseState::Said, _) | (CloseState::Unsaid, None) => return,
            (CloseState::Due(code, reason), _) => (*code, *reason),
            (CloseState::Unsaid, Some(close)) => (close.code(), close.reason()),
        };
        *close_state = CloseState::Said;
        // A client that stopped reading left the kernel's buffer full; what is left to say must still go in, or the
        // client would never learn why it was cut. A larger buffer makes the socket writable again.
        if self.handle.closed() == Some(Close::SlowConsumer) {
            let _ = SockRef::from(self.socket.as_ref()).set_send_buffer_size(SEND_BUFFER_CLOSING);
        }
        self.handle.with_outbox(|outbox| outbox.close_with(Rc::new(frame::close(code, reason))));
    }

    /// Writes on as soon as the kernel takes more.
    fn poll_unblocked(&self, cx: &mut Context<'_>) {
        while self.blocked.get() && !self.broken.get() {
            match self.socket.as_ref().poll_write_ready(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {
                    self.handle.note_output_taken();
                    self.blocked.set(false);
                    self.write();
                }
                Poll::Ready(Err(_)) => self.broken.set(true),
            }
        }
    }

    /// Tells the peer that nothing follows, while what is in the kernel still goes out.
    fn shut(&self) {
        let _ = SockRef::from(self.socket.as_ref()).shutdown(std::net::Shutdown::Write);
    }

    fn wake_inlet(&self) {
        let waker = self.reader.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Writes, and wakes the inlet where that has to go on.
impl Flush for SocketWriter {
    fn flush(self: Rc<Self>) {
        self.queued.set(false);
        let (was_blocked, was_full) = (self.blocked.get(), !self.handle.is_under_half());
        self.write();
        // Behind an outbox that was half full requests wait, on this connection or in its sessions.
        let has_room = was_full && self.handle.is_under_half();
        if (self.blocked.get() && !was_blocked) || has_room || self.is_ending() {
            self.wake_inlet();
        }
    }
}

impl OutboxSink for SocketWriter {
    fn wake(self: Rc<Self>) {
        if !self.queued.replace(true) {
            let flusher = self.flusher.clone();
            flusher.queue(self);
        }
    }

    fn resume(self: Rc<Self>) {
        self.wake_inlet();
    }
}
