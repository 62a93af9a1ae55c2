//! Facts of the domain: what happened, as typed values. The code that makes a fact true reports it to [`Observers`], and
//! does not know which observers there are. A new observer implements [`Observer`] and joins the list at the start of the
//! hub.

use std::fmt;
use std::sync::Arc;

use crate::model::client::Peer;
use crate::model::close::Close;
use crate::model::fault::Code;
use crate::model::ids::{ChatId, RoomName, SessionId, UserId};
use crate::model::surface::Surface;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Fact<'a> {
    /// A session opened. Reported by the session.
    SessionOpened(&'a SessionOpened),
    /// A session ended. Reported by the session.
    SessionClosed(&'a SessionClosed),
    /// A request of a session was refused. Reported by the session, at most once a minute for each kind of refusal.
    RequestRefused(&'a RequestRefused),
    /// A connection was refused. Reported by the hub.
    ConnectionRefused(&'a ConnectionRefused),
    /// A session joined a room. Reported by the room actor.
    Joined {
        /// The room.
        room: &'a RoomName,
        /// The user of the session.
        user: &'a UserId,
    },
    /// A session left a room, or was suspended in it. Reported by the room actor.
    Left {
        /// The room.
        room: &'a RoomName,
        /// The user of the session.
        user: &'a UserId,
    },
    /// The first session of a user opened. Reported by presence.
    Online(&'a UserId),
    /// The last session of a user ended. Reported by presence.
    Offline(&'a UserId),
    /// A room accepted a publication. Reported by the room actor.
    Published {
        /// The room.
        room: &'a RoomName,
    },
    /// A chat was stored or deleted. Reported by the writer of chats.
    ChatChanged {
        /// The chat.
        chat: &'a ChatId,
        /// The change.
        change: ChatChange,
    },
}

/// A change of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatChange {
    /// It was created.
    Created,
    /// Its name, description or participants were replaced.
    Replaced,
    /// It was deleted.
    Deleted,
}

/// A session, as facts describe it.
#[derive(Debug, Clone)]
pub struct SessionSummary {
    /// Its surface.
    pub surface: Surface,
    /// Its id.
    pub session: SessionId,
    /// Its user, if authenticated.
    pub user: Option<UserId>,
    /// Its client.
    pub peer: Peer,
}

/// A session opened.
#[derive(Debug, Clone)]
pub struct SessionOpened {
    /// The session.
    pub session: SessionSummary,
    /// Open sessions, the new one included.
    pub active: u64,
}

/// A session ended.
#[derive(Debug, Clone)]
pub struct SessionClosed {
    /// The session.
    pub session: SessionSummary,
    /// The close reason; `None` when the connection was lost.
    pub close: Option<Close>,
    /// The duration of the session, ms.
    pub duration_ms: i64,
}

/// A request of a session was refused.
#[derive(Debug, Clone)]
pub struct RequestRefused {
    /// The session.
    pub session: SessionSummary,
    /// The code of the refusal.
    pub code: Code,
    /// The room of a denied join; `None` for other requests.
    pub room: Option<Arc<str>>,
}

/// A connection was refused.
#[derive(Debug, Clone)]
pub struct ConnectionRefused {
    /// The surface that the client requested.
    pub surface: &'static str,
    /// The client.
    pub peer: Peer,
    /// The user of its token, if the signature is valid.
    pub user: Option<UserId>,
    /// The code of the refusal.
    pub code: Code,
}

/// Receives facts. It runs in the actor that reports them, so it must not wait.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Receives a fact.
    fn observe(&self, fact: Fact<'_>);
}

/// The observers of a hub, in order. Without observers, facts have no effect.
#[derive(Debug, Clone, Default)]
pub struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    /// These observers.
    pub fn new(observers: impl IntoIterator<Item = Arc<dyn Observer>>) -> Self {
        Self(observers.into_iter().collect())
    }

    /// Reports a fact to all observers.
    pub fn observe(&self, fact: Fact<'_>) {
        for observer in &*self.0 {
            observer.observe(fact);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug)]
    struct Recorder(&'static str, Arc<Mutex<Vec<String>>>);

    impl Observer for Recorder {
        fn observe(&self, fact: Fact<'_>) {
            self.1.lock().unwrap().push(format!("{}: {fact:?}", self.0));
        }
    }

    #[test]
    fn each_observer_receives_each_fact_in_order() {
        let received = Arc::new(Mutex::new(Vec::new()));
        let recorder = |name| Arc::new(Recorder(name, received.clone())) as Arc<dyn Observer>;
        let observers = Observers::new([recorder("one"), recorder("two")]);
        let (alice, room) = (UserId::parse("alice", "user").unwrap(), RoomName::parse("r", "room").unwrap());
        observers.observe(Fact::Online(&alice));
        observers.observe(Fact::Published { room: &room });
        Observers::default().observe(Fact::Offline(&alice));
        let expected = ["one: Online", "two: Online", "one: Published", "two: Published"];
        let received = received.lock().unwrap();
        assert_eq!(received.len(), expected.len());
        for (received, expected) in received.iter().zip(expected) {
            assert!(received.starts_with(expected), "{received}");
        }
    }
}
