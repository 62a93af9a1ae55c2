//! One Engine.IO session: what it is reached by, polling or a socket, the step from one to the other, and its end.
//!
//! All it sends is in the outbox of its seat, as WebSocket frames, polling or not: so a session that changes its transport
//! has nothing to convert, and what one transport took the other does not see. It knows no Socket.IO: what is said over
//! it is its [`PacketHandler`]'s.

mod answers;
mod late;
mod requests;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use hubbub_actors::connection::{Heartbeat, OutboxSink, SessionHandle, SessionSpec};
use hubbub_actors::model::close::Close;
use hubbub_actors::model::ids::SessionId;
use hubbub_actors::registry::Admission;
use hubbub_actors::runtime::clock::Expiry;
use tokio::sync::Notify;

use self::requests::Polling;
use super::context::Ground;
use super::timer::Timer;
use crate::codec::engineio::{self, ENGINE, Malformed, Packet};
use crate::websocket::{Flush, Message, SocketReader};

/// Bytes of one message or polling body of a client that has not joined a namespace yet: a token has place in it.
pub const PENDING_PAYLOAD_MAX: usize = 16_384;

/// Packets that a polling answer bears beside those from the outbox (Engine.IO v4, "Packet encoding").
const CLOSED: &[u8] = b"1";
const NOTHING: &[u8] = b"6";

/// What an Engine.IO session carries.
#[derive(Debug)]
pub enum Heard {
    /// Text, valid UTF-8.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
}

/// What is spoken over an Engine.IO session.
pub trait PacketHandler {
    /// The client said something.
    fn hear(&self, heard: Heard);

    /// The client answered a ping: it has all that was written before.
    fn confirm(&self) {}

    /// Whether the client should say nothing more for now; [`Engine::relieve`] tells that it may again.
    fn is_busy(&self) -> bool;

    /// Whether it is being decided whether the client may join. Until then, a request by polling has no answer.
    fn is_connecting(&self) -> bool {
        false
    }

    /// Whether the client has joined what it came for. Until then a message of its may have [`PENDING_PAYLOAD_MAX`] bytes.
    fn has_joined(&self) -> bool {
        true
    }

    /// What waits to be written is less than half of what may: requests that waited for that can be taken.
    fn drained(&self) {}

    /// Whether nobody is in it yet, or any more.
    fn is_idle(&self) -> bool;

    /// The session ended; nothing more is heard, and nothing more is sent.
    fn end(&self);
}

enum Stage {
    /// Boxed, so that a session on a socket does not keep its size.
    Polling(Box<Polling>),
    /// A pipe writes what is in the outbox, and its inlet is read.
    Socket,
    /// What was to be said last waits for polls. Ends the session when none comes for a time.
    Leaving(#[expect(dead_code, reason = "it runs for as long as it is kept")] Timer),
    Ended,
}

/// An Engine.IO session.
pub struct Engine {
    ground: Rc<Ground>,
    handle: Rc<SessionHandle>,
    stage: RefCell<Stage>,
    packet_handler: RefCell<Option<Rc<dyn PacketHandler>>>,
    /// Waits in the flusher's queue.
    queued: Cell<bool>,
    /// The dialogue is not busy any more, or the session ended.
    rested: Notify,
    /// A request waits until less than half of what may wait to be written does.
    awaited: Cell<bool>,
    /// The connection's place, given back when nothing of it is left.
    admission: Cell<Option<Admission>>,
    /// Has those forget it who know it by its id.
    gone: Box<dyn Fn()>,
}

impl Engine {
    /// A session that is reached by polling until [`Engine::take_socket`]. Its dialogue follows by [`Engine::begin`].
    pub(super) fn new(ground: Rc<Ground>, admission: Option<Admission>, gone: Box<dyn Fn()>) -> Rc<Self> {
        let settings = &ground.settings;
        let traffic = settings.traffic.clone();
        let (interval_ms, timeout_ms) = (settings.ping_interval_ms.into(), i64::from(settings.ping_timeout_ms));
        let handle = ground.session_table.insert(SessionSpec {
            session: SessionId::random(),
            encoder: &ENGINE,
            bound: settings.outbox.get(),
            heartbeat: Some(Heartbeat {
                interval_ms,
                timeout_ms: interval_ms + timeout_ms,
                ping_frame: engineio::PING,
            }),
            multiplexed: true,
            expiry: Expiry::NEVER,
            elapsed: ground.clock.begin_ms(),
        });
        Rc::new(Self {
            ground,
            handle,
            stage: RefCell::new(Stage::Polling(Box::new(Polling::new(traffic)))),
            packet_handler: RefCell::new(None),
            queued: Cell::new(false),
            rested: Notify::new(),
            awaited: Cell::new(false),
            admission: Cell::new(admission),
            gone,
        })
    }

    /// Puts the session in its place.
    pub(super) fn begin(self: &Rc<Self>, packet_handler: Rc<dyn PacketHandler>) {
        *self.packet_handler.borrow_mut() = Some(packet_handler);
        self.handle.attach(self.clone());
    }

    /// Where it is written to and judged.
    pub fn handle(&self) -> &Rc<SessionHandle> {
        &self.handle
    }

    /// Sends a frame.
    pub fn send(&self, frame: Bytes) {
        self.handle.send_ahead(Rc::new(frame));
    }

    /// Whether less than half of what may wait to be written does. Where not, [`PacketHandler::drained`] tells when it does.
    pub fn has_room(&self) -> bool {
        let has_room = self.handle.is_under_half();
        self.awaited.set(self.awaited.get() || !has_room);
        has_room
    }

    /// Something was written.
    fn note_written(&self) {
        if self.awaited.get() && self.handle.is_under_half() {
            self.awaited.set(false);
            self.ask(|packet_handler| packet_handler.drained());
        }
    }

    /// The dialogue is not busy any more.
    pub fn relieve(&self) {
        let busy = self.is_busy();
        self.handle.pause(busy);
        if !busy {
            self.rested.notify_waiters();
        }
    }

    /// The answer of the dialogue, while there is one. The dialogue may end the session meanwhile.
    fn ask<T>(&self, question: impl FnOnce(&dyn PacketHandler) -> T) -> Option<T> {
        let packet_handler = self.packet_handler.borrow().clone()?;
        Some(question(&*packet_handler))
    }

    fn is_busy(&self) -> bool {
        self.ask(|packet_handler| packet_handler.is_busy()).unwrap_or(false)
    }

    fn is_connecting(&self) -> bool {
        self.ask(|packet_handler| packet_handler.is_connecting()).unwrap_or(false)
    }

    fn has_joined(&self) -> bool {
        self.ask(|packet_handler| packet_handler.has_joined()).unwrap_or(false)
    }

    /// Whether the session hears nothing more of its client: it is closed, or it ended without a close.
    fn is_over(&self) -> bool {
        self.handle.closed().is_some() || matches!(*self.stage.borrow(), Stage::Ended)
    }

    /// Bytes of one message or polling body that the client may send now.
    pub(super) fn payload_max(&self) -> usize {
        let max = self.ground.settings.max_payload;
        if self.has_joined() { max } else { max.min(PENDING_PAYLOAD_MAX) }
    }

    /// Resolves when the client may say more, or will not.
    async fn rest(&self) {
        self.rest_while(Self::is_busy).await;
    }

    async fn rest_while(&self, is_busy: impl Fn(&Self) -> bool) {
        loop {
            let rested = self.rested.notified();
            if self.handle.closed().is_some() || !is_busy(self) {
                self.handle.set_reads_paused(false, || self.ground.clock.begin_ms());
                return;
            }
            self.handle.set_reads_paused(true, || 0);
            rested.await;
        }
    }

    /// The client says something; a packet that is none ends the session.
    fn hear(&self, packet: Result<Packet, Malformed>) {
        match packet {
            Ok(Packet::Message(text)) => self.tell(Heard::Text(text)),
            Ok(Packet::Binary(bytes)) => self.tell(Heard::Binary(bytes)),
            Ok(Packet::Pong(_)) => {
                if self.handle.note_pong(self.ground.clock.begin_ms()) {
                    self.ask(|packet_handler| packet_handler.confirm());
                }
            }
            Ok(Packet::Close) => self.handle.close(Close::Left),
            Ok(Packet::Noop) => {}
            // Pings are the server's, and an upgrade is spoken of on the socket that is tried out.
            Ok(Packet::Open | Packet::Ping(_) | Packet::Upgrade) | Err(_) => self.handle.close(Close::Malformed),
        }
    }

    fn tell(&self, heard: Heard) {
        self.ask(|packet_handler| packet_handler.hear(heard));
    }

    /// Begins to try out a socket; `false` when the session is not to be upgraded now.
    pub(super) fn begin_probe(self: &Rc<Self>) -> bool {
        self.judge();
        match &mut *self.stage.borrow_mut() {
            Stage::Polling(polling) => {
                polling.unused = None;
                !std::mem::replace(&mut polling.probing, true)
            }
            _ => false,
        }
    }

    /// Gives up the socket that was tried out.
    pub(super) fn end_probe(&self) {
        if let Stage::Polling(polling) = &mut *self.stage.borrow_mut() {
            polling.probing = false;
        }
    }

    /// Goes over to a socket. `false` when the session is not reached by polling any more, or a request is under way (see
    /// [`Engine::finish_requests`]). The caller attaches the pipe and has its inlet [driven](Engine::drive).
    pub(super) fn take_socket(&self) -> bool {
        let mut stage = self.stage.borrow_mut();
        let is_free = matches!(&*stage, Stage::Polling(polling) if !polling.has_request());
        let may_go = is_free && self.handle.closed().is_none();
        if may_go {
            *stage = Stage::Socket;
        }
        may_go
    }

    /// Hears what comes over the socket until it ends, and the session with it.
    pub(super) fn drive(self: Rc<Self>, mut reader: SocketReader) -> impl Future<Output = ()> {
        let last = Last(self);
        let mut has_joined = false;
        // An `async` function would keep the inlet twice, as it came and where it is polled, for as long as it runs.
        poll_fn(move |cx| {
            let engine = &last.0;
            loop {
                if !has_joined {
                    has_joined = engine.has_joined();
                    reader.set_max_size(engine.payload_max());
                    reader.set_awaiting_bound(!has_joined && engine.is_connecting());
                    if has_joined {
                        reader.set_pending(false);
                    }
                }
                let polled = Pin::new(&mut reader).poll_next(cx);
                engine.note_written();
                let Some(message) = ready!(polled) else { return Poll::Ready(()) };
                match message {
                    Message::Text(text) => engine.hear(engineio::decode(text)),
                    Message::Binary(bytes) => engine.hear(Ok(Packet::Binary(bytes))),
                    Message::Closing => engine.fall_silent(),
                }
                engine.handle.pause(engine.is_busy());
            }
        })
    }

    /// Ends the session if nobody is in it: the hub goes away, and those who are in one end theirs.
    pub(super) fn close_idle(&self) {
        if self.ask(|packet_handler| packet_handler.is_idle()).unwrap_or(true) {
            self.handle.close(Close::GoingAway);
        }
    }

    /// Judges the heartbeat now: a request must not find a session that should be gone.
    fn judge(self: &Rc<Self>) {
        self.handle.check_liveness(self.ground.clock.now_ms(), self.ground.clock.elapsed_ms());
        if self.handle.closed().is_some() {
            self.settle();
        }
    }

    /// The dialogue ends; what waits to be written still is.
    fn fall_silent(&self) {
        let packet_handler = self.packet_handler.borrow_mut().take();
        if let Some(packet_handler) = packet_handler {
            packet_handler.end();
        }
        self.rested.notify_waiters();
    }

    /// Nothing stays of the session.
    pub(super) fn end(&self) {
        let ended = matches!(std::mem::replace(&mut *self.stage.borrow_mut(), Stage::Ended), Stage::Ended);
        if !ended {
            self.fall_silent();
            self.handle.with_outbox(|outbox| outbox.close());
            self.ground.session_table.release(self.handle.addr().slot);
            (self.gone)();
            drop(self.admission.take());
        }
    }
}

/// Ends a session with the reading of its socket, however that ends.
struct Last(Rc<Engine>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// While it is reached by polling, a session is its own link.
impl OutboxSink for Engine {
    fn wake(self: Rc<Self>) {
        if !self.queued.replace(true) {
            let flusher = self.ground.flusher.clone();
            flusher.queue(self);
        }
    }

    fn resume(self: Rc<Self>) {}
}

impl Flush for Engine {
    fn flush(self: Rc<Self>) {
        self.queued.set(false);
        self.settle();
    }
}
