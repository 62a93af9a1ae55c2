//! The table of live connections, sessions and users.

use super::*;
use crate::connection::SessionTable;

fn session(identity: Identity) -> LiveSession {
    let (addr, identity) = (SessionTable::any_addr(), Arc::new(identity));
    let (id, peer) = (SessionId::random(), Peer::default());
    LiveSession { id, surface: Surface::Raw, connected_at: 7, addr, identity, peer }
}

fn listed(registry: &Arc<Registry>, session: LiveSession) -> SessionEntry {
    let mut entry = SessionEntry::new(registry.clone(), 7);
    entry.list(session);
    entry
}

#[test]
fn a_session_is_found_by_its_last_token() {
    let registry = Arc::new(Registry::new(9, Arc::new(Stats::default())));
    let user = UserId::parse("alice", "user").unwrap();
    let with = |id: &str| Identity { token_id: Some(id.into()), ..Identity::of(user.clone()) };
    let found = |id: &'static str| {
        let matches = move |identity: &Identity| identity.token_id.as_deref() == Some(id);
        let found = registry.find(matches);
        assert_eq!(registry.find_of(&user, matches), found);
        found.len()
    };
    let entry = listed(&registry, session(with("first")));
    let _other = listed(&registry, session(with("other")));
    assert_eq!((found("first"), found("second")), (1, 0));
    entry.renew(Arc::new(with("second")));
    assert_eq!((found("first"), found("second"), found("other")), (0, 1, 1));
}

#[test]
fn the_end_of_a_connection_frees_its_slot() {
    let registry = Arc::new(Registry::new(1, Arc::new(Stats::default())));
    let admission = registry.admit().unwrap();
    assert_eq!((registry.admit().unwrap_err().code, registry.connections()), (Code::ServerFull, 1));
    drop(admission);
    assert_eq!(registry.connections(), 0);
    assert!(registry.admit().is_ok());
}

#[test]
fn a_refused_pending_connection_frees_its_slot() {
    let registry = Arc::new(Registry::new(4, Arc::new(Stats::default())));
    let held = registry.admit_pending(0).unwrap();
    assert_eq!(registry.admit_pending(0).unwrap_err().code, Code::ServerFull);
    assert_eq!(registry.connections(), 1);
    let others: Vec<_> = (0..3).map(|_| registry.admit().unwrap()).collect();
    assert_eq!(
        registry.admit_pending(10_000).unwrap_err().code,
        Code::ServerFull,
        "no connection is evicted when the hub is full"
    );
    assert_eq!(registry.stats.pending_connections.get(), 1);
    drop((held, others));
    assert_eq!((registry.connections(), registry.stats.pending_connections.get()), (0, 0));
}

#[test]
fn a_session_is_counted_from_its_start_and_found_once_its_user_is_known() {
    let stats = Arc::new(Stats::default());
    let registry = Arc::new(Registry::new(1, stats.clone()));
    let user = UserId::parse("alice", "user").unwrap();
    let session = session(Identity::of(user.clone()));

    let mut entry = SessionEntry::new(registry.clone(), 7);
    assert_eq!((registry.sessions_of(&user), stats.sessions.get()), (vec![], 1));
    entry.list(session.clone());
    assert_eq!(registry.sessions_of(&user), vec![session.clone()]);
    entry.unlist();
    assert_eq!((registry.sessions_of(&user), stats.sessions.get()), (vec![], 1));
    entry.list(session);
    drop(entry);
    assert_eq!((registry.sessions_of(&user), stats.sessions.get()), (vec![], 0));
}

fn named(name: &str, connected_at: i64) -> LiveSession {
    let identity = Identity::of(UserId::parse(name, "user").unwrap());
    LiveSession { connected_at, ..session(identity) }
}

fn online(registry: &Registry, most: usize) -> Vec<String> {
    let line = |user: OnlineUser| format!("{} {:?} {}", user.user_id, user.status, user.connected_at.0);
    registry.online(most, 99).into_iter().map(line).collect()
}

#[test]
fn users_are_ordered_by_their_oldest_session() {
    let registry = Arc::new(Registry::new(9, Arc::new(Stats::default())));
    let first = listed(&registry, named("carol", 1));
    let _second = listed(&registry, named("carol", 3));
    let _bob = listed(&registry, named("bob", 2));
    let _alice = listed(&registry, named("alice", 2));
    assert_eq!(online(&registry, 9), ["carol Online 1", "alice Online 2", "bob Online 2"]);
    assert_eq!(online(&registry, 1), ["carol Online 1"]);
    drop(first);
    assert_eq!(online(&registry, 9), ["alice Online 2", "bob Online 2", "carol Online 3"]);
}

#[test]
fn a_status_applies_to_all_sessions_of_a_user_until_the_last_one_ends() {
    let registry = Arc::new(Registry::new(9, Arc::new(Stats::default())));
    let alice = UserId::parse("alice", "user").unwrap();
    assert_eq!(registry.availability_of(&alice), Availability::Offline);
    assert!(!registry.set_availability(&alice, Availability::Away), "she has no session");
    let one = listed(&registry, named("alice", 1));
    let _bob = listed(&registry, named("bob", 2));
    assert_eq!(registry.availability_of(&alice), Availability::Online);
    assert!(!registry.set_availability(&alice, Availability::Online), "it is the current status");
    assert!(registry.set_availability(&alice, Availability::Away));
    assert_eq!(registry.status_counts(), StatusCounts { online: 1, away: 1, busy: 0 });
    assert!(registry.set_availability(&alice, Availability::Busy));
    let two = listed(&registry, named("alice", 3));
    drop(one);
    assert_eq!(registry.status_counts(), StatusCounts { online: 1, away: 0, busy: 1 });
    assert_eq!(online(&registry, 9), ["bob Online 2", "alice Busy 3"]);
    drop(two);
    assert_eq!(
        (registry.status_counts(), online(&registry, 9)),
        (StatusCounts { online: 1, away: 0, busy: 0 }, vec!["bob Online 2".into()])
    );
    let _again = listed(&registry, named("alice", 4));
    assert_eq!(registry.availability_of(&alice), Availability::Online);
}
