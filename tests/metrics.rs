//! `/metrics` of a running hub agrees with the other surfaces and with the deliveries.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::hub::Hub;
use crate::support::socketio::{Sio, SioTransport};
use crate::support::token::token_with;
use crate::support::wait::{DEADLINE, wait_until, within};

/// One MB as the documents count it, in bytes.
const MB: f64 = 1_048_576.0;

fn json_of(hub: &Hub, path: &str) -> Value {
    hub.http().request("GET", path).key().send().json()
}

/// The resident memory by each surface, in bytes.
async fn memory(hub: &Hub, admin: &mut Sio) -> [f64; 5] {
    admin.request("debug_mode", json!({"enabled": true})).await;
    admin.expect("connection_stats").await;
    let debug = admin.expect("memory_usage").await;
    admin.expect("event_metrics").await;
    admin.request("debug_mode", json!({"enabled": false})).await;
    let (health, status, push) = (json_of(hub, "/health"), json_of(hub, "/status"), json_of(hub, "/api/status"));
    [
        hub.metric("process_resident_memory_bytes"),
        push["memory"]["rss"].as_f64().unwrap(),
        debug["rss"].as_f64().unwrap() * MB,
        health["memory"]["used"].as_f64().unwrap() * MB,
        status["server"]["memory_usage"]["rss"].as_f64().unwrap() * MB,
    ]
}

#[tokio::test]
async fn every_surface_reports_the_same_memory() {
    let hub = Hub::start();
    let mut admin =
        Sio::with_token(&hub, SioTransport::WebSocket, &token_with(json!({"sub": 1, "role": "admin"}))).await;
    let agree = async {
        // The memory changes between two readings, but at some time by less than 1,000,000 and 1,048,576 bytes differ.
        loop {
            let reported = memory(&hub, &mut admin).await;
            if reported.iter().all(|bytes| (bytes / reported[0] - 1.0).abs() < 0.02) {
                return;
            }
        }
    };
    within(DEADLINE, "every surface reports the same", agree).await;
}

/// The number of measured deliveries so far.
fn measured(hub: &Hub) -> f64 {
    hub.metric("hubbub_delivery_latency_seconds_count")
}

#[tokio::test]
async fn every_publication_to_one_reader_is_measured() {
    const PUBLISHED: u32 = 20;

    let hub = Hub::start();
    let (mut alice, mut bob) = (Client::of(&hub, "alice").await, Client::of(&hub, "bob").await);
    alice.subscribe(&["lobby"]).await;
    assert_eq!(measured(&hub), 0.0, "nothing was published, and answers are no publications");
    let started = Instant::now();
    for n in 0..PUBLISHED {
        bob.broadcast("lobby", json!({"n": n})).await;
        alice.expect("Broadcast").await;
    }
    // A client can read the last delivery before it is recorded.
    wait_until(DEADLINE, "every delivery is measured", || measured(&hub) >= f64::from(PUBLISHED));
    let took = started.elapsed().as_secs_f64();
    let page = hub.get("/metrics").body;
    let of = |suffix: &str| -> Vec<f64> {
        let series = format!("hubbub_delivery_latency_seconds{suffix}");
        let lines = page.lines().filter(|line| line.starts_with(&series));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect()
    };
    assert_eq!(of("_count"), [f64::from(PUBLISHED)]);
    let [sum] = of("_sum")[..] else { panic!("one sum in {page}") };
    assert!(sum > 0.0 && sum < took, "{sum} s of deliveries, one after the other, in {took} s");
    let buckets = of("_bucket");
    assert!(buckets.len() == 15 && buckets.is_sorted(), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&f64::from(PUBLISHED)));
}

#[tokio::test]
async fn a_delivery_by_polling_or_over_socket_io_is_measured_too() {
    let hub = Hub::start();
    for (transport, user) in SioTransport::BOTH.into_iter().zip(["carol", "dave"]) {
        let mut reader = Sio::of(&hub, transport, user).await;
        let before = measured(&hub);
        let pushed = json!({"userId": user, "event": "news", "data": {"n": 1}});
        assert_eq!(hub.http().request("POST", "/api/push").key().json(&pushed).send().status, 200);
        reader.expect("news").await;
        wait_until(DEADLINE, "the push is measured", || measured(&hub) > before);
    }
}

#[tokio::test]
async fn joins_leaves_publications_and_changes_of_chats_are_counted() {
    let hub = Hub::start();
    let counts = || {
        ["hubbub_room_joins_total", "hubbub_room_leaves_total", "hubbub_messages_published_total", "hubbub_users"]
            .map(|name| hub.metric(name))
    };
    let mut alice = Client::of(&hub, "alice").await;
    assert_eq!(counts(), [0.0, 0.0, 0.0, 1.0], "internal rooms are not counted");
    alice.subscribe(&["a", "b"]).await;
    alice.broadcast("a", json!({})).await;
    assert_eq!(counts(), [2.0, 0.0, 1.0, 1.0]);
    alice.ask(json!({"type": "Unsubscribe", "data": {"topics": ["a"]}, "id": 9}), "Status").await;
    assert_eq!(counts(), [2.0, 1.0, 1.0, 1.0]);
    alice.close().await;
    wait_until(DEADLINE, "alice is offline", || counts() == [2.0, 2.0, 1.0, 0.0]);

    let changes = || {
        ["created", "replaced", "deleted"]
            .map(|change| hub.metric(&format!("hubbub_chat_changes_total{{change=\"{change}\"}}")))
    };
    let http = hub.http();
    let put = || http.request("PUT", "/api/chats/c").key().json(&json!({"public": true})).send().status;
    let delete = || http.request("DELETE", "/api/chats/c").key().send().status;
    assert_eq!((put(), changes()), (201, [1.0, 0.0, 0.0]));
    assert_eq!((put(), changes()), (200, [1.0, 1.0, 0.0]));
    assert_eq!((delete(), changes()), (200, [1.0, 1.0, 1.0]));
    assert_eq!((delete(), changes()), (404, [1.0, 1.0, 1.0]), "nothing was deleted");
}
