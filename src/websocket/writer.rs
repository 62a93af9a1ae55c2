//! The writing side of a connection: writes its outbox to its socket, and the close frame at the end.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hubbub_actors::connection::{Connection, OutboxSink, SessionTransport};
use hubbub_actors::model::close::Close;
use hubbub_actors::publication::{MessageKind, Payload};
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;

use super::{Flushable, Flusher, framing};
use crate::codec::frame;

/// Bytes that the kernel may hold while a connection closes, so that the rest of a half-written frame and the close
/// frame still fit after the unread data.
const SEND_BUFFER_CLOSING: usize = 262_144;

/// The writing side of a connection.
pub struct SocketWriter {
    socket: OwnedWriteHalf,
    pub(super) connection: Rc<Connection>,
    flusher: Rc<Flusher>,
    /// The kernel's buffer is full. The reader waits until it accepts more.
    blocked: Cell<bool>,
    /// The state of this side's close frame.
    close_state: Cell<CloseState>,
    /// Wakes the reader.
    reader: Cell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy)]
enum CloseState {
    Open,
    /// A protocol error or the client's close: the code to answer with.
    Due(u16, &'static str),
    Sent,
}

impl SocketWriter {
    /// Attaches the socket to the connection.
    pub fn new(socket: OwnedWriteHalf, connection: Rc<Connection>, flusher: Rc<Flusher>) -> Rc<Self> {
        let writer = Rc::new(Self {
            socket,
            connection: connection.clone(),
            flusher,
            blocked: Cell::new(false),
            close_state: Cell::new(CloseState::Open),
            reader: Cell::default(),
        });
        connection.attach(writer.clone());
        writer
    }

    /// Ends the connection with a protocol code, after the outbox.
    pub(super) fn end(&self, code: u16, reason: &'static str) {
        if matches!(self.close_state.get(), CloseState::Open) && self.connection.closed().is_none() {
            self.close_state.set(CloseState::Due(code, reason));
            self.connection.stop();
            self.write();
        }
    }

    /// Whether the connection is to end.
    pub(super) fn is_ending(&self) -> bool {
        self.connection.is_broken()
            || self.connection.closed().is_some()
            || !matches!(self.close_state.get(), CloseState::Open)
    }

    /// Whether everything was written, with the close frame.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.close_state.get(), CloseState::Sent) && self.connection.is_drained()
    }

    /// Answers a client's ping. A client that sends pings and does not read overflows its outbox like any other.
    pub(super) fn pong(&self, payload: Bytes) {
        self.connection.send(Payload::message(MessageKind::Pong, payload));
    }

    /// Writes the outbox as far as the kernel accepts it. Does not wake the reader: the reader calls it too, and would
    /// wake itself forever.
    pub(super) fn write(&self) {
        self.write_close_frame();
        while !self.connection.is_broken() && !self.blocked.get() {
            let result = self.connection.with_outbox(|outbox| {
                (!outbox.is_empty()).then(|| framing::write_messages(outbox, |slices| self.try_write(slices)))
            });
            match result {
                None => break,
                Some(Ok(Some(accepted_us))) => self.connection.note_delivered(accepted_us),
                Some(Ok(None)) => {}
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => self.blocked.set(true),
                Some(Err(_)) => self.connection.set_broken(),
            }
        }
    }

    /// Writes as much as the kernel accepts. A vectored write of one slice costs more than a plain one.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [slice] => self.socket.try_write(slice),
            _ => self.socket.try_write_vectored(slices),
        }
    }

    /// Puts the close frame at the end of the outbox, once.
    fn write_close_frame(&self) {
        let (code, reason) = match (self.close_state.get(), self.connection.closed()) {
            (CloseState::Sent, _) | (CloseState::Open, None) => return,
            (CloseState::Due(code, reason), _) => (code, reason),
            (CloseState::Open, Some(close)) => (close.code(), close.reason()),
        };
        self.close_state.set(CloseState::Sent);
        // The kernel's buffer of a slow consumer is full. With a larger buffer the socket becomes writable again, so
        // the close frame still fits and the client learns the reason.
        if self.connection.closed() == Some(Close::SlowConsumer) {
            let _ = SockRef::from(self.socket.as_ref()).set_send_buffer_size(SEND_BUFFER_CLOSING);
        }
        self.connection.send_last(frame::close(code, reason));
    }

    /// Continues to write when the kernel accepts more.
    pub(super) fn poll_unblocked(&self, cx: &mut Context<'_>) {
        while self.blocked.get() && !self.connection.is_broken() {
            match self.socket.as_ref().poll_write_ready(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {
                    self.connection.note_output_read();
                    self.blocked.set(false);
                    self.write();
                }
                Poll::Ready(Err(_)) => self.connection.set_broken(),
            }
        }
    }

    /// Closes the sending side. Data in the kernel is still sent.
    pub(super) fn shut(&self) {
        let _ = SockRef::from(self.socket.as_ref()).shutdown(std::net::Shutdown::Write);
    }

    /// The reader waits with `waker`.
    pub(super) fn set_reader(&self, waker: &Waker) {
        let reader = self.reader.take().filter(|reader| reader.will_wake(waker));
        self.reader.set(Some(reader.unwrap_or_else(|| waker.clone())));
    }

    fn wake_reader(&self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}

/// Writes the outbox. Wakes the reader if the connection ends, or if the kernel's buffer is full.
impl Flushable for SocketWriter {
    fn flush(self: Rc<Self>) {
        self.connection.begin_write();
        let was_blocked = self.blocked.get();
        self.write();
        if (self.blocked.get() && !was_blocked) || self.is_ending() {
            self.wake_reader();
        }
    }
}

impl OutboxSink for SocketWriter {
    fn wake(self: Rc<Self>) {
        let flusher = self.flusher.clone();
        flusher.queue(self);
    }

    fn resume(self: Rc<Self>) {
        self.wake_reader();
    }
}

/// A connection with only one session ends with it.
impl SessionTransport for SocketWriter {
    fn closed(self: Rc<Self>, close: Close) {
        self.connection.close(close);
    }

    fn resume(self: Rc<Self>) {
        self.wake_reader();
    }
}
