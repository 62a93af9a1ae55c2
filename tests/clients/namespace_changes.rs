//! Pages that join and leave a namespace faster than the hub replies, with the real clients.

use serde_json::json;
use std::process::Command;

use super::socketio::{VERSIONS, node_with};
use crate::support::token::token;
use crate::support::tools::{Program, python};
use crate::support::{DEADLINE, Hub, eventually};

fn base(hub: &Hub) -> String {
    format!("http://{}", hub.address())
}

async fn every_version(transports: &str) {
    for version in VERSIONS {
        let hub = Hub::start();
        let mut node = node_with(version, "namespace_changes.js");
        let report = Program::start(node.args([&base(&hub), transports, &token("alice")])).report();
        for order in ["mountTwice", "connectAgain", "toggle"] {
            for (namespace, greetings) in [("/", 1), ("/chat", 0)] {
                let expected =
                    json!({"disconnects": [], "greetings": greetings, "joined": [true, true], "sessions": 2});
                assert_eq!(
                    report[format!("{order} {namespace}")],
                    expected,
                    "{order} {namespace} {version} {transports}"
                );
            }
        }
        assert_eq!(report["toggled"], json!({"ids": 20, "disconnects": [], "alive": true}), "{version} {transports}");
        eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
    }
}

#[tokio::test]
async fn every_version_rejoins_a_namespace_at_once_by_websocket() {
    every_version("websocket").await;
}

#[tokio::test]
async fn every_version_rejoins_a_namespace_at_once_by_polling() {
    every_version("polling").await;
}

#[tokio::test]
async fn every_version_rejoins_a_namespace_at_once_during_an_upgrade() {
    every_version("polling,websocket").await;
}

#[tokio::test]
async fn python_toggles_a_namespace_and_connects_twice() {
    let requirements = python(&super::fixture("socketio/requirements.txt"));
    for transport in ["polling", "websocket"] {
        let hub = Hub::start();
        let mut python = Command::new(&requirements);
        python.env("PYTHONDONTWRITEBYTECODE", "1").arg(super::fixture("socketio/namespace_changes_python.py"));
        let report = Program::start(python.args([&base(&hub), transport, &token("alice")])).report();
        let expected = json!({"ids": 20, "connects": 20, "disconnects": [], "joined": [true, true]});
        assert_eq!(report, expected, "{transport}");
    }
}
