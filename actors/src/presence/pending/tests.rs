//! What is told of users, when, and to whom.

use super::*;
use crate::model::availability::Availability::{Away, Busy, Online};

fn bulletin(audience: Audience) -> PendingChanges {
    PendingChanges::new(&Settings { audience, linger_ms: 100, ..Settings::default() })
}

fn user(id: &str) -> Arc<Identity> {
    Arc::new(Identity::of(UserId::parse(id, "user").unwrap()))
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name, "room").unwrap()
}

fn take(bulletin: &mut PendingChanges, elapsed: i64) -> Vec<String> {
    let told = bulletin.take(elapsed, usize::MAX).into_iter().map(|mut notice| {
        let change = match notice.change {
            Change::Online(Online) => "+".to_owned(),
            Change::Online(status) => format!("+{status:?} "),
            Change::Offline => "-".to_owned(),
            Change::Status(status) => format!("{status:?} "),
        };
        notice.rooms.sort();
        notice.known_in.sort();
        format!("{change}{}@{} {:?} {:?}", notice.identity.user, notice.at, notice.rooms, notice.known_in)
    });
    told.collect()
}

#[test]
fn who_came_is_told_at_once_and_who_went_after_a_while() {
    let mut bulletin = bulletin(Audience::All);
    bulletin.came(&user("a"), Online, 1, 1_000);
    assert_eq!(take(&mut bulletin, 1_000), ["+a@1 [] []"]);
    bulletin.went(&user("a"), 2, 1_001);
    assert_eq!((take(&mut bulletin, 1_100), bulletin.next_due()), (vec![], Some(1_101)));
    assert_eq!(take(&mut bulletin, 1_101), ["-a@2 [] []"]);
    assert_eq!((bulletin.next_due(), bulletin.coalesced, bulletin.suppressed), (None, 0, 0));
}

#[test]
fn what_is_taken_back_before_it_was_told_is_not_told() {
    let mut bulletin = bulletin(Audience::All);
    let alice = user("a");
    bulletin.came(&alice, Online, 1, 0);
    assert_eq!(take(&mut bulletin, 0).len(), 1);
    for time in 0..10 {
        bulletin.went(&alice, 2, time);
        bulletin.came(&alice, Online, 3, time);
    }
    bulletin.came(&user("b"), Online, 4, 10);
    bulletin.went(&user("b"), 5, 10);
    assert_eq!((take(&mut bulletin, 1_000), bulletin.coalesced), (vec![], 22));
    bulletin.went(&alice, 6, 1_000);
    assert_eq!(take(&mut bulletin, 1_100), ["-a@6 [] []"]);
}

#[test]
fn the_longest_due_is_told_first_and_what_waited_too_long_not_at_all() {
    let mut bulletin = bulletin(Audience::All);
    for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
        bulletin.came(&user(id), Online, 1, 10 * number as i64);
    }
    assert_eq!(bulletin.take(20, 1)[0].identity.user.as_str(), "a");
    assert_eq!(take(&mut bulletin, PATIENCE_MS + 15), ["+c@1 [] []"]);
    assert_eq!(bulletin.suppressed, 1);
}

#[test]
fn too_many_are_not_kept() {
    let mut bulletin = bulletin(Audience::All);
    for number in 0..=WAITING_MAX {
        bulletin.came(&user(&number.to_string()), Online, 1, 0);
    }
    assert_eq!((take(&mut bulletin, 0).len(), bulletin.suppressed), (WAITING_MAX, 1));
}

#[test]
fn those_who_share_a_room_are_told_once_of_the_first_they_share() {
    let mut bulletin = bulletin(Audience::SharedRooms);
    let alice = user("a");
    bulletin.came(&alice, Online, 1, 0);
    assert_eq!(take(&mut bulletin, 0), Vec::<String>::new());
    bulletin.entered(&alice, room("x"), 2, 0);
    bulletin.entered(&alice, room("x"), 3, 0);
    assert_eq!(take(&mut bulletin, 0), [r#"+a@2 ["x"] []"#]);
    bulletin.entered(&alice, room("y"), 4, 0);
    bulletin.entered(&alice, room("z"), 5, 0);
    bulletin.left(&alice.user, &room("z"));
    assert_eq!(take(&mut bulletin, 0), [r#"+a@4 ["y"] ["x"]"#]);
    bulletin.left(&alice.user, &room("x"));
    bulletin.went(&alice, 6, 0);
    bulletin.came(&alice, Online, 7, 50);
    bulletin.entered(&alice, room("y"), 8, 50);
    assert_eq!(take(&mut bulletin, 100), Vec::<String>::new(), "its members know");
    bulletin.went(&alice, 9, 100);
    assert_eq!(take(&mut bulletin, 200), [r#"-a@9 ["x", "y"] []"#]);
    assert!(bulletin.shared.is_empty() && bulletin.told.is_empty());
}

#[test]
fn a_user_who_shared_no_room_that_was_told_goes_in_silence() {
    let mut bulletin = bulletin(Audience::SharedRooms);
    let alice = user("a");
    bulletin.came(&alice, Online, 1, 0);
    bulletin.entered(&alice, room("x"), 2, 0);
    bulletin.went(&alice, 3, 0);
    assert_eq!(take(&mut bulletin, 1_000), Vec::<String>::new());
    assert!(bulletin.shared.is_empty() && bulletin.told.is_empty());
}

/// A user who is known to have come, in a bulletin for all.
fn known(id: &str) -> (PendingChanges, Arc<Identity>) {
    let (mut bulletin, user) = (bulletin(Audience::All), user(id));
    bulletin.came(&user, Online, 1, 0);
    assert_eq!(bulletin.take(0, 9).len(), 1);
    (bulletin, user)
}

#[test]
fn how_a_user_is_there_is_told_at_once_and_again_after_a_rest_the_newest_alone() {
    let (mut bulletin, alice) = known("a");
    bulletin.is_there(&alice, Away, 2, 10);
    assert_eq!(take(&mut bulletin, 10), ["Away a@2 [] []"]);
    bulletin.is_there(&alice, Busy, 3, 11);
    bulletin.is_there(&alice, Online, 4, 12);
    assert_eq!((take(&mut bulletin, 1_009), bulletin.next_due()), (vec![], Some(1_010)));
    assert_eq!(take(&mut bulletin, 1_010), ["Online a@4 [] []"]);
    bulletin.is_there(&alice, Busy, 5, 3_000);
    assert_eq!((take(&mut bulletin, 3_000), bulletin.coalesced), (vec!["Busy a@5 [] []".into()], 1));
}

#[test]
fn a_status_that_is_taken_back_before_it_was_told_is_not_told() {
    let (mut bulletin, alice) = known("a");
    bulletin.is_there(&alice, Away, 2, 10);
    bulletin.is_there(&alice, Online, 3, 10);
    assert_eq!((take(&mut bulletin, 10), bulletin.next_due(), bulletin.coalesced), (vec![], None, 2));
    bulletin.is_there(&alice, Busy, 4, 10);
    assert_eq!(take(&mut bulletin, 10), ["Busy a@4 [] []"]);
    for time in 0..100 {
        bulletin.is_there(&alice, Away, 5, 20 + time);
        bulletin.is_there(&alice, Busy, 6, 20 + time);
    }
    assert_eq!((take(&mut bulletin, 9_000), bulletin.coalesced), (vec![], 202));
}

#[test]
fn a_status_from_before_others_know_the_user_comes_with_that_and_apart_to_the_users_own_sessions() {
    let mut bulletin = bulletin(Audience::All);
    let alice = user("a");
    bulletin.came(&alice, Online, 1, 0);
    bulletin.is_there(&alice, Busy, 2, 0);
    bulletin.is_there(&alice, Away, 3, 0);
    bulletin.came(&user("b"), Busy, 4, 0);
    let both = ["+Away a@1 [] []", r#"Away a@3 ["user:a"] []"#, "+Busy b@4 [] []", r#"Busy b@4 ["user:b"] []"#];
    assert_eq!(take(&mut bulletin, 0), both);
    bulletin.is_there(&alice, Online, 5, 500);
    assert_eq!((take(&mut bulletin, 999), take(&mut bulletin, 1_000)), (vec![], vec!["Online a@5 [] []".into()]));
    bulletin.is_there(&alice, Busy, 6, 1_001);
    bulletin.went(&alice, 7, 1_002);
    assert_eq!(take(&mut bulletin, 9_000), ["-a@7 [] []"], "how one is there who went is no news");
    assert_eq!((bulletin.told.len(), bulletin.statuses.len()), (1, 0), "of the other user");
}

#[test]
fn who_comes_back_unnoticed_is_there_as_at_first_and_others_learn_that() {
    let (mut bulletin, alice) = known("a");
    bulletin.is_there(&alice, Away, 2, 0);
    assert_eq!(take(&mut bulletin, 0), ["Away a@2 [] []"]);
    bulletin.went(&alice, 3, 5_000);
    bulletin.came(&alice, Online, 4, 5_050);
    assert_eq!(take(&mut bulletin, 5_050), ["Online a@4 [] []"]);
    bulletin.went(&alice, 5, 5_060);
    bulletin.came(&alice, Online, 6, 5_070);
    assert_eq!((take(&mut bulletin, 99_000), bulletin.suppressed), (vec![], 0));
    bulletin.went(&alice, 7, 99_000);
    assert_eq!(take(&mut bulletin, 99_100), ["-a@7 [] []"]);
    assert!(bulletin.told.is_empty());
}

#[test]
fn a_status_that_waited_too_long_is_not_told_and_the_next_one_is() {
    let (mut bulletin, alice) = known("a");
    bulletin.is_there(&alice, Away, 2, 0);
    assert_eq!((take(&mut bulletin, PATIENCE_MS + 1), bulletin.suppressed), (vec![], 1));
    bulletin.is_there(&alice, Busy, 3, PATIENCE_MS + 1);
    assert_eq!(take(&mut bulletin, PATIENCE_MS + 1), ["Busy a@3 [] []"]);
}

#[test]
fn those_who_share_a_room_and_the_users_own_sessions_learn_how_the_user_is_there() {
    let mut bulletin = bulletin(Audience::SharedRooms);
    let alice = user("a");
    bulletin.came(&alice, Online, 1, 0);
    bulletin.is_there(&alice, Away, 2, 0);
    assert_eq!(take(&mut bulletin, 0), [r#"Away a@2 ["user:a"] []"#], "nobody else knows of the user");
    bulletin.entered(&alice, room("x"), 3, 0);
    assert_eq!(take(&mut bulletin, 0), [r#"+Away a@3 ["x"] []"#]);
    bulletin.is_there(&alice, Busy, 4, 0);
    bulletin.entered(&alice, room("y"), 5, 0);
    assert_eq!(take(&mut bulletin, 0), [r#"+Away a@5 ["y"] ["x"]"#], "the change is not due");
    bulletin.entered(&alice, room("z"), 6, REST_MS);
    let told = [r#"Busy a@4 ["user:a", "x", "y"] []"#, r#"+Busy a@6 ["z"] ["x", "y"]"#];
    assert_eq!(take(&mut bulletin, REST_MS), told);
    for name in ["x", "y", "z"] {
        bulletin.left(&alice.user, &room(name));
    }
    bulletin.is_there(&alice, Online, 7, 9_000);
    bulletin.went(&alice, 8, 9_000);
    assert_eq!(take(&mut bulletin, 99_000), Vec::<String>::new());
    assert!(bulletin.shared.is_empty() && bulletin.told.is_empty() && bulletin.statuses.is_empty());
}

#[test]
fn where_nobody_is_told_nothing_is_kept() {
    let mut bulletin = bulletin(Audience::Off);
    let alice = user("a");
    bulletin.came(&alice, Busy, 1, 0);
    bulletin.is_there(&alice, Away, 2, 0);
    bulletin.went(&alice, 3, 0);
    assert_eq!((take(&mut bulletin, 9_000), bulletin.next_due()), (vec![], None));
    assert!(bulletin.told.is_empty() && bulletin.statuses.is_empty());
}
