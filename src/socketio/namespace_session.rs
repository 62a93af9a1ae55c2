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
use super::namespace_auth::NamespaceMember;
use super::namespace_sender::NamespaceSender;
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
    sender: RefCell<Option<NamespaceSender>>,
    /// The client was told that the session ended.
    end_sent: Cell<bool>,
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
            sender: RefCell::new(None),
            end_sent: Cell::new(false),
        });
        session.run(InboxStream { session: connected.clone() });
        connected
    }

    fn sender(&self) -> Option<NamespaceSender> {
        self.sender.borrow().clone()
    }

    /// Whether the session may take its next request: its answer goes into the connection's outbox.
    fn takes_requests(&self) -> bool {
        self.handle.takes_requests() && self.sender.borrow().as_ref().is_none_or(|line| line.engine().has_room())
    }

    /// Tells the client why its session ends, and draws the consequence for its connection.
    fn announce_end(&self, line: &NamespaceSender, close: Close) {
        if self.end_sent.replace(true) {
            return;
        }
        self.inbox.close();
        if let Some(frame) = self.wire.close_event(close, self.state.now_ms()) {
            line.engine().send(frame);
        }
        // A client that is put out of a namespace does not come back by itself; one whose connection ends does.
        match close {
            Close::GoingAway => line.leave_all(close),
            _ if close.may_return() => line.engine().handle().close(close),
            _ => line.disconnect(close),
        }
    }
}

impl NamespaceMember for NamespaceSession {
    fn sid(&self) -> String {
        self.handle.session().to_string()
    }

    fn pid(&self) -> Option<&str> {
        self.pid.as_deref()
    }

    fn start(self: Rc<Self>, line: NamespaceSender) {
        *self.sender.borrow_mut() = Some(line);
        self.is_known.set(true);
        self.handle.attach(self.clone());
    }

    fn receive(&self, whole: Whole) {
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

    fn close_after_replies(&self, close: Close) {
        self.handle.close_after_replies(close);
    }

    fn end(&self, why: Option<Close>) {
        if let Some(close) = why {
            self.handle.note_end(close);
        }
        self.end_sent.set(true);
        // Where the hub ended the connection, it ended what it carries for the same reason.
        if let Some(line) = self.sender() {
            self.handle.close_as(line.engine().handle());
        }
        if !self.is_known.get() {
            // Nobody could come back to it.
            self.handle.forgo();
        }
        self.inbox.close();
        self.handle.end_connection();
        self.sender.borrow_mut().take();
    }
}

/// The seat of a namespace empties into that of its connection.
impl OutboxSink for NamespaceSession {
    fn wake(self: Rc<Self>) {
        let Some(line) = self.sender() else { return };
        let carrier = line.engine().handle();
        // A connection that was closed takes no more, and what is not taken can be taken back.
        while carrier.closed().is_none()
            && let Some((frame, accepted_us)) = self.handle.with_outbox(Outbox::take)
        {
            carrier.carry(frame, accepted_us);
        }
        if let Some(close) = self.handle.closed() {
            self.announce_end(&line, close);
        }
    }

    fn resume(self: Rc<Self>) {
        self.inbox.wake();
        if let Some(line) = self.sender() {
            line.engine().resume_reading();
        }
    }

    fn supersede(self: Rc<Self>) -> bool {
        // A token of `/chat` holds, however its session ends.
        let Some(line) = self.sender().filter(|_| self.handle.has_tail()) else { return false };
        actix_rt::spawn(async move {
            line.engine().wait_for_late_messages().await;
            self.handle.close(Close::Recovered);
        });
        true
    }

    fn has_half_for(&self, frames: usize, bytes: usize) -> bool {
        self.sender().is_none_or(|line| line.engine().handle().has_half_for(frames, bytes))
    }

    fn recall(&self, wants: &mut dyn FnMut(&Frame) -> bool) {
        if let Some(line) = self.sender() {
            line.engine().handle().with_outbox(|outbox| outbox.recall(wants));
        }
    }
}
/// An inbox as its session reads it.
struct InboxStream {
    session: Rc<NamespaceSession>,
}

impl Stream for InboxStream {
    type Item = Inbound;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        let connected = &self.session;
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
impl Drop for InboxStream {
    fn drop(&mut self) {
        let connected = &self.session;
        if connected.inbox.close_without_notice()
            && !connected.end_sent.replace(true)
            && let Some(line) = connected.sender()
        {
            line.disconnect(Close::Failed);
        }
    }
}
