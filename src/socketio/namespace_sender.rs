//! How what is done in a namespace reaches its client, and puts it out.

use std::rc::{Rc, Weak};

use hubbub_actors::model::close::Close;

use super::engine::Engine;
use super::namespaces::Namespaces;
use crate::codec::socketio::{self, Namespace};

/// A member's way to its client.
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

    /// Puts the client out of the namespace, and ends a connection that is in no other.
    pub fn disconnect(&self, close: Close) {
        self.engine.send(socketio::disconnect(&self.namespace));
        self.leave(close);
    }

    /// Ends the connection and all of its client's namespaces, each after its last answers. If another namespace kept the
    /// connection open, the client would go on sending to this one, which nobody reads.
    pub fn leave_all(&self, close: Close) {
        self.leave(close);
        let Some(namespaces) = self.namespaces.upgrade() else { return };
        for member in namespaces.members() {
            member.close_after_replies(close);
        }
    }

    /// Ends the connection, once its client is in no other namespace. The client is told nothing of this one.
    pub fn leave(&self, close: Close) {
        let Some(namespaces) = self.namespaces.upgrade() else { return };
        if namespaces.mark_removed(self.namespace.clone()) {
            // The member that is put out notes why.
            self.engine.handle().mark_close_logged();
            self.engine.handle().close(close);
        } else {
            namespaces.await_join(None);
            // Those who are left may have waited for this one alone.
            self.engine.resume_reading();
        }
    }
}
