//! The interface between a connection and the application behind its namespaces: [`NamespaceAuth`] decides which
//! clients may connect. An accepted client is a [`NamespaceMember`].

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use hubbub_actors::model::close::Close;

use super::namespace_member::NamespaceMember;
use crate::codec::socketio::Namespace;

/// Why a CONNECT is refused.
#[derive(Debug, Clone)]
pub enum ConnectRefusal {
    /// The client receives a CONNECT_ERROR with this JSON text: `{"message": …}`.
    Answered(Bytes),
    /// The client receives no reply.
    Unanswered,
    /// The client receives no reply, and its connection is closed.
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
