//! Topics that keep history: what was missed comes once, in its order, before anything new, or it is said that it does
//! not; in memory that is bounded, and over a planned restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Client, DEADLINE, Hub, eventually};

const UNLIMITED: &str = "
    limits.outbox_bytes = 8000000
    limits.raw.messages_per_minute = 0
    limits.http.requests_per_minute = 0
";

/// A hub whose topics keep so many messages each, with `more` in its configuration.
#[track_caller]
fn hub(history: u32, more: &str) -> Hub {
    Hub::with(&format!("{UNLIMITED}{more}\n[[topics]]\npattern = \"*\"\nhistory = {history}"))
}

/// Asks for a topic; the details of the answer.
async fn subscribe(client: &mut Client, topic: &str, since: Option<&Value>) -> Value {
    let since = since.map_or(json!({}), |since| json!({topic: since}));
    let ask = json!({"type": "Subscribe", "data": {"topics": [topic], "since": since}});
    client.ask(ask, "Status").await["data"]["details"].take()
}

/// A client that comes back after `since`: it is told whether all that it missed follows, and where the topic stood.
async fn back(hub: &Hub, topic: &str, since: &Value) -> (Client, bool, Value) {
    let mut client = Client::of(hub, "reader").await;
    let mut details = subscribe(&mut client, topic, Some(since)).await;
    let recovered = details["recovered"][topic].as_bool().unwrap();
    (client, recovered, details["positions"][topic].take())
}

/// Where a topic stands.
async fn position(hub: &Hub, topic: &str) -> Value {
    let mut client = Client::of(hub, "looker").await;
    let position = subscribe(&mut client, topic, None).await["positions"][topic].take();
    client.close().await;
    position
}

/// The place `back` messages before this one.
fn before(position: &Value, back: u64) -> Value {
    json!({"epoch": position["epoch"], "offset": position["offset"].as_u64().unwrap() - back})
}

fn push(hub: &Hub, room: &str, data: &Value) {
    let body = json!({"room": room, "event": "news", "data": data});
    let answer = hub.http().request("POST", "/api/room").key().json(&body).send();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Numbers that a seed decides (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Two who publish to `topic` until they are told to stop or the hub is gone: one from a connection, one over HTTP.
struct Publishers {
    stop: Arc<AtomicBool>,
    raw: tokio::task::JoinHandle<u64>,
    http: thread::JoinHandle<u64>,
}

impl Publishers {
    /// These, and the epoch that the topic has from their first message on.
    async fn start(hub: &Hub, topic: &'static str) -> (Self, Value) {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = Client::of(hub, "publisher").await;
        let (told, http, stops) = (stop.clone(), hub.http(), stop.clone());
        let raw = tokio::spawn(async move {
            let mut accepted = 0;
            while !told.load(Ordering::Relaxed) {
                let data = json!({"topic": topic, "payload": {"raw": accepted}});
                if !client.try_send(json!({"type": "Broadcast", "data": data})).await {
                    break;
                }
                match client.try_answer().await {
                    Ok(answer) if answer["type"] == "Ack" => accepted += 1,
                    Ok(answer) => assert_eq!(answer["data"]["code"], "SHUTTING_DOWN", "{answer}"),
                    Err(_) => break,
                }
            }
            accepted
        });
        let http = thread::spawn(move || {
            let mut accepted = 0;
            while !stops.load(Ordering::Relaxed) {
                let body = json!({"room": topic, "event": "news", "data": {"http": accepted}});
                match http.request("POST", "/api/room").key().json(&body).try_send() {
                    Some(answer) if answer.status == 200 => accepted += 1,
                    Some(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                    None => break,
                }
            }
            accepted
        });
        eventually(DEADLINE, "something is published", || hub.metric("hubbub_history_bytes") > 0.0).await;
        let epoch = position(hub, topic).await["epoch"].take();
        (Self { stop, raw, http }, epoch)
    }

    /// How many messages of each were accepted.
    async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let raw = self.raw.await.unwrap();
        (raw, tokio::task::spawn_blocking(|| self.http.join().unwrap()).await.unwrap())
    }
}

/// What a client has of a topic, every message checked as it comes.
#[derive(Default)]
struct Copy {
    offset: u64,
    /// The next of each publisher.
    raw: u64,
    http: u64,
}

impl Copy {
    fn add(&mut self, message: &Value) {
        assert_eq!(message["offset"].as_u64(), Some(self.offset + 1), "after {}: {message}", self.offset);
        self.offset += 1;
        match message["type"].as_str() {
            Some("Broadcast") => {
                assert_eq!(message["data"]["payload"]["raw"].as_u64(), Some(self.raw), "{message}");
                self.raw += 1;
            }
            Some("news") => {
                assert_eq!(message["data"]["http"].as_u64(), Some(self.http), "{message}");
                self.http += 1;
            }
            _ => panic!("{message}"),
        }
    }

    fn since(&self, epoch: &Value) -> Value {
        json!({"epoch": epoch, "offset": self.offset})
    }
}

#[tokio::test]
async fn who_comes_and_goes_a_hundred_times_gets_everything_once_and_in_order() {
    let hub = hub(100_000, "");
    let (publishers, epoch) = Publishers::start(&hub, "feed").await;
    let (mut dice, mut copy) = (Dice(0x1d2c_3b4a), Copy::default());
    for turn in 0..100 {
        let (mut client, recovered, position) = back(&hub, "feed", &copy.since(&epoch)).await;
        assert!(recovered, "turn {turn}");
        assert_eq!(position["epoch"], epoch);
        let stood = position["offset"].as_u64().unwrap();
        // Sometimes it goes in the midst of what it missed, sometimes long after.
        for _ in 0..dice.below(2 * (stood - copy.offset) + 20) {
            copy.add(&client.next().await);
        }
        match dice.below(2) {
            0 => client.close().await,
            _ => drop(client),
        }
    }
    let accepted = publishers.stop().await;
    let (mut client, recovered, position) = back(&hub, "feed", &copy.since(&epoch)).await;
    assert!(recovered);
    while copy.offset < position["offset"].as_u64().unwrap() {
        copy.add(&client.next().await);
    }
    assert_eq!((copy.raw, copy.http), accepted);
    client.expect_silence().await;
}

#[tokio::test]
async fn a_publisher_faster_than_the_history_is_told_and_at_the_boundary_nothing_is_lost() {
    let hub = hub(10, "");
    for n in 1..=25 {
        push(&hub, "fast", &json!(n));
    }
    let position = position(&hub, "fast").await;
    assert_eq!(position["offset"], 25);
    for (missed, follows) in [(0, true), (1, true), (10, true), (11, false), (25, false)] {
        let (mut client, recovered, stood) = back(&hub, "fast", &before(&position, missed)).await;
        assert_eq!((recovered, &stood), (follows, &position), "{missed} missed");
        for n in 26 - if follows { missed } else { 0 }..=25 {
            let message = client.next().await;
            assert_eq!(
                (&message["offset"], &message["data"], &message["topic"]),
                (&json!(n), &json!(n), &json!("fast"))
            );
        }
        client.expect_silence().await;
    }
    let elsewhere = json!({"epoch": "0", "offset": 25});
    assert!(!back(&hub, "fast", &elsewhere).await.1, "another epoch");
    assert!(!back(&hub, "fast", &json!({"epoch": position["epoch"], "offset": 26})).await.1, "there is no 26");
}

#[tokio::test]
async fn what_is_broadcast_is_numbered_too_and_follows_what_was_missed() {
    let hub = hub(10, "");
    let mut alice = Client::of(&hub, "alice").await;
    let mut bob = Client::of(&hub, "bob").await;
    let first = subscribe(&mut bob, "room", None).await["positions"]["room"].take();
    assert_eq!(first["offset"], 0);
    alice.broadcast("room", json!("one")).await;
    assert_eq!(bob.expect("Broadcast").await["offset"], 1);
    alice.broadcast("room", json!("two")).await;
    let (mut late, recovered, position) = back(&hub, "room", &first).await;
    assert_eq!((recovered, &position["offset"]), (true, &json!(2)));
    alice.broadcast("room", json!("three")).await;
    for (n, payload) in [(1, "one"), (2, "two"), (3, "three")] {
        let message = late.expect("Broadcast").await;
        assert_eq!((&message["offset"], &message["data"]["payload"]), (&json!(n), &json!(payload)));
        assert_eq!(message["data"]["from_user"], "alice");
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_is_refused_by_its_path_and_nothing_is_joined() {
    let hub = hub(10, "");
    let mut client = Client::of(&hub, "alice").await;
    for (place, field) in [
        (json!({"epoch": "e", "offset": -1}), "since.a.offset"),
        (json!({"epoch": "e", "offset": 0.5}), "since.a.offset"),
        (json!({"epoch": 1, "offset": 1}), "since.a.epoch"),
        (json!({"epoch": "e", "offset": 1, "more": 1}), "since.a.more"),
        (json!([]), "since.a"),
    ] {
        let ask = json!({"type": "Subscribe", "data": {"topics": ["a"], "since": {"a": place}}});
        let error = client.ask(ask, "Error").await;
        assert_eq!(error["data"]["details"]["field"], field, "{error}");
    }
    push(&hub, "a", &json!(1));
    client.expect_silence().await;
}

#[tokio::test]
async fn a_message_is_deleted_at_its_age_and_an_empty_topic_with_it() {
    let hub = Hub::with_manual_clock("[[topics]]\npattern = \"*\"\nhistory = 10\nhistory_secs = 60");
    push(&hub, "brief", &json!(1));
    hub.advance(59_999);
    push(&hub, "other", &json!(1));
    assert!(hub.metric("hubbub_history_bytes") > 0.0);
    assert_eq!(hub.http().request("GET", "/api/rooms/brief/history").key().send().json()["messages"][0]["offset"], 1);
    // Beyond the age of both.
    hub.advance(120_000);
    eventually(DEADLINE, "nothing is kept", || hub.metric("hubbub_history_bytes") == 0.0).await;
    let path = "/api/rooms/brief/history";
    assert_eq!(hub.http().request("GET", path).key().send().status, 404);
}

#[tokio::test]
async fn what_is_kept_of_many_topics_is_bounded_in_bytes() {
    let hub = hub(1_000, "limits.history_bytes = 1000000");
    let topics = 300;
    let text = "x".repeat(1_000);
    let mut publisher = Client::of(&hub, "publisher").await;
    for round in 0..10 {
        for topic in 0..topics {
            publisher.broadcast(&format!("topic-{topic}"), json!({"round": round, "text": text})).await;
        }
        assert!(hub.metric("hubbub_history_bytes") <= 1_000_000.0);
    }
    assert!(hub.metric("hubbub_history_bytes") > 500_000.0);
    assert!(hub.metric("hubbub_histories_evicted_total") > 100.0);
    let there = |topic: u32| {
        let answer = hub.http().request("GET", &format!("/api/rooms/topic-{topic}/history")).key().send();
        answer.status == 200
    };
    assert!(there(topics - 1));
    // A topic with a message of 1,000 bytes is counted as more than 2,000.
    let kept = (0..topics).filter(|&topic| there(topic)).count();
    assert!((1..500).contains(&kept), "{kept}");
}

#[tokio::test]
async fn over_a_planned_restart_under_load_nothing_is_missed() {
    let hub = hub(100_000, "");
    let (publishers, epoch) = Publishers::start(&hub, "feed").await;
    let mut copy = Copy::default();
    let (mut client, _, _) = back(&hub, "feed", &copy.since(&epoch)).await;
    while copy.offset < 300 {
        copy.add(&client.next().await);
    }
    drop(client);
    eventually(DEADLINE, "more is published", || hub.metric("hubbub_messages_published_total") > 600.0).await;
    let hub = tokio::task::spawn_blocking(|| hub.restart_gracefully()).await.unwrap();
    let accepted = publishers.stop().await;

    let (mut client, recovered, position) = back(&hub, "feed", &copy.since(&epoch)).await;
    assert!(recovered);
    assert_eq!(position["epoch"], epoch);
    while copy.offset < position["offset"].as_u64().unwrap() {
        copy.add(&client.next().await);
    }
    // The last of each publisher may have been taken and its answer lost with the connection.
    assert!(copy.raw - accepted.0 <= 1 && copy.http - accepted.1 <= 1, "{accepted:?}, not {} {}", copy.raw, copy.http);
    push(&hub, "feed", &json!({"http": copy.http}));
    copy.add(&client.next().await);

    // What was read is gone from the disk: a crash now does not bring it back.
    let hub = tokio::task::spawn_blocking(|| hub.restart()).await.unwrap();
    let (_, recovered, position) = back(&hub, "feed", &copy.since(&epoch)).await;
    assert_eq!((recovered, &position["offset"]), (false, &json!(0)));
    assert_ne!(position["epoch"], epoch);
}

#[tokio::test]
async fn after_a_crash_nobody_is_told_that_nothing_was_missed() {
    let hub = hub(10, "");
    push(&hub, "feed", &json!(1));
    let position = position(&hub, "feed").await;
    let mut hub = tokio::task::spawn_blocking(|| hub.restart()).await.unwrap();
    let (_, recovered, stood) = back(&hub, "feed", &position).await;
    assert!(!recovered);
    assert_ne!(stood["epoch"], position["epoch"]);
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
}

#[tokio::test]
async fn a_topic_that_keeps_nothing_any_more_is_not_brought_back() {
    let hub = hub(10, "");
    for topic in ["stays", "goes"] {
        push(&hub, topic, &json!({"ü": [1.50]}));
    }
    let (stays, goes) = (position(&hub, "stays").await, position(&hub, "goes").await);
    let config = hub.dir().join("config.toml");
    let told = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, told.replace("pattern = \"*\"", "pattern = \"stays\"")).unwrap();
    let hub = tokio::task::spawn_blocking(|| hub.restart_gracefully()).await.unwrap();
    let (mut client, recovered, position) = back(&hub, "stays", &before(&stays, 1)).await;
    assert_eq!((recovered, position), (true, stays));
    let message = crate::support::client::without_time(client.next().await);
    assert_eq!(message, json!({"type": "news", "topic": "stays", "data": {"ü": [1.50]}, "offset": 1}));
    let mut other = Client::of(&hub, "other").await;
    let asked = json!({"type": "Subscribe", "data": {"topics": ["goes"], "since": {"goes": goes}}});
    let denied = other.ask(asked, "Status").await["data"]["details"]["denied"].take();
    assert_eq!(denied, json!([{"topic": "goes", "code": "FORBIDDEN"}]));
    assert_eq!(hub.http().request("GET", "/api/rooms/goes/history").key().send().status, 404);
}

#[tokio::test]
async fn a_page_of_history_is_read_over_http_both_ways() {
    let hub = hub(8, "");
    for n in 1..=10 {
        push(&hub, "log/of today", &json!({"n": n}));
    }
    let read = |query: &str| {
        let answer = hub.http().request("GET", &format!("/api/rooms/log%2Fof%20today/history{query}")).key().send();
        (answer.status, answer.json())
    };
    let numbers = |page: &Value| -> (Vec<u64>, bool) {
        let messages = page["messages"].as_array().unwrap().iter();
        (messages.map(|message| message["offset"].as_u64().unwrap()).collect(), page["hasMore"].as_bool().unwrap())
    };
    let (status, page) = read("?limit=1");
    let position = position(&hub, "log/of today").await;
    let message = &page["messages"][0];
    assert_eq!(status, 200);
    assert_eq!(
        page,
        json!({
            "success": true,
            "room": "log/of today",
            "epoch": position["epoch"],
            "messages": [{"offset": 10, "event": "news", "data": {"n": 10}, "timestamp": message["timestamp"]}],
            "hasMore": true,
            "timestamp": page["timestamp"],
        })
    );
    assert!(message["timestamp"].as_str().unwrap().ends_with('Z'), "{message}");
    for (query, offsets, more) in [
        ("", vec![3, 4, 5, 6, 7, 8, 9, 10], false),
        ("?limit=3", vec![8, 9, 10], true),
        ("?limit=3&before=8", vec![5, 6, 7], true),
        ("?limit=3&before=5", vec![3, 4], false),
        ("?limit=3&before=1", vec![], false),
        ("?limit=3&after=0", vec![3, 4, 5], true),
        ("?limit=3&after=5", vec![6, 7, 8], true),
        ("?limit=3&after=8", vec![9, 10], false),
        ("?limit=3&after=10", vec![], false),
    ] {
        assert_eq!(numbers(&read(query).1), (offsets, more), "{query}");
    }
    for (query, named) in [
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?before=x", "before"),
        ("?after=-1", "after"),
        ("?before=1&after=1", "after"),
    ] {
        let (status, body) = read(query);
        assert_eq!(
            (status, &body["code"], &body["success"]),
            (400, &json!("INVALID_REQUEST"), &json!(false)),
            "{query}"
        );
        assert!(body["error"].as_str().unwrap().contains(&format!("`{named}`")), "{query}: {body}");
    }
    let nothing = hub.http().request("GET", "/api/rooms/unheard%20of/history").key().send();
    assert_eq!((nothing.status, &nothing.json()["code"]), (404, &json!("NOT_FOUND")), "{nothing:?}");
    assert_eq!(hub.get("/api/rooms/log/history").status, 401);
    // A room of that very name is asked for by its escaped name.
    let named = hub.http().request("GET", "/api/rooms/a%2Fhistory").key().send();
    assert_eq!((named.status, &named.json()["error"]), (404, &json!("No such room")));
}

#[tokio::test]
async fn a_large_history_is_ready_when_the_hub_has_ended_and_comes_back_whole() {
    let hub = hub(1_000, "server.shutdown_secs = 10");
    let mut publisher = Client::of(&hub, "publisher").await;
    let text = "x".repeat(30_000);
    for n in 0..500 {
        publisher.broadcast(&format!("topic-{}", n % 5), json!({"n": n, "text": text})).await;
    }
    drop(publisher);
    let held = hub.metric("hubbub_history_bytes");
    let hub = tokio::task::spawn_blocking(|| hub.restart_gracefully()).await.unwrap();
    assert_eq!(hub.metric("hubbub_history_bytes"), held);
    assert!(!hub.output().contains("could not be stored"), "{}", hub.output());
}
