//! What a connection needs from the application behind its namespaces: who may connect to one ([`NamespaceAuth`]), and what is done
//! there for one client ([`MemberEntry`]).

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use hubbub_actors::model::close::Close;

use super::namespace_sender::NamespaceSender;
use crate::codec::socketio::{Namespace, Whole};

/// What is done in a namespace for one client.
pub trait NamespaceMember {
    /// The `sid` that the client is told.
    fn sid(&self) -> String;

    /// The private id by which the client may come back, where it may.
    fn pid(&self) -> Option<&str> {
        None
    }

    /// The client was told that it is connected: what it is to be told next may go.
    fn start(self: Rc<Self>, line: NamespaceSender);

    /// The client sent an event, or answered one.
    fn receive(&self, whole: Whole);

    /// Whether the client should say nothing more for now.
    fn is_busy(&self) -> bool;

    /// The connection has room again for answers: requests that waited for that can be taken.
    fn drained(&self) {}

    /// The connection ends, and with it this namespace, once what is owed to the client was said.
    fn close_after_replies(&self, close: Close);

    /// The client has all that it was sent before it last said so.
    fn confirm(&self) {}

    /// The client left the namespace; [`MemberEntry::end`] follows.
    fn leave(&self) {}

    /// The client left, or its connection ended, for this reason where one is known. Nothing more is heard or sent.
    fn end(&self, why: Option<Close>);
}

/// Why a client is not let in.
#[derive(Debug, Clone)]
pub enum ConnectRefusal {
    /// What it is told: JSON text, `{"message": …}`.
    Answered(Bytes),
    /// It is not told.
    Unanswered,
    /// It is not told; its connection ends.
    Closed(Close),
}

impl ConnectRefusal {
    /// There is no such namespace.
    pub fn invalid_namespace() -> Self {
        Self::Answered(Bytes::from_static(br#"{"message":"Invalid namespace"}"#))
    }
}

/// A judgement that comes.
pub type ConnectFuture = Pin<Box<dyn Future<Output = Result<Rc<dyn NamespaceMember>, ConnectRefusal>>>>;

/// Lets a connection's client into namespaces.
pub trait NamespaceAuth {
    /// Counts a CONNECT of the connection, whatever becomes of it.
    ///
    /// # Errors
    /// What a client is told that has sent too many.
    fn count(&self, _namespace: &Namespace) -> Result<(), ConnectRefusal> {
        Ok(())
    }

    /// Judges a client that asks to be let into `namespace`; `auth` is JSON text of an object, if it sent one.
    ///
    /// # Errors
    /// Why it is refused, where that is known at once.
    fn connect(&self, namespace: &Namespace, auth: Option<Bytes>) -> Result<ConnectFuture, ConnectRefusal>;

    /// The connection ended for this reason while its client was in no namespace; `rule` is what decided, where that is
    /// not the reason's usual one.
    fn closed(&self, _close: Close, _rule: Option<&'static str>) {}
}
