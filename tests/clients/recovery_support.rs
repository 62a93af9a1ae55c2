//! The hub offers recovery to every client that supports it, whatever its handshake looks like.

use serde_json::{Value, json};
use std::process::Command;

use super::socketio::node;
use crate::support::token::token;
use crate::support::tools::{Program, python};
use crate::support::{DEADLINE, Hub, eventually};

fn base(hub: &Hub) -> String {
    format!("http://{}", hub.address())
}

#[tokio::test]
async fn node_recovers_after_a_disconnect_with_all_options() {
    let hub = Hub::start();
    let report = Program::start(node("recovery_support.js").args([&base(&hub), &token("alice")])).report();
    let report = report.as_object().unwrap();
    assert_eq!(report.len(), 8, "{report:?}");
    for (options, recovered) in report {
        assert_eq!(recovered, true, "{options}");
    }
}

#[tokio::test]
async fn python_gets_no_offsets_unless_it_requests_recovery() {
    let requirements = python(&super::fixture("socketio/requirements.txt"));
    let hub = Hub::start();
    for mode in ["polling", "websocket"] {
        for (query, connect_data) in [("", json!(["sid"])), ("?recovery=1", json!(["sid", "pid"]))] {
            let mut python = Command::new(&requirements);
            python.env("PYTHONDONTWRITEBYTECODE", "1").arg(super::fixture("socketio/recovery_support_python.py"));
            let driver = Program::start(python.args([&format!("{}{query}", base(&hub)), mode, &token("alice")]));
            eventually(DEADLINE * 4, "the client is in the room", || driver.output().contains("in the room\n")).await;
            let body = json!({"room": "first", "event": "to-room", "data": {"n": 1}});
            let answer = hub.http().request("POST", "/api/room").key().json(&body).send();
            assert_eq!(answer.status, 200, "{answer:?}");
            let report: Value = driver.report();
            assert_eq!(report["connectData"], connect_data, "{mode} {query}");
            let arguments = if query.is_empty() { 1 } else { 2 };
            assert_eq!(report["arguments"].as_array().unwrap().len(), arguments, "{mode} {query}: {report}");
            assert_eq!(report["arguments"][0], json!({"n": 1}), "{mode} {query}");
        }
    }
}
