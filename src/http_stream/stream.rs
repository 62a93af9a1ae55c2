//! The stream itself: when it reads from the socket, and what it passes to the HTTP service.

use std::cell::RefCell;
use std::future::Future;
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
use super::exchange::{Exchange, Permit, Phase, RefusedRequest};
use super::head;
use super::linger::Linger;
use super::listener::Listener;
use super::pacer::PacerTurn;
use hubbub_actors::model::fault::{Code, Fault};

/// How long a connection may stay without a request.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Bytes read at once, and so the most that arrives together with a head.
const READ_SIZE: usize = 8_192;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

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
    listener: Rc<Listener>,
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
    pub(super) fn new(listener: Rc<Listener>, socket: TcpStream, registration: Registration) -> Self {
        let deadline = Box::pin(sleep(listener.connections.times().head));
        Self {
            listener,
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
                // The handler did not read the body, and its answer announces that the connection closes.
                self.has_unread = true;
                self.is_last = true;
                Ok(ReadStep::End)
            }
            Phase::Answered if self.registration.is_evicted(cx) => Err(io::ErrorKind::ConnectionAborted.into()),
            Phase::Answered => Ok(ReadStep::Wait),
        }
    }

    fn next_head(&mut self, cx: &mut Context<'_>) -> io::Result<ReadStep> {
        loop {
            if self.registration.is_evicted(cx) {
                return Ok(ReadStep::End);
            }
            if self.awaits_turn {
                return Ok(if self.deadline.as_mut().poll(cx).is_ready() { self.begin() } else { ReadStep::Wait });
            }
            if self.is_last {
                // The service closes by itself once the last answer is written.
                self.await_close();
                return Ok(if self.deadline.as_mut().poll(cx).is_ready() { ReadStep::End } else { ReadStep::Wait });
            }
            match self.take_head() {
                Ok(true) if self.await_turn() => continue,
                Ok(true) => return Ok(self.begin()),
                Ok(false) => {}
                Err(fault) => {
                    self.refuse(fault);
                    continue;
                }
            }
            if self.has_ended {
                return Ok(ReadStep::End);
            }
            self.await_head();
            if self.deadline.as_mut().poll(cx).is_ready() {
                if self.buffer.is_empty() {
                    return Ok(ReadStep::End);
                }
                self.refuse(head::too_slow());
                continue;
            }
            if self.fill(cx)?.is_pending() {
                return Ok(ReadStep::Wait);
            }
        }
    }

    /// Sets the deadline for the expected input, once.
    fn await_head(&mut self) {
        let times = self.listener.connections.times();
        let (waiting, time) = match (self.waiting, self.buffer.is_empty()) {
            (DeadlineKind::FirstHead | DeadlineKind::Idle | DeadlineKind::Head, true)
            | (DeadlineKind::FirstHead | DeadlineKind::Head, false) => {
                return;
            }
            (_, true) => (DeadlineKind::Idle, KEEP_ALIVE),
            (_, false) => (DeadlineKind::Head, times.head),
        };
        self.set_deadline(waiting, time);
    }

    /// Sets the deadline for the close, once.
    fn await_close(&mut self) {
        if self.waiting != DeadlineKind::Close {
            self.set_deadline(DeadlineKind::Close, self.listener.connections.times().head);
        }
    }

    fn set_deadline(&mut self, waiting: DeadlineKind, time: Duration) {
        self.waiting = waiting;
        self.deadline.as_mut().reset(Instant::now() + time);
    }

    /// Moves a whole head from the buffer to `output`.
    fn take_head(&mut self) -> Result<bool, Fault> {
        self.skip_empty_lines();
        if !head::has_end(&self.buffer, &mut self.scanned)? {
            head::check_partial(&self.buffer)?;
            return Ok(false);
        }
        let Some(head) = head::parse_under(&self.listener.base, &self.buffer)? else { return Ok(false) };
        let original = self.buffer.split_to(head.length);
        self.exchange.set_host_last(head.upgrades && head::is_host_last(&original));
        self.output = head.rewritten.map_or(original, |head| BytesMut::from(&head[..]));
        // The rest must not keep the memory of the head.
        self.buffer = BytesMut::from(&self.buffer[..]);
        self.scanned = 0;
        self.rest = RemainingBody::of(head.framing);
        self.expects_continue = head.expects_continue;
        self.is_last = head.is_last;
        self.upgrades = head.upgrades;
        Ok(true)
    }

    /// Skips empty lines before a request (RFC 9112 section 2.2).
    fn skip_empty_lines(&mut self) {
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
            self.scanned = 0;
        }
    }

    /// Lets `output` wait for its turn; `false` if it need not. Upgrades have other limits.
    fn await_turn(&mut self) -> bool {
        if self.exchange.take_known() || self.upgrades {
            return false;
        }
        let Some((at, turn)) = self.listener.pacer.reserve(Instant::now()) else { return false };
        self.turn = Some(turn);
        self.waiting = DeadlineKind::Turn;
        self.deadline.as_mut().reset(at);
        self.awaits_turn = true;
        true
    }

    /// Passes a request to the application.
    fn begin(&mut self) -> ReadStep {
        self.awaits_turn = false;
        if let Some(turn) = self.turn.take() {
            turn.mark_used();
        }
        self.waiting = DeadlineKind::Nothing;
        self.registration.protect();
        match self.refusal.take() {
            Some(refused) => self.exchange.begin_refused(refused),
            None => self.exchange.begin(self.rest != RemainingBody::Done),
        }
        ReadStep::Ready
    }

    /// Passes on a stand-in for the refused request, when its turn comes.
    fn refuse(&mut self, fault: Fault) {
        let is_http = fault.code != Code::InvalidRequest || head::is_http(&self.buffer);
        if !is_http {
            self.listener.notices.not_http(self.socket.peer_addr().ok().map(|peer| peer.ip()));
        }
        self.output = BytesMut::from(&head::stand_in(&self.listener.base, &self.buffer)[..]);
        self.buffer = BytesMut::new();
        self.rest = RemainingBody::Done;
        self.is_last = true;
        self.has_unread = true;
        self.refusal = Some(RefusedRequest { fault, is_http });
        if !self.await_turn() {
            self.set_deadline(DeadlineKind::Turn, Duration::ZERO);
            self.awaits_turn = true;
        }
    }

    fn next_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> io::Result<ReadStep> {
        loop {
            if !self.buffer.is_empty() {
                return Ok(self.pass_body(out));
            }
            let Permit::Bytes(most) = self.exchange.permit() else { return Ok(ReadStep::Wait) };
            if self.waiting != DeadlineKind::Body {
                self.set_deadline(DeadlineKind::Body, self.listener.connections.times().body);
                if std::mem::take(&mut self.expects_continue) {
                    self.interim = CONTINUE;
                }
            }
            if self.deadline.as_mut().poll(cx).is_ready() {
                self.exchange.mark_body_late();
                self.has_unread = true;
                return Ok(ReadStep::End);
            }
            if self.write_interim(cx)?.is_pending() {
                return Ok(ReadStep::Wait);
            }
            if most == 0 {
                // The body is too large; the handler detects it by the extra byte.
                return Ok(ReadStep::Wait);
            }
            match self.fill(cx)? {
                Poll::Ready(()) if self.has_ended => return Ok(ReadStep::End),
                Poll::Ready(()) => {}
                Poll::Pending => return Ok(ReadStep::Wait),
            }
        }
    }

    /// Passes on the buffered part of the body: bytes that arrived with the head or were permitted.
    fn pass_body(&mut self, out: &mut ReadBuf<'_>) -> ReadStep {
        let most = out.remaining().min(self.buffer.len());
        let ready = self.buffer.get(..most).unwrap_or_default();
        let mut data = u64::MAX;
        let Ok(taken) = self.rest.take(ready, &mut data) else {
            // The end of a malformed body is unknown: the handler receives an incomplete body.
            self.buffer = BytesMut::new();
            self.has_unread = true;
            return ReadStep::End;
        };
        out.put_slice(ready.get(..taken).unwrap_or_default());
        self.buffer.advance(taken);
        self.exchange.use_permit(u64::MAX - data);
        if self.rest == RemainingBody::Done {
            self.waiting = DeadlineKind::Nothing;
            self.exchange.mark_body_done();
        }
        ReadStep::Read
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

    /// Writes the interim response.
    fn write_interim(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while !self.interim.is_empty() {
            match Pin::new(&mut self.socket).poll_write(cx, self.interim)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.interim = self.interim.get(written..).unwrap_or_default(),
            }
        }
        Ok(Poll::Ready(()))
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
            this.linger = Some(Linger::begin(&this.listener.connections.lingering));
        }
        let Some(linger) = &mut this.linger else { return Poll::Ready(Ok(())) };
        linger.poll(&this.socket, cx).map(Ok)
    }
}
