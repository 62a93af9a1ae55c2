//! Who is told that a user came, went or is there in another way, in which words, and how often.

use std::collections::BTreeMap;

use super::*;
use crate::presence::{PresenceAudience, PresenceSettings as Telling};

/// How long a user who went may come back unnoticed, in ms of the manual clock.
const LINGER: i64 = 20;

fn telling(audience: PresenceAudience, deliveries_per_second: u32) -> TestHub {
    TestHub::with(LONG, None, |settings| {
        settings.presence = Telling { audience, linger_ms: LINGER, deliveries_per_second };
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.mailbox = 4_096;
        settings.outbox = OutboxCapacity { bytes: 1 << 20, frames: 10_000 };
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

/// As `/chat` says of a user who goes by the id what all surfaces say.
fn seen(event: &str, user: &str, status: &str, at: i64) -> String {
    let time = crate::events::timestamp::Iso(at);
    format!(r#"{event} {{"userId":"{user}","username":"{user}","status":"{status}","lastSeen":"{time}"}}"#)
}

fn came(user: &str) -> String {
    seen("user:online", user, "online", 1_000_000)
}

fn changed(user: &str, status: &str, at: i64) -> String {
    seen("user:status-changed", user, status, at)
}

/// A list of these users, each with a status and the time that the oldest session connected.
fn listed(users: &[(&str, &str, i64)], at: i64) -> String {
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
        self.hub.clock().advance(ms);
    }

    async fn until(&self, what: impl Fn() -> bool) {
        let it = async {
            while !what() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(DEADLINE, it).await.unwrap();
    }

    /// Waits until nobody is online but so many.
    async fn online(&self, users: u64) {
        self.until(|| self.hub.stats().users.get() == users).await;
    }
}

impl TestClient {
    async fn say(&self, status: &str) {
        self.ask("presence:update-status", &format!(r#"{{"status":"{status}"}}"#), None).await;
    }

    async fn join(&self, room: &str) {
        self.ask("room:join", &format!(r#"{{"room":"{room}"}}"#), Some("join")).await;
        let joined = async {
            while !self.take().iter().any(|line| line.starts_with("#join")) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(DEADLINE, joined).await.unwrap();
    }
}

#[actix::test]
async fn ten_sessions_that_come_and_go_at_once_are_one_coming_and_one_going() {
    let bench = telling(PresenceAudience::All, 0);
    let observer = bench.client(Surface::Root, "observer").await;
    let surfaces = [Surface::Raw, Surface::Root, Surface::Chat].into_iter().cycle().take(10);
    let mut sessions = Vec::new();
    for surface in surfaces {
        sessions.push(bench.client_without_greeting(surface, "alice").await);
    }
    assert_eq!(observer.receive().await, [online("alice", 1_000_000)]);
    bench.advance(5);
    drop(sessions);
    bench.online(1).await;
    bench.advance(LINGER - 1);
    let again = bench.client(Surface::Raw, "alice").await;
    drop(again);
    bench.online(1).await;
    bench.advance(LINGER);
    assert_eq!(observer.receive().await, [offline("alice", 1_000_005 + LINGER - 1)]);
    assert_eq!(bench.hub.stats().presence_coalesced.get(), 2);
}

#[actix::test]
async fn others_hear_on_the_main_namespace_and_on_the_raw_surface_those_who_asked() {
    let bench = telling(PresenceAudience::All, 0);
    let root = bench.client(Surface::Root, "root").await;
    let (raw, asked) = (bench.client(Surface::Raw, "raw").await, bench.client(Surface::Raw, "asked").await);
    let guest = bench.guest().await;
    asked.join("$presence").await;
    root.take();
    let _bob = bench.client(Surface::Raw, "bob").await;
    assert_eq!(root.receive().await, [online("bob", 1_000_000)]);
    assert_eq!(asked.receive().await, [online("bob", 1_000_000)]);
    asked.ask("room:leave", r#"{"room":"$presence"}"#, None).await;
    guest.ask("authenticate", r#"{"token":"carol"}"#, None).await;
    assert_eq!(root.receive().await, [online("carol", 1_000_000)]);
    let _dave = bench.client(Surface::Root, "dave").await;
    assert_eq!(root.receive().await, [online("dave", 1_000_000)]);
    let carols: [String; 2] = guest.receive().await;
    assert!(carols[0].starts_with("authenticated "), "before what it hears of others: {carols:?}");
    assert_eq!(carols[1], online("dave", 1_000_000));
    assert_eq!((raw.take(), asked.take()), (Vec::<String>::new(), Vec::<String>::new()));
}

#[actix::test]
async fn users_in_a_shared_room_are_notified_once() {
    let bench = telling(PresenceAudience::SharedRooms, 0);
    let near = bench.client(Surface::Root, "near").await;
    let (nearer, far) = (bench.client(Surface::Root, "nearer").await, bench.client(Surface::Root, "far").await);
    near.join("a").await;
    near.join("b").await;
    nearer.join("b").await;
    assert_eq!(near.receive().await, [online("nearer", 1_000_000)]);
    let alice = bench.client(Surface::Raw, "alice").await;
    alice.join("a").await;
    assert_eq!(near.receive().await, [online("alice", 1_000_000)]);
    alice.join("b").await;
    assert_eq!(nearer.receive().await, [online("alice", 1_000_000)]);
    drop(alice);
    bench.online(3).await;
    bench.advance(LINGER);
    let gone = offline("alice", 1_000_000);
    assert_eq!((near.receive().await, nearer.receive().await), ([gone.clone()], [gone]));
    assert_eq!(far.take(), Vec::<String>::new());
}

#[actix::test]
async fn presence_that_is_off_notifies_no_session() {
    let bench = telling(PresenceAudience::Off, 0);
    let observer = bench.client(Surface::Root, "observer").await;
    drop(bench.client(Surface::Root, "alice").await);
    bench.online(1).await;
    bench.advance(LINGER);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(observer.take(), Vec::<String>::new());
    let chat = bench.client(Surface::Chat, "chat").await;
    chat.say("away").await;
    chat.ask("presence:online-users", "{}", Some("7")).await;
    let [answer] = chat.receive().await;
    assert!(answer.starts_with(r##"#7: {"success":true,"users":["##), "before it nothing: {answer}");
    assert_eq!(observer.take(), Vec::<String>::new());
}

#[actix::test]
async fn chat_sessions_hear_in_their_own_words_and_of_who_is_online_at_once() {
    let bench = telling(PresenceAudience::All, 0);
    let chat = bench.client(Surface::Chat, "chat").await;
    let [greeting] = chat.receive().await;
    assert_eq!(greeting, listed(&[("chat", "online", 1_000_000)], 1_000_000));
    let other = bench.client(Surface::Chat, "chat").await;
    assert_eq!(other.receive().await, [greeting]);
    let root = bench.client(Surface::Root, "root").await;
    assert_eq!((chat.receive().await, other.receive().await), ([came("root")], [came("root")]));
    drop((root, other));
    bench.online(1).await;
    bench.advance(LINGER);
    assert_eq!(chat.receive().await, [seen("user:offline", "root", "offline", 1_000_000)]);
}

#[actix::test]
async fn all_presence_listeners_receive_a_status_change() {
    let bench = telling(PresenceAudience::All, 0);
    let (root, asked) = (bench.client(Surface::Root, "root").await, bench.client(Surface::Raw, "asked").await);
    let raw = bench.client(Surface::Raw, "raw").await;
    asked.join("$presence").await;
    let one = bench.client(Surface::Chat, "alice").await;
    one.receive::<1>().await;
    let two = bench.client(Surface::Root, "alice").await;
    bench.online(4).await;
    bench.until(|| bench.hub.stats().presence_announced.get() == 4).await;
    for client in [&root, &asked, &one, &two] {
        client.take();
    }
    one.ask("presence:update-status", r#"{"status":"away"}"#, Some("1")).await;
    let said = [changed("alice", "away", 1_000_000)];
    assert_eq!(
        (root.receive().await, asked.receive().await, two.receive().await),
        (said.clone(), said.clone(), said.clone())
    );
    let answer = r##"#1: {"success":true,"message":"Status updated successfully"}"##;
    assert_eq!(one.receive().await, [answer.to_owned(), said[0].clone()]);
    // The others are not told twice of what they know, and whoever comes then finds it.
    two.say("away").await;
    one.say("away").await;
    let late = bench.client(Surface::Chat, "alice").await;
    let [greeting] = late.receive().await;
    assert!(greeting.contains(r#""userId":"alice","username":"alice","status":"away""#), "{greeting}");
    drop((one, two));
    bench.until(|| bench.sessions_of("alice") == 1).await;
    bench.advance(1_000);
    let [list] = late.receive().await;
    assert!(list.starts_with("users:online "), "{list}");
    late.say("busy").await;
    assert_eq!(root.receive().await, [changed("alice", "busy", 1_001_000)]);
    assert_eq!(raw.take(), Vec::<String>::new());
}

#[actix::test]
async fn all_are_told_who_is_online_a_second_after_that_changed_and_while_they_are_few() {
    let bench = telling(PresenceAudience::All, 0);
    let chat = bench.client(Surface::Chat, "chat").await;
    chat.receive::<1>().await;
    let alice = bench.client(Surface::Raw, "alice").await;
    assert_eq!(chat.receive().await, [came("alice")]);
    let _bob = bench.client(Surface::Root, "bob").await;
    assert_eq!(chat.receive().await, [came("bob")]);
    bench.advance(999);
    alice.say("busy").await;
    assert_eq!(chat.receive().await, [changed("alice", "busy", 1_000_999)]);
    bench.advance(1);
    let all = [("alice", "busy", 1_000_000), ("bob", "online", 1_000_000), ("chat", "online", 1_000_000)];
    assert_eq!(chat.receive().await, [listed(&all, 1_001_000)]);
    let mut crowd = Vec::new();
    for number in 0..97 {
        crowd.push(bench.client_without_greeting(Surface::Root, &format!("u{number:02}")).await);
    }
    bench.until(|| bench.hub.stats().presence_announced.get() == 101).await;
    assert_eq!(chat.take().len(), 97);
    bench.advance(1_000);
    let [list] = chat.receive().await;
    assert_eq!(list.matches("userId").count(), 100);
    let one_more = bench.client_without_greeting(Surface::Root, "one-more").await;
    assert_eq!(chat.receive().await, [seen("user:online", "one-more", "online", 1_002_000)]);
    bench.advance(5_000);
    let new = bench.client(Surface::Chat, "u00").await;
    let [greeting] = new.receive().await;
    assert_eq!((greeting.matches("userId").count(), greeting.contains("one-more")), (100, false));
    assert_eq!(chat.take(), Vec::<String>::new(), "they are too many");
    drop(one_more);
    let [list] = chat.receive().await;
    assert_eq!((list.matches("userId").count(), list.contains("one-more")), (100, false));
    bench.advance(LINGER);
    assert_eq!(chat.receive().await, [seen("user:offline", "one-more", "offline", 1_007_000)]);
}

#[actix::test]
async fn users_without_a_shared_room_see_only_themselves() {
    let bench = telling(PresenceAudience::SharedRooms, 0);
    let alice = bench.client(Surface::Chat, "alice").await;
    let itself = |user: &str| listed(&[(user, "online", 1_000_000)], 1_000_000);
    assert_eq!(alice.receive().await, [itself("alice")]);
    let (bob, far) = (bench.client(Surface::Chat, "bob").await, bench.client(Surface::Chat, "far").await);
    assert_eq!((bob.receive().await, far.receive().await), ([itself("bob")], [itself("far")]));
    alice.join("a").await;
    bob.join("a").await;
    assert_eq!(alice.receive().await, [came("bob")]);
    bob.say("busy").await;
    let said = [changed("bob", "busy", 1_000_000)];
    assert_eq!((alice.receive().await, bob.receive().await), (said.clone(), said));
    far.say("away").await;
    assert_eq!(far.receive().await, [changed("far", "away", 1_000_000)]);
    drop(bob);
    bench.online(2).await;
    bench.advance(LINGER);
    assert_eq!(alice.receive().await, [seen("user:offline", "bob", "offline", 1_000_000)]);
    assert_eq!(far.take(), Vec::<String>::new());
}

#[actix::test]
async fn a_flood_of_statuses_costs_one_notice_a_second_and_ends_with_the_truth() {
    let bench = telling(PresenceAudience::All, 0);
    let observer = bench.client(Surface::Root, "observer").await;
    let flood = bench.client_without_greeting(Surface::Raw, "flood").await;
    observer.receive::<1>().await;
    flood.say("away").await;
    assert_eq!(observer.receive().await, [changed("flood", "away", 1_000_000)]);
    for _ in 0..500 {
        flood.say("online").await;
        flood.say("away").await;
        flood.say("busy").await;
    }
    let busy = crate::model::availability::Availability::Busy;
    let tally = crate::registry::StatusCounts { online: 1, away: 0, busy: 1 };
    bench.until(|| bench.hub.stats().presence_coalesced.get() >= 1_000).await;
    bench.until(|| bench.hub.registry().status_counts() == tally).await;
    assert_eq!(bench.hub.registry().availability_of(&UserId::parse("flood", "user").unwrap()), busy);
    assert_eq!(observer.take(), Vec::<String>::new());
    bench.advance(1_000);
    let [told] = observer.receive().await;
    assert_eq!(told, changed("flood", "busy", 1_000_000));
    assert_eq!(bench.hub.stats().presence_suppressed.get(), 0);
}

#[actix::test]
async fn a_storm_stays_within_the_bound_and_ends_with_the_truth() {
    const USERS: u64 = 300;
    const RATE: u32 = 20_000;
    let bench = telling(PresenceAudience::All, RATE);
    let stats = bench.hub.stats();
    let observer = bench.client(Surface::Root, "observer").await;
    let mut sessions = Vec::new();
    for user in 0..USERS {
        sessions.push(bench.client_without_greeting(Surface::Root, &format!("u{user}")).await);
    }
    bench.online(USERS + 1).await;
    sleep(Duration::from_millis(100)).await;
    let delivered = stats.presence_deliveries.get();
    assert!(delivered <= u64::from(RATE) + USERS, "{delivered} deliveries while the clock stood");
    // Half of them go, and some of those come back.
    let stay = sessions.split_off(150);
    drop(sessions);
    bench.online(USERS + 1 - 150).await;
    let mut back = Vec::new();
    for user in 0..50 {
        back.push(bench.client_without_greeting(Surface::Root, &format!("u{user}")).await);
    }
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    let truth: BTreeMap<String, bool> =
        (0..USERS).map(|user| (format!("u{user}"), !(50..150).contains(&user))).collect();
    let mut passed = 0;
    while passed < 20_000 && known != truth {
        bench.advance(10);
        passed += 10;
        sleep(Duration::from_millis(1)).await;
        let told = stats.presence_deliveries.get();
        let most = u64::from(RATE) * (1_000 + passed) / 1_000 + USERS;
        assert!(told <= most, "{told} deliveries, not {most}, by {passed} ms");
        for session in stay.iter().chain(&back) {
            session.take();
        }
        for line in observer.take() {
            let (name, data) = line.split_once(' ').unwrap();
            let data: serde_json::Value = serde_json::from_str(data).unwrap();
            known.insert(data["user_id"].as_str().unwrap().to_owned(), name == "user_online");
        }
        // Who came and went before it was told is not heard of, which is the truth too.
        for user in 50..150 {
            known.entry(format!("u{user}")).or_insert(false);
        }
    }
    assert_eq!(known, truth);
    assert_eq!(stats.presence_suppressed.get(), 0);
    assert!(stats.presence_coalesced.get() >= 100, "{}", stats.presence_coalesced.get());
}
