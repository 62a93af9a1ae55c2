//! Sends a namespace's packets to its client, and removes the client from the namespace.

use std::rc::{Rc, Weak};

use hubbub_actors::model::close::Close;

use super::engine::Engine;
use super::namespaces::Namespaces;
use crate::codec::socketio::{self, Namespace};

/// Sends to one client in one namespace.
#[derive(Clone)]
pub struct NamespaceSender {
    namespaces: Weak<Namespaces>,
    engine: Rc<Engine>,
    namespace: Namespace,
}

impl NamespaceSender {
    pub(super) fn new(namespaces: &Rc<Namespaces>, engine: Rc<Engine>, namespace: Namespace) -> Self {
        Self { namespaces: Rc::downgrade(namespaces), engine, namespace }
    }

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
        let Some(namespaces) = self.namespaces.upgrade() else { return };
        for member in namespaces.members() {
            member.close_after_replies(close);
        }
    }

    /// Closes the connection if its client is in no other namespace. Sends the client nothing.
    pub fn leave(&self, close: Close) {
        let Some(namespaces) = self.namespaces.upgrade() else { return };
        if namespaces.mark_removed(self.namespace.clone()) {
            // The removed member logs the reason itself.
            self.engine.handle().mark_close_logged();
            self.engine.handle().close(close);
        } else {
            namespaces.await_join(None);
            // The other namespaces may have waited for this one alone.
            self.engine.resume_reading();
        }
    }
}
