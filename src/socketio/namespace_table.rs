//! Which namespaces a connection is in or asks to be in, pure: what each CONNECT and DISCONNECT does there. Whatever their
//! order, the last packet of a client decides, and a client is in a namespace at most once.

use bytes::Bytes;

use crate::codec::socketio::Namespace;

/// Namespaces that one connection may be in, or ask for, at once.
pub(super) const NAMESPACES_MAX: usize = 16;

/// A connection's state in one namespace. `M` is what a joined namespace is known by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NamespaceState<M> {
    /// A CONNECT with this `auth` is being authorized.
    Connecting(Option<Bytes>, NextAction),
    /// Joined.
    Connected(M),
    /// The hub ended the session. What the client sent before it knew that is ignored.
    Removed,
}

/// What the client's last packet asks for, once the CONNECT under way is authorized or refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextAction {
    /// To join; this many CONNECTs are to be answered.
    Join(u32),
    /// To leave.
    Leave,
    /// To connect with another `auth` instead; or anew, where a DISCONNECT came between the two.
    Reconnect {
        /// The new `auth`.
        auth: Option<Bytes>,
        /// A DISCONNECT came.
        has_left: bool,
    },
}

/// What a CONNECT does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ConnectStep<M> {
    /// It is to be authorized.
    Authorize,
    /// Nothing now: another CONNECT is under way.
    Wait,
    /// The client is in the namespace already.
    Connected(M),
    /// The connection has too many namespaces.
    Full,
}

/// The namespaces of one connection.
#[derive(Debug)]
pub(super) struct NamespaceTable<M>(Vec<(Namespace, NamespaceState<M>)>);

impl<M> Default for NamespaceTable<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M: Clone> NamespaceTable<M> {
    /// The state of a namespace.
    pub(super) fn get(&self, namespace: &Namespace) -> Option<&NamespaceState<M>> {
        self.0.iter().find(|(name, _)| name == namespace).map(|(_, state)| state)
    }

    /// What a CONNECT with this `auth` does. Of one that is to be authorized, [`NamespaceTable::begin`] follows.
    pub(super) fn connect(&mut self, namespace: &Namespace, auth: &Option<Bytes>) -> ConnectStep<M> {
        let count = self.0.len();
        match self.0.iter_mut().find(|(name, _)| name == namespace) {
            None if count >= NAMESPACES_MAX => ConnectStep::Full,
            None | Some((_, NamespaceState::Removed)) => ConnectStep::Authorize,
            Some((_, NamespaceState::Connected(member))) => ConnectStep::Connected(member.clone()),
            Some((_, NamespaceState::Connecting(first, next))) => {
                match next {
                    NextAction::Join(count) if first == auth => *count += 1,
                    // After a DISCONNECT it is another session, even by the same `auth`.
                    _ => {
                        let has_left = matches!(next, NextAction::Leave | NextAction::Reconnect { has_left: true, .. });
                        *next = NextAction::Reconnect { auth: auth.clone(), has_left };
                    }
                }
                ConnectStep::Wait
            }
        }
    }

    /// A CONNECT is being authorized.
    pub(super) fn begin(&mut self, namespace: Namespace, auth: Option<Bytes>) {
        self.set(namespace, NamespaceState::Connecting(auth, NextAction::Join(1)));
    }

    /// That ended, one way or the other: what the client asks for now. `None` when the connection ended meanwhile.
    pub(super) fn finish(&mut self, namespace: &Namespace) -> Option<NextAction> {
        match self.remove(namespace)? {
            NamespaceState::Connecting(_, next) => Some(next),
            state => {
                self.set(namespace.clone(), state);
                None
            }
        }
    }

    /// The client joined.
    pub(super) fn join(&mut self, namespace: Namespace, member: M) {
        self.set(namespace, NamespaceState::Connected(member));
    }

    /// The client sent a DISCONNECT: what it left, where it was in.
    pub(super) fn disconnect(&mut self, namespace: &Namespace) -> Option<M> {
        match self.remove(namespace)? {
            NamespaceState::Connecting(auth, _) => {
                self.set(namespace.clone(), NamespaceState::Connecting(auth, NextAction::Leave));
                None
            }
            NamespaceState::Connected(member) => Some(member),
            NamespaceState::Removed => None,
        }
    }

    /// The hub ended the client's session.
    pub(super) fn mark_removed(&mut self, namespace: Namespace) {
        self.set(namespace, NamespaceState::Removed);
    }

    /// Whether any CONNECT is being authorized.
    pub(super) fn is_connecting(&self) -> bool {
        self.0.iter().any(|(_, state)| matches!(state, NamespaceState::Connecting(..)))
    }

    /// Whether a CONNECT waits for another one of its namespace.
    pub(super) fn has_waiting(&self) -> bool {
        self.0.iter().any(|(_, state)| matches!(state, NamespaceState::Connecting(_, NextAction::Reconnect { .. })))
    }

    /// Whether the client is in no namespace, and asks for none.
    pub(super) fn is_disconnected(&self) -> bool {
        self.0.iter().all(|(_, state)| matches!(state, NamespaceState::Removed))
    }

    /// What the client is in.
    pub(super) fn members(&self) -> impl Iterator<Item = &M> {
        self.0.iter().filter_map(|(_, state)| match state {
            NamespaceState::Connected(member) => Some(member),
            NamespaceState::Connecting(..) | NamespaceState::Removed => None,
        })
    }

    fn set(&mut self, namespace: Namespace, state: NamespaceState<M>) {
        match self.0.iter_mut().find(|(name, _)| *name == namespace) {
            Some((_, old)) => *old = state,
            None => {
                // Most clients are in one, and a vector that grows by itself begins with room for four.
                self.0.reserve_exact(1);
                self.0.push((namespace, state));
            }
        }
    }

    fn remove(&mut self, namespace: &Namespace) -> Option<NamespaceState<M>> {
        let place = self.0.iter().position(|(name, _)| name == namespace)?;
        Some(self.0.swap_remove(place).1)
    }
}

#[cfg(test)]
mod tests;
