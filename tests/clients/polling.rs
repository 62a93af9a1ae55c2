//! `socket.io-client` in Node and `python-socketio` by polling, when more waits than one answer carries.

use serde_json::{Value, json};
use std::process::Command;

use super::socketio::{VERSIONS, node_with};
use crate::support::token::token;
use crate::support::tools::{Program, python};
use crate::support::{DEADLINE, Hub, eventually};

const COUNT: usize = 20;
const ATTACHMENTS: usize = 8;

/// Has a driver connect to 20 unread notifications, and then hear a burst of 20 events with 8 attachments each.
async fn assert_hears_all(driver: &mut Command, name: &str) {
    let hub = Hub::start();
    let batch = |commands: Vec<Value>| {
        let answer = hub.http().request("POST", "/api/batch").key().json(&json!({ "commands": commands })).send();
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let push = |event: &str, data: Value| json!({"push": {"userId": "alice", "event": event, "data": data}});
    let ids: Vec<_> = (0..COUNT).map(|n| format!("unread-{n}")).collect();
    batch(ids.iter().map(|id| push("notification", json!({ "id": id }))).collect());
    let driver = Program::start(driver.args([format!("http://{}", hub.address()), token("alice"), COUNT.to_string()]));
    eventually(DEADLINE * 4, &format!("{name}: the unread ones came"), || driver.said().contains("notified\n")).await;
    let bytes = vec![json!({"$binary": "AP8B"}); ATTACHMENTS];
    batch((0..COUNT).map(|n| push("burst", json!({"n": n, "bytes": bytes}))).collect());
    let burst: Vec<_> = (0..COUNT).map(|n| format!("{n}{}", " 3".repeat(ATTACHMENTS))).collect();
    assert_eq!(driver.report(), json!({"notification": ids, "burst": burst, "stays": "connected"}), "{name}");
}

#[tokio::test]
async fn python_hears_more_than_16_packets_and_stays() {
    let fixture = super::fixture("socketio");
    let mut driver = Command::new(python(&fixture.join("requirements.txt")));
    driver.env("PYTHONDONTWRITEBYTECODE", "1").arg(fixture.join("burst.py"));
    assert_hears_all(&mut driver, "python-socketio").await;
}

#[tokio::test]
async fn every_version_for_node_hears_more_than_16_packets_and_stays() {
    for version in VERSIONS {
        assert_hears_all(&mut node_with(version, "burst.js"), version).await;
    }
}
