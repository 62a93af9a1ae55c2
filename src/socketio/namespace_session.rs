//! One client in one namespace: connects its session actor with the connection that carries it. Knows nothing of who may
//! connect.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::web::Data;
use futures_core::Stream;
use hubbub_actors::connection::outbox::{Frame, Outbox};
use hubbub_actors::connection::{OutboxSink, SessionHandle};
use hubbub_actors::model::close::Close;
use hubbub_actors::session::{Inbound, Session};

use super::inbox::Inbox;
use super::line::NamespaceSender;
use super::namespace_auth::MemberEntry;
use crate::codec::namespace::{self, NamespaceWire};
use crate::codec::socketio::{Packet, Whole};
use crate::state::State;

/// A client in a namespace: between its session's seat and its connection.
pub(super) struct NamespaceSession {
    /// Its client knows, or may know, that there is such a session.
    is_known: Cell<bool>,
    /// The private id that its client may come back by.
    pid: Option<Box<str>>,
    wire: &'static NamespaceWire,
    handle: Rc<SessionHandle>,
    state: Data<State>,
    inbox: Inbox,
    /// The way to the client, from the answer to its CONNECT to its end.
    line: RefCell<Option<NamespaceSender>>,
    /// The client was told that the session ended.
    told: Cell<bool>,
}

impl NamespaceSession {
    /// Runs the session of a client that speaks `wire`.
    pub(super) fn run(session: Session, wire: &'static NamespaceWire, state: Data<State>) -> Rc<Self> {
        let connected = Rc::new(Self {
            is_known: Cell::new(session.is_recovered()),
            pid: session.pid().map(|pid| pid.as_str().into()),
            wire,
            handle: session.handle().clone(),
            state,
            inbox: Inbox::default(),
            line: RefCell::new(None),
            told: Cell::new(false),
        });
        session.run(Requests { connected: connected.clone() });
        connected
    }

    fn line(&self) -> Option<NamespaceSender> {
        self.line.borrow().clone()
    }

    /// Whether the session may take its next request: its answer goes into the connection's outbox.
    fn takes_requests(&self) -> bool {
        self.handle.takes_requests() && self.line.borrow().as_ref().is_none_or(|line| line.engine().has_room())
    }

    /// Tells the client why its session ends, and draws the consequence for its connection.
    fn take_leave(&self, line: &NamespaceSender, close: Close) {
        if self.told.replace(true) {
            return;
        }
        self.inbox.close();
        if let Some(frame) = self.wire.close_state(close, self.state.now_ms()) {
            line.engine().send(frame);
        }
        // A client that is put out of a namespace does not come back by itself; one whose connection ends does.
        match close {
            Close::GoingAway => line.leave_for_good(close),
            _ if close.may_return() => line.engine().handle().close(close),
            _ => line.disconnect(close),
        }
    }
}

impl MemberEntry for NamespaceSession {
    fn sid(&self) -> String {
        self.handle.session().to_string()
    }

    fn pid(&self) -> Option<&str> {
        self.pid.as_deref()
    }

    fn start(self: Rc<Self>, line: NamespaceSender) {
        *self.line.borrow_mut() = Some(line);
        self.is_known.set(true);
        self.handle.attach(self.clone());
    }

    fn hear(&self, whole: Whole) {
        // The hub asks for no acknowledgement; one that comes all the same answers nothing.
        if matches!(whole.packet, Packet::Event { .. } | Packet::Unreadable { .. }) {
            self.inbox.push(namespace::request(whole));
        }
    }

    fn confirm(&self) {
        self.handle.confirm();
    }

    fn leave(&self) {
        // Who takes leave does not come back to what it left; a token that it asked for holds all the same.
        if self.handle.has_tail() {
            self.handle.forgo();
        }
    }

    fn is_busy(&self) -> bool {
        self.inbox.is_full() || self.handle.is_busy()
    }

    fn drained(&self) {
        self.inbox.wake();
    }

    fn go(&self, close: Close) {
        self.handle.close_after_replies(close);
    }

    fn end(&self, why: Option<Close>) {
        if let Some(close) = why {
            self.handle.note_end(close);
        }
        self.told.set(true);
        // Where the hub ended the connection, it ended what it carries for the same reason.
        if let Some(line) = self.line() {
            self.handle.close_as(line.engine().handle());
        }
        if !self.is_known.get() {
            // Nobody could come back to it.
            self.handle.forgo();
        }
        self.inbox.close();
        self.handle.end_connection();
        self.line.borrow_mut().take();
    }
}

/// The seat of a namespace empties into that of its connection.
impl OutboxSink for NamespaceSession {
    fn wake(self: Rc<Self>) {
        let Some(line) = self.line() else { return };
        let carrier = line.engine().handle();
        // A connection that was closed takes no more, and what is not taken can be taken back.
        while carrier.closed().is_none()
            && let Some((frame, accepted_us)) = self.handle.with_outbox(Outbox::take)
        {
            carrier.forward(frame, accepted_us);
        }
        if let Some(close) = self.handle.closed() {
            self.take_leave(&line, close);
        }
    }

    fn resume(self: Rc<Self>) {
        self.inbox.wake();
        if let Some(line) = self.line() {
            line.engine().relieve();
        }
    }

    fn supersede(self: Rc<Self>) -> bool {
        // A token of `/chat` holds, however its session ends.
        let Some(line) = self.line().filter(|_| self.handle.has_tail()) else { return false };
        actix_rt::spawn(async move {
            line.engine().hear_out().await;
            self.handle.close(Close::Recovered);
        });
        true
    }

    fn fits_within_half(&self, frames: usize, bytes: usize) -> bool {
        self.line().is_none_or(|line| line.engine().handle().fits_within_half(frames, bytes))
    }

    fn recall(&self, wants: &mut dyn FnMut(&Frame) -> bool) {
        if let Some(line) = self.line() {
            line.engine().handle().with_outbox(|outbox| outbox.recall(wants));
        }
    }
}
/// An inbox as its session reads it.
struct Requests {
    connected: Rc<NamespaceSession>,
}

impl Stream for Requests {
    type Item = Inbound;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        let connected = &self.connected;
        let inbox = &connected.inbox;
        // What the session owes too much for waits, so that its answers are bounded; its end does not.
        if !connected.takes_requests() && !inbox.is_closed() {
            inbox.await_next(cx.waker());
            return Poll::Pending;
        }
        let was_full = inbox.is_full();
        match inbox.pop() {
            Some(inbound) => {
                if was_full && !inbox.is_full() {
                    connected.clone().resume();
                }
                Poll::Ready(Some(inbound))
            }
            None if inbox.is_closed() => Poll::Ready(None),
            None => {
                inbox.await_next(cx.waker());
                Poll::Pending
            }
        }
    }
}

/// A session that panicked takes its inbox with it: the client is put out, for nothing listens to it any more.
impl Drop for Requests {
    fn drop(&mut self) {
        let connected = &self.connected;
        if connected.inbox.abandon()
            && !connected.told.replace(true)
            && let Some(line) = connected.line()
        {
            line.disconnect(Close::Failed);
        }
    }
}
