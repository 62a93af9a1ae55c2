use super::*;
use crate::connection::SessionTable;

fn user(id: &str) -> UserId {
    UserId::parse(id, "user").unwrap()
}

fn token(text: &str) -> RecoveryToken {
    RecoveryToken::read(text)
}

fn holder(id: &str) -> Holder {
    let (session, identity) = (SessionId::random(), Arc::new(Identity::of(user(id))));
    let (expiry, addr) = (Expiry::NEVER, SessionTable::any_addr());
    Holder { session, identity, by: By::Token, addr, expiry, connected_at: 3 }
}

fn claim(id: &str) -> RecoveryClaim {
    RecoveryClaim::Token(user(id))
}

fn cursor() -> RoomCursor {
    RoomCursor { room: RoomName::everybody(), sequence: 7, messages: 0 }
}

fn suspension() -> Suspension {
    Suspension {
        rooms: vec![cursor()],
        named: Some(Offset::of(6)),
        served: Served::default(),
        backlog: None,
        last_activity: 5,
    }
}

fn unknown() -> SuspendResult {
    SuspendResult::Unknown(vec![RoomName::everybody()])
}

fn suspended(tokens: &mut TokenTable, id: &str, name: &str, elapsed: i64) -> Option<SuspendedSession> {
    let holder = holder(id);
    tokens.issue(holder.clone(), &token(name));
    match tokens.suspend(holder.session, suspension(), elapsed) {
        SuspendResult::Suspended(evicted) => evicted.into_iter().next(),
        SuspendResult::Unknown(_) => panic!("the session has a token"),
    }
}

#[test]
fn a_token_recovers_a_suspended_session_once_and_only_for_its_user() {
    let mut tokens = TokenTable::new(100, 9);
    let holder = holder("a");
    tokens.issue(holder.clone(), &token("t"));
    assert_eq!(tokens.redeem(&token("t"), &claim("a")), Redeemed::Live(holder.addr, holder.session));
    assert_eq!(tokens.suspend(holder.session, suspension(), 0), SuspendResult::Suspended(Vec::new()));
    assert_eq!(tokens.suspend(holder.session, suspension(), 0), unknown());
    assert_eq!(tokens.redeem(&token("t"), &claim("b")), Redeemed::Nothing);
    assert_eq!(tokens.redeem(&token("u"), &claim("a")), Redeemed::Nothing);
    let expected = SuspendedSession {
        holder,
        rooms: vec![cursor()],
        closed: vec![],
        named: Some(Offset::of(6)),
        served: Served::default(),
        backlog: None,
        last_activity: 5,
        attempt: 2,
    };
    assert_eq!(tokens.redeem(&token("t"), &claim("a")), Redeemed::Suspended(expected, 100));
    assert_eq!(tokens.redeem(&token("t"), &claim("a")), Redeemed::Nothing);
    assert_eq!((tokens.count(), tokens.suspended(), tokens.of_session.len()), (0, 0, 0));
}

#[test]
fn a_new_token_replaces_the_old_one_and_the_end_of_a_session_removes_its_token() {
    let mut tokens = TokenTable::new(100, 9);
    let holder = holder("a");
    tokens.issue(holder.clone(), &token("old"));
    tokens.issue(holder.clone(), &token("new"));
    assert_eq!(tokens.redeem(&token("old"), &claim("a")), Redeemed::Nothing);
    tokens.discard(holder.session);
    assert_eq!(tokens.redeem(&token("new"), &claim("a")), Redeemed::Nothing);
    assert_eq!((tokens.count(), tokens.of_session.len()), (0, 0));
    assert_eq!(tokens.suspend(holder.session, suspension(), 0), unknown());
}

#[test]
fn a_suspended_session_expires_at_its_time() {
    let mut tokens = TokenTable::new(100, 9);
    assert_eq!(suspended(&mut tokens, "a", "t", 0), None);
    assert_eq!(suspended(&mut tokens, "b", "u", 10), None);
    assert_eq!((tokens.next_due(), tokens.expire(99)), (Some(100), None));
    assert_eq!(tokens.expire(100).map(|suspended| suspended.holder.identity.user.clone()), Some(user("a")));
    assert_eq!((tokens.expire(100), tokens.next_due()), (None, Some(110)));
    assert_eq!(tokens.redeem(&token("t"), &claim("a")), Redeemed::Nothing);
}

#[test]
fn dropping_the_records_of_a_user_keeps_the_records_of_others() {
    let mut tokens = TokenTable::new(100, 9);
    let live = holder("a");
    tokens.issue(live.clone(), &token("live"));
    suspended(&mut tokens, "a", "second", 7);
    suspended(&mut tokens, "a", "first", 5);
    suspended(&mut tokens, "b", "other", 6);
    let dropped = tokens.drop_records(|identity| identity.user == user("a"));
    assert_eq!(dropped.iter().map(|suspended| suspended.holder.identity.user.as_str()).collect::<Vec<_>>(), ["a", "a"]);
    for name in ["live", "first", "second"] {
        assert_eq!(tokens.redeem(&token(name), &claim("a")), Redeemed::Nothing, "{name}");
    }
    assert_eq!(tokens.suspend(live.session, suspension(), 0), unknown());
    assert_eq!((tokens.count(), tokens.suspended(), tokens.of_session.len()), (1, 1, 1));
    assert_eq!(tokens.drop_records(|_| false), []);
}

#[test]
fn the_session_suspended_first_is_evicted_at_the_bound() {
    let mut tokens = TokenTable::new(100, 1);
    assert_eq!(suspended(&mut tokens, "a", "t", 0), None);
    assert_eq!(
        suspended(&mut tokens, "b", "u", 0).map(|suspended| suspended.holder.identity.user.clone()),
        Some(user("a"))
    );
    assert_eq!((tokens.suspended(), tokens.count()), (1, 1));
    let mut many = TokenTable::new(100, 1_000);
    suspended(&mut many, "b", "other", 0);
    for number in 0..SUSPENDED_OF_USER_MAX {
        assert_eq!(suspended(&mut many, "a", &format!("a{number}"), 1), None);
    }
    assert_eq!(
        suspended(&mut many, "a", "one more", 2).map(|suspended| suspended.holder.identity.user.clone()),
        Some(user("a"))
    );
    assert_eq!(many.redeem(&token("a0"), &claim("a")), Redeemed::Nothing);
    assert_eq!((many.suspended(), many.of_user.len()), (SUSPENDED_OF_USER_MAX + 1, 2));
    let mut none = TokenTable::new(100, 0);
    assert!(suspended(&mut none, "a", "t", 0).is_some());
}

#[test]
fn a_private_id_recovers_for_its_user_or_for_a_guest() {
    let mut tokens = TokenTable::new(100, 9);
    let mut suspend = |came_as_guest, name| {
        let holder = Holder { by: By::Pid { came_as_guest }, ..holder("a") };
        tokens.issue(holder.clone(), &token(name));
        tokens.suspend(holder.session, suspension(), 0);
    };
    suspend(false, "user's");
    suspend(true, "guest's");
    let none = [RecoveryClaim::Pid(Some(user("b"))), RecoveryClaim::Token(user("a")), RecoveryClaim::Pid(None)];
    for claim in &none {
        assert_eq!(tokens.redeem(&token("user's"), claim), Redeemed::Nothing, "{claim:?}");
    }
    for claim in &none[..2] {
        assert_eq!(tokens.redeem(&token("guest's"), claim), Redeemed::Nothing, "{claim:?}");
    }
    tokens.note_attempt(&token("guest's"));
    for (name, claim, attempts) in
        [("user's", RecoveryClaim::Pid(Some(user("a"))), 4), ("guest's", RecoveryClaim::Pid(None), 4)]
    {
        let Redeemed::Suspended(suspended, _) = tokens.redeem(&token(name), &claim) else { panic!("{name}") };
        assert_eq!(suspended.attempt, attempts, "{name}");
    }
}

#[test]
fn a_closed_room_leaves_the_records_of_users_without_access() {
    let mut tokens = TokenTable::new(100, 9);
    suspended(&mut tokens, "a", "t", 0);
    suspended(&mut tokens, "b", "u", 0);
    let may_join = |other: &UserId| *other == user("b");
    let [everybody, other] = [RoomName::everybody(), RoomName::of_user(&user("a"))];
    assert_eq!([&other, &everybody, &everybody].map(|room| tokens.close_room(room, may_join)), [0, 1, 0]);
    assert_eq!(tokens.rooms, 2, "a closed room counts until its client knows");
    for (name, id, rooms, closed) in [("t", "a", vec![], vec![everybody]), ("u", "b", vec![cursor()], vec![])] {
        let Redeemed::Suspended(suspended, _) = tokens.redeem(&token(name), &claim(id)) else { panic!("{name}") };
        assert_eq!((suspended.rooms, suspended.closed), (rooms, closed), "{name}");
    }
    assert_eq!(tokens.rooms, 0);
}

#[test]
fn the_sessions_suspended_first_are_evicted_while_all_have_too_many_rooms() {
    let mut tokens = TokenTable::new(100, 1_000);
    for number in 0..3 {
        assert_eq!(suspended(&mut tokens, &number.to_string(), &number.to_string(), 0), None);
    }
    let large = holder("large");
    tokens.issue(large.clone(), &token("large"));
    let rooms = vec![cursor(); SUSPENDED_ROOMS_MAX - 1];
    let SuspendResult::Suspended(evicted) = tokens.suspend(large.session, Suspension { rooms, ..suspension() }, 1)
    else {
        panic!("the session has a token")
    };
    let users: Vec<_> = evicted.iter().map(|evicted| evicted.holder.identity.user.as_str()).collect();
    assert_eq!((users, tokens.rooms), (vec!["0", "1"], SUSPENDED_ROOMS_MAX));
}
