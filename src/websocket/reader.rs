//! The reading side of a connection: a stream of whole messages, and the end of the connection.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hubbub_actors::connection::SessionHandle;
use hubbub_actors::limits::fixed_window::{Decision, Rule, Window};
use hubbub_actors::limits::traffic::{TrafficBudget, TrafficLimit};
use hubbub_actors::model::close::Close;
use hubbub_actors::runtime::clock::Clock;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Sleep, sleep};

use super::SocketWriter;
use super::assembler::{Incoming, MessageAssembler, Violation};

/// Bytes read at once.
const READ_SIZE: usize = 16_384;

/// The work of a connection in one turn of its worker: a frame counts 1, a read counts [`READ_WEIGHT`].
const TURN: u16 = 32;
const READ_WEIGHT: u16 = 8;

/// The pause of a connection without a namespace after a full turn. Its data stays in the kernel meanwhile, so a flood
/// is slowed down.
const PENDING_PAUSE: Duration = Duration::from_millis(50);

thread_local! {
    /// A worker's read buffer. Data is copied out at its own size. Allocating a buffer for each read would cost more.
    static READ_BUFFER: RefCell<[u8; READ_SIZE]> = const { RefCell::new([0; READ_SIZE]) };
}

/// Pings of a client that are answered in a minute. A pong may answer the latest of several pings (RFC 6455 section
/// 5.5.3). Ten times as many close the connection.
const PINGS: Rule = Rule::a_minute(600);

/// The name of that limit in the log.
const PINGS_RULE: &str = "600 pings of a connection in a minute";

/// How long the rest of an outbox may take to be written when a connection ends.
const FLUSH_TIME: Duration = Duration::from_secs(5);

/// The same for a slow consumer.
const FLUSH_TIME_SLOW: Duration = Duration::from_millis(700);

/// The same during shutdown: the process ends after `server.shutdown_secs`.
const FLUSH_TIME_DRAINING: Duration = Duration::from_secs(3_600);

/// How long the peer may take to answer the close frame.
const CLOSE_REPLY_TIME: Duration = Duration::from_millis(700);

/// A message of the client.
#[derive(Debug)]
pub enum SocketMessage {
    /// A text message.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// The connection is ending; nothing follows.
    Closing,
}

enum ReaderStage {
    Open,
    /// Writes the rest of the outbox.
    Flushing(Pin<Box<Sleep>>),
    /// Waits for the peer to close.
    Shut(Pin<Box<Sleep>>),
    Gone,
}

/// The reading side of a connection.
pub struct SocketReader {
    socket: OwnedReadHalf,
    writer: Rc<SocketWriter>,
    session: Option<Rc<SessionHandle>>,
    clock: Clock,
    assembler: MessageAssembler,
    /// An incomplete message; empty on an idle connection.
    buffer: BytesMut,
    pings: Window,
    budget: TrafficBudget,
    /// The client closed with this code. Nothing more is read.
    client_close: Option<u16>,
    /// Work done in this turn, up to [`TURN`].
    turn: u16,
    /// The connection is in no namespace, so it pauses after each turn.
    is_pending: bool,
    pause: Option<Pin<Box<Sleep>>>,
    /// The message bound may soon be raised: see [`SocketReader::set_awaiting_bound`].
    awaits_bound: bool,
    stage: ReaderStage,
}

impl SocketReader {
    /// The reading side of `writer`'s connection. `session`: the only session of the connection, if it has only one;
    /// its replies limit the reading. `early`: bytes after the handshake. `traffic`: the limit of what the client sends.
    pub fn new(
        socket: OwnedReadHalf,
        writer: Rc<SocketWriter>,
        session: Option<Rc<SessionHandle>>,
        clock: Clock,
        assembler: MessageAssembler,
        early: BytesMut,
        traffic: TrafficLimit,
    ) -> Self {
        Self {
            socket,
            writer,
            session,
            clock,
            assembler,
            buffer: early,
            pings: Window::default(),
            budget: TrafficBudget::new(traffic),
            client_close: None,
            turn: 0,
            is_pending: false,
            pause: None,
            awaits_bound: false,
            stage: ReaderStage::Open,
        }
    }

    /// Whether other tasks have their turn now. If so, the task is woken for its next turn.
    fn is_turn_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.turn < TURN {
            return false;
        }
        if !self.is_pending {
            cx.waker().wake_by_ref();
            return true;
        }
        let rest = self.pause.get_or_insert_with(|| Box::pin(sleep(PENDING_PAUSE)));
        if rest.as_mut().poll(cx).is_pending() {
            return true;
        }
        (self.pause, self.turn) = (None, 0);
        false
    }

    /// Sets the bound of later messages, bytes.
    pub fn set_max_size(&mut self, max_size: usize) {
        self.assembler.set_max_size(max_size);
    }

    /// Sets whether the connection is in no namespace and has the lower traffic limit. Resets the traffic budget.
    pub fn set_pending(&mut self, is_pending: bool) {
        self.budget.reset();
        self.is_pending = is_pending;
    }

    /// Sets whether the message bound may soon be raised. Until
    /// [`Connection::pause`](hubbub_actors::connection::Connection::pause) is cleared, a message over the bound
    /// stays unread, with everything after it.
    pub fn set_awaiting_bound(&mut self, awaits_bound: bool) {
        self.awaits_bound = awaits_bound;
    }

    fn takes_requests(&self) -> bool {
        !self.writer.connection.is_paused() && self.session.as_ref().is_none_or(|session| session.takes_requests())
    }

    fn is_within_budget(&mut self, now: i64, frames: u32, bytes: usize) -> bool {
        match self.is_pending {
            true => self.budget.spend_pending(now, frames, bytes),
            false => self.budget.spend(now, frames, bytes),
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<SocketMessage> {
        let writer = self.writer.clone();
        loop {
            if self.writer.is_ending() {
                return Poll::Ready(self.begin_end());
            }
            let connection = &writer.connection;
            if let Some(code) = self.client_close {
                // Earlier requests are answered first.
                if self.session.as_ref().is_some_and(|session| session.has_pending_replies()) {
                    return Poll::Pending;
                }
                self.writer.end(code, "");
                continue;
            }
            let takes_requests = self.takes_requests();
            connection.set_reads_paused(!takes_requests, || self.clock.begin_ms());
            if !takes_requests || self.is_turn_over(cx) {
                return Poll::Pending;
            }
            self.turn += 1;
            let Some(next) = self.next_incoming() else { continue };
            match next {
                Ok(Some(Incoming::Text(text))) => return Poll::Ready(SocketMessage::Text(text)),
                Ok(Some(Incoming::Binary(bytes))) => return Poll::Ready(SocketMessage::Binary(bytes)),
                Ok(Some(Incoming::Ping(payload))) => self.receive_ping(payload),
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(Incoming::Close(code))) => {
                    connection.end().note(Close::Left);
                    self.client_close = Some(code.unwrap_or(1000));
                }
                Ok(None) => {
                    if self.buffer.is_empty() {
                        self.buffer = BytesMut::new();
                    }
                    if !ready!(self.poll_read(cx)) {
                        self.client_close = Some(1000);
                    }
                }
                // The next round records that a pong after the message may be unread.
                Err(Violation::TooBig) if self.awaits_bound => connection.pause(true),
                Err(violation) => {
                    let (code, reason) = violation.close();
                    connection.end().note(violation.end());
                    self.writer.end(code, reason);
                }
            }
        }
    }

    /// The next message or control frame in the buffer; `None` if the frames exceed the traffic budget.
    fn next_incoming(&mut self) -> Option<Result<Option<Incoming>, Violation>> {
        let (frames, unread) = (self.assembler.frames(), self.buffer.len());
        let next = self.assembler.next(&mut self.buffer);
        let frames = self.assembler.frames_since(frames);
        if frames > 0 {
            let now = self.clock.begin_ms();
            self.writer.connection.note_activity(now);
            if !self.is_within_budget(now, frames, unread - self.buffer.len()) {
                self.writer.connection.close_over_budget();
                return None;
            }
        }
        Some(next)
    }

    fn receive_ping(&mut self, payload: Bytes) {
        match self.pings.count(self.clock.elapsed_ms(), PINGS) {
            Decision::Within => self.writer.pong(payload),
            Decision::Over(_) => {}
            Decision::Flood(_) => self.writer.connection.close_by(Close::Limit, PINGS_RULE),
        }
    }

    /// Reads some bytes. `false`: the client sends no more.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.is_turn_over(cx) {
            return Poll::Pending;
        }
        READ_BUFFER.with_borrow_mut(|space| {
            let mut read = ReadBuf::new(space);
            let result = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read));
            self.turn += READ_WEIGHT;
            self.buffer.extend_from_slice(read.filled());
            if result.is_err() {
                self.writer.connection.set_broken();
            }
            Poll::Ready(result.is_ok() && !read.filled().is_empty())
        })
    }

    fn begin_end(&mut self) -> SocketMessage {
        self.buffer = BytesMut::new();
        let time = match self.writer.connection.closed() {
            // A connection without a namespace has little to read, and its slot is needed.
            Some(Close::SlowConsumer | Close::Unused) => FLUSH_TIME_SLOW,
            Some(Close::GoingAway) => FLUSH_TIME_DRAINING,
            _ => FLUSH_TIME,
        };
        self.stage = if self.writer.connection.is_broken() {
            ReaderStage::Gone
        } else {
            ReaderStage::Flushing(Box::pin(sleep(time)))
        };
        SocketMessage::Closing
    }

    /// Ends the connection; ready when the socket can be dropped. Data from the peer is read and dropped, because
    /// closing a socket with unread bytes resets it and can lose data that the peer has not read yet.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.writer.write();
        let peer_gone = loop {
            self.buffer.clear();
            match self.poll_read(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => break true,
                Poll::Pending => break false,
            }
        };
        self.writer.poll_unblocked(cx);
        if let ReaderStage::Flushing(time) = &mut self.stage {
            let late = time.as_mut().poll(cx).is_ready();
            if !late && !self.writer.is_done() && !self.writer.connection.is_broken() {
                return if peer_gone { Poll::Ready(()) } else { Poll::Pending };
            }
            self.writer.shut();
            self.stage = ReaderStage::Shut(Box::pin(sleep(if late { Duration::ZERO } else { CLOSE_REPLY_TIME })));
        }
        match &mut self.stage {
            ReaderStage::Shut(_) if peer_gone || self.writer.connection.is_broken() => Poll::Ready(()),
            ReaderStage::Shut(time) => time.as_mut().poll(cx),
            ReaderStage::Open | ReaderStage::Flushing(_) | ReaderStage::Gone => Poll::Ready(()),
        }
    }
}

/// A session that panicked drops its reader. The client still receives a close frame.
impl Drop for SocketReader {
    fn drop(&mut self) {
        if matches!(self.stage, ReaderStage::Open) {
            self.writer.end(1011, "internal error");
            self.writer.shut();
        }
        self.writer.connection.set_broken();
        self.writer.connection.detach();
    }
}

impl futures_core::Stream for SocketReader {
    type Item = SocketMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SocketMessage>> {
        let this = &mut *self;
        this.writer.set_reader(cx.waker());
        this.writer.poll_unblocked(cx);
        let polled = match this.stage {
            ReaderStage::Open => this.poll_open(cx).map(Some),
            ReaderStage::Gone => Poll::Ready(None),
            ReaderStage::Flushing(_) | ReaderStage::Shut(_) => this.poll_end(cx).map(|()| {
                this.stage = ReaderStage::Gone;
                None
            }),
        };
        if polled.is_pending() && this.pause.is_none() {
            this.turn = 0;
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_core::Stream;
    use hubbub_actors::connection::SessionTable;
    use tokio::net::TcpStream;

    use super::*;
    use crate::websocket::tests;

    /// The reader of a new connection, and its client.
    async fn connection() -> (SocketReader, TcpStream) {
        let session_table = SessionTable::new(0, Default::default(), Clock::manual(0));
        let (reading, writer, client) = tests::connection(&session_table).await;
        let early = BytesMut::new();
        (
            SocketReader::new(
                reading,
                writer,
                None,
                Clock::System,
                MessageAssembler::of_text(1_000),
                early,
                TrafficLimit::default(),
            ),
            client,
        )
    }

    #[tokio::test]
    async fn a_connection_sleeps_while_its_peer_closes() {
        let (reader, _client) = connection().await;
        reader.writer.end(1002, "on purpose");
        let mut reader = std::pin::pin!(reader);
        let mut polls = 0;
        let end = poll_fn(|cx| {
            polls += 1;
            reader.as_mut().poll_next(cx)
        });
        assert!(matches!(end.await, Some(SocketMessage::Closing)));
        let end = poll_fn(|cx| {
            polls += 1;
            reader.as_mut().poll_next(cx)
        });
        assert!(end.await.is_none());
        assert!(polls < 20, "polled {polls} times");
    }
}
