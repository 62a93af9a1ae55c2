//! The interface between a connection and the application behind its namespaces: [`NamespaceAuth`] decides which
//! clients may connect, and [`NamespaceMember`] handles one client in one namespace.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use hubbub_actors::model::close::Close;

use super::namespace_sender::NamespaceSender;
use crate::codec::socketio::{Namespace, Whole};

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

    /// The connection's outbox has room again, so waiting requests can be processed.
    fn drained(&self) {}

    /// Closes the session, with its connection, after the pending replies were sent.
    fn close_after_replies(&self, close: Close);

    /// The client has received everything that was sent before its last pong.
    fn confirm(&self) {}

    /// The client left the namespace. [`NamespaceMember::end`] follows.
    fn leave(&self) {}

    /// The client left or its connection ended, for this reason if known. Nothing more is received or sent.
    fn end(&self, why: Option<Close>);
}

/// Why a CONNECT is refused.
#[derive(Debug, Clone)]
pub enum ConnectRefusal {
    /// The client receives a CONNECT_ERROR with this JSON text: `{"message": …}`.
    Answered(Bytes),
    /// The client receives no answer.
    Unanswered,
    /// The client receives no answer, and its connection is closed.
    Closed(Close),
}

impl ConnectRefusal {
    /// The namespace does not exist.
    pub fn invalid_namespace() -> Self {
        Self::Answered(Bytes::from_static(br#"{"message":"Invalid namespace"}"#))
    }
}

/// The pending decision on a CONNECT.
pub type ConnectFuture = Pin<Box<dyn Future<Output = Result<Rc<dyn NamespaceMember>, ConnectRefusal>>>>;

/// Decides on the CONNECTs of one connection.
pub trait NamespaceAuth {
    /// Counts a CONNECT of the connection, whatever its outcome.
    ///
    /// # Errors
    /// The refusal for a client that sends too many.
    fn count(&self, _namespace: &Namespace) -> Result<(), ConnectRefusal> {
        Ok(())
    }

    /// Authorizes a CONNECT to `namespace`. `auth` is the JSON text of an object, if the client sent one.
    ///
    /// # Errors
    /// The refusal, if it is known at once.
    fn connect(&self, namespace: &Namespace, auth: Option<Bytes>) -> Result<ConnectFuture, ConnectRefusal>;

    /// The connection ended while its client was in no namespace. `rule` names the limit that decided, if it is not the
    /// usual one of `close`.
    fn closed(&self, _close: Close, _rule: Option<&'static str>) {}
}
