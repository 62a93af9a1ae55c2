//! How sessions that were cut off go to the disk when the hub goes away, and come back. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tokens::{By, Holder, SuspendedSession, TokenHash};
use crate::connection::retained::Brought;
use crate::connection::{Remains, SessionAddr};
use crate::model::identity::Identity;
use crate::model::ids::{NotificationId, RoomName, SessionId, UserId};
use crate::runtime::clock::Clock;
use crate::store::{StoredDelivery, StoredSession, StoredSessions};

/// A session on its way from or to the disk.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) token: TokenHash,
    pub(crate) suspended: SuspendedSession,
    /// Until when it may be recovered, ms since the epoch.
    pub(crate) until: i64,
    /// What its seat kept.
    pub(crate) remains: Remains,
}

/// What is stored of a session beside its deliveries.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    session: SessionId,
    user: UserId,
    /// Who it is, where its client need not show that again.
    identity: Option<Identity>,
    by: By,
    connected_at: i64,
    last_activity: i64,
    attempt: u32,
    rooms: Vec<String>,
    kept: Kept,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kept {
    Messages { dropped: u64 },
    Tail { left: Option<u64>, is_confirmed: bool },
}

/// Sessions as the store will have them: what several keep is in it once.
#[derive(Debug, Default)]
pub(crate) struct Storing {
    stored: StoredSessions,
    known: HashSet<(u64, bool)>,
}

impl Storing {
    /// What is to be stored.
    pub(crate) fn done(self) -> StoredSessions {
        self.stored
    }

    /// Adds a session. One whose head cannot be written is left out, and told.
    pub(crate) fn add(&mut self, Saved { token, suspended, until, remains }: Saved) {
        let Self { stored, known } = self;
        let SuspendedSession { holder, rooms, last_activity, attempt } = suspended;
        let Holder { session, identity, by, connected_at, .. } = holder;
        let (kept, deliveries) = match remains {
            Remains::Messages(deliveries, dropped) => (Kept::Messages { dropped }, deliveries),
            Remains::Tail { deliveries, left, is_confirmed } => (Kept::Tail { left, is_confirmed }, deliveries),
        };
        let is_frame = matches!(kept, Kept::Tail { .. });
        let user = identity.user.clone();
        let identity = matches!(by, By::Pid { came_as_guest: true }).then(|| (*identity).clone());
        let rooms = rooms.iter().map(|room| room.as_str().to_owned()).collect();
        let head = Head { session, user, identity, by, connected_at, last_activity, attempt, rooms, kept };
        match serde_json::to_string(&head) {
            Ok(head) => {
                let numbers = deliveries.iter().map(|delivery| delivery.number).collect();
                stored.sessions.push(StoredSession { token: token.0, until, head, deliveries: numbers });
                let new = deliveries.into_iter().filter(|delivery| known.insert((delivery.number, is_frame)));
                let new = new.map(|Brought { number, room, bytes, about }| {
                    let (room, about) = (room.as_str().to_owned(), about.map(|id| id.as_str().to_owned()));
                    StoredDelivery { number, is_frame, room, bytes, about }
                });
                stored.deliveries.extend(new);
            }
            Err(error) => log::error!("a session that was cut off cannot be stored: {error}"),
        }
    }
}

/// The sessions that may still be recovered when `clock` says so, each on the place that `places` gives it. One
/// that cannot be read, or lacks a delivery, is left out: its client is told that it does not go on.
pub(crate) fn restored(
    stored: StoredSessions,
    clock: &Clock,
    mut places: impl Iterator<Item = SessionAddr>,
) -> Vec<Saved> {
    let brought = |StoredDelivery { number, is_frame, room, bytes, about }| {
        let about = about.and_then(|id| NotificationId::parse(&id, "about").ok());
        ((number, is_frame), Brought { number, room: RoomName::of_store(&room), bytes, about })
    };
    let deliveries: HashMap<(u64, bool), Brought> = stored.deliveries.into_iter().map(brought).collect();
    let mut saved = Vec::with_capacity(stored.sessions.len());
    for StoredSession { token, until, head, deliveries: numbers } in stored.sessions {
        if until <= clock.now_ms() {
            continue;
        }
        let head: Head = match serde_json::from_str(&head) {
            Ok(head) => head,
            Err(error) => {
                log::error!("what was stored of a session that was cut off cannot be read: {error}");
                continue;
            }
        };
        let is_frame = matches!(head.kept, Kept::Tail { .. });
        let kept: Option<Vec<_>> = numbers.iter().map(|&number| deliveries.get(&(number, is_frame)).cloned()).collect();
        // A place is taken by who comes back, and by nobody else: the seats are taken in their order.
        let Some(kept) = kept else { continue };
        let Some(place) = places.next() else { break };
        let remains = match head.kept {
            Kept::Messages { dropped } => Remains::Messages(kept, dropped),
            Kept::Tail { left, is_confirmed } => Remains::Tail { deliveries: kept, left, is_confirmed },
        };
        let Head { session, user, identity, by, connected_at, last_activity, attempt, rooms, .. } = head;
        let identity = Arc::new(identity.unwrap_or_else(|| Identity::of(user)));
        let expiry = clock.expiry(identity.expires_at);
        let holder = Holder { session, identity, by, place, expiry, connected_at };
        let rooms = rooms.iter().map(|room| RoomName::of_store(room)).collect();
        let suspended = SuspendedSession { holder, rooms, last_activity, attempt };
        saved.push(Saved { token: TokenHash(token), suspended, until, remains });
    }
    saved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::SessionTable;
    use crate::runtime::clock::Expiry;

    fn saved(by: By, until: i64, remains: Remains) -> Saved {
        let user = UserId::parse("alice", "user").unwrap();
        let identity = Identity { name: Some("Alice".into()), expires_at: Some(9), ..Identity::of(user) };
        let (session, identity) = (SessionId::random(), Arc::new(identity));
        let expiry = Expiry::new(identity.expires_at, 0, 0);
        let holder = Holder { session, identity, by, place: SessionTable::any_addr(), expiry, connected_at: 3 };
        let suspended = SuspendedSession { holder, rooms: vec![RoomName::everybody()], last_activity: 5, attempt: 2 };
        Saved { token: TokenHash([7; 32]), suspended, until, remains }
    }

    fn brought(number: u64) -> Brought {
        let about = NotificationId::parse("7", "about").ok();
        Brought { number, room: RoomName::everybody(), bytes: number.to_string().into(), about }
    }

    fn stored(all: Vec<Saved>) -> StoredSessions {
        let mut storing = Storing::default();
        all.into_iter().for_each(|saved| storing.add(saved));
        storing.done()
    }

    fn tail(numbers: &[u64]) -> Remains {
        let deliveries = numbers.iter().map(|&number| brought(number)).collect();
        Remains::Tail { deliveries, left: Some(1), is_confirmed: true }
    }

    #[test]
    fn a_session_comes_back_as_it_was_unless_its_time_is_over() {
        let guest = By::Pid { came_as_guest: true };
        let all = vec![
            saved(guest, 10, tail(&[4, 2])),
            saved(By::Pid { came_as_guest: false }, 5, tail(&[4])),
            saved(By::Token, 10, Remains::Messages(vec![brought(4)], 6)),
        ];
        let sessions: Vec<_> = all.iter().map(|saved| saved.suspended.holder.session).collect();
        let places = (0..).map(SessionTable::addr_of);
        let back = restored(stored(all), &Clock::manual(5), places);
        let [first, second] = &back[..] else { panic!("{back:?}") };
        assert_eq!((first.suspended.holder.session, second.suspended.holder.session), (sessions[0], sessions[2]));
        assert_eq!((first.token.0, first.until, &first.remains), ([7; 32], 10, &tail(&[4, 2])));
        assert_eq!(first.suspended.holder.identity.display_name(), "Alice");
        assert_eq!(first.suspended.holder.expiry, Expiry::new(Some(9), 5, 5));
        assert_eq!(second.suspended.holder.identity.display_name(), "alice", "a token shows who that is");
        assert_eq!(second.remains, Remains::Messages(vec![brought(4)], 6));
        let SuspendedSession { holder, rooms, last_activity, attempt } = &second.suspended;
        assert_eq!((holder.place, holder.connected_at, *last_activity, *attempt), (SessionTable::addr_of(1), 3, 5, 2));
        assert_eq!(*rooms, [RoomName::everybody()]);
    }

    #[test]
    fn a_session_that_lacks_a_delivery_does_not_come_back_and_takes_no_place() {
        let mut stored = stored(vec![saved(By::Token, 10, tail(&[4, 5])), saved(By::Token, 10, tail(&[4]))]);
        assert_eq!(stored.deliveries.len(), 2, "what both keep is there once");
        stored.deliveries.pop();
        let back = restored(stored, &Clock::manual(5), (0..).map(SessionTable::addr_of));
        let places: Vec<_> = back.iter().map(|saved| saved.suspended.holder.place).collect();
        assert_eq!(places, [SessionTable::addr_of(0)]);
    }
}
