//! Suspended sessions on the disk over a planned restart. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::frames;
use super::tokens::{By, Holder, SuspendedSession, TokenHash};
use crate::connection::retained::Brought;
use crate::connection::{Remains, SessionAddr};
use crate::model::identity::Identity;
use crate::model::ids::{NotificationId, RoomName, SessionId, UserId};
use crate::publication::{MessageKind, Payload};
use crate::runtime::clock::Clock;
use crate::store::{StoredDelivery, StoredSession, StoredSessions};

/// A suspended session with its buffer.
#[derive(Debug)]
pub(crate) struct SavedSession {
    pub(crate) token: TokenHash,
    pub(crate) suspended: SuspendedSession,
    /// When it expires, ms since the epoch.
    pub(crate) until: i64,
    /// The contents of its buffer.
    pub(crate) remains: Remains,
}

/// The stored part of a session without its deliveries.
#[derive(Debug, Serialize, Deserialize)]
struct StoredHeader {
    session: SessionId,
    user: UserId,
    /// The identity of a guest: its client has no token to prove it again.
    identity: Option<Identity>,
    by: By,
    connected_at: i64,
    last_activity: i64,
    attempt: u32,
    rooms: Vec<String>,
    kept: BufferKind,
}

#[derive(Debug, Serialize, Deserialize)]
enum BufferKind {
    Messages { dropped: u64 },
    Tail { left: Option<u64>, is_confirmed: bool },
}

/// Sessions for the store. A delivery in several buffers is stored once.
#[derive(Debug, Default)]
pub(crate) struct SessionsToStore {
    stored: StoredSessions,
    known: HashSet<(u64, bool)>,
}

impl SessionsToStore {
    /// The sessions for the store.
    pub(crate) fn into_stored(self) -> StoredSessions {
        self.stored
    }

    /// Adds a session. A session that cannot be encoded is left out and logged.
    pub(crate) fn add(&mut self, SavedSession { token, suspended, until, remains }: SavedSession) {
        let Self { stored, known } = self;
        let SuspendedSession { holder, rooms, last_activity, attempt } = suspended;
        let Holder { session, identity, by, connected_at, .. } = holder;
        let (buffer, deliveries) = match remains {
            Remains::Messages(deliveries, dropped) => (BufferKind::Messages { dropped }, deliveries),
            Remains::Tail { deliveries, left, is_confirmed } => (BufferKind::Tail { left, is_confirmed }, deliveries),
        };
        let is_frame = matches!(buffer, BufferKind::Tail { .. });
        let user = identity.user.clone();
        let identity = matches!(by, By::Pid { came_as_guest: true }).then(|| (*identity).clone());
        let rooms = rooms.iter().map(|room| room.as_str().to_owned()).collect();
        let head =
            StoredHeader { session, user, identity, by, connected_at, last_activity, attempt, rooms, kept: buffer };
        match serde_json::to_string(&head) {
            Ok(head) => {
                let numbers = deliveries.iter().map(|delivery| delivery.number).collect();
                stored.sessions.push(StoredSession { token: token.0, until, head, deliveries: numbers });
                let new = deliveries.into_iter().filter(|delivery| known.insert((delivery.number, is_frame)));
                let new = new.map(|Brought { number, room, payload, about }| {
                    let bytes = if is_frame { frames::encode(&payload) } else { payload.bytes().clone() };
                    let (room, about) = (room.as_str().to_owned(), about.map(|id| id.as_str().to_owned()));
                    StoredDelivery { number, is_frame, room, bytes, about }
                });
                stored.deliveries.extend(new);
            }
            Err(error) => log::error!("a suspended session cannot be encoded for the store: {error}"),
        }
    }
}

/// Reads the stored sessions that are not expired, and gives each the next address of `addrs`. A session that cannot be
/// read or lacks a delivery is left out: it is not recovered.
pub(crate) fn restored(
    stored: StoredSessions,
    clock: &Clock,
    mut addrs: impl Iterator<Item = SessionAddr>,
) -> Vec<SavedSession> {
    let brought = |StoredDelivery { number, is_frame, room, bytes, about }| {
        let about = about.and_then(|id| NotificationId::parse(&id, "about").ok());
        let text = |bytes| Some(Payload::message(MessageKind::Text, bytes));
        let Some(payload) = (if is_frame { frames::decode(bytes) } else { text(bytes) }) else {
            log::error!("a stored delivery cannot be read: number {number}");
            return None;
        };
        Some(((number, is_frame), Brought { number, room: RoomName::of_store(&room), payload, about }))
    };
    let deliveries: HashMap<(u64, bool), Brought> = stored.deliveries.into_iter().filter_map(brought).collect();
    let mut saved = Vec::with_capacity(stored.sessions.len());
    for StoredSession { token, until, head, deliveries: numbers } in stored.sessions {
        if until <= clock.now_ms() {
            continue;
        }
        let head: StoredHeader = match serde_json::from_str(&head) {
            Ok(head) => head,
            Err(error) => {
                log::error!("a stored session cannot be read: {error}");
                continue;
            }
        };
        let is_frame = matches!(head.kept, BufferKind::Tail { .. });
        let deliveries_of: Option<Vec<_>> =
            numbers.iter().map(|&number| deliveries.get(&(number, is_frame)).cloned()).collect();
        // Workers take their slots in this order, so a session that is left out takes no address.
        let Some(buffered) = deliveries_of else { continue };
        let Some(addr) = addrs.next() else { break };
        let remains = match head.kept {
            BufferKind::Messages { dropped } => Remains::Messages(buffered, dropped),
            BufferKind::Tail { left, is_confirmed } => Remains::Tail { deliveries: buffered, left, is_confirmed },
        };
        let StoredHeader { session, user, identity, by, connected_at, last_activity, attempt, rooms, .. } = head;
        let identity = Arc::new(identity.unwrap_or_else(|| Identity::of(user)));
        let expiry = clock.expiry(identity.expires_at);
        let holder = Holder { session, identity, by, addr, expiry, connected_at };
        let rooms = rooms.iter().map(|room| RoomName::of_store(room)).collect();
        let suspended = SuspendedSession { holder, rooms, last_activity, attempt };
        saved.push(SavedSession { token: TokenHash(token), suspended, until, remains });
    }
    saved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::SessionTable;
    use crate::runtime::clock::Expiry;

    fn saved(by: By, until: i64, remains: Remains) -> SavedSession {
        let user = UserId::parse("alice", "user").unwrap();
        let identity = Identity { name: Some("Alice".into()), expires_at: Some(9), ..Identity::of(user) };
        let (session, identity) = (SessionId::random(), Arc::new(identity));
        let expiry = Expiry::new(identity.expires_at, 0, 0);
        let holder = Holder { session, identity, by, addr: SessionTable::any_addr(), expiry, connected_at: 3 };
        let suspended = SuspendedSession { holder, rooms: vec![RoomName::everybody()], last_activity: 5, attempt: 2 };
        SavedSession { token: TokenHash([7; 32]), suspended, until, remains }
    }

    fn brought(number: u64) -> Brought {
        let about = NotificationId::parse("7", "about").ok();
        Brought { number, room: RoomName::everybody(), payload: Payload::text([number.to_string().as_bytes()]), about }
    }

    fn stored(all: Vec<SavedSession>) -> StoredSessions {
        let mut sessions = SessionsToStore::default();
        all.into_iter().for_each(|saved| sessions.add(saved));
        sessions.into_stored()
    }

    fn tail(numbers: &[u64]) -> Remains {
        let deliveries = numbers.iter().map(|&number| brought(number)).collect();
        Remains::Tail { deliveries, left: Some(1), is_confirmed: true }
    }

    #[test]
    fn a_session_is_restored_unless_it_is_expired() {
        let guest = By::Pid { came_as_guest: true };
        let all = vec![
            saved(guest, 10, tail(&[4, 2])),
            saved(By::Pid { came_as_guest: false }, 5, tail(&[4])),
            saved(By::Token, 10, Remains::Messages(vec![brought(4)], 6)),
        ];
        let sessions: Vec<_> = all.iter().map(|saved| saved.suspended.holder.session).collect();
        let addrs = (0..).map(SessionTable::addr_of);
        let back = restored(stored(all), &Clock::manual(5), addrs);
        let [first, second] = &back[..] else { panic!("{back:?}") };
        assert_eq!((first.suspended.holder.session, second.suspended.holder.session), (sessions[0], sessions[2]));
        assert_eq!((first.token.0, first.until, &first.remains), ([7; 32], 10, &tail(&[4, 2])));
        assert_eq!(first.suspended.holder.identity.display_name(), "Alice");
        assert_eq!(first.suspended.holder.expiry, Expiry::new(Some(9), 5, 5));
        assert_eq!(second.suspended.holder.identity.display_name(), "alice", "the client sends a token again");
        assert_eq!(second.remains, Remains::Messages(vec![brought(4)], 6));
        let SuspendedSession { holder, rooms, last_activity, attempt } = &second.suspended;
        assert_eq!((holder.addr, holder.connected_at, *last_activity, *attempt), (SessionTable::addr_of(1), 3, 5, 2));
        assert_eq!(*rooms, [RoomName::everybody()]);
    }

    #[test]
    fn a_stored_session_that_lacks_a_delivery_is_not_restored() {
        let mut stored = stored(vec![saved(By::Token, 10, tail(&[4, 5])), saved(By::Token, 10, tail(&[4]))]);
        assert_eq!(stored.deliveries.len(), 2, "a shared delivery is stored once");
        stored.deliveries.pop();
        let back = restored(stored, &Clock::manual(5), (0..).map(SessionTable::addr_of));
        let addrs: Vec<_> = back.iter().map(|saved| saved.suspended.holder.addr).collect();
        assert_eq!(addrs, [SessionTable::addr_of(0)]);
    }
}
