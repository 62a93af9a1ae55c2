//! One client in one namespace: connects its session actor to its connection. Authorization happens elsewhere.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::web::Data;
use futures_core::Stream;
use hubbub_actors::connection::{Recoverability, SessionHandle, SessionTransport};
use hubbub_actors::model::close::Close;
use hubbub_actors::session::{Inbound, Session};

use super::inbox::Inbox;
use super::namespace_member::{NamespaceMember, NamespaceSender};
use crate::codec::namespace::{self, NamespaceWire};
use crate::codec::socketio::{Packet, Whole};
use crate::state::SharedState;

/// A client in a namespace, between its session's handle and its connection.
pub(super) struct NamespaceSession {
    /// The client knows, or may know, its session id.
    is_known: Cell<bool>,
    /// The private id by which the client can recover the session.
    pid: Option<Box<str>>,
    wire: &'static NamespaceWire,
    handle: Rc<SessionHandle>,
    state: Data<SharedState>,
    inbox: Inbox,
    /// Sends to the client, from the reply to its CONNECT to the end.
    sender: RefCell<Option<NamespaceSender>>,
    /// The client was notified of the end.
    end_sent: Cell<bool>,
}

impl NamespaceSession {
    /// Runs the session of a client in the namespace of `wire`.
    pub(super) fn run(session: Session, wire: &'static NamespaceWire, state: Data<SharedState>) -> Rc<Self> {
        let this = Rc::new(Self {
            is_known: Cell::new(session.is_recovered()),
            pid: session.pid().map(|pid| pid.as_str().into()),
            wire,
            handle: session.handle().clone(),
            state,
            inbox: Inbox::default(),
            sender: RefCell::new(None),
            end_sent: Cell::new(false),
        });
        session.run(InboxStream { session: this.clone() });
        this
    }

    fn sender(&self) -> Option<NamespaceSender> {
        self.sender.borrow().clone()
    }

    /// Notifies the client of the session's end, then leaves the namespace or closes the connection.
    fn announce_end(&self, sender: &NamespaceSender, close: Close) {
        if self.end_sent.replace(true) {
            return;
        }
        self.inbox.close();
        if let Some(event) = self.wire.close_event(close, self.state.now_ms()) {
            sender.engine().send(event);
        }
        // A removed client does not reconnect to the namespace by itself; a client without a connection does.
        match close {
            Close::GoingAway => sender.leave_all(close),
            // Usually the client has left this connection. But it may be its current one: a CONNECT of an earlier
            // connection arrived late and took the session. Then the client must be able to recover it again.
            Close::Recovered if self.pid.is_some() => sender.engine().connection().close(close),
            _ if close.may_return() => sender.engine().connection().close(close),
            _ => sender.disconnect(close),
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

    fn start(self: Rc<Self>, sender: NamespaceSender) {
        *self.sender.borrow_mut() = Some(sender);
        self.is_known.set(true);
        self.handle.attach(self.clone());
    }

    fn receive(&self, whole: Whole) {
        // The hub requests no acknowledgements, so acknowledgements are ignored.
        if matches!(whole.packet, Packet::Event { .. } | Packet::Unreadable { .. }) {
            let bytes = whole.bytes();
            self.inbox.push(namespace::request(whole), bytes);
        }
    }

    fn leave(&self) {
        // A client that leaves does not recover the session, except by a token that it requested.
        if self.handle.recoverable() == Recoverability::ByOffset {
            self.handle.forgo();
        }
        self.handle.leave();
    }

    fn is_busy(&self) -> bool {
        self.inbox.is_full() || self.handle.is_busy()
    }

    fn close_after_replies(&self, close: Close) {
        self.handle.close_after_replies(close);
    }

    fn end(&self, reason: Option<Close>) {
        if let Some(close) = reason {
            self.handle.note_end(close);
        }
        self.end_sent.set(true);
        if !self.is_known.get() {
            // No client can recover a session that it does not know.
            self.handle.forgo();
        }
        self.inbox.close();
        self.handle.end_connection();
        self.sender.borrow_mut().take();
    }
}

impl SessionTransport for NamespaceSession {
    fn closed(self: Rc<Self>, close: Close) {
        if let Some(sender) = self.sender() {
            self.announce_end(&sender, close);
        }
    }

    fn resume(self: Rc<Self>) {
        self.inbox.wake();
        if let Some(sender) = self.sender() {
            sender.engine().resume_reading();
        }
    }

    fn supersede(self: Rc<Self>) -> bool {
        // A token of `/chat` stays valid, however its session ends.
        let Some(sender) = self.sender().filter(|_| self.handle.recoverable() == Recoverability::ByOffset) else {
            return false;
        };
        actix_rt::spawn(async move {
            sender.engine().wait_for_late_messages().await;
            self.handle.close(Close::Recovered);
        });
        true
    }
}

/// The inbox as the stream that its session reads.
struct InboxStream {
    session: Rc<NamespaceSession>,
}

impl Stream for InboxStream {
    type Item = Inbound;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        let session = &self.session;
        let inbox = &session.inbox;
        // While too many replies are pending, requests wait, so that replies stay bounded. The end does not wait.
        if !session.handle.takes_requests() && !inbox.is_closed() {
            inbox.await_next(cx.waker());
            return Poll::Pending;
        }
        let was_full = inbox.is_full();
        match inbox.pop() {
            Some(inbound) => {
                if was_full && !inbox.is_full() {
                    session.clone().resume();
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

/// A session that panicked drops its inbox: the client is disconnected, because nothing receives its packets.
impl Drop for InboxStream {
    fn drop(&mut self) {
        let session = &self.session;
        if session.inbox.close_without_notice()
            && !session.end_sent.replace(true)
            && let Some(sender) = session.sender()
        {
            sender.disconnect(Close::Failed);
        }
    }
}
