//! The namespaces that a connection is in or is joining, pure: the effect of each CONNECT and DISCONNECT. The client's
//! last packet decides, and a client is in a namespace at most once.

use bytes::Bytes;

use crate::codec::socketio::Namespace;

/// Most namespaces that one connection may be in or be joining.
pub(super) const NAMESPACES_MAX: usize = 16;

/// A connection's state in one namespace. `M` identifies a joined namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NamespaceState<M> {
    /// A CONNECT with this `auth` is being authorized.
    Connecting(Option<Bytes>, NextAction),
    /// Joined.
    Connected(M),
    /// The hub ended the session. Packets that the client sent before it received the DISCONNECT are ignored.
    Removed,
}

/// The next action, from the client's last packet, once the current CONNECT is authorized or refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextAction {
    /// Join, and answer this many CONNECTs.
    Join(u32),
    /// Leave.
    Leave,
    /// Authorize a CONNECT with another `auth`, or again after a DISCONNECT.
    Reconnect {
        /// The new `auth`.
        auth: Option<Bytes>,
        /// A DISCONNECT arrived in between.
        has_left: bool,
    },
}

/// The effect of a CONNECT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ConnectStep<M> {
    /// Authorize it.
    Authorize,
    /// Wait for the outcome of another CONNECT.
    Wait,
    /// The client is already in the namespace.
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

    /// The effect of a CONNECT with this `auth`. After [`ConnectStep::Authorize`], call [`NamespaceTable::begin`].
    pub(super) fn connect(&mut self, namespace: &Namespace, auth: &Option<Bytes>) -> ConnectStep<M> {
        let count = self.0.len();
        match self.0.iter_mut().find(|(name, _)| name == namespace) {
            None if count >= NAMESPACES_MAX => ConnectStep::Full,
            None | Some((_, NamespaceState::Removed)) => ConnectStep::Authorize,
            Some((_, NamespaceState::Connected(member))) => ConnectStep::Connected(member.clone()),
            Some((_, NamespaceState::Connecting(first, next))) => {
                match next {
                    NextAction::Join(count) if first == auth => *count += 1,
                    // After a DISCONNECT it is another session, even with the same `auth`.
                    _ => {
                        let has_left = matches!(next, NextAction::Leave | NextAction::Reconnect { has_left: true, .. });
                        *next = NextAction::Reconnect { auth: auth.clone(), has_left };
                    }
                }
                ConnectStep::Wait
            }
        }
    }

    /// Authorization of a CONNECT begins.
    pub(super) fn begin(&mut self, namespace: Namespace, auth: Option<Bytes>) {
        self.set(namespace, NamespaceState::Connecting(auth, NextAction::Join(1)));
    }

    /// Authorization ended: the next action. `None`: the connection ended meanwhile.
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

    /// The client sent a DISCONNECT. Returns the member that it left, if any.
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

    /// Whether a CONNECT waits for the outcome of another one.
    pub(super) fn has_waiting(&self) -> bool {
        self.0.iter().any(|(_, state)| matches!(state, NamespaceState::Connecting(_, NextAction::Reconnect { .. })))
    }

    /// Whether the client is in no namespace and is joining none.
    pub(super) fn is_disconnected(&self) -> bool {
        self.0.iter().all(|(_, state)| matches!(state, NamespaceState::Removed))
    }

    /// The members of the namespaces that the client is in.
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
                // Most clients are in one namespace, and a growing vector starts with room for four.
                self.0.reserve_exact(1);
                self.0.push((namespace, state));
            }
        }
    }

    fn remove(&mut self, namespace: &Namespace) -> Option<NamespaceState<M>> {
        let index = self.0.iter().position(|(name, _)| name == namespace)?;
        Some(self.0.swap_remove(index).1)
    }
}

#[cfg(test)]
mod tests;
