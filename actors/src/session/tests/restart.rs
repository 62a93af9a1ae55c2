//! Planned restarts: the next hub recovers suspended sessions, with what they missed before and after its start.

use std::path::Path;

use bytes::Bytes;
use rusqlite::Connection;

use super::*;
use crate::publication::{Correlation, Encoder, Offset};
use crate::store::FILE;

/// As [`LineEncoder`], for clients on `/` with offsets: `61 news 1` is the publication 61.
#[derive(Debug)]
struct Numbered;

impl Encoder for Numbered {
    fn format(&self) -> Format {
        Format::RootNumbered
    }

    fn surface(&self) -> Surface {
        Surface::Root
    }

    fn is_numbered(&self) -> bool {
        true
    }

    fn event(&self, event: &Event, offset: Offset) -> Payload {
        Payload::text([format!("{} ", offset.number).as_bytes(), LineEncoder.event(event, offset).bytes()])
    }

    fn answer(&self, name: &str, data: &[u8], correlation: &Correlation, now: i64) -> Payload {
        LineEncoder.answer(name, data, correlation, now)
    }

    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, now: i64) -> Payload {
        LineEncoder.acknowledgement(data, correlation, now)
    }

    fn refusal(&self, refusal: &EventError<'_>, now: i64) -> Option<Payload> {
        LineEncoder.refusal(refusal, now)
    }
}

/// A session of a user on `/` with offsets: a new one, or the one that `recovery` names.
async fn open(hub: &TestHub, user: &str, recovery: Option<RecoveryRequest>) -> (TestClient, RecoveryToken) {
    let auth_state = AuthState::Known(Arc::new(identity(user)));
    let start = SessionStart { encoder: &Numbered, recovery, ..session_start(&hub.worker, Surface::Root, auth_state) };
    let session = Session::open(&hub.worker, start).await.unwrap();
    let pid = session.pid().cloned().unwrap();
    (TestClient::run(session), pid)
}

async fn publish(hub: &TestHub, user: &str, name: &'static str) {
    hub.publish(PublishTarget::User(UserId::parse(user, "user").unwrap()), name).await;
}

/// The number of the event `name`.
async fn number_of(client: &TestClient, name: &str) -> u64 {
    client.line_with(&format!(" {name} ")).await.split(' ').next().unwrap().parse().unwrap()
}

/// Recovers the session of `pid`. Returns whether it succeeded, and the numbers and names of the missed events.
async fn recover(hub: &TestHub, user: &str, pid: RecoveryToken, last: u64) -> (bool, Vec<(u64, String)>) {
    // A recovered session began earlier than its connection.
    hub.clock().advance(1);
    let recovery = RecoveryRequest { pid, last: Some(Offset::of(last)) };
    let (client, _) = open(hub, user, Some(recovery)).await;
    let lines = client.receive_until(|line| line.starts_with("system:welcome")).await;
    let is_recovered = lines.iter().any(|line| line.starts_with("system:state_recovered"));
    assert_ne!(is_recovered, lines.iter().any(|line| line.starts_with("system:state_recovery_failed")), "{lines:?}");
    // All of them are written with the greeting, before later events.
    publish(hub, user, "end").await;
    let mut missed = lines;
    missed.extend(client.receive_until(|line| line.contains(" end ")).await);
    let numbered = |line: &String| {
        let mut words = line.split(' ');
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    };
    let missed = missed.iter().filter_map(numbered).filter(|(_, name)| name != "end").collect();
    (is_recovered, missed)
}

/// Ends the connection of a client when the hub has closed its session.
fn leave_when_closed(client: TestClient) {
    actix::spawn(async move { client.closed().await });
}

fn names(missed: &[(u64, String)]) -> Vec<&str> {
    missed.iter().map(|(_, name)| name.as_str()).collect()
}

/// Executes SQL while no hub has the store open.
fn execute(directory: &Path, sql: &str) {
    Connection::open(directory.join(FILE)).unwrap().execute_batch(sql).unwrap();
}

/// A hub after a restart. The session of alice, with the private id, was cut before it, after the event `got` and before
/// `missed`. The session of bob was connected. Both have the offset of their `got`.
async fn restarted(meanwhile: impl FnOnce(&mut Settings, &Path)) -> (TestHub, [(RecoveryToken, u64); 2]) {
    let hub = TestHub::start(GRACE_MS);
    let ((alice, alices), (bob, bobs)) = (open(&hub, "alice", None).await, open(&hub, "bob", None).await);
    publish(&hub, "alice", "got").await;
    publish(&hub, "bob", "got").await;
    let got = (number_of(&alice, "got").await, number_of(&bob, "got").await);
    drop(alice);
    wait_until(|| hub.stats().suspended.get() == 1).await;
    publish(&hub, "alice", "missed").await;
    publish(&hub, "alice", "missed-too").await;
    leave_when_closed(bob);
    let hub = hub.restart(meanwhile).await;
    wait_until(|| hub.stats().suspended.get() == 2).await;
    (hub, [(alices, got.0), (bobs, got.1)])
}

#[actix::test]
async fn a_session_gets_what_it_missed_before_and_after_a_restart() {
    let (hub, [(alices, alice), (bobs, bob)]) = restarted(|_, _| {}).await;
    publish(&hub, "alice", "later").await;
    let (is_recovered, missed) = recover(&hub, "alice", alices, alice).await;
    assert!(is_recovered && missed.is_sorted(), "{missed:?}");
    assert_eq!(names(&missed), ["missed", "missed-too", "later"]);
    assert!(missed[0].0 > alice);
    publish(&hub, "bob", "later").await;
    let (is_recovered, missed) = recover(&hub, "bob", bobs, bob).await;
    assert_eq!((is_recovered, names(&missed)), (true, vec!["later"]));
}

#[actix::test]
async fn a_session_gets_what_it_missed_over_two_restarts() {
    let (hub, [(alices, alice), _]) = restarted(|_, _| {}).await;
    publish(&hub, "alice", "between").await;
    let hub = hub.restart(|_, _| {}).await;
    let (is_recovered, missed) = recover(&hub, "alice", alices, alice).await;
    assert_eq!((is_recovered, names(&missed)), (true, vec!["missed", "missed-too", "between"]));
    assert!(missed.is_sorted(), "{missed:?}");
}

#[actix::test]
async fn numbers_continue_after_the_wall_clock_was_set_back() {
    let (hub, [(alices, alice), _]) = restarted(|settings, _| settings.clock.step(-900_000)).await;
    publish(&hub, "alice", "later").await;
    let (is_recovered, missed) = recover(&hub, "alice", alices, alice).await;
    assert_eq!((is_recovered, names(&missed)), (true, vec!["missed", "missed-too", "later"]));
    assert!(missed.is_sorted(), "{missed:?}");
}

#[actix::test]
async fn a_session_that_missed_publications_is_not_recovered_without_their_segment() {
    let (hub, [(alices, alice), (bobs, bob)]) =
        restarted(|_, directory| execute(directory, "DELETE FROM log_segments")).await;
    assert_eq!(recover(&hub, "alice", alices, alice).await, (false, vec![]));
    // Later publications of others are missing, too, and one of them may be to everybody.
    assert_eq!(recover(&hub, "bob", bobs, bob).await, (false, vec![]));
}

#[actix::test]
async fn a_session_is_recovered_from_a_damaged_segment_unless_it_needs_what_is_damaged() {
    // The segment has the newest publication first. The oldest one is the event that alice has.
    let oldest = "UPDATE log_segments SET entries = substr(entries, 1, length(entries) - 9)";
    let newest = "UPDATE log_segments SET entries = substr(entries, 2)";
    for (damage, expected) in [(oldest, (true, vec!["missed", "missed-too"])), (newest, (false, vec![]))] {
        let (hub, [(alices, alice), _]) = restarted(|_, directory| execute(directory, damage)).await;
        let (is_recovered, missed) = recover(&hub, "alice", alices, alice).await;
        assert_eq!((is_recovered, names(&missed)), expected);
    }
}

#[actix::test]
async fn a_session_is_stored_although_there_is_no_time_for_what_it_missed() {
    let hub = TestHub::start(GRACE_MS);
    let (alice, _) = open(&hub, "alice", None).await;
    drop(alice);
    wait_until(|| hub.stats().suspended.get() == 1).await;
    hub.store_sessions(Duration::ZERO).await;
    let stored = hub.store().take_suspended().await.unwrap();
    assert_eq!((stored.sessions.len(), stored.log.rooms.len()), (1, 2));
}

#[actix::test]
async fn publications_are_not_kept_longer_because_of_a_restart() {
    let hub = TestHub::start(GRACE_MS);
    let (alice, pid) = open(&hub, "alice", None).await;
    publish(&hub, "alice", "first").await;
    let first = number_of(&alice, "first").await;
    hub.clock().advance(20_000);
    publish(&hub, "alice", "second").await;
    let second = number_of(&alice, "second").await;
    leave_when_closed(alice);
    let hub = hub.restart(|settings, _| settings.clock.advance(90_000)).await;
    wait_until(|| hub.stats().buffered_messages.get() == 2).await;
    // 10 s later, the first one is 120 s old.
    hub.clock().advance(10_000);
    wait_until(|| hub.stats().buffered_messages.get() == 1).await;
    assert_eq!(recover(&hub, "alice", pid, first - 1).await, (false, vec![]));
    assert_eq!(second, first + 1);
}

#[actix::test]
async fn the_messages_of_a_chat_are_counted_over_a_restart() {
    let hub = TestHub::with(GRACE_MS, None, |settings| {
        settings.auto_create_chats = true;
        settings.recovery.queue = 3;
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.chat_per_minute = ChatPerMinute::default();
    });
    let (alice, bob) = (hub.client(Surface::Chat, "alice").await, hub.client(Surface::Chat, "bob").await);
    for client in [&alice, &bob] {
        client.ask("join:chat", r#"{"chatId":"c"}"#, Some("1")).await;
        client.line_with("#1").await;
    }
    bob.ask("connection:create-session", "{}", Some("2")).await;
    let token = bob.line_with("recoveryToken").await.split(r#""recoveryToken":""#).nth(1).unwrap()[..64].to_owned();
    drop(bob);
    wait_until(|| hub.stats().suspended.get() == 1).await;
    let send = async |client: &TestClient, content: &str| {
        client.ask("message:send", &format!(r#"{{"chatId":"c","content":"{content}"}}"#), Some("3")).await;
        client.line_with("#3").await;
    };
    for content in ["m1", "m2", "m3", "m4"] {
        send(&alice, content).await;
    }
    let hub = hub.restart(|_, _| {}).await;
    let alice = hub.client(Surface::Chat, "alice").await;
    alice.ask("join:chat", r#"{"chatId":"c"}"#, Some("1")).await;
    alice.line_with("#1").await;
    send(&alice, "m5").await;
    let bob = hub.client(Surface::Chat, "bob").await;
    bob.ask("connection:recover", &format!(r#"{{"recoveryToken":"{token}"}}"#), Some("4")).await;
    let queued = bob.line_with("connection:queued-messages").await;
    let contents: Vec<_> = ["m1", "m2", "m3", "m4", "m5"].into_iter().filter(|m| queued.contains(m)).collect();
    assert_eq!(contents, ["m3", "m4", "m5"]);
    assert!(queued.contains(r#""dropped":2"#), "{queued}");
}
