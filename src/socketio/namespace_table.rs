//! Which namespaces a connection is in or asks to be in, pure: what each CONNECT and DISCONNECT does there. Whatever their
//! order, the last packet of a client decides, and a client is in a namespace at most once.

use bytes::Bytes;

use crate::codec::socketio::Namespace;

/// Namespaces that one connection may be in, or ask for, at once.
pub(super) const NAMESPACES_MAX: usize = 16;

/// A connection's state in one namespace. `M` is what a joined namespace is known by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State<M> {
    /// A CONNECT with this `auth` is being authorized.
    Connecting(Option<Bytes>, Next),
    /// Joined.
    Connected(M),
    /// The hub ended the session. What the client sent before it knew that is ignored.
    PutOut,
}

/// What the client's last packet asks for, once the CONNECT under way is authorized or refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
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
pub(super) enum Step<M> {
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
pub(super) struct NamespaceTable<M>(Vec<(Namespace, State<M>)>);

impl<M> Default for NamespaceTable<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M: Clone> NamespaceTable<M> {
    /// The state of a namespace.
    pub(super) fn get(&self, namespace: &Namespace) -> Option<&State<M>> {
        self.0.iter().find(|(name, _)| name == namespace).map(|(_, state)| state)
    }

    /// What a CONNECT with this `auth` does. Of one that is to be authorized, [`NamespaceTable::begin`] follows.
    pub(super) fn connect(&mut self, namespace: &Namespace, auth: &Option<Bytes>) -> Step<M> {
        let count = self.0.len();
        match self.0.iter_mut().find(|(name, _)| name == namespace) {
            None if count >= NAMESPACES_MAX => Step::Full,
            None | Some((_, State::PutOut)) => Step::Authorize,
            Some((_, State::Connected(member))) => Step::Connected(member.clone()),
            Some((_, State::Connecting(first, next))) => {
                match next {
                    Next::Join(count) if first == auth => *count += 1,
                    // After a DISCONNECT it is another session, even by the same `auth`.
                    _ => {
                        let has_left = matches!(next, Next::Leave | Next::Reconnect { has_left: true, .. });
                        *next = Next::Reconnect { auth: auth.clone(), has_left };
                    }
                }
                Step::Wait
            }
        }
    }

    /// A CONNECT is being authorized.
    pub(super) fn begin(&mut self, namespace: Namespace, auth: Option<Bytes>) {
        self.set(namespace, State::Connecting(auth, Next::Join(1)));
    }

    /// That ended, one way or the other: what the client asks for now. `None` when the connection ended meanwhile.
    pub(super) fn finish(&mut self, namespace: &Namespace) -> Option<Next> {
        match self.remove(namespace)? {
            State::Connecting(_, next) => Some(next),
            state => {
                self.set(namespace.clone(), state);
                None
            }
        }
    }

    /// The client joined.
    pub(super) fn join(&mut self, namespace: Namespace, member: M) {
        self.set(namespace, State::Connected(member));
    }

    /// The client sent a DISCONNECT: what it left, where it was in.
    pub(super) fn disconnect(&mut self, namespace: &Namespace) -> Option<M> {
        match self.remove(namespace)? {
            State::Connecting(auth, _) => {
                self.set(namespace.clone(), State::Connecting(auth, Next::Leave));
                None
            }
            State::Connected(member) => Some(member),
            State::PutOut => None,
        }
    }

    /// The hub ended the client's session.
    pub(super) fn put_out(&mut self, namespace: Namespace) {
        self.set(namespace, State::PutOut);
    }

    /// Whether any CONNECT is being authorized.
    pub(super) fn is_connecting(&self) -> bool {
        self.0.iter().any(|(_, state)| matches!(state, State::Connecting(..)))
    }

    /// Whether a CONNECT waits for another one of its namespace.
    pub(super) fn has_waiting(&self) -> bool {
        self.0.iter().any(|(_, state)| matches!(state, State::Connecting(_, Next::Reconnect { .. })))
    }

    /// Whether the client is in no namespace, and asks for none.
    pub(super) fn is_out(&self) -> bool {
        self.0.iter().all(|(_, state)| matches!(state, State::PutOut))
    }

    /// What the client is in.
    pub(super) fn members(&self) -> impl Iterator<Item = &M> {
        self.0.iter().filter_map(|(_, state)| match state {
            State::Connected(member) => Some(member),
            State::Connecting(..) | State::PutOut => None,
        })
    }

    fn set(&mut self, namespace: Namespace, state: State<M>) {
        match self.0.iter_mut().find(|(name, _)| *name == namespace) {
            Some((_, old)) => *old = state,
            None => {
                // Most clients are in one, and a vector that grows by itself begins with room for four.
                self.0.reserve_exact(1);
                self.0.push((namespace, state));
            }
        }
    }

    fn remove(&mut self, namespace: &Namespace) -> Option<State<M>> {
        let place = self.0.iter().position(|(name, _)| name == namespace)?;
        Some(self.0.swap_remove(place).1)
    }
}

#[cfg(test)]
mod tests;
