//! One Engine.IO session: its transport (polling or a WebSocket), the upgrade between them, and its end.
//!
//! Everything it sends is in one outbox, on both transports. So the new transport of an upgrade continues where the old
//! one stopped. The messages themselves are the job of its [`PacketHandler`].

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
use hubbub_actors::connection::{Connection, ConnectionSpec, OutboxSink};
use hubbub_actors::model::close::Close;
use hubbub_actors::publication::Payload;
use hubbub_actors::registry::Admission;
use tokio::sync::Notify;

use self::requests::PollingState;
use super::context::EngineContext;
use super::timer::Timer;
use crate::codec::engineio::{self, EnginePacket, Malformed};
use crate::websocket::{Flushable, SocketMessage, SocketReader};

/// Bytes of one message or polling body of a client that has not joined a namespace. A token fits.
pub const PENDING_PAYLOAD_MAX: usize = 16_384;

/// Packets that a polling response carries in addition to the outbox (Engine.IO v4, "Packet encoding").
const CLOSE: &[u8] = b"1";
const NOOP: &[u8] = b"6";

/// A message over an Engine.IO session.
#[derive(Debug)]
pub enum EngineMessage {
    /// Text, valid UTF-8.
    Text(Bytes),
    /// Binary data.
    Binary(Bytes),
}

/// Handles the messages of an Engine.IO session.
pub trait PacketHandler {
    /// A message from the client arrived.
    fn receive(&self, message: EngineMessage);

    /// Whether the client must wait before it sends more. [`Engine::resume_reading`] ends the wait.
    fn is_busy(&self) -> bool;

    /// Whether a CONNECT is being authorized. Until it is decided, a polling request is not answered.
    fn is_connecting(&self) -> bool {
        false
    }

    /// Whether the client has joined a namespace. Before, its messages are limited to [`PENDING_PAYLOAD_MAX`] bytes.
    fn has_joined(&self) -> bool {
        true
    }

    /// Whether the client is in no namespace.
    fn is_idle(&self) -> bool;

    /// The session ended: nothing more is received or sent.
    fn end(&self);
}

enum TransportState {
    /// Boxed, so that a session on a WebSocket does not keep its size.
    Polling(Box<PollingState>),
    /// A `SocketWriter` writes the outbox and a `SocketReader` receives.
    Socket,
    /// The session is closed, and its last packets wait for polls. The timer ends the session when no poll arrives.
    Closing(#[expect(dead_code, reason = "it runs for as long as it is kept")] Timer),
    Ended,
}

/// An Engine.IO session.
pub struct Engine {
    context: Rc<EngineContext>,
    connection: Rc<Connection>,
    state: RefCell<TransportState>,
    packet_handler: RefCell<Option<Rc<dyn PacketHandler>>>,
    /// Notified when the handler is no longer busy, a POST was processed, or the session ended.
    progress: Notify,
    /// The connection's slot, released when the session has ended.
    admission: Cell<Option<Admission>>,
    /// Removes the session from its worker's table.
    on_end: Box<dyn Fn()>,
}

impl Engine {
    /// A polling session, until [`Engine::take_socket`]. [`Engine::start`] must follow and sets its handler.
    pub(super) fn new(context: Rc<EngineContext>, admission: Option<Admission>, on_end: Box<dyn Fn()>) -> Rc<Self> {
        let settings = &context.settings;
        let traffic = settings.traffic.clone();
        let connection = context.session_table.connect(ConnectionSpec {
            bound: settings.outbox.get(),
            heartbeat: Some(context.heartbeat.clone()),
            elapsed: context.clock.begin_ms(),
        });
        Rc::new(Self {
            context,
            connection,
            state: RefCell::new(TransportState::Polling(Box::new(PollingState::new(traffic)))),
            packet_handler: RefCell::new(None),
            progress: Notify::new(),
            admission: Cell::new(admission),
            on_end,
        })
    }

    /// Sets the packet handler and starts to send.
    pub(super) fn start(self: &Rc<Self>, packet_handler: Rc<dyn PacketHandler>) {
        *self.packet_handler.borrow_mut() = Some(packet_handler);
        self.connection.attach(self.clone());
    }

    /// The connection: its outbox, heartbeat and end.
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Sends messages.
    pub fn send(&self, payload: Payload) {
        self.connection.send(payload);
    }

    /// Receives again once the handler is no longer busy.
    pub fn resume_reading(&self) {
        let busy = self.is_busy();
        self.connection.pause(busy);
        if !busy {
            self.progress.notify_waiters();
        }
    }

    /// The result of `call` on the handler, while there is one. The call may end the session.
    fn with_handler<T>(&self, call: impl FnOnce(&dyn PacketHandler) -> T) -> Option<T> {
        let packet_handler = self.packet_handler.borrow().clone()?;
        Some(call(&*packet_handler))
    }

    fn is_busy(&self) -> bool {
        self.with_handler(|packet_handler| packet_handler.is_busy()).unwrap_or(false)
    }

    fn is_connecting(&self) -> bool {
        self.with_handler(|packet_handler| packet_handler.is_connecting()).unwrap_or(false)
    }

    fn has_joined(&self) -> bool {
        self.with_handler(|packet_handler| packet_handler.has_joined()).unwrap_or(false)
    }

    /// Whether the session receives no more messages: it is closed, or it ended without a close.
    fn is_over(&self) -> bool {
        self.connection.closed().is_some() || matches!(*self.state.borrow(), TransportState::Ended)
    }

    /// The current limit in bytes of one message or polling body.
    pub(super) fn payload_max(&self) -> usize {
        let max = self.context.settings.max_payload;
        if self.has_joined() { max } else { max.min(PENDING_PAYLOAD_MAX) }
    }

    /// Resolves when the client may send more, or the session is closed.
    async fn wait_until_idle(&self) {
        self.wait_while(Self::is_busy).await;
    }

    async fn wait_while(&self, is_busy: impl Fn(&Self) -> bool) {
        loop {
            let progress = self.progress.notified();
            if self.connection.closed().is_some() || !is_busy(self) {
                self.connection.set_reads_paused(false, || self.context.clock.begin_ms());
                return;
            }
            self.connection.set_reads_paused(true, || 0);
            progress.await;
        }
    }

    /// Processes a packet of the client. A malformed packet ends the session.
    fn receive(&self, packet: Result<EnginePacket, Malformed>) {
        match packet {
            Ok(EnginePacket::Message(text)) => self.deliver(EngineMessage::Text(text)),
            Ok(EnginePacket::Binary(bytes)) => self.deliver(EngineMessage::Binary(bytes)),
            Ok(EnginePacket::Pong(_)) => {
                self.connection.note_pong(self.context.clock.begin_ms());
            }
            Ok(EnginePacket::Close) => self.connection.close(Close::Left),
            Ok(EnginePacket::Noop) => {}
            // Only the server sends pings, and upgrade packets belong on the probed WebSocket.
            Ok(EnginePacket::Open | EnginePacket::Ping(_) | EnginePacket::Upgrade) | Err(_) => {
                self.connection.close(Close::Malformed)
            }
        }
    }

    fn deliver(&self, message: EngineMessage) {
        self.with_handler(|packet_handler| packet_handler.receive(message));
    }

    /// Begins to probe a WebSocket. `false`: the session cannot be upgraded now.
    pub(super) fn begin_probe(self: &Rc<Self>) -> bool {
        self.check_heartbeat();
        match &mut *self.state.borrow_mut() {
            TransportState::Polling(polling) => {
                polling.unused = None;
                !std::mem::replace(&mut polling.probing, true)
            }
            _ => false,
        }
    }

    /// Gives up the probed WebSocket.
    pub(super) fn end_probe(&self) {
        if let TransportState::Polling(polling) = &mut *self.state.borrow_mut() {
            polling.probing = false;
        }
    }

    /// Switches to a WebSocket. `false`: the session no longer uses polling, or a request is in progress (see
    /// [`Engine::finish_requests`]). The caller attaches the writer and [drives](Engine::drive) the reader.
    pub(super) fn take_socket(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let is_free = matches!(&*state, TransportState::Polling(polling) if !polling.has_request());
        let may_go = is_free && self.connection.closed().is_none();
        if may_go {
            *state = TransportState::Socket;
        }
        may_go
    }

    /// Processes the messages of a WebSocket until it ends, then ends the session.
    pub(super) fn drive(self: Rc<Self>, mut reader: SocketReader) -> impl Future<Output = ()> {
        let last = EndOnDrop(self);
        let mut has_joined = false;
        // An `async` function would store the reader twice for its whole life: as argument and where it is polled.
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
                let Some(message) = ready!(Pin::new(&mut reader).poll_next(cx)) else { return Poll::Ready(()) };
                match message {
                    SocketMessage::Text(text) => engine.receive(engineio::decode(text)),
                    SocketMessage::Binary(bytes) => engine.receive(Ok(EnginePacket::Binary(bytes))),
                    SocketMessage::Closing => engine.end_handler(),
                }
                engine.connection.pause(engine.is_busy());
            }
        })
    }

    /// Ends the session if its client is in no namespace: the hub is shutting down, and namespace sessions end by
    /// themselves.
    pub(super) fn close_if_idle(&self) {
        if self.with_handler(|packet_handler| packet_handler.is_idle()).unwrap_or(true) {
            self.connection.close(Close::GoingAway);
        }
    }

    /// Checks the heartbeat now: a request must not find a session after its heartbeat failed.
    fn check_heartbeat(self: &Rc<Self>) {
        self.connection.check_heartbeat(self.context.clock.elapsed_ms());
        if self.connection.closed().is_some() {
            self.answer_waiting();
        }
    }

    /// Ends the handler. The outbox is still written.
    fn end_handler(&self) {
        let packet_handler = self.packet_handler.borrow_mut().take();
        if let Some(packet_handler) = packet_handler {
            packet_handler.end();
        }
        self.progress.notify_waiters();
    }

    /// Ends the session and releases everything that it holds.
    pub(super) fn end(&self) {
        let ended =
            matches!(std::mem::replace(&mut *self.state.borrow_mut(), TransportState::Ended), TransportState::Ended);
        if !ended {
            self.end_handler();
            self.connection.detach();
            (self.on_end)();
            drop(self.admission.take());
        }
    }
}

/// Ends a session when the reading of its WebSocket ends for any reason.
struct EndOnDrop(Rc<Engine>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// On polling, a session is its own outbox sink.
impl OutboxSink for Engine {
    fn wake(self: Rc<Self>) {
        let flusher = self.context.flusher.clone();
        flusher.queue(self);
    }

    fn resume(self: Rc<Self>) {}
}

impl Flushable for Engine {
    fn flush(self: Rc<Self>) {
        // After an upgrade the socket's writer is the sink.
        if !matches!(*self.state.borrow(), TransportState::Socket) {
            self.connection.begin_write();
            self.answer_waiting();
        }
    }
}
