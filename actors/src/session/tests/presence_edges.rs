//! Who is told that a user came or went, and how often.

use std::collections::BTreeMap;

use super::*;
use crate::presence::{Audience, Settings as Telling};

/// How long a user who went may come back unnoticed, in ms of the manual clock.
const LINGER: i64 = 20;

fn telling(audience: Audience, deliveries_per_second: u32) -> Bench {
    Bench::with(LONG, None, |settings| {
        settings.presence = Telling { audience, linger_ms: LINGER, deliveries_per_second };
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.mailbox = 4_096;
        settings.outbox = Bound { bytes: 1 << 20, frames: 10_000 };
    })
}

fn online(user: &str, at: i64) -> String {
    let time = crate::events::moment::Iso(at);
    format!(r#"user_online {{"user_id":"{user}","name":"{user}","avatar":null,"last_seen":"{time}"}}"#)
}

fn offline(user: &str, at: i64) -> String {
    let time = crate::events::moment::Iso(at);
    format!(r#"user_offline {{"user_id":"{user}","last_seen":"{time}"}}"#)
}

impl Bench {
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

impl Client {
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
    let bench = telling(Audience::All, 0);
    let observer = bench.client(Surface::Root, "observer").await;
    let surfaces = [Surface::Raw, Surface::Root, Surface::Chat].into_iter().cycle().take(10);
    let mut sessions = Vec::new();
    for surface in surfaces {
        sessions.push(bench.client_unheard(surface, "alice").await);
    }
    assert_eq!(observer.hears().await, [online("alice", 1_000_000)]);
    bench.advance(5);
    drop(sessions);
    bench.online(1).await;
    bench.advance(LINGER - 1);
    let again = bench.client(Surface::Raw, "alice").await;
    drop(again);
    bench.online(1).await;
    bench.advance(LINGER);
    assert_eq!(observer.hears().await, [offline("alice", 1_000_005 + LINGER - 1)]);
    assert_eq!(bench.hub.stats().presence_coalesced.get(), 2);
}

#[actix::test]
async fn others_hear_on_the_main_namespace_and_on_the_raw_surface_those_who_asked() {
    let bench = telling(Audience::All, 0);
    let (root, chat) = (bench.client(Surface::Root, "root").await, bench.client(Surface::Chat, "chat").await);
    let (raw, asked) = (bench.client(Surface::Raw, "raw").await, bench.client(Surface::Raw, "asked").await);
    let guest = bench.guest().await;
    asked.join("$presence").await;
    root.take();
    let _bob = bench.client(Surface::Raw, "bob").await;
    assert_eq!(root.hears().await, [online("bob", 1_000_000)]);
    assert_eq!(asked.hears().await, [online("bob", 1_000_000)]);
    asked.ask("room:leave", r#"{"room":"$presence"}"#, None).await;
    guest.ask("authenticate", r#"{"token":"carol"}"#, None).await;
    assert_eq!(root.hears().await, [online("carol", 1_000_000)]);
    let _dave = bench.client(Surface::Root, "dave").await;
    assert_eq!(root.hears().await, [online("dave", 1_000_000)]);
    let carols: [String; 2] = guest.hears().await;
    assert!(carols[0].starts_with("authenticated "), "before what it hears of others: {carols:?}");
    assert_eq!(carols[1], online("dave", 1_000_000));
    assert_eq!((raw.take(), chat.take(), asked.take()), (vec![], vec![], vec![]));
}

#[actix::test]
async fn those_who_share_a_room_hear_once_and_nobody_else() {
    let bench = telling(Audience::SharedRooms, 0);
    let near = bench.client(Surface::Root, "near").await;
    let (nearer, far) = (bench.client(Surface::Root, "nearer").await, bench.client(Surface::Root, "far").await);
    near.join("a").await;
    near.join("b").await;
    nearer.join("b").await;
    assert_eq!(near.hears().await, [online("nearer", 1_000_000)]);
    let alice = bench.client(Surface::Raw, "alice").await;
    alice.join("a").await;
    assert_eq!(near.hears().await, [online("alice", 1_000_000)]);
    alice.join("b").await;
    assert_eq!(nearer.hears().await, [online("alice", 1_000_000)]);
    drop(alice);
    bench.online(3).await;
    bench.advance(LINGER);
    let gone = offline("alice", 1_000_000);
    assert_eq!((near.hears().await, nearer.hears().await), ([gone.clone()], [gone]));
    assert_eq!(far.take(), Vec::<String>::new());
}

#[actix::test]
async fn nobody_hears_where_nobody_is_to() {
    let bench = telling(Audience::Off, 0);
    let observer = bench.client(Surface::Root, "observer").await;
    drop(bench.client(Surface::Root, "alice").await);
    bench.online(1).await;
    bench.advance(LINGER);
    sleep(Duration::from_millis(50)).await;
    assert_eq!(observer.take(), Vec::<String>::new());
}

#[actix::test]
async fn a_storm_stays_within_the_bound_and_ends_with_the_truth() {
    const USERS: u64 = 300;
    const RATE: u32 = 20_000;
    let bench = telling(Audience::All, RATE);
    let stats = bench.hub.stats();
    let observer = bench.client(Surface::Root, "observer").await;
    let mut sessions = Vec::new();
    for user in 0..USERS {
        sessions.push(bench.client_unheard(Surface::Root, &format!("u{user}")).await);
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
        back.push(bench.client_unheard(Surface::Root, &format!("u{user}")).await);
    }
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    let truth: BTreeMap<String, bool> =
        (0..USERS).map(|user| (format!("u{user}"), !(50..150).contains(&user))).collect();
    let mut passed = 0;
    while passed < 20_000 && known != truth {
        bench.advance(10);
        passed += 10;
        sleep(Duration::from_millis(10)).await;
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
