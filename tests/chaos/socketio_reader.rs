//! Readers on the published `socket.io-client`. One Node process runs all of them: a third by polling, a third by
//! WebSocket, and a third with an upgrade.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

use super::audit::{PublishedId, ReaderEvent, ReaderRecord};
use super::reader::topics;
use crate::clients::socketio::node;
use crate::support::token::token;
use crate::support::tools::Program;

/// The interval of the checks of the Node process.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Runs readers at these addresses until they end or until `over`. Returns their records.
pub(super) async fn read(
    addresses: Vec<SocketAddr>,
    ready: Arc<AtomicUsize>,
    over: watch::Receiver<bool>,
) -> Vec<ReaderRecord> {
    let reader = |(number, address): (usize, &SocketAddr)| {
        let name = format!("socket.io-{number}");
        let mode = ["websocket", "polling", "upgrade"][number % 3];
        let url = format!("http://{address}");
        json!({"url": url, "mode": mode, "token": token(&name), "topics": topics(number), "name": name})
    };
    let readers: Value = addresses.iter().enumerate().map(reader).collect();
    let mut program =
        tokio::task::spawn_blocking(move || Program::start(node("chaos.js").arg(readers.to_string()))).await.unwrap();
    while !program.has_ended() && !program.output().starts_with("joined\n") {
        sleep(CHECK_INTERVAL).await;
    }
    ready.fetch_add(addresses.len(), Ordering::Relaxed);
    while !program.has_ended() && !*over.borrow() {
        sleep(CHECK_INTERVAL).await;
    }
    let report = tokio::task::spawn_blocking(|| program.report()).await.unwrap();
    report.as_array().unwrap().iter().map(record).collect()
}

fn record(report: &Value) -> ReaderRecord {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut record = ReaderRecord {
        name: text(&report["name"]),
        connections: report["connections"].as_u64().unwrap(),
        counts: serde_json::from_value(report["counts"].clone()).unwrap(),
        faults: report["faults"].as_array().unwrap().iter().map(text).collect(),
        ..ReaderRecord::default()
    };
    for (topic, all) in report["events"].as_object().unwrap() {
        let topic = topic.parse().unwrap();
        record.events.insert(topic, Vec::new());
        for event in all.as_array().unwrap() {
            let event = match event.as_str() {
                Some("recovered") => ReaderEvent::Recovered,
                Some("lost") => ReaderEvent::Lost,
                _ => ReaderEvent::Received(PublishedId {
                    publisher: event["publisher"].as_u64().unwrap() as usize,
                    n: event["n"].as_u64().unwrap(),
                }),
            };
            record.add(topic, event);
        }
    }
    record
}
