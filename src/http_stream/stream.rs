//! The stream itself: what is read from the socket, when, and what of it is given to the HTTP service.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Shutdown};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_rt::net::TcpStream;
use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::body::Rest;
use super::connections::{Connections, Reason, Refused, Registration};
use super::exchange::{Exchange, Permit, Phase};
use super::head;
use super::linger::{self, Linger};
use hubbub_actors::fault::{Code, Fault};

/// How long a connection may be without a request.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Bytes read at once: the most that can come with a head.
const READ_SIZE: usize = 8_192;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

thread_local! {
    /// What a worker reads into, so that a connection holds no more than came.
    static READ: RefCell<[u8; READ_SIZE]> = const { RefCell::new([0; READ_SIZE]) };
}

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// For a request's head: the first from the connection's acceptance, others from their first byte.
    pub head: Duration,
    /// For its body, from when it may be read.
    pub body: Duration,
}

/// What the streams of one worker share.
#[derive(Debug)]
pub struct Listener {
    connections: Arc<Connections>,
    times: Times,
}

impl Listener {
    /// A worker's listener.
    pub fn new(connections: Arc<Connections>, times: Times) -> Rc<Self> {
        Rc::new(Self { connections, times })
    }

    /// Takes a connection. `counted` is the address whose limit it counts in, if any.
    ///
    /// # Errors
    /// Why it is refused; the client is told before the socket is closed.
    pub fn take(self: &Rc<Self>, socket: TcpStream, counted: Option<IpAddr>) -> Result<HttpStream, Refused> {
        match self.connections.register(counted) {
            Ok(registration) => Ok(HttpStream::new(self.clone(), socket, registration)),
            Err(refused) => {
                // A socket that was just accepted is writable; tokio knows that only when it has asked.
                let sent = SockRef::from(&socket).send(refusal(refused).as_bytes());
                let shut = SockRef::from(&socket).shutdown(Shutdown::Write);
                if sent.and(shut).is_ok() {
                    let lingering = self.connections.lingering.clone();
                    actix_rt::spawn(async move { linger::close(socket, &lingering).await });
                }
                Err(refused)
            }
        }
    }
}

/// The whole answer to a connection that is not taken. There is no request, and so no request id.
fn refusal(refused: Refused) -> String {
    let (status, code, message) = match refused {
        Refused::Full => ("503 Service Unavailable", Code::ServerFull, "Too many HTTP connections"),
        Refused::Address => ("429 Too Many Requests", Code::RateLimited, "Too many HTTP connections from this address"),
    };
    let body = format!(r#"{{"error":{{"code":"{code}","message":"{message}","details":{{"retryAfter":1}}}}}}"#);
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// What the deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nothing,
    FirstHead,
    Idle,
    Head,
    Body,
    Close,
}

/// What is to be done next for a read.
enum Next {
    /// Bytes are in `given`.
    Given,
    /// Bytes were put into the reader's buffer.
    Read,
    /// Nothing follows.
    End,
    /// Nothing yet.
    Wait,
}

/// A connection as the HTTP service sees it.
#[derive(Debug)]
pub struct HttpStream {
    listener: Rc<Listener>,
    socket: TcpStream,
    exchange: Rc<Exchange>,
    registration: Registration,
    /// What was read and not given.
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of a head.
    scanned: usize,
    /// What is to be given next.
    given: BytesMut,
    rest: Rest,
    /// `100 Continue` is due before the body is read.
    expects_continue: bool,
    /// What is to be written before anything else.
    interim: &'static [u8],
    waiting: Waiting,
    deadline: Pin<Box<Sleep>>,
    /// The request in work opens a WebSocket: what follows is no HTTP.
    upgrades: bool,
    /// No other request is read.
    is_last: bool,
    /// The client may be sending what is not read.
    has_unread: bool,
    /// The client sends nothing more.
    has_ended: bool,
    linger: Option<Linger>,
}

impl HttpStream {
    fn new(listener: Rc<Listener>, socket: TcpStream, registration: Registration) -> Self {
        let deadline = Box::pin(sleep(listener.times.head));
        Self {
            listener,
            socket,
            exchange: Exchange::new(),
            registration,
            buffer: BytesMut::new(),
            scanned: 0,
            given: BytesMut::new(),
            rest: Rest::Done,
            expects_continue: false,
            interim: b"",
            waiting: Waiting::FirstHead,
            deadline,
            upgrades: false,
            is_last: false,
            has_unread: false,
            has_ended: false,
            linger: None,
        }
    }

    /// What the application knows this connection by.
    pub fn exchange(&self) -> &Rc<Exchange> {
        &self.exchange
    }

    /// The socket, which is no plain connection any more, and what came behind the head.
    pub fn into_parts(self) -> (TcpStream, BytesMut) {
        (self.socket, self.buffer)
    }

    fn next(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> io::Result<Next> {
        match self.exchange.phase() {
            Phase::Idle => self.next_head(cx),
            Phase::Working if self.rest != Rest::Done => self.next_of_body(cx, out),
            Phase::Working => self.look_ahead(cx),
            Phase::Answered if self.rest != Rest::Done => {
                // The handler left it unread, and the answer says that the connection closes.
                self.has_unread = true;
                self.is_last = true;
                Ok(Next::End)
            }
            Phase::Answered if self.registration.is_evicted(cx) => Err(io::ErrorKind::ConnectionAborted.into()),
            Phase::Answered => Ok(Next::Wait),
        }
    }

    fn next_head(&mut self, cx: &mut Context<'_>) -> io::Result<Next> {
        loop {
            if self.registration.is_evicted(cx) {
                return Ok(Next::End);
            }
            if self.is_last {
                // The service closes by itself when the last answer is written.
                self.await_close();
                return Ok(if self.deadline.as_mut().poll(cx).is_ready() { Next::End } else { Next::Wait });
            }
            match self.take_head() {
                Ok(true) => return Ok(Next::Given),
                Ok(false) => {}
                Err(fault) => return Ok(self.refuse(fault)),
            }
            if self.has_ended {
                return Ok(Next::End);
            }
            self.await_head();
            if self.deadline.as_mut().poll(cx).is_ready() {
                return Ok(if self.buffer.is_empty() { Next::End } else { self.refuse(head::too_slow()) });
            }
            if self.fill(cx)?.is_pending() {
                return Ok(Next::Wait);
            }
        }
    }

    /// Sets the deadline of what is awaited now, once.
    fn await_head(&mut self) {
        let times = self.listener.times;
        let (waiting, time) = match (self.waiting, self.buffer.is_empty()) {
            (Waiting::FirstHead | Waiting::Idle | Waiting::Head, true)
            | (Waiting::FirstHead | Waiting::Head, false) => {
                return;
            }
            (_, true) => (Waiting::Idle, KEEP_ALIVE),
            (_, false) => (Waiting::Head, times.head),
        };
        self.set_deadline(waiting, time);
    }

    /// Sets the deadline of the end, once.
    fn await_close(&mut self) {
        if self.waiting != Waiting::Close {
            self.set_deadline(Waiting::Close, self.listener.times.head);
        }
    }

    fn set_deadline(&mut self, waiting: Waiting, time: Duration) {
        self.waiting = waiting;
        self.deadline.as_mut().reset(Instant::now() + time);
    }

    /// Moves a whole head from the buffer to what is given.
    fn take_head(&mut self) -> Result<bool, Fault> {
        // Empty lines before a request are passed over (RFC 9112 section 2.2).
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
            self.scanned = 0;
        }
        if !head::has_end(&self.buffer, &mut self.scanned)? {
            head::check_partial(&self.buffer)?;
            return Ok(false);
        }
        let Some(head) = head::parse(&self.buffer)? else { return Ok(false) };
        let original = self.buffer.split_to(head.length);
        self.given = head.rewritten.map_or(original, |head| BytesMut::from(&head[..]));
        // What is left must not keep the memory of the head.
        self.buffer = BytesMut::from(&self.buffer[..]);
        self.scanned = 0;
        self.rest = Rest::of(head.framing);
        self.expects_continue = head.expects_continue;
        self.is_last = head.is_last;
        self.upgrades = head.upgrades;
        self.exchange.begin(self.rest != Rest::Done);
        self.mark_busy();
        Ok(true)
    }

    /// Gives a stand-in for what is refused.
    fn refuse(&mut self, fault: Fault) -> Next {
        self.given = BytesMut::from(&head::stand_in(&self.buffer)[..]);
        self.buffer = BytesMut::new();
        self.rest = Rest::Done;
        self.is_last = true;
        self.has_unread = true;
        self.exchange.begin_refused(fault);
        self.mark_busy();
        Next::Given
    }

    fn mark_busy(&mut self) {
        self.waiting = Waiting::Nothing;
        self.registration.withdraw();
    }

    fn next_of_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> io::Result<Next> {
        loop {
            if !self.buffer.is_empty() {
                return Ok(self.give_body(out));
            }
            let Permit::Bytes(most) = self.exchange.permit() else { return Ok(Next::Wait) };
            if self.waiting != Waiting::Body {
                self.set_deadline(Waiting::Body, self.listener.times.body);
                if std::mem::take(&mut self.expects_continue) {
                    self.interim = CONTINUE;
                }
            }
            if self.deadline.as_mut().poll(cx).is_ready() {
                self.exchange.mark_body_late();
                self.has_unread = true;
                return Ok(Next::End);
            }
            if self.write_interim(cx)?.is_pending() {
                return Ok(Next::Wait);
            }
            if most == 0 {
                // More than may be; the handler sees it by what it got.
                return Ok(Next::Wait);
            }
            match self.fill(cx)? {
                Poll::Ready(()) if self.has_ended => return Ok(Next::End),
                Poll::Ready(()) => {}
                Poll::Pending => return Ok(Next::Wait),
            }
        }
    }

    /// Gives what the buffer has of the body: all that came with the head, and what was read because it may be.
    fn give_body(&mut self, out: &mut ReadBuf<'_>) -> Next {
        let most = out.remaining().min(self.buffer.len());
        let ready = self.buffer.get(..most).unwrap_or_default();
        let mut data = u64::MAX;
        let Ok(taken) = self.rest.take(ready, &mut data) else {
            // What follows can not be told from the body: the handler gets half of it.
            self.buffer = BytesMut::new();
            self.has_unread = true;
            return Next::End;
        };
        out.put_slice(ready.get(..taken).unwrap_or_default());
        self.buffer.advance(taken);
        self.exchange.use_permit(u64::MAX - data);
        if self.rest == Rest::Done {
            self.waiting = Waiting::Nothing;
            self.exchange.mark_body_done();
        }
        Next::Read
    }

    /// Reads ahead while a request is in work, so that it is seen when the client goes away.
    fn look_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<Next> {
        loop {
            if self.has_ended && self.buffer.is_empty() {
                return Ok(Next::End);
            }
            if self.upgrades || self.has_ended || !self.buffer.is_empty() {
                return Ok(Next::Wait);
            }
            if self.fill(cx)?.is_pending() {
                return Ok(Next::Wait);
            }
        }
    }

    /// Reads some bytes into the buffer; ready when there were some, or the client has ended.
    fn fill(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        READ.with_borrow_mut(|space| {
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

    /// Writes what goes before the answer.
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
            if !self.given.is_empty() {
                let ready = self.given.len().min(out.remaining());
                out.put_slice(self.given.get(..ready).unwrap_or_default());
                self.given.advance(ready);
                if self.given.is_empty() {
                    self.given = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            match self.next(cx, out)? {
                Next::Given => {}
                Next::Read | Next::End => return Poll::Ready(Ok(())),
                Next::Wait => {
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
            self.registration.offer_once(Reason::Unread);
        }
        written
    }

    /// The service calls this when all that it had was written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.rest == Rest::Done && self.exchange.phase() == Phase::Answered {
            self.exchange.mark_written();
            self.registration.offer(Reason::Idle);
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
            let may_be_sending = this.has_unread || this.rest != Rest::Done || !this.buffer.is_empty();
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
