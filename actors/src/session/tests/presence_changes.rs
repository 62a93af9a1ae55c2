//! Presence changes: the recipients, the events of each surface, and the rate.

use std::collections::BTreeMap;

use super::*;
use crate::presence::{PresenceAudience, PresenceSettings};

/// A user that reconnects within this time is not announced as offline, ms of the manual clock.
const LINGER: i64 = 20;

fn hub_with(audience: PresenceAudience, deliveries_per_second: u32) -> TestHub {
    TestHub::with(GRACE_MS, None, |settings| {
        settings.presence = PresenceSettings { audience, linger_ms: LINGER, deliveries_per_second };
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.mailbox = 4_096;
        settings.outbox = OutboxCapacity { bytes: 1 << 20, entries: 10_000 };
    })
}

fn online(user: &str, at: i64) -> String {
    let time = crate::events::timestamp::Iso(at);
    format!(r#"user_online {{"user_id":"{user}","name":"{user}","avatar":null,"last_seen":"{time}"}}"#)
}

fn offline(user: &str, at: i64) -> String {
    let time = crate::events::timestamp::Iso(at);
    format!(r#"user_offline {{"user_id":"{user}","last_seen":"{time}"}}"#)
}

/// A presence event of `/chat`.
fn chat_event(event: &str, user: &str, status: &str, at: i64) -> String {
    let time = crate::events::timestamp::Iso(at);
    format!(r#"{event} {{"userId":"{user}","username":"{user}","status":"{status}","lastSeen":"{time}"}}"#)
}

fn chat_online(user: &str) -> String {
    chat_event("user:online", user, "online", 1_000_000)
}

fn status_changed(user: &str, status: &str, at: i64) -> String {
    chat_event("user:status-changed", user, status, at)
}

/// A list of these users, each with a status and the time when its oldest session connected.
fn online_list(users: &[(&str, &str, i64)], at: i64) -> String {
    let seen = crate::events::timestamp::Iso(at);
    let users = users.iter().map(|(user, status, since)| {
        let since = crate::events::timestamp::Iso(*since);
        let known = format!(r#""userId":"{user}","username":"{user}","status":"{status}""#);
        format!(r#"{{{known},"lastSeen":"{seen}","connectedAt":"{since}"}}"#)
    });
    format!(r#"users:online {{"users":[{}]}}"#, users.collect::<Vec<_>>().join(","))
}

impl TestHub {
    fn advance(&self, ms: i64) {
        self.clock().advance(ms);
    }

    /// Waits until this number of users is online.
    async fn online(&self, users: u64) {
        wait_until(|| self.stats().users.get() == users).await;
    }
}

impl TestClient {
    async fn set_status(&self, status: &str) {
        self.ask("presence:update-status", &format!(r#"{{"status":"{status}"}}"#), None).await;
    }

    async fn join(&self, room: &str) {
        self.ask("room:join", &format!(r#"{{"room":"{room}"}}"#), Some("join")).await;
        self.receive_until(|line| line.starts_with("#join")).await;
    }
}

#[actix::test]
async fn ten_sessions_of_a_user_are_announced_once_online_and_once_offline() {
    let hub = hub_with(PresenceAudience::All, 0);
    let observer = hub.client(Surface::Root, "observer").await;
    let surfaces = [Surface::Raw, Surface::Root, Surface::Chat].into_iter().cycle().take(10);
    let mut sessions = Vec::new();
    for surface in surfaces {
        sessions.push(hub.client_without_greeting(surface, "alice").await);
    }
    assert_eq!(observer.receive().await, [online("alice", 1_000_000)]);
    hub.advance(5);
    drop(sessions);
    hub.online(1).await;
    hub.advance(LINGER - 1);
    let again = hub.client(Surface::Raw, "alice").await;
    drop(again);
    hub.online(1).await;
    hub.advance(LINGER);
    assert_eq!(observer.receive().await, [offline("alice", 1_000_005 + LINGER - 1)]);
    assert_eq!(hub.stats().presence_coalesced.get(), 2);
}

#[actix::test]
async fn root_sessions_and_raw_subscribers_receive_presence_events() {
    let hub = hub_with(PresenceAudience::All, 0);
    let root = hub.client(Surface::Root, "root").await;
    let (raw, subscribed) = (hub.client(Surface::Raw, "raw").await, hub.client(Surface::Raw, "subscribed").await);
    let guest = hub.guest().await;
    subscribed.join("$presence").await;
    root.take();
    let _bob = hub.client(Surface::Raw, "bob").await;
    assert_eq!(root.receive().await, [online("bob", 1_000_000)]);
    assert_eq!(subscribed.receive().await, [online("bob", 1_000_000)]);
    subscribed.ask("room:leave", r#"{"room":"$presence"}"#, None).await;
    guest.ask("authenticate", r#"{"token":"carol"}"#, None).await;
    assert_eq!(root.receive().await, [online("carol", 1_000_000)]);
    let _dave = hub.client(Surface::Root, "dave").await;
    assert_eq!(root.receive().await, [online("dave", 1_000_000)]);
    let carols: [String; 2] = guest.receive().await;
    assert!(carols[0].starts_with("authenticated "), "the reply precedes presence events: {carols:?}");
    assert_eq!(carols[1], online("dave", 1_000_000));
    assert_eq!((raw.take(), subscribed.take()), (Vec::<String>::new(), Vec::<String>::new()));
}

#[actix::test]
async fn users_in_a_shared_room_are_notified_once() {
    let hub = hub_with(PresenceAudience::SharedRooms, 0);
    let near = hub.client(Surface::Root, "near").await;
    let (nearer, far) = (hub.client(Surface::Root, "nearer").await, hub.client(Surface::Root, "far").await);
    near.join("a").await;
    near.join("b").await;
    nearer.join("b").await;
    assert_eq!(near.receive().await, [online("nearer", 1_000_000)]);
    let alice = hub.client(Surface::Raw, "alice").await;
    alice.join("a").await;
    assert_eq!(near.receive().await, [online("alice", 1_000_000)]);
    alice.join("b").await;
    assert_eq!(nearer.receive().await, [online("alice", 1_000_000)]);
    drop(alice);
    hub.online(3).await;
    hub.advance(LINGER);
    let gone = offline("alice", 1_000_000);
    assert_eq!((near.receive().await, nearer.receive().await), ([gone.clone()], [gone]));
    assert_eq!(far.take(), Vec::<String>::new());
}

#[actix::test]
async fn presence_that_is_off_notifies_no_session() {
    let hub = hub_with(PresenceAudience::Off, 0);
    let observer = hub.client(Surface::Root, "observer").await;
    drop(hub.client(Surface::Root, "alice").await);
    hub.online(1).await;
    hub.advance(LINGER);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(observer.take(), Vec::<String>::new());
    let chat = hub.client(Surface::Chat, "chat").await;
    chat.set_status("away").await;
    chat.ask("presence:online-users", "{}", Some("7")).await;
    let [answer] = chat.receive().await;
    assert!(answer.starts_with(r##"#7: {"success":true,"users":["##), "nothing precedes the reply: {answer}");
    assert_eq!(observer.take(), Vec::<String>::new());
}

#[actix::test]
async fn chat_sessions_receive_the_list_of_online_users_first_and_chat_events_later() {
    let hub = hub_with(PresenceAudience::All, 0);
    let chat = hub.client(Surface::Chat, "chat").await;
    let [greeting] = chat.receive().await;
    assert_eq!(greeting, online_list(&[("chat", "online", 1_000_000)], 1_000_000));
    let other = hub.client(Surface::Chat, "chat").await;
    assert_eq!(other.receive().await, [greeting]);
    let root = hub.client(Surface::Root, "root").await;
    assert_eq!((chat.receive().await, other.receive().await), ([chat_online("root")], [chat_online("root")]));
    drop((root, other));
    hub.online(1).await;
    hub.advance(LINGER);
    assert_eq!(chat.receive().await, [chat_event("user:offline", "root", "offline", 1_000_000)]);
}

#[actix::test]
async fn all_presence_listeners_receive_a_status_change() {
    let hub = hub_with(PresenceAudience::All, 0);
    let (root, subscribed) = (hub.client(Surface::Root, "root").await, hub.client(Surface::Raw, "subscribed").await);
    let raw = hub.client(Surface::Raw, "raw").await;
    subscribed.join("$presence").await;
    let one = hub.client(Surface::Chat, "alice").await;
    one.receive::<1>().await;
    let two = hub.client(Surface::Root, "alice").await;
    hub.online(4).await;
    wait_until(|| hub.stats().presence_announced.get() == 4).await;
    for client in [&root, &subscribed, &one, &two] {
        client.take();
    }
    one.ask("presence:update-status", r#"{"status":"away"}"#, Some("1")).await;
    let expected = [status_changed("alice", "away", 1_000_000)];
    assert_eq!(
        (root.receive().await, subscribed.receive().await, two.receive().await),
        (expected.clone(), expected.clone(), expected.clone())
    );
    let answer = r##"#1: {"success":true,"message":"Status updated successfully"}"##;
    assert_eq!(one.receive().await, [answer.to_owned(), expected[0].clone()]);
    // A status that is known is not announced again, and a later session receives it.
    two.set_status("away").await;
    one.set_status("away").await;
    let late = hub.client(Surface::Chat, "alice").await;
    let [greeting] = late.receive().await;
    assert!(greeting.contains(r#""userId":"alice","username":"alice","status":"away""#), "{greeting}");
    drop((one, two));
    wait_until(|| hub.sessions_of("alice") == 1).await;
    hub.advance(1_000);
    let [list] = late.receive().await;
    assert!(list.starts_with("users:online "), "{list}");
    late.set_status("busy").await;
    assert_eq!(root.receive().await, [status_changed("alice", "busy", 1_001_000)]);
    assert_eq!(raw.take(), Vec::<String>::new());
}

#[actix::test]
async fn chat_sessions_receive_a_list_of_online_users_a_second_after_a_change_up_to_a_size() {
    let hub = hub_with(PresenceAudience::All, 0);
    let chat = hub.client(Surface::Chat, "chat").await;
    chat.receive::<1>().await;
    let alice = hub.client(Surface::Raw, "alice").await;
    assert_eq!(chat.receive().await, [chat_online("alice")]);
    let _bob = hub.client(Surface::Root, "bob").await;
    assert_eq!(chat.receive().await, [chat_online("bob")]);
    hub.advance(999);
    alice.set_status("busy").await;
    assert_eq!(chat.receive().await, [status_changed("alice", "busy", 1_000_999)]);
    hub.advance(1);
    let all = [("alice", "busy", 1_000_000), ("bob", "online", 1_000_000), ("chat", "online", 1_000_000)];
    assert_eq!(chat.receive().await, [online_list(&all, 1_001_000)]);
    let mut others = Vec::new();
    for number in 0..97 {
        others.push(hub.client_without_greeting(Surface::Root, &format!("u{number:02}")).await);
    }
    wait_until(|| hub.stats().presence_announced.get() == 101).await;
    assert_eq!(chat.take().len(), 97);
    hub.advance(1_000);
    let [list] = chat.receive().await;
    assert_eq!(list.matches("userId").count(), 100);
    let one_more = hub.client_without_greeting(Surface::Root, "one-more").await;
    assert_eq!(chat.receive().await, [chat_event("user:online", "one-more", "online", 1_002_000)]);
    hub.advance(5_000);
    let new = hub.client(Surface::Chat, "u00").await;
    let [greeting] = new.receive().await;
    assert_eq!((greeting.matches("userId").count(), greeting.contains("one-more")), (100, false));
    assert_eq!(chat.take(), Vec::<String>::new(), "the list is too long");
    drop(one_more);
    let [list] = chat.receive().await;
    assert_eq!((list.matches("userId").count(), list.contains("one-more")), (100, false));
    hub.advance(LINGER);
    assert_eq!(chat.receive().await, [chat_event("user:offline", "one-more", "offline", 1_007_000)]);
}

#[actix::test]
async fn users_without_a_shared_room_see_only_themselves() {
    let hub = hub_with(PresenceAudience::SharedRooms, 0);
    let alice = hub.client(Surface::Chat, "alice").await;
    let itself = |user: &str| online_list(&[(user, "online", 1_000_000)], 1_000_000);
    assert_eq!(alice.receive().await, [itself("alice")]);
    let (bob, far) = (hub.client(Surface::Chat, "bob").await, hub.client(Surface::Chat, "far").await);
    assert_eq!((bob.receive().await, far.receive().await), ([itself("bob")], [itself("far")]));
    alice.join("a").await;
    bob.join("a").await;
    assert_eq!(alice.receive().await, [chat_online("bob")]);
    bob.set_status("busy").await;
    let expected = [status_changed("bob", "busy", 1_000_000)];
    assert_eq!((alice.receive().await, bob.receive().await), (expected.clone(), expected));
    far.set_status("away").await;
    assert_eq!(far.receive().await, [status_changed("far", "away", 1_000_000)]);
    drop(bob);
    hub.online(2).await;
    hub.advance(LINGER);
    assert_eq!(alice.receive().await, [chat_event("user:offline", "bob", "offline", 1_000_000)]);
    assert_eq!(far.take(), Vec::<String>::new());
}

#[actix::test]
async fn a_flood_of_statuses_is_announced_once_a_second_and_ends_with_the_last() {
    let hub = hub_with(PresenceAudience::All, 0);
    let observer = hub.client(Surface::Root, "observer").await;
    let flood = hub.client_without_greeting(Surface::Raw, "flood").await;
    observer.receive::<1>().await;
    flood.set_status("away").await;
    assert_eq!(observer.receive().await, [status_changed("flood", "away", 1_000_000)]);
    for _ in 0..500 {
        flood.set_status("online").await;
        flood.set_status("away").await;
        flood.set_status("busy").await;
    }
    let busy = crate::model::availability::Availability::Busy;
    let counts = crate::registry::StatusCounts { online: 1, away: 0, busy: 1 };
    wait_until(|| hub.stats().presence_coalesced.get() >= 1_000).await;
    wait_until(|| hub.registry().status_counts() == counts).await;
    assert_eq!(hub.registry().availability_of(&UserId::parse("flood", "user").unwrap()), busy);
    assert_eq!(observer.take(), Vec::<String>::new());
    hub.advance(1_000);
    let [announced] = observer.receive().await;
    assert_eq!(announced, status_changed("flood", "busy", 1_000_000));
    assert_eq!(hub.stats().presence_suppressed.get(), 0);
}

#[actix::test]
async fn many_changes_stay_within_the_rate_and_end_with_the_final_state() {
    const USERS: u64 = 300;
    const RATE: u32 = 20_000;
    let hub = hub_with(PresenceAudience::All, RATE);
    let stats = hub.stats();
    let observer = hub.client(Surface::Root, "observer").await;
    let mut sessions = Vec::new();
    for user in 0..USERS {
        sessions.push(hub.client_without_greeting(Surface::Root, &format!("u{user}")).await);
    }
    hub.online(USERS + 1).await;
    sleep(Duration::from_millis(100)).await;
    let delivered = stats.presence_deliveries.get();
    assert!(delivered <= u64::from(RATE) + USERS, "{delivered} deliveries while the clock did not advance");
    // Half of the users disconnect, and some of these reconnect.
    let stay = sessions.split_off(150);
    drop(sessions);
    hub.online(USERS + 1 - 150).await;
    let mut back = Vec::new();
    for user in 0..50 {
        back.push(hub.client_without_greeting(Surface::Root, &format!("u{user}")).await);
    }
    let mut received: BTreeMap<String, bool> = BTreeMap::new();
    let state: BTreeMap<String, bool> =
        (0..USERS).map(|user| (format!("u{user}"), !(50..150).contains(&user))).collect();
    let mut passed = 0;
    while passed < 20_000 && received != state {
        hub.advance(10);
        passed += 10;
        sleep(Duration::from_millis(1)).await;
        let delivered = stats.presence_deliveries.get();
        let most = u64::from(RATE) * (1_000 + passed) / 1_000 + USERS;
        assert!(delivered <= most, "{delivered} deliveries, not {most}, by {passed} ms");
        for session in stay.iter().chain(&back) {
            session.take();
        }
        for line in observer.take() {
            let (name, data) = line.split_once(' ').unwrap();
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            received.insert(data["user_id"].as_str().unwrap().to_owned(), name == "user_online");
        }
        // A user that disconnects before it is announced is never announced.
        for user in 50..150 {
            received.entry(format!("u{user}")).or_insert(false);
        }
    }
    assert_eq!(received, state);
    assert_eq!(stats.presence_suppressed.get(), 0);
    assert!(stats.presence_coalesced.get() >= 100, "{}", stats.presence_coalesced.get());
}
