//! One client in one namespace: a [`NamespaceMember`] handles its packets, and a [`NamespaceSender`] sends to it.
//! [`NamespaceMembers`] holds the members of one connection, and closes a connection without any.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use actix_rt::time::sleep;
use hubbub_actors::model::close::Close;
use hubbub_actors::registry::PendingSlot;

use super::engine::Engine;
use super::namespace_table::NamespaceTable;
use super::timer::Timer;
use crate::codec::socketio::{self, Namespace, Whole};

/// The log's name of the limit for connections without a namespace, when a newer one takes the slot.
const UNJOINED_RULE: &str = "a quarter of server.max_connections for connections without a namespace";

/// One client in one namespace.
pub trait NamespaceMember {
    /// The `sid` that the client receives.
    fn sid(&self) -> String;

    /// The private id by which the client can recover its session, if it can.
    fn pid(&self) -> Option<&str> {
        None
    }

    /// The CONNECT was answered, so packets may follow.
    fn start(self: Rc<Self>, sender: NamespaceSender);

    /// The client sent an event or an acknowledgement.
    fn receive(&self, whole: Whole);

    /// Whether the client must wait before it sends more.
    fn is_busy(&self) -> bool;

    /// Closes the session, with its connection, after the pending replies were sent.
    fn close_after_replies(&self, close: Close);

    /// The client left the namespace. [`NamespaceMember::end`] follows.
    fn leave(&self) {}

    /// The client left or its connection ended, for this reason if known. Nothing more is received or sent.
    fn end(&self, why: Option<Close>);
}

/// The members of one connection: the state of each namespace, and the timer of a client that is in none.
pub(super) struct NamespaceMembers {
    engine: Rc<Engine>,
    pub(super) table: RefCell<NamespaceTable<Rc<dyn NamespaceMember>>>,
    /// How long a client may be in no namespace.
    connect_timeout: Duration,
    /// Closes the connection if its client stays in no namespace.
    connect_timer: RefCell<Option<Timer>>,
    ended: Cell<bool>,
}

impl NamespaceMembers {
    pub(super) fn new(engine: Rc<Engine>, connect_timeout: Duration) -> Rc<Self> {
        let (table, connect_timer) = (RefCell::default(), RefCell::default());
        Rc::new(Self { engine, table, connect_timeout, connect_timer, ended: Cell::new(false) })
    }

    /// The client's members.
    pub(super) fn all(&self) -> Vec<Rc<dyn NamespaceMember>> {
        self.table.borrow().members().cloned().collect()
    }

    /// Whether the client is in no namespace.
    pub(super) fn is_empty(&self) -> bool {
        self.table.borrow().members().next().is_none()
    }

    /// Whether the connection has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Closes the connection if its client joins no namespace in time, or if its slot is taken.
    pub(super) fn await_join(&self, pending: Option<PendingSlot>) {
        if self.ended.get() || !self.is_empty() || self.connect_timer.borrow().is_some() {
            return;
        }
        let (engine, connect_timeout) = (Rc::downgrade(&self.engine), self.connect_timeout);
        let waiting = Timer::start(async move {
            let gives_way = async {
                match pending {
                    Some(mut slot) => slot.taken().await,
                    None => std::future::pending().await,
                }
            };
            let is_late = tokio::select! {
                () = sleep(connect_timeout) => true,
                () = gives_way => false,
            };
            match engine.upgrade() {
                Some(engine) if is_late => engine.connection().close(Close::Unused),
                Some(engine) => engine.end_unjoined(UNJOINED_RULE),
                None => {}
            }
        });
        *self.connect_timer.borrow_mut() = Some(waiting);
    }

    /// The client joins `namespace`. Returns the sender of its packets.
    pub(super) fn join(self: &Rc<Self>, namespace: Namespace, member: Rc<dyn NamespaceMember>) -> NamespaceSender {
        self.stop_connect_timer();
        self.table.borrow_mut().join(namespace.clone(), member);
        NamespaceSender { members: Rc::downgrade(self), engine: self.engine.clone(), namespace }
    }

    /// The connection ended. Returns the state of its namespaces.
    pub(super) fn end(&self) -> NamespaceTable<Rc<dyn NamespaceMember>> {
        self.ended.set(true);
        self.stop_connect_timer();
        std::mem::take(&mut *self.table.borrow_mut())
    }

    fn stop_connect_timer(&self) {
        self.connect_timer.borrow_mut().take();
    }

    /// The hub ended the client's session in `namespace`. `true`: the client is in no other namespace.
    fn mark_removed(&self, namespace: Namespace) -> bool {
        let mut table = self.table.borrow_mut();
        table.mark_removed(namespace);
        table.is_disconnected()
    }
}

/// Sends a namespace's packets to one client, and removes the client from the namespace.
#[derive(Clone)]
pub struct NamespaceSender {
    members: Weak<NamespaceMembers>,
    engine: Rc<Engine>,
    namespace: Namespace,
}

impl NamespaceSender {
    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The connection.
    pub fn engine(&self) -> &Rc<Engine> {
        &self.engine
    }

    /// Sends a DISCONNECT. Closes the connection if its client is in no other namespace.
    pub fn disconnect(&self, close: Close) {
        self.engine.send(socketio::disconnect(&self.namespace));
        self.leave(close);
    }

    /// Closes the connection and all of its client's namespaces, each after its pending replies. If another namespace
    /// kept the connection open, the client would continue to send to this one without a reader.
    pub fn leave_all(&self, close: Close) {
        self.leave(close);
        let Some(members) = self.members.upgrade() else { return };
        for member in members.all() {
            member.close_after_replies(close);
        }
    }

    /// Closes the connection if its client is in no other namespace. Sends the client nothing.
    pub fn leave(&self, close: Close) {
        let Some(members) = self.members.upgrade() else { return };
        if members.mark_removed(self.namespace.clone()) {
            // The removed member logs the reason itself.
            self.engine.connection().end().mark_logged();
            self.engine.connection().close(close);
        } else {
            members.await_join(None);
            // The other namespaces may have waited for this one alone.
            self.engine.resume_reading();
        }
    }
}
