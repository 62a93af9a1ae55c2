//! `/metrics` of a real hub: what it says agrees with the other surfaces.

use serde_json::{Value, json};

use crate::support::hub::Hub;
use crate::support::socketio::{Sio, Transport};
use crate::support::token::token_with;
use crate::support::wait::{DEADLINE, within};

/// One MB of the documents, in bytes.
const MB: f64 = 1_048_576.0;

fn json_of(hub: &Hub, path: &str) -> Value {
    hub.http().request("GET", path).key().send().json()
}

/// The resident memory in bytes, as each surface tells it.
async fn told(hub: &Hub, admin: &mut Sio) -> [f64; 5] {
    admin.ask("debug_mode", json!({"enabled": true})).await;
    admin.expect("connection_stats").await;
    let debug = admin.expect("memory_usage").await;
    admin.expect("event_metrics").await;
    admin.ask("debug_mode", json!({"enabled": false})).await;
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
async fn every_surface_tells_the_same_memory() {
    let hub = Hub::start();
    let mut admin = Sio::with_token(&hub, Transport::WebSocket, &token_with(json!({"sub": 1, "role": "admin"}))).await;
    let agree = async {
        // The memory moves between two readings, but in the end by less than 1,000,000 and 1,048,576 bytes differ.
        loop {
            let told = told(&hub, &mut admin).await;
            if told.iter().all(|bytes| (bytes / told[0] - 1.0).abs() < 0.02) {
                return;
            }
        }
    };
    within(DEADLINE, "every surface tells the same", agree).await;
}
