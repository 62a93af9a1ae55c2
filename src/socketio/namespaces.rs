//! Socket.IO over an Engine.IO session: assembles packets, routes them to their namespaces, and processes CONNECT and
//! DISCONNECT. Its [`NamespaceAuth`] decides which namespaces exist and handles their packets.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use hubbub_actors::model::close::Close;
use hubbub_actors::registry::PendingSlot;

use super::connects;
use super::engine::{Engine, EngineMessage, PacketHandler};
use super::namespace_auth::{ConnectRefusal, NamespaceAuth};
use super::namespace_member::{NamespaceMember, NamespaceMembers};
use super::namespace_table::{ConnectStep, NamespaceState, NextAction};
use crate::codec::socketio::{self, Malformed, Namespace, Packet, PacketAssembler, Whole};

/// The namespaces of one connection.
pub struct Namespaces {
    this: Weak<Self>,
    engine: Rc<Engine>,
    namespace_auth: Box<dyn NamespaceAuth>,
    assembler: RefCell<PacketAssembler>,
    members: Rc<NamespaceMembers>,
    /// Waits until no CONNECT is being authorized. Nothing else is received meanwhile.
    deferred: RefCell<Option<Deferred>>,
    /// The client has joined a namespace, even if it has left it.
    has_joined: Cell<bool>,
}

/// Waits for the outcome of a CONNECT.
enum Deferred {
    /// A message of the client.
    Message(EngineMessage),
    /// The refusal of a CONNECT over the rate limit.
    Refusal(Namespace, ConnectRefusal),
}

/// Whether a client may send this before it joined a namespace: only CONNECT and DISCONNECT. Other packets need a
/// namespace.
fn may_precede_join(message: &EngineMessage) -> bool {
    matches!(message, EngineMessage::Text(text) if matches!(text.first(), Some(b'0' | b'1')))
}

impl Namespaces {
    /// A connection without a namespace. It is closed if its client is in none after `connect_timeout`. `max_payload`
    /// bounds a packet with its attachments, in bytes. `pending` is its slot among the connections without a namespace.
    pub fn new(
        engine: &Rc<Engine>,
        namespace_auth: Box<dyn NamespaceAuth>,
        connect_timeout: Duration,
        max_payload: usize,
        pending: Option<PendingSlot>,
    ) -> Rc<Self> {
        let this = Rc::new_cyclic(|this| Self {
            this: this.clone(),
            engine: engine.clone(),
            namespace_auth,
            assembler: RefCell::new(PacketAssembler::new(max_payload)),
            members: NamespaceMembers::new(engine.clone(), connect_timeout),
            deferred: RefCell::default(),
            has_joined: Cell::new(false),
        });
        this.members.await_join(pending);
        this
    }

    fn handle(&self, whole: Whole) -> Result<(), Malformed> {
        match &whole.packet {
            Packet::Connect { namespace, data } => self.connect(namespace, data.clone()),
            Packet::Disconnect { namespace } => {
                let left = self.members.table.borrow_mut().disconnect(namespace);
                if let Some(member) = left {
                    member.leave();
                    member.end(Some(Close::Left));
                }
                self.members.await_join(None);
                Ok(())
            }
            Packet::Event { namespace, .. } | Packet::Ack { namespace, .. } | Packet::Unreadable { namespace, .. } => {
                match self.member(namespace)? {
                    Some(member) => {
                        member.receive(whole);
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// The member in `namespace`; `None` after the hub removed it.
    fn member(&self, namespace: &Namespace) -> Result<Option<Rc<dyn NamespaceMember>>, Malformed> {
        match self.members.table.borrow().get(namespace) {
            Some(NamespaceState::Connected(member)) => Ok(Some(member.clone())),
            Some(NamespaceState::Removed) => Ok(None),
            Some(NamespaceState::Connecting(..)) | None => {
                Err(Malformed("a packet for a namespace that was not joined"))
            }
        }
    }

    fn connect(&self, namespace: &Namespace, auth: Option<Bytes>) -> Result<(), Malformed> {
        let namespace = namespace.detached();
        if let Err(refused) = self.namespace_auth.count(&namespace) {
            self.refuse_excess(namespace, refused);
            self.members.await_join(None);
            return Ok(());
        }
        let step = self.members.table.borrow_mut().connect(&namespace, &auth);
        match step {
            ConnectStep::Authorize => self.authorize(namespace, auth),
            ConnectStep::Wait => {}
            ConnectStep::Connected(member) => self.answer_connect(&namespace, &*member),
            ConnectStep::Full => return Err(Malformed("too many namespaces")),
        }
        Ok(())
    }

    /// Refuses a CONNECT over the rate limit. A client in the namespace stays in it.
    fn refuse_excess(&self, namespace: Namespace, refused: ConnectRefusal) {
        let is_closed = matches!(refused, ConnectRefusal::Closed(_));
        let table = self.members.table.borrow();
        match table.get(&namespace) {
            Some(NamespaceState::Connected(_)) if !is_closed => {}
            Some(NamespaceState::Connecting(_, NextAction::Join(_) | NextAction::Reconnect { .. })) if !is_closed => {
                *self.deferred.borrow_mut() = Some(Deferred::Refusal(namespace, refused));
            }
            _ => {
                drop(table);
                self.refuse(&namespace, refused);
            }
        }
    }

    fn answer_connect(&self, namespace: &Namespace, member: &dyn NamespaceMember) {
        self.engine.send(socketio::connect(namespace, &member.sid(), member.pid()));
    }

    /// Begins to authorize a CONNECT.
    fn authorize(&self, namespace: Namespace, auth: Option<Bytes>) {
        let pending = match self.namespace_auth.connect(&namespace, auth.clone()) {
            Ok(pending) => pending,
            Err(refused) => {
                self.refuse(&namespace, refused);
                return self.members.await_join(None);
            }
        };
        self.members.table.borrow_mut().begin(namespace.clone(), auth);
        let this = self.this.clone();
        actix_rt::spawn(async move {
            let result = pending.await;
            match (this.upgrade(), result) {
                (Some(this), result) => this.authorized(&namespace, result),
                (None, Ok(member)) => member.end(None),
                (None, Err(_)) => {}
            }
        });
    }

    /// A CONNECT was authorized or refused. If the client sent another CONNECT or a DISCONNECT meanwhile, it receives
    /// no reply to this one.
    fn authorized(self: Rc<Self>, namespace: &Namespace, result: Result<Rc<dyn NamespaceMember>, ConnectRefusal>) {
        let next = self.members.table.borrow_mut().finish(namespace);
        match result {
            Ok(member) if matches!(next, Some(NextAction::Leave | NextAction::Reconnect { has_left: true, .. })) => {
                member.leave();
                member.end(Some(Close::Left));
            }
            Ok(member) => match next {
                Some(NextAction::Join(count)) if !self.members.has_ended() => {
                    self.join(namespace.clone(), member, count)
                }
                _ => member.end(self.engine.connection().end().reason()),
            },
            Err(refused) => match next {
                Some(NextAction::Join(count)) => (0..count).for_each(|_| self.refuse(namespace, refused.clone())),
                _ if matches!(refused, ConnectRefusal::Closed(_)) => self.refuse(namespace, refused),
                _ => {}
            },
        }
        if let Some(NextAction::Reconnect { auth, .. }) = next
            && self.engine.connection().closed().is_none()
        {
            self.authorize(namespace.clone(), auth);
        }
        self.members.await_join(None);
        self.resume_deferred();
        self.engine.resume_reading();
    }

    /// The client joins. `count` CONNECTs are answered.
    fn join(self: &Rc<Self>, namespace: Namespace, member: Rc<dyn NamespaceMember>, count: u32) {
        self.has_joined.set(true);
        self.answer_connect(&namespace, &*member);
        let sender = self.members.join(namespace.clone(), member.clone());
        member.clone().start(sender);
        for _ in 1..count {
            self.answer_connect(&namespace, &*member);
        }
    }

    /// Processes the deferred message or refusal.
    fn resume_deferred(&self) {
        if self.members.table.borrow().is_connecting() {
            return;
        }
        let deferred = self.deferred.borrow_mut().take();
        match deferred.filter(|_| self.engine.connection().closed().is_none()) {
            Some(Deferred::Message(message)) => self.receive(message),
            Some(Deferred::Refusal(namespace, refused)) => self.refuse_excess(namespace, refused),
            None => {}
        }
    }

    fn refuse(&self, namespace: &Namespace, refused: ConnectRefusal) {
        match refused {
            ConnectRefusal::Answered(data) => self.engine.send(socketio::connect_error(namespace, &data)),
            ConnectRefusal::Unanswered => {}
            ConnectRefusal::Closed(Close::Limit) => self.engine.connection().close_by(Close::Limit, connects::RULE),
            // The drain closes the sessions of the connection in their turn, and the connection after them.
            ConnectRefusal::Closed(Close::GoingAway) if !self.members.is_empty() => {}
            ConnectRefusal::Closed(close) => self.engine.connection().close(close),
        }
    }
}

impl PacketHandler for Namespaces {
    fn receive(&self, message: EngineMessage) {
        if !may_precede_join(&message)
            && self.members.table.borrow().is_connecting()
            && self.deferred.borrow().is_none()
        {
            *self.deferred.borrow_mut() = Some(Deferred::Message(message));
            return;
        }
        if !self.has_joined.get() && !may_precede_join(&message) {
            return self.engine.connection().close(Close::Malformed);
        }
        let whole = match message {
            EngineMessage::Text(text) => self.assembler.borrow_mut().text(text),
            EngineMessage::Binary(bytes) => self.assembler.borrow_mut().binary(bytes),
        };
        let handled = match whole {
            Ok(Some(whole)) => self.handle(whole),
            Ok(None) => Ok(()),
            Err(malformed) => Err(malformed),
        };
        if handled.is_err() {
            self.engine.connection().close(Close::Malformed);
        }
    }

    fn is_busy(&self) -> bool {
        let table = self.members.table.borrow();
        self.deferred.borrow().is_some() || table.has_waiting() || table.members().any(|member| member.is_busy())
    }

    fn is_connecting(&self) -> bool {
        self.members.table.borrow().is_connecting()
    }

    fn has_joined(&self) -> bool {
        self.has_joined.get()
    }

    fn is_idle(&self) -> bool {
        self.members.is_empty()
    }

    fn end(&self) {
        self.deferred.borrow_mut().take();
        let table = self.members.end();
        let connection = self.engine.connection();
        // Members and CONNECTs under authorization record the end themselves.
        if table.is_disconnected()
            && !connection.end().is_logged()
            && let Some(close) = connection.end().reason()
        {
            self.namespace_auth.closed(close, connection.end().rule());
        }
        for member in table.members() {
            member.end(connection.end().reason());
        }
    }
}
