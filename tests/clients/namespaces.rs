//! Pages that enter and leave a namespace faster than the hub answers, with the real clients.

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
        let mut node = node_with(version, "namespaces.js");
        let told = Program::start(node.args([&base(&hub), transports, &token("alice")])).report();
        for order in ["mountTwice", "connectAgain", "hesitate"] {
            for (namespace, greetings) in [("/", 1), ("/chat", 0)] {
                let seen = json!({"cuts": [], "greetings": greetings, "joined": [true, true], "sessions": 2});
                assert_eq!(told[format!("{order} {namespace}")], seen, "{order} {namespace} {version} {transports}");
            }
        }
        assert_eq!(told["toggled"], json!({"ids": 20, "cuts": [], "alive": true}), "{version} {transports}");
        eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
    }
}

#[tokio::test]
async fn every_version_may_change_its_mind_about_a_namespace_by_websocket() {
    every_version("websocket").await;
}

#[tokio::test]
async fn every_version_may_change_its_mind_about_a_namespace_by_polling() {
    every_version("polling").await;
}

#[tokio::test]
async fn every_version_may_change_its_mind_about_a_namespace_during_an_upgrade() {
    every_version("polling,websocket").await;
}

#[tokio::test]
async fn python_may_toggle_a_namespace_and_connect_again() {
    let requirements = python(&super::fixture("socketio/requirements.txt"));
    for transport in ["polling", "websocket"] {
        let hub = Hub::start();
        let mut python = Command::new(&requirements);
        python.env("PYTHONDONTWRITEBYTECODE", "1").arg(super::fixture("socketio/namespaces_python.py"));
        let told = Program::start(python.args([&base(&hub), transport, &token("alice")])).report();
        let seen = json!({"ids": 20, "connects": 20, "cuts": [], "joined": [true, true]});
        assert_eq!(told, seen, "{transport}");
    }
}
