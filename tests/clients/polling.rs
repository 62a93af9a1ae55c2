//! `socket.io-client` in Node and `python-socketio` by polling: with more waiting packets than one response carries, and
//! when the client is killed.

use serde_json::{Value, json};
use std::process::Command;

use super::socketio::{VERSIONS, node_with};
use crate::support::token::token;
use crate::support::tools::{Program, python};
use crate::support::{DEADLINE, Hub, eventually};

const COUNT: usize = 20;
const ATTACHMENTS: usize = 8;

fn batch(hub: &Hub, commands: Vec<Value>) {
    let answer = hub.http().request("POST", "/api/batch").key().json(&json!({ "commands": commands })).send();
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn push(event: &str, data: Value) -> Value {
    json!({"push": {"userId": "alice", "event": event, "data": data}})
}

/// Connects a driver with `count` unread notifications. Returns it and their ids.
async fn connect_unread(hub: &Hub, driver: &mut Command, count: usize, transports: &str) -> (Program, Vec<String>) {
    let ids: Vec<_> = (0..count).map(|n| format!("unread-{n}")).collect();
    batch(hub, ids.iter().map(|id| push("notification", json!({ "id": id }))).collect());
    let arguments = [format!("http://{}", hub.address()), token("alice"), count.to_string(), transports.to_owned()];
    let driver = Program::start(driver.args(arguments));
    eventually(DEADLINE * 4, "the unread notifications arrived", || driver.output().contains("notified\n")).await;
    (driver, ids)
}

/// Asserts that a driver receives 20 unread notifications and a burst of 20 events with 8 attachments each.
async fn assert_receives_all(mut driver: Command, transports: &str, name: &str) {
    let hub = Hub::start();
    let (driver, ids) = connect_unread(&hub, &mut driver, COUNT, transports).await;
    let bytes = vec![json!({"$binary": "AP8B"}); ATTACHMENTS];
    batch(&hub, (0..COUNT).map(|n| push("burst", json!({"n": n, "bytes": bytes}))).collect());
    let burst: Vec<_> = (0..COUNT).map(|n| format!("{n}{}", " 3".repeat(ATTACHMENTS))).collect();
    let expected = json!({"notification": ids, "burst": burst, "state": "connected"});
    assert_eq!(driver.report(), expected, "{name} {transports}");
}

/// Kills a polling driver and waits for the end of its session.
async fn assert_closed_when_killed(mut driver: Command, name: &str) {
    let hub = Hub::with("[socketio]\nping_interval_ms = 120000\nping_timeout_ms = 120000");
    let (driver, _) = connect_unread(&hub, &mut driver, 1, "polling").await;
    assert_eq!(hub.connections(), 1);
    drop(driver);
    eventually(DEADLINE, name, || hub.connections() == 0).await;
}

fn python_driver() -> Command {
    let fixture = super::fixture("socketio");
    let mut driver = Command::new(python(&fixture.join("requirements.txt")));
    driver.env("PYTHONDONTWRITEBYTECODE", "1").arg(fixture.join("burst.py"));
    driver
}

#[tokio::test]
async fn python_receives_more_than_16_packets_and_stays_connected() {
    for transports in ["polling", "polling,websocket"] {
        assert_receives_all(python_driver(), transports, "python-socketio").await;
    }
}

#[tokio::test]
async fn every_version_for_node_receives_more_than_16_packets_and_stays_connected() {
    for version in VERSIONS {
        for transports in ["polling", "polling,websocket"] {
            assert_receives_all(node_with(version, "burst.js"), transports, version).await;
        }
    }
}

#[tokio::test]
async fn the_session_of_a_killed_polling_client_ends() {
    assert_closed_when_killed(python_driver(), "python-socketio").await;
    for version in VERSIONS {
        assert_closed_when_killed(node_with(version, "burst.js"), version).await;
    }
}
