//! Those who read by `socket.io-client`, as it is published: all of them in one process of Node, some by polling, some by
//! WebSocket, some by going over from the one to the other.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

use super::ledger::{Message, Met, Record};
use super::reader::topics;
use crate::clients::socketio::node;
use crate::support::token::token;
use crate::support::tools::Program;

/// How often the program is looked after.
const LOOK: Duration = Duration::from_millis(50);

/// Readers at these addresses, from when they are in their topics to the end, or until it is over; what they met.
pub(super) async fn read(
    addresses: Vec<SocketAddr>,
    ready: Arc<AtomicUsize>,
    over: watch::Receiver<bool>,
) -> Vec<Record> {
    let reader = |(number, address): (usize, &SocketAddr)| {
        let name = format!("socket.io-{number}");
        let mode = ["websocket", "polling", "upgrade"][number % 3];
        let url = format!("http://{address}");
        json!({"url": url, "mode": mode, "token": token(&name), "topics": topics(number), "name": name})
    };
    let asked: Value = addresses.iter().enumerate().map(reader).collect();
    let mut program =
        tokio::task::spawn_blocking(move || Program::start(node("chaos.js").arg(asked.to_string()))).await.unwrap();
    while !program.has_ended() && !program.output().starts_with("there\n") {
        sleep(LOOK).await;
    }
    ready.fetch_add(addresses.len(), Ordering::Relaxed);
    while !program.has_ended() && !*over.borrow() {
        sleep(LOOK).await;
    }
    let report = tokio::task::spawn_blocking(|| program.report()).await.unwrap();
    report.as_array().unwrap().iter().map(record).collect()
}

fn record(told: &Value) -> Record {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut record = Record {
        name: text(&told["name"]),
        connections: told["connections"].as_u64().unwrap(),
        counts: serde_json::from_value(told["counts"].clone()).unwrap(),
        faults: told["faults"].as_array().unwrap().iter().map(text).collect(),
        ..Record::default()
    };
    for (topic, all) in told["met"].as_object().unwrap() {
        let topic = topic.parse().unwrap();
        record.met.insert(topic, Vec::new());
        for met in all.as_array().unwrap() {
            let met = match met.as_str() {
                Some("recovered") => Met::Recovered,
                Some("lost") => Met::Lost,
                _ => Met::Heard(Message { by: met["by"].as_u64().unwrap() as usize, n: met["n"].as_u64().unwrap() }),
            };
            record.meet(topic, met);
        }
    }
    record
}
