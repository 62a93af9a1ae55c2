//! The hub as those outside see it: publish, ask, disconnect. SKELETON: bodies follow.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Clock;
use crate::fault::Fault;
use crate::ids::{EventName, RoomName, SessionId, UserId};
use crate::stats::Stats;

/// To whom a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every authenticated session of every surface, each once.
    Everybody,
    /// Every session of one user.
    User(UserId),
    /// Every member session of a room.
    Room(RoomName),
}

/// What became of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Sessions it was handed to.
    pub recipients: usize,
}

/// A room in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSummary {
    /// Its name.
    pub room: RoomName,
    /// Member sessions.
    pub sessions: usize,
    /// Distinct users among them.
    pub users: usize,
}

/// A member of a room: a user and how many of the user's sessions are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMember {
    /// The user.
    pub user: UserId,
    /// Sessions of the user in the room.
    pub sessions: usize,
}

/// What a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The raw WebSocket on `/ws`.
    Raw,
    /// Socket.IO on `/`.
    Root,
    /// Socket.IO on `/chat`.
    Chat,
}

/// A live session, as presence shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// Its id.
    pub id: SessionId,
    /// What it speaks.
    pub surface: Surface,
    /// When it connected, ms since the epoch.
    pub connected_at: i64,
}

/// A user's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenceOf {
    /// `online`, `away`, `busy` or `offline`.
    pub status: &'static str,
    /// When the user was last seen, ms since the epoch: now while online, `None` when never.
    pub last_seen: Option<i64>,
    /// The user's live sessions, oldest first.
    pub sessions: Vec<LiveSession>,
}

/// What a limit shared between connections is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// Connections of an address on a surface.
    Connect(Surface, IpAddr),
    /// HTTP requests made with an API key, by the key's name.
    ApiKey(Arc<str>),
    /// HTTP requests of an address that shows no valid key.
    Address(IpAddr),
}

/// Whether the hub can be given work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It is going away.
    Draining,
    /// A central actor died; the hub drains and ends with a failure.
    Broken(String),
}

/// The addresses of the central actors, and nothing else of them. Cheap to share.
#[derive(Debug)]
pub struct Hub {}

impl Hub {
    /// Publishes an event of a backend. `data` is JSON text. `recipients` counts sessions.
    ///
    /// # Errors
    /// [`crate::fault::Code::Overloaded`] when a queue is full: nothing was accepted.
    /// [`crate::fault::Code::ShuttingDown`] while draining.
    pub async fn publish(
        &self,
        _target: Target,
        _event: EventName,
        _data: Bytes,
    ) -> Result<Published, Fault> {
        Err(Fault::internal())
    }

    /// Closes every session of the user with 4403 and says how many there were.
    pub fn disconnect(&self, _user: &UserId) -> usize {
        0
    }

    /// The rooms with members, by name; the hub's own rooms are left out.
    ///
    /// # Errors
    /// As [`Hub::publish`].
    pub async fn rooms(&self) -> Result<Vec<RoomSummary>, Fault> {
        Err(Fault::internal())
    }

    /// The members of a room, by user id; empty when there is no such room.
    ///
    /// # Errors
    /// As [`Hub::publish`].
    pub async fn members(&self, _room: &RoomName) -> Result<Vec<RoomMember>, Fault> {
        Err(Fault::internal())
    }

    /// A user's presence.
    ///
    /// # Errors
    /// As [`Hub::publish`].
    pub async fn presence(&self, _user: &UserId) -> Result<PresenceOf, Fault> {
        Err(Fault::internal())
    }

    /// Counts one event under `key` against `per_minute` (0: no limit).
    ///
    /// # Errors
    /// [`crate::fault::Code::RateLimited`] with the seconds to wait.
    pub async fn admit(&self, _key: LimitKey, _per_minute: u32) -> Result<(), Fault> {
        Err(Fault::internal())
    }

    /// The hub's counters.
    pub fn stats(&self) -> &Stats {
        unreachable!()
    }

    /// Sessions that may be connected at once.
    pub fn max_connections(&self) -> usize {
        0
    }

    /// Whether the hub can be given work.
    pub fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    /// Names of the central actors' mailboxes and how many messages wait in each.
    pub fn mailbox_depths(&self) -> Vec<(String, usize)> {
        Vec::new()
    }

    /// The hub's clock.
    pub fn clock(&self) -> &Clock {
        unreachable!()
    }
}
