//! The reading side of a connection: a stream of whole messages for its session, and the end of it.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hubbub_actors::limits::fixed_window::{Decision, Rule, Window};
use hubbub_actors::limits::traffic::{TrafficBudget, TrafficLimit};
use hubbub_actors::model::close::Close;
use hubbub_actors::runtime::clock::Clock;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Sleep, sleep};

use super::SocketWriter;
use super::assembler::{Assembler, Incoming, Violation};

/// Bytes read at once.
const READ_SIZE: usize = 16_384;

/// What a connection may do in one turn of its worker, before others have theirs: a frame is one, a read is as many as
/// [`READ_WEIGHT`].
const TURN: u16 = 32;
const READ_WEIGHT: u16 = 8;

/// How long a connection that joined nothing rests after a turn that it used up. What it sends meanwhile stays in the kernel:
/// a flood is slowed instead of read.
const REST: Duration = Duration::from_millis(50);

thread_local! {
    /// What a worker reads into. What came is copied out at its own size, which the allocator has at hand, where a buffer
    /// of its own for every read would be found and merged again each time.
    static READ: RefCell<[u8; READ_SIZE]> = const { RefCell::new([0; READ_SIZE]) };
}

/// Pings of a client that are answered in a minute. A pong may answer the latest of several pings (RFC 6455 section
/// 5.5.3); who sends ten times as many is closed.
const PINGS: Rule = Rule::a_minute(600);

/// What the log calls that limit.
const PINGS_RULE: &str = "600 pings of a connection in a minute";

/// How long the rest of an outbox may take to be written when a connection ends.
const FLUSH_TIME: Duration = Duration::from_secs(5);

/// The same for one that did not read: it had its chance.
const FLUSH_TIME_SLOW: Duration = Duration::from_millis(700);

/// The same when the hub goes away: whatever `server.shutdown_secs` allows, which ends the process.
const FLUSH_TIME_DRAINING: Duration = Duration::from_secs(3_600);

/// How long the peer may take to answer the closing handshake once all was written.
const GOODBYE_TIME: Duration = Duration::from_millis(700);

/// What a connection hands to its session.
#[derive(Debug)]
pub enum Message {
    /// A text message.
    Text(Bytes),
    /// A binary message.
    Binary(Bytes),
    /// The connection is ending; nothing follows.
    Closing,
}

enum Stage {
    Open,
    /// Writing the rest; then shut.
    Flushing(Pin<Box<Sleep>>),
    /// Waiting for the peer to close.
    Shut(Pin<Box<Sleep>>),
    Gone,
}

/// The reading side.
pub struct SocketReader {
    socket: OwnedReadHalf,
    writer: Rc<SocketWriter>,
    clock: Clock,
    assembler: Assembler,
    /// What was read and is no whole message yet; an idle connection holds none.
    buffer: BytesMut,
    pings: Window,
    budget: TrafficBudget,
    /// The client takes its leave, with this code; nothing more is read.
    leaving: Option<u16>,
    /// How much of its [`TURN`] it has used.
    turn: u16,
    /// It joined nothing: it rests after each turn.
    is_pending: bool,
    rest: Option<Pin<Box<Sleep>>>,
    /// Its bound of messages is about to be raised: see [`SocketReader::set_awaiting_bound`].
    awaits_bound: bool,
    stage: Stage,
}

impl SocketReader {
    /// The reading side of `pipe`. `early` is what came right behind the handshake; `traffic` bounds what may come.
    pub fn new(
        socket: OwnedReadHalf,
        writer: Rc<SocketWriter>,
        clock: Clock,
        assembler: Assembler,
        early: BytesMut,
        traffic: TrafficLimit,
    ) -> Self {
        Self {
            socket,
            writer,
            clock,
            assembler,
            buffer: early,
            pings: Window::default(),
            budget: TrafficBudget::new(traffic),
            leaving: None,
            turn: 0,
            is_pending: false,
            rest: None,
            awaits_bound: false,
            stage: Stage::Open,
        }
    }

    /// Whether others have their turn now; then the task is woken for its next one.
    fn is_turn_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.turn < TURN {
            return false;
        }
        if !self.is_pending {
            cx.waker().wake_by_ref();
            return true;
        }
        let rest = self.rest.get_or_insert_with(|| Box::pin(sleep(REST)));
        if rest.as_mut().poll(cx).is_pending() {
            return true;
        }
        (self.rest, self.turn) = (None, 0);
        false
    }

    /// Sets the bound of the messages that come from now on, bytes.
    pub fn set_max_size(&mut self, max_size: usize) {
        self.assembler.set_max_size(max_size);
    }

    /// Sets whether its client joined nothing, which may send a part of what others may. What came before does not count.
    pub fn set_pending(&mut self, is_pending: bool) {
        self.budget.reset();
        self.is_pending = is_pending;
    }

    /// Sets whether the bound of messages may soon be raised. While it may, a message over it is left unread, and nothing
    /// behind it is read, until [`SessionHandle::pause`](hubbub_actors::connection::SessionHandle::pause) is taken back.
    pub fn set_awaiting_bound(&mut self, awaits_bound: bool) {
        self.awaits_bound = awaits_bound;
    }

    fn is_within_budget(&mut self, now: i64, frames: u32, bytes: usize) -> bool {
        match self.is_pending {
            true => self.budget.spend_pending(now, frames, bytes),
            false => self.budget.spend(now, frames, bytes),
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        let writer = self.writer.clone();
        loop {
            if self.writer.is_ending() {
                return Poll::Ready(self.begin_end());
            }
            let handle = &writer.handle;
            if let Some(code) = self.leaving {
                // What the client asked before it took its leave is answered first.
                if handle.has_pending_replies() {
                    return Poll::Pending;
                }
                self.writer.end(code, "");
                continue;
            }
            let takes_requests = handle.takes_requests();
            handle.set_reads_paused(!takes_requests, || self.clock.begin_ms());
            if !takes_requests || self.is_turn_over(cx) {
                return Poll::Pending;
            }
            self.turn += 1;
            let (frames, unread) = (self.assembler.frames(), self.buffer.len());
            let next = self.assembler.next(&mut self.buffer);
            let frames = self.assembler.frames_since(frames);
            if frames > 0 {
                let now = self.clock.begin_ms();
                handle.note_activity(now);
                if !self.is_within_budget(now, frames, unread - self.buffer.len()) {
                    handle.close_over_budget();
                    continue;
                }
            }
            match next {
                Ok(Some(Incoming::Text(text))) => return Poll::Ready(Message::Text(text)),
                Ok(Some(Incoming::Binary(bytes))) => return Poll::Ready(Message::Binary(bytes)),
                Ok(Some(Incoming::Ping(payload))) => match self.pings.count(self.clock.elapsed_ms(), PINGS) {
                    Decision::Within => self.writer.pong(&payload),
                    Decision::Over(_) => {}
                    Decision::Flood(_) => self.writer.handle.close_by(Close::Limit, PINGS_RULE),
                },
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(Incoming::Close(code))) => {
                    self.writer.handle.note_end(Close::Left);
                    self.leaving = Some(code.unwrap_or(1000));
                }
                Ok(None) => {
                    if self.buffer.is_empty() {
                        self.buffer = BytesMut::new();
                    }
                    if !ready!(self.poll_read(cx)) {
                        self.leaving = Some(1000);
                    }
                }
                Err(Violation::TooBig) if self.awaits_bound => {
                    // The next round notes that a pong behind the message is unread, too.
                    handle.pause(true);
                }
                Err(violation) => {
                    let (code, reason) = violation.close();
                    self.writer.handle.note_end(violation.end());
                    self.writer.end(code, reason);
                }
            }
        }
    }

    /// Reads some bytes; `false` when there will be none any more.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.is_turn_over(cx) {
            return Poll::Pending;
        }
        READ.with_borrow_mut(|space| {
            let mut read = ReadBuf::new(space);
            let result = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read));
            self.turn += READ_WEIGHT;
            self.buffer.extend_from_slice(read.filled());
            Poll::Ready(result.is_ok() && !read.filled().is_empty())
        })
    }

    fn begin_end(&mut self) -> Message {
        self.buffer = BytesMut::new();
        let time = match self.writer.handle.closed() {
            // One that joined nothing has nothing to read, and its place is wanted.
            Some(Close::SlowConsumer | Close::Unused) => FLUSH_TIME_SLOW,
            Some(Close::GoingAway) => FLUSH_TIME_DRAINING,
            _ => FLUSH_TIME,
        };
        self.stage = if self.writer.broken.get() { Stage::Gone } else { Stage::Flushing(Box::pin(sleep(time))) };
        Message::Closing
    }

    /// Drives the end; ready when the socket can go. What the peer still sends is read and thrown away: closing a
    /// socket with unread bytes resets it, and takes what the peer has not read yet with it.
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
        if let Stage::Flushing(time) = &mut self.stage {
            let late = time.as_mut().poll(cx).is_ready();
            if !late && !self.writer.is_done() && !self.writer.broken.get() {
                return if peer_gone { Poll::Ready(()) } else { Poll::Pending };
            }
            self.writer.shut();
            self.stage = Stage::Shut(Box::pin(sleep(if late { Duration::ZERO } else { GOODBYE_TIME })));
        }
        match &mut self.stage {
            Stage::Shut(_) if peer_gone || self.writer.broken.get() => Poll::Ready(()),
            Stage::Shut(time) => time.as_mut().poll(cx),
            Stage::Open | Stage::Flushing(_) | Stage::Gone => Poll::Ready(()),
        }
    }
}

/// A session that panicked takes its inlet with it, in the middle of things: the client is told what it can be told.
impl Drop for SocketReader {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Open) {
            self.writer.end(1011, "internal error");
            self.writer.shut();
        }
    }
}

impl futures_core::Stream for SocketReader {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let this = &mut *self;
        let stale = !this.writer.reader.borrow().as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if stale {
            *this.writer.reader.borrow_mut() = Some(cx.waker().clone());
        }
        this.writer.poll_unblocked(cx);
        let polled = match this.stage {
            Stage::Open => this.poll_open(cx).map(Some),
            Stage::Gone => Poll::Ready(None),
            Stage::Flushing(_) | Stage::Shut(_) => this.poll_end(cx).map(|()| {
                this.stage = Stage::Gone;
                None
            }),
        };
        if polled.is_pending() && this.rest.is_none() {
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

    /// The inlet of a new connection, and its client.
    async fn connection() -> (SocketReader, TcpStream) {
        let session_table = SessionTable::new(0, 1_000_000, Default::default(), Clock::manual(0));
        let (reading, writer, client) = tests::connection(&session_table).await;
        let early = BytesMut::new();
        (
            SocketReader::new(
                reading,
                writer,
                Clock::System,
                Assembler::of_text(1_000),
                early,
                TrafficLimit::default(),
            ),
            client,
        )
    }

    #[tokio::test]
    async fn a_connection_that_waits_for_its_peer_to_close_sleeps_meanwhile() {
        let (reader, _client) = connection().await;
        reader.writer.end(1002, "on purpose");
        let mut reader = std::pin::pin!(reader);
        let mut polls = 0;
        let end = poll_fn(|cx| {
            polls += 1;
            reader.as_mut().poll_next(cx)
        });
        assert!(matches!(end.await, Some(Message::Closing)));
        let end = poll_fn(|cx| {
            polls += 1;
            reader.as_mut().poll_next(cx)
        });
        assert!(end.await.is_none());
        assert!(polls < 20, "polled {polls} times");
    }
}
