//! The writing side of a connection: writes the outbox of a session to its socket, and the close frame at the end.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hubbub_actors::connection::outbox::Outbox;
use hubbub_actors::connection::{OutboxSink, SessionHandle};
use hubbub_actors::model::close::Close;
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;

use super::{Flushable, Flusher};
use crate::codec::frame::{self, Opcode};

/// What it may hold while a connection closes, so that the rest of a half-written frame and the reason still fit behind
/// what the client has not read yet.
const SEND_BUFFER_CLOSING: usize = 262_144;

/// Frames in one write.
const SLICES: usize = 64;

/// The writing side of a connection.
pub struct SocketWriter {
    socket: OwnedWriteHalf,
    pub(super) handle: Rc<SessionHandle>,
    flusher: Rc<Flusher>,
    /// Waits in the flusher's queue.
    queued: Cell<bool>,
    /// The kernel took no more; the inlet waits until it does.
    blocked: Cell<bool>,
    /// The connection is gone.
    pub(super) broken: Cell<bool>,
    /// What this side says when it closes, once it is to.
    close_state: RefCell<CloseState>,
    /// Wakes the inlet.
    pub(super) reader: RefCell<Option<Waker>>,
}

#[derive(Debug)]
enum CloseState {
    Open,
    /// A protocol error or the client's own close: the code to answer with.
    Due(u16, &'static str),
    Sent,
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
            close_state: RefCell::new(CloseState::Open),
            reader: RefCell::new(None),
        });
        handle.attach(writer.clone());
        writer
    }

    /// Ends the connection with a code of the protocol: what is in the outbox goes first.
    pub(super) fn end(&self, code: u16, reason: &'static str) {
        let mut close_state = self.close_state.borrow_mut();
        if matches!(*close_state, CloseState::Open) && self.handle.closed().is_none() {
            *close_state = CloseState::Due(code, reason);
            drop(close_state);
            self.handle.with_outbox(|outbox| outbox.close());
            self.write();
        }
    }

    /// Whether the connection is to end.
    pub(super) fn is_ending(&self) -> bool {
        self.broken.get() || self.handle.closed().is_some() || !matches!(*self.close_state.borrow(), CloseState::Open)
    }

    /// Whether all was written, the farewell too.
    pub(super) fn is_done(&self) -> bool {
        matches!(*self.close_state.borrow(), CloseState::Sent) && self.handle.with_outbox(|outbox| outbox.is_empty())
    }

    /// Answers a ping of the client. One who pings and does not read overflows the outbox like any other.
    pub(super) fn pong(&self, payload: &Bytes) {
        self.handle.send_ahead(Rc::new(frame::encode(Opcode::Pong, &[payload])));
    }

    /// Writes what the outbox holds, as far as the kernel takes it. Wakes nobody: the inlet calls it too, and one that
    /// woke itself would never rest.
    pub(super) fn write(&self) {
        self.write_close_frame();
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
    fn write_close_frame(&self) {
        let mut close_state = self.close_state.borrow_mut();
        let (code, reason) = match (&*close_state, self.handle.closed()) {
            (CloseState::Sent, _) | (CloseState::Open, None) => return,
            (CloseState::Due(code, reason), _) => (*code, *reason),
            (CloseState::Open, Some(close)) => (close.code(), close.reason()),
        };
        *close_state = CloseState::Sent;
        // A client that stopped reading left the kernel's buffer full; what is left to say must still go in, or the
        // client would never learn why it was cut. A larger buffer makes the socket writable again.
        if self.handle.closed() == Some(Close::SlowConsumer) {
            let _ = SockRef::from(self.socket.as_ref()).set_send_buffer_size(SEND_BUFFER_CLOSING);
        }
        self.handle.with_outbox(|outbox| outbox.close_state(Rc::new(frame::close(code, reason))));
    }

    /// Writes on as soon as the kernel takes more.
    pub(super) fn poll_unblocked(&self, cx: &mut Context<'_>) {
        while self.blocked.get() && !self.broken.get() {
            match self.socket.as_ref().poll_write_ready(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {
                    self.handle.note_taken();
                    self.blocked.set(false);
                    self.write();
                }
                Poll::Ready(Err(_)) => self.broken.set(true),
            }
        }
    }

    /// Tells the peer that nothing follows, while what is in the kernel still goes out.
    pub(super) fn shut(&self) {
        let _ = SockRef::from(self.socket.as_ref()).shutdown(std::net::Shutdown::Write);
    }

    fn wake_reader(&self) {
        let waker = self.reader.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Writes, and wakes the inlet where that has to go on.
impl Flushable for SocketWriter {
    fn flush(self: Rc<Self>) {
        self.queued.set(false);
        let (was_blocked, was_full) = (self.blocked.get(), !self.handle.is_under_half());
        self.write();
        // Behind an outbox that was half full requests wait, on this connection or in its sessions.
        let has_room = was_full && self.handle.is_under_half();
        if (self.blocked.get() && !was_blocked) || has_room || self.is_ending() {
            self.wake_reader();
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
        self.wake_reader();
    }
}
