//! The writing side of a connection: writes a session's outbox to its socket, and the close frame at the end.

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

/// Bytes that the kernel may hold while a connection closes, so that the rest of a half-written frame and the close
/// frame still fit after the unread data.
const SEND_BUFFER_CLOSING: usize = 262_144;

/// Frames in one write.
const SLICES: usize = 64;

/// The writing side of a connection.
pub struct SocketWriter {
    socket: OwnedWriteHalf,
    pub(super) handle: Rc<SessionHandle>,
    flusher: Rc<Flusher>,
    /// Already in the flusher's queue.
    queued: Cell<bool>,
    /// The kernel's buffer is full. The reader waits until it accepts more.
    blocked: Cell<bool>,
    /// The connection is gone.
    pub(super) broken: Cell<bool>,
    /// The state of this side's close frame.
    close_state: RefCell<CloseState>,
    /// Wakes the reader.
    pub(super) reader: RefCell<Option<Waker>>,
}

#[derive(Debug)]
enum CloseState {
    Open,
    /// A protocol error or the client's close: the code to answer with.
    Due(u16, &'static str),
    Sent,
}

impl SocketWriter {
    /// Attaches the socket to the session's handle.
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

    /// Ends the connection with a protocol code, after the outbox.
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

    /// Whether everything was written, with the close frame.
    pub(super) fn is_done(&self) -> bool {
        matches!(*self.close_state.borrow(), CloseState::Sent) && self.handle.with_outbox(|outbox| outbox.is_empty())
    }

    /// Answers a client's ping. A client that sends pings and does not read overflows its outbox like any other.
    pub(super) fn pong(&self, payload: &Bytes) {
        self.handle.send_ahead(Rc::new(frame::encode(Opcode::Pong, &[payload])));
    }

    /// Writes the outbox as far as the kernel accepts it. Does not wake the reader: the reader calls it too, and would
    /// wake itself forever.
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

    /// Writes as much as possible in one call; `None` if the outbox is empty. Usually that is one frame, and filling
    /// the slices of a vectored write is expensive.
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

    /// Puts the close frame at the end of the outbox, once.
    fn write_close_frame(&self) {
        let mut close_state = self.close_state.borrow_mut();
        let (code, reason) = match (&*close_state, self.handle.closed()) {
            (CloseState::Sent, _) | (CloseState::Open, None) => return,
            (CloseState::Due(code, reason), _) => (*code, *reason),
            (CloseState::Open, Some(close)) => (close.code(), close.reason()),
        };
        *close_state = CloseState::Sent;
        // The kernel's buffer of a slow consumer is full. With a larger buffer the socket becomes writable again, so
        // the close frame still fits and the client learns the reason.
        if self.handle.closed() == Some(Close::SlowConsumer) {
            let _ = SockRef::from(self.socket.as_ref()).set_send_buffer_size(SEND_BUFFER_CLOSING);
        }
        self.handle.with_outbox(|outbox| outbox.close_with(Rc::new(frame::close(code, reason))));
    }

    /// Continues to write when the kernel accepts more.
    pub(super) fn poll_unblocked(&self, cx: &mut Context<'_>) {
        while self.blocked.get() && !self.broken.get() {
            match self.socket.as_ref().poll_write_ready(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {
                    self.handle.note_output_read();
                    self.blocked.set(false);
                    self.write();
                }
                Poll::Ready(Err(_)) => self.broken.set(true),
            }
        }
    }

    /// Closes the sending side. Data in the kernel is still sent.
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

/// Writes the outbox. Wakes the reader if it waits for room, or if the connection ends.
impl Flushable for SocketWriter {
    fn flush(self: Rc<Self>) {
        self.queued.set(false);
        let (was_blocked, was_full) = (self.blocked.get(), !self.handle.is_under_half());
        self.write();
        // Requests of this connection or its sessions wait while the outbox is half full.
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
