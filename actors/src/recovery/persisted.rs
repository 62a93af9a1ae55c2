//! Suspended sessions on the disk over a planned restart. Pure.

use std::sync::Arc;

use ahash::AHashSet;
use serde::{Deserialize, Serialize};

use super::tokens::{By, Holder, SuspendedSession, TokenHash};
use crate::connection::{Served, SessionAddr};
use crate::model::identity::Identity;
use crate::model::ids::{RoomName, SessionId, UserId};
use crate::notifications::Backlog;
use crate::publication::Offset;
use crate::rooms::publication_log::RoomCursor;
use crate::runtime::clock::Clock;
use crate::store::StoredSession;

/// A suspended session.
#[derive(Debug)]
pub(crate) struct SavedSession {
    pub(crate) token: TokenHash,
    pub(crate) suspended: SuspendedSession,
    /// When it expires, ms since the epoch.
    pub(crate) until: i64,
}

/// The stored state of a session.
#[derive(Debug, Serialize, Deserialize)]
struct StoredRecord {
    session: SessionId,
    user: UserId,
    /// The identity of a guest: its client has no token to prove it again.
    identity: Option<Identity>,
    by: By,
    connected_at: i64,
    last_activity: i64,
    attempt: u32,
    named: Option<Offset>,
    served: Served,
    backlog: Option<Backlog>,
    /// Each room with its cursor: the sequence and the number of messages.
    rooms: Vec<(String, u64, u64)>,
    /// As [`SuspendedSession::closed`].
    #[serde(default)]
    closed: Vec<String>,
}

/// Converts a session for the store. `None`, and a line in the log, if it cannot be encoded.
pub(crate) fn stored(SavedSession { token, suspended, until }: SavedSession) -> Option<StoredSession> {
    let SuspendedSession { holder, rooms, closed, named, served, backlog, last_activity, attempt } = suspended;
    let Holder { session, identity, by, connected_at, .. } = holder;
    let user = identity.user.clone();
    let identity = matches!(by, By::Pid { came_as_guest: true }).then(|| (*identity).clone());
    let cursor = |RoomCursor { room, sequence, messages }| (String::from(RoomName::as_str(&room)), sequence, messages);
    let rooms = rooms.into_iter().map(cursor).collect();
    let closed = closed.into_iter().map(|room| room.as_str().to_owned()).collect();
    let record = StoredRecord {
        session,
        user,
        identity,
        by,
        connected_at,
        last_activity,
        attempt,
        named,
        served,
        backlog,
        rooms,
        closed,
    };
    match serde_json::to_string(&record) {
        Ok(record) => Some(StoredSession { token: token.0, until, record }),
        Err(error) => {
            log::error!("a suspended session cannot be encoded for the store: {error}");
            None
        }
    }
}

/// Reads the stored sessions that are not expired. A session that cannot be read is left out: it is not recovered.
pub(crate) fn restored(stored: Vec<StoredSession>, clock: &Clock) -> Vec<SavedSession> {
    let mut saved = Vec::with_capacity(stored.len());
    for StoredSession { token, until, record } in stored {
        if until <= clock.now_ms() {
            continue;
        }
        let record: StoredRecord = match serde_json::from_str(&record) {
            Ok(record) => record,
            Err(error) => {
                log::error!("a stored session cannot be read: {error}");
                continue;
            }
        };
        let StoredRecord { session, user, identity, by, connected_at, last_activity, attempt, .. } = record;
        let identity = Arc::new(identity.unwrap_or_else(|| Identity::of(user)));
        let expiry = clock.expiry(identity.expires_at);
        let holder = Holder { session, identity, by, addr: SessionAddr::NONE, expiry, connected_at };
        let cursor = |(room, sequence, messages): (String, u64, u64)| RoomCursor {
            room: RoomName::of_store(&room),
            sequence,
            messages,
        };
        let mut rooms: Vec<_> = record.rooms.into_iter().map(cursor).collect();
        // A session is in a room once, whatever a damaged record has.
        let mut names = AHashSet::new();
        rooms.retain(|cursor| names.insert(cursor.room.clone()));
        let closed = record.closed.iter().map(|room| RoomName::of_store(room)).collect();
        let (named, served, backlog) = (record.named, record.served, record.backlog);
        let suspended = SuspendedSession { holder, rooms, closed, named, served, backlog, last_activity, attempt };
        saved.push(SavedSession { token: TokenHash(token), suspended, until });
    }
    saved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Expiry;

    fn cursor(name: &str, sequence: u64) -> RoomCursor {
        RoomCursor { room: RoomName::parse(name, "room").unwrap(), sequence, messages: 4 }
    }

    fn saved(by: By, until: i64) -> SavedSession {
        let user = UserId::parse("alice", "user").unwrap();
        let identity = Identity { name: Some("Alice".into()), expires_at: Some(9), ..Identity::of(user) };
        let (session, identity) = (SessionId::random(), Arc::new(identity));
        let expiry = Expiry::new(identity.expires_at, 0, 0);
        let holder = Holder { session, identity, by, addr: SessionAddr::NONE, expiry, connected_at: 3 };
        let rooms = vec![cursor("a", 1 << 60), cursor("chat:b", 2)];
        let named = Some(Offset { number: 8, notice: Some(9) });
        let backlog = Some(Backlog::new(Default::default()).written_at(7));
        let served = Served { offered: 6, position: 9 };
        let suspended =
            SuspendedSession { holder, rooms, closed: vec![], named, served, backlog, last_activity: 5, attempt: 2 };
        SavedSession { token: TokenHash([7; 32]), suspended, until }
    }

    #[test]
    fn a_session_is_restored_unless_it_is_expired() {
        let (guest, with_token) = (By::Pid { came_as_guest: true }, By::Pid { came_as_guest: false });
        let all = [saved(guest, 10), saved(with_token, 5), saved(By::Token, 10)];
        let originals: Vec<_> = all.iter().map(|saved| saved.suspended.clone()).collect();
        let back = restored(all.into_iter().filter_map(stored).collect(), &Clock::manual(5));
        let [first, second] = &back[..] else { panic!("{back:?}") };
        assert_eq!((first.token, first.until), (TokenHash([7; 32]), 10));
        let expiry = Expiry::new(Some(9), 5, 5);
        let holder = Holder { expiry, ..originals[0].holder.clone() };
        assert_eq!(first.suspended, SuspendedSession { holder, ..originals[0].clone() });
        // The client of a session with a token sends it again.
        let identity = Arc::new(Identity::of(UserId::parse("alice", "user").unwrap()));
        let holder = Holder { identity, expiry: Expiry::NEVER, ..originals[2].holder.clone() };
        assert_eq!(second.suspended, SuspendedSession { holder, ..originals[2].clone() });
    }

    #[test]
    fn an_unreadable_session_is_left_out_and_a_room_is_watched_once() {
        let damaged = |from: &str, to: &str| {
            let mut session = stored(saved(By::Token, 10)).unwrap();
            assert!(session.record.contains(from), "{}", session.record);
            session.record = session.record.replace(from, to);
            session
        };
        let rooms = r#""rooms":[["a",1152921504606846976,4],["chat:b",2,4]]"#;
        let all = [
            damaged(rooms, r#""rooms":["a"]"#),
            damaged(rooms, r#""rooms":[["a",-1,0]]"#),
            damaged(r#""by":"Token""#, r#""by":"Other""#),
            damaged("{", ""),
            damaged(rooms, r#""rooms":[["a",3,4],["a",2,1],["chat:b",2,4]]"#),
        ];
        let back = restored(all.into(), &Clock::manual(5));
        let [SavedSession { suspended, .. }] = &back[..] else { panic!("{back:?}") };
        assert_eq!(suspended.rooms, [cursor("a", 3), cursor("chat:b", 2)]);
    }
}
