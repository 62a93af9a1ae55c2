//! Topics with history under load: every message is replayed once and in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::support::rng::Rng;

/// Two publishers to `topic`, over a connection and over HTTP. They run until they are stopped or the hub ends.
struct Publishers {
    stop: Arc<AtomicBool>,
    raw: tokio::task::JoinHandle<u64>,
    http: thread::JoinHandle<u64>,
}

impl Publishers {
    /// Starts them; the epoch of the topic is that of their first message.
    async fn start(hub: &Hub, topic: &'static str) -> (Self, Value) {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = Client::of(hub, "publisher").await;
        let (stop_raw, http, stop_http) = (stop.clone(), hub.http(), stop.clone());
        let raw = tokio::spawn(async move {
            let mut accepted = 0;
            while !stop_raw.load(Ordering::Relaxed) {
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
            while !stop_http.load(Ordering::Relaxed) {
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

    /// Stops them; the number of accepted messages of each.
    async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let raw = self.raw.await.unwrap();
        (raw, tokio::task::spawn_blocking(|| self.http.join().unwrap()).await.unwrap())
    }
}

/// The messages of a topic that a client has received, checked as they arrive.
#[derive(Default)]
struct Copy {
    offset: u64,
    /// The next number of each publisher.
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
async fn a_client_that_reconnects_a_hundred_times_gets_every_message_once_and_in_order() {
    let hub = hub(100_000, "");
    let (publishers, epoch) = Publishers::start(&hub, "feed").await;
    let (mut rng, mut copy) = (Rng::new(0x1d2c_3b4a, 0), Copy::default());
    for turn in 0..100 {
        let (mut client, recovered, position) = resume(&hub, "feed", &copy.since(&epoch)).await;
        assert!(recovered, "turn {turn}");
        assert_eq!(position["epoch"], epoch);
        let last = position["offset"].as_u64().unwrap();
        // Sometimes it closes amid the replayed messages, sometimes long after.
        for _ in 0..rng.below(usize::try_from(2 * (last - copy.offset) + 20).unwrap()) {
            copy.add(&client.next().await);
        }
        match rng.below(2) {
            0 => client.close().await,
            _ => drop(client),
        }
    }
    let accepted = publishers.stop().await;
    let (mut client, recovered, position) = resume(&hub, "feed", &copy.since(&epoch)).await;
    assert!(recovered);
    while copy.offset < position["offset"].as_u64().unwrap() {
        copy.add(&client.next().await);
    }
    assert_eq!((copy.raw, copy.http), accepted);
    client.expect_silence().await;
}

#[tokio::test]
async fn every_message_is_replayed_after_a_graceful_restart_under_load() {
    let hub = hub(100_000, "");
    let (publishers, epoch) = Publishers::start(&hub, "feed").await;
    let mut copy = Copy::default();
    let (mut client, _, _) = resume(&hub, "feed", &copy.since(&epoch)).await;
    while copy.offset < 300 {
        copy.add(&client.next().await);
    }
    drop(client);
    eventually(DEADLINE, "more is published", || hub.metric("hubbub_messages_published_total") > 600.0).await;
    let hub = tokio::task::spawn_blocking(|| hub.restart_gracefully()).await.unwrap();
    let accepted = publishers.stop().await;

    let (mut client, recovered, position) = resume(&hub, "feed", &copy.since(&epoch)).await;
    assert!(recovered);
    assert_eq!(position["epoch"], epoch);
    while copy.offset < position["offset"].as_u64().unwrap() {
        copy.add(&client.next().await);
    }
    // The last message of each publisher may be accepted while its answer was lost with the connection.
    assert!(copy.raw - accepted.0 <= 1 && copy.http - accepted.1 <= 1, "{accepted:?}, not {} {}", copy.raw, copy.http);
    push(&hub, "feed", &json!({"http": copy.http}));
    copy.add(&client.next().await);

    // The start deleted the stored history: a crash now does not restore it.
    let hub = tokio::task::spawn_blocking(|| hub.restart()).await.unwrap();
    let (_, recovered, position) = resume(&hub, "feed", &copy.since(&epoch)).await;
    assert_eq!((recovered, &position["offset"]), (false, &json!(0)));
    assert_ne!(position["epoch"], epoch);
}
