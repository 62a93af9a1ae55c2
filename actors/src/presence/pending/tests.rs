//! Which presence changes are announced, when, and in which rooms.

use super::*;
use crate::model::availability::Availability::{Away, Busy, Online};

fn changes(audience: PresenceAudience) -> PendingChanges {
    PendingChanges::new(&PresenceSettings { audience, linger_ms: 100, ..PresenceSettings::default() })
}

fn user(id: &str) -> Arc<Identity> {
    Arc::new(Identity::of(UserId::parse(id, "user").unwrap()))
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name, "room").unwrap()
}

fn take(changes: &mut PendingChanges, elapsed: i64) -> Vec<String> {
    let lines = changes.take(elapsed, usize::MAX).into_iter().map(|mut notice| {
        let change = match notice.change {
            PresenceChange::Online(Online) => "+".to_owned(),
            PresenceChange::Online(status) => format!("+{status:?} "),
            PresenceChange::Offline => "-".to_owned(),
            PresenceChange::Status(status) => format!("{status:?} "),
        };
        notice.rooms.sort();
        notice.known_in.sort();
        format!("{change}{}@{} {:?} {:?}", notice.identity.user, notice.at, notice.rooms, notice.known_in)
    });
    lines.collect()
}

#[test]
fn online_is_announced_at_once_and_offline_after_a_delay() {
    let mut changes = changes(PresenceAudience::All);
    changes.user_online(&user("a"), Online, 1, 1_000);
    assert_eq!(take(&mut changes, 1_000), ["+a@1 [] []"]);
    changes.user_offline(&user("a"), 2, 1_001);
    assert_eq!((take(&mut changes, 1_100), changes.next_due()), (vec![], Some(1_101)));
    assert_eq!(take(&mut changes, 1_101), ["-a@2 [] []"]);
    assert_eq!((changes.next_due(), changes.coalesced, changes.suppressed), (None, 0, 0));
}

#[test]
fn a_reversed_change_is_not_announced() {
    let mut changes = changes(PresenceAudience::All);
    let alice = user("a");
    changes.user_online(&alice, Online, 1, 0);
    assert_eq!(take(&mut changes, 0).len(), 1);
    for time in 0..10 {
        changes.user_offline(&alice, 2, time);
        changes.user_online(&alice, Online, 3, time);
    }
    changes.user_online(&user("b"), Online, 4, 10);
    changes.user_offline(&user("b"), 5, 10);
    assert_eq!((take(&mut changes, 1_000), changes.coalesced), (vec![], 22));
    changes.user_offline(&alice, 6, 1_000);
    assert_eq!(take(&mut changes, 1_100), ["-a@6 [] []"]);
}

#[test]
fn the_longest_due_change_is_announced_first_and_an_overdue_one_is_dropped() {
    let mut changes = changes(PresenceAudience::All);
    for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
        changes.user_online(&user(id), Online, 1, 10 * number as i64);
    }
    assert_eq!(changes.take(20, 1)[0].identity.user.as_str(), "a");
    assert_eq!(take(&mut changes, WAIT_MAX_MS + 15), ["+c@1 [] []"]);
    assert_eq!(changes.suppressed, 1);
}

#[test]
fn changes_beyond_the_bound_are_dropped() {
    let mut changes = changes(PresenceAudience::All);
    for number in 0..=WAITING_MAX {
        changes.user_online(&user(&number.to_string()), Online, 1, 0);
    }
    assert_eq!((take(&mut changes, 0).len(), changes.suppressed), (WAITING_MAX, 1));
}

#[test]
fn members_of_a_shared_room_receive_online_once_for_the_first_shared_room() {
    let mut changes = changes(PresenceAudience::SharedRooms);
    let alice = user("a");
    changes.user_online(&alice, Online, 1, 0);
    assert_eq!(take(&mut changes, 0), Vec::<String>::new());
    changes.enter_room(&alice, room("x"), 2, 0);
    changes.enter_room(&alice, room("x"), 3, 0);
    assert_eq!(take(&mut changes, 0), [r#"+a@2 ["x"] []"#]);
    changes.enter_room(&alice, room("y"), 4, 0);
    changes.enter_room(&alice, room("z"), 5, 0);
    changes.leave_room(&alice.user, &room("z"));
    assert_eq!(take(&mut changes, 0), [r#"+a@4 ["y"] ["x"]"#]);
    changes.leave_room(&alice.user, &room("x"));
    changes.user_offline(&alice, 6, 0);
    changes.user_online(&alice, Online, 7, 50);
    changes.enter_room(&alice, room("y"), 8, 50);
    assert_eq!(take(&mut changes, 100), Vec::<String>::new(), "its members know");
    changes.user_offline(&alice, 9, 100);
    assert_eq!(take(&mut changes, 200), [r#"-a@9 ["x", "y"] []"#]);
    assert!(changes.shared.is_empty() && changes.announced.is_empty());
}

#[test]
fn a_user_without_an_announced_room_leaves_without_a_notice() {
    let mut changes = changes(PresenceAudience::SharedRooms);
    let alice = user("a");
    changes.user_online(&alice, Online, 1, 0);
    changes.enter_room(&alice, room("x"), 2, 0);
    changes.user_offline(&alice, 3, 0);
    assert_eq!(take(&mut changes, 1_000), Vec::<String>::new());
    assert!(changes.shared.is_empty() && changes.announced.is_empty());
}

/// A user with an announced `online`, for the audience of all sessions.
fn known(id: &str) -> (PendingChanges, Arc<Identity>) {
    let (mut changes, user) = (changes(PresenceAudience::All), user(id));
    changes.user_online(&user, Online, 1, 0);
    assert_eq!(changes.take(0, 9).len(), 1);
    (changes, user)
}

#[test]
fn a_status_is_announced_at_once_and_then_at_intervals_with_the_newest_value() {
    let (mut changes, alice) = known("a");
    changes.set_status(&alice, Away, 2, 10);
    assert_eq!(take(&mut changes, 10), ["Away a@2 [] []"]);
    changes.set_status(&alice, Busy, 3, 11);
    changes.set_status(&alice, Online, 4, 12);
    assert_eq!((take(&mut changes, 1_009), changes.next_due()), (vec![], Some(1_010)));
    assert_eq!(take(&mut changes, 1_010), ["Online a@4 [] []"]);
    changes.set_status(&alice, Busy, 5, 3_000);
    assert_eq!((take(&mut changes, 3_000), changes.coalesced), (vec!["Busy a@5 [] []".into()], 1));
}

#[test]
fn a_reversed_status_is_not_announced() {
    let (mut changes, alice) = known("a");
    changes.set_status(&alice, Away, 2, 10);
    changes.set_status(&alice, Online, 3, 10);
    assert_eq!((take(&mut changes, 10), changes.next_due(), changes.coalesced), (vec![], None, 2));
    changes.set_status(&alice, Busy, 4, 10);
    assert_eq!(take(&mut changes, 10), ["Busy a@4 [] []"]);
    for time in 0..100 {
        changes.set_status(&alice, Away, 5, 20 + time);
        changes.set_status(&alice, Busy, 6, 20 + time);
    }
    assert_eq!((take(&mut changes, 9_000), changes.coalesced), (vec![], 202));
}

#[test]
fn an_early_status_is_part_of_online_and_goes_alone_to_the_users_own_sessions() {
    let mut changes = changes(PresenceAudience::All);
    let alice = user("a");
    changes.user_online(&alice, Online, 1, 0);
    changes.set_status(&alice, Busy, 2, 0);
    changes.set_status(&alice, Away, 3, 0);
    changes.user_online(&user("b"), Busy, 4, 0);
    let both = ["+Away a@1 [] []", r#"Away a@3 ["user:a"] []"#, "+Busy b@4 [] []", r#"Busy b@4 ["user:b"] []"#];
    assert_eq!(take(&mut changes, 0), both);
    changes.set_status(&alice, Online, 5, 500);
    assert_eq!((take(&mut changes, 999), take(&mut changes, 1_000)), (vec![], vec!["Online a@5 [] []".into()]));
    changes.set_status(&alice, Busy, 6, 1_001);
    changes.user_offline(&alice, 7, 1_002);
    assert_eq!(take(&mut changes, 9_000), ["-a@7 [] []"], "the status of an offline user is dropped");
    assert_eq!((changes.announced.len(), changes.statuses.len()), (1, 0), "of the other user");
}

#[test]
fn a_quick_return_resets_the_status_and_announces_it() {
    let (mut changes, alice) = known("a");
    changes.set_status(&alice, Away, 2, 0);
    assert_eq!(take(&mut changes, 0), ["Away a@2 [] []"]);
    changes.user_offline(&alice, 3, 5_000);
    changes.user_online(&alice, Online, 4, 5_050);
    assert_eq!(take(&mut changes, 5_050), ["Online a@4 [] []"]);
    changes.user_offline(&alice, 5, 5_060);
    changes.user_online(&alice, Online, 6, 5_070);
    assert_eq!((take(&mut changes, 99_000), changes.suppressed), (vec![], 0));
    changes.user_offline(&alice, 7, 99_000);
    assert_eq!(take(&mut changes, 99_100), ["-a@7 [] []"]);
    assert!(changes.announced.is_empty());
}

#[test]
fn an_overdue_status_is_dropped_and_the_next_one_is_announced() {
    let (mut changes, alice) = known("a");
    changes.set_status(&alice, Away, 2, 0);
    assert_eq!((take(&mut changes, WAIT_MAX_MS + 1), changes.suppressed), (vec![], 1));
    changes.set_status(&alice, Busy, 3, WAIT_MAX_MS + 1);
    assert_eq!(take(&mut changes, WAIT_MAX_MS + 1), ["Busy a@3 [] []"]);
}

#[test]
fn a_status_reaches_members_of_shared_rooms_and_the_users_own_sessions() {
    let mut changes = changes(PresenceAudience::SharedRooms);
    let alice = user("a");
    changes.user_online(&alice, Online, 1, 0);
    changes.set_status(&alice, Away, 2, 0);
    assert_eq!(take(&mut changes, 0), [r#"Away a@2 ["user:a"] []"#], "no other session has received `online`");
    changes.enter_room(&alice, room("x"), 3, 0);
    assert_eq!(take(&mut changes, 0), [r#"+Away a@3 ["x"] []"#]);
    changes.set_status(&alice, Busy, 4, 0);
    changes.enter_room(&alice, room("y"), 5, 0);
    assert_eq!(take(&mut changes, 0), [r#"+Away a@5 ["y"] ["x"]"#], "the change is not due");
    changes.enter_room(&alice, room("z"), 6, STATUS_INTERVAL_MS);
    let expected = [r#"Busy a@4 ["user:a", "x", "y"] []"#, r#"+Busy a@6 ["z"] ["x", "y"]"#];
    assert_eq!(take(&mut changes, STATUS_INTERVAL_MS), expected);
    for name in ["x", "y", "z"] {
        changes.leave_room(&alice.user, &room(name));
    }
    changes.set_status(&alice, Online, 7, 9_000);
    changes.user_offline(&alice, 8, 9_000);
    assert_eq!(take(&mut changes, 99_000), Vec::<String>::new());
    assert!(changes.shared.is_empty() && changes.announced.is_empty() && changes.statuses.is_empty());
}

#[test]
fn without_an_audience_nothing_is_stored() {
    let mut changes = changes(PresenceAudience::Off);
    let alice = user("a");
    changes.user_online(&alice, Busy, 1, 0);
    changes.set_status(&alice, Away, 2, 0);
    changes.user_offline(&alice, 3, 0);
    assert_eq!((take(&mut changes, 9_000), changes.next_due()), (vec![], None));
    assert!(changes.announced.is_empty() && changes.statuses.is_empty());
}
