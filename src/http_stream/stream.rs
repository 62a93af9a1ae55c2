//! The stream itself: when it reads from the socket, and what it passes to the HTTP service.

mod bodies;
mod heads;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_rt::net::TcpStream;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::body::RemainingBody;
use super::connections::{EvictionReason, Registration};
use super::context::StreamContext;
use super::exchange::{Exchange, Phase, RefusedRequest};
use super::linger::Linger;
use super::pacer::PacerTurn;

/// How long a connection may stay without a request.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Bytes read at once, and so the most that arrives together with a head.
const READ_SIZE: usize = 8_192;

thread_local! {
    /// A worker's read buffer. A connection stores only the bytes that arrived.
    static READ_BUFFER: RefCell<[u8; READ_SIZE]> = const { RefCell::new([0; READ_SIZE]) };
}

/// The purpose of the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeadlineKind {
    Nothing,
    FirstHead,
    Idle,
    Head,
    Body,
    Close,
    Turn,
}

/// The result of a read step.
enum ReadStep {
    /// Bytes are in `output`.
    Ready,
    /// Bytes were put into the reader's buffer.
    Read,
    /// The input has ended.
    End,
    /// Nothing to read for now.
    Wait,
}

/// A connection as the HTTP service sees it.
#[derive(Debug)]
pub struct HttpStream {
    context: Rc<StreamContext>,
    socket: TcpStream,
    exchange: Rc<Exchange>,
    registration: Registration,
    /// Bytes that were read and not yet passed on.
    buffer: BytesMut,
    /// Bytes at the start of the buffer that contain no end of a head.
    scanned: usize,
    /// The next bytes for the HTTP service.
    output: BytesMut,
    /// `output` waits for its turn.
    awaits_turn: bool,
    /// The turn, if it lies in the future.
    turn: Option<PacerTurn>,
    /// `output` is a stand-in for this refused request.
    refusal: Option<RefusedRequest>,
    rest: RemainingBody,
    /// `100 Continue` must be written before the body is read.
    expects_continue: bool,
    /// Written before anything else.
    interim: &'static [u8],
    waiting: DeadlineKind,
    deadline: Pin<Box<Sleep>>,
    /// The current request opens a WebSocket, so HTTP ends after it.
    upgrades: bool,
    /// No further request is read.
    is_last: bool,
    /// The client may be sending data that is not read.
    has_unread: bool,
    /// The client has closed its sending side.
    has_ended: bool,
    linger: Option<Linger>,
}

impl HttpStream {
    pub(super) fn new(context: Rc<StreamContext>, socket: TcpStream, registration: Registration) -> Self {
        let deadline = Box::pin(sleep(context.connections.times().head));
        Self {
            context,
            socket,
            exchange: Exchange::new(),
            registration,
            buffer: BytesMut::new(),
            scanned: 0,
            output: BytesMut::new(),
            awaits_turn: false,
            turn: None,
            refusal: None,
            rest: RemainingBody::Done,
            expects_continue: false,
            interim: b"",
            waiting: DeadlineKind::FirstHead,
            deadline,
            upgrades: false,
            is_last: false,
            has_unread: false,
            has_ended: false,
            linger: None,
        }
    }

    /// The state shared with the application.
    pub fn exchange(&self) -> &Rc<Exchange> {
        &self.exchange
    }

    /// The socket, which leaves the count of plain connections, and the bytes after the head.
    pub fn into_parts(self) -> (TcpStream, BytesMut) {
        (self.socket, self.buffer)
    }

    fn next(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> io::Result<ReadStep> {
        match self.exchange.phase() {
            Phase::Idle => self.next_head(cx),
            Phase::Working if self.rest != RemainingBody::Done => self.next_body(cx, out),
            Phase::Working => self.look_ahead(cx),
            Phase::Answered if self.rest != RemainingBody::Done => {
                // The handler did not read the body, and its response announces that the connection closes.
                self.has_unread = true;
                self.is_last = true;
                Ok(ReadStep::End)
            }
            Phase::Answered if self.registration.is_evicted(cx) => Err(io::ErrorKind::ConnectionAborted.into()),
            Phase::Answered => Ok(ReadStep::Wait),
        }
    }

    fn set_deadline(&mut self, waiting: DeadlineKind, time: Duration) {
        self.waiting = waiting;
        self.deadline.as_mut().reset(Instant::now() + time);
    }

    /// Skips empty lines before a request (RFC 9112 section 2.2).
    fn skip_empty_lines(&mut self) {
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
            self.scanned = 0;
        }
    }

    /// Reads ahead while a request is processed, to detect that the client disconnects or sends another request.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<ReadStep> {
        loop {
            self.skip_empty_lines();
            if !self.buffer.is_empty() && !self.is_last {
                self.exchange.mark_next_request();
            }
            if self.has_ended && self.buffer.is_empty() {
                return Ok(ReadStep::End);
            }
            if self.upgrades || self.has_ended || !self.buffer.is_empty() {
                return Ok(ReadStep::Wait);
            }
            if self.fill(cx)?.is_pending() {
                return Ok(ReadStep::Wait);
            }
        }
    }

    /// Reads some bytes into the buffer. Ready when bytes arrived or the client closed its sending side.
    fn fill(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        READ_BUFFER.with_borrow_mut(|space| {
            let mut read = ReadBuf::new(space);
            Ok(match Pin::new(&mut self.socket).poll_read(cx, &mut read)? {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    if read.filled().is_empty() {
                        self.has_ended = true;
                        self.exchange.mark_client_ended();
                    }
                    self.buffer.extend_from_slice(read.filled());
                    Poll::Ready(())
                }
            })
        })
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.output.is_empty() && !self.awaits_turn {
                let ready = self.output.len().min(out.remaining());
                out.put_slice(self.output.get(..ready).unwrap_or_default());
                self.output.advance(ready);
                if self.output.is_empty() {
                    self.output = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            match self.next(cx, out)? {
                ReadStep::Ready => {}
                ReadStep::Read | ReadStep::End => return Poll::Ready(Ok(())),
                ReadStep::Wait => {
                    self.exchange.wait(cx.waker());
                    return Poll::Pending;
                }
            }
        }
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.write_interim(cx)?.is_pending() {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if written.is_pending() {
            self.registration.make_evictable_once(EvictionReason::Unread);
        }
        written
    }

    /// The service calls this when it has written everything.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.exchange.phase() == Phase::Answered {
            self.exchange.notify_written();
            if self.rest == RemainingBody::Done {
                self.exchange.mark_written();
                self.registration.make_evictable(EvictionReason::Idle);
            }
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
            let may_be_sending = this.has_unread || this.rest != RemainingBody::Done || !this.buffer.is_empty();
            if !may_be_sending || this.has_ended {
                return Poll::Ready(Ok(()));
            }
            this.buffer = BytesMut::new();
            this.linger = Some(Linger::begin(&this.context.connections.lingering));
        }
        let Some(linger) = &mut this.linger else { return Poll::Ready(Ok(())) };
        linger.poll(&this.socket, cx).map(Ok)
    }
}
