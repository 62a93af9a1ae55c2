//! Recovery is offered to every client that can use it, however its handshake looks.

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
async fn node_goes_on_after_a_cut_with_whatever_options() {
    let hub = Hub::start();
    let told = Program::start(node("offered.js").args([&base(&hub), &token("alice")])).report();
    let told = told.as_object().unwrap();
    assert_eq!(told.len(), 8, "{told:?}");
    for (way, recovered) in told {
        assert_eq!(recovered, true, "{way}");
    }
}

#[tokio::test]
async fn python_gets_no_number_whatever_its_user_agent_unless_it_asks() {
    let requirements = python(&super::fixture("socketio/requirements.txt"));
    let hub = Hub::start();
    for mode in ["polling", "websocket"] {
        for (query, let_in_with) in [("", json!(["sid"])), ("?recovery=1", json!(["sid", "pid"]))] {
            let mut python = Command::new(&requirements);
            python.env("PYTHONDONTWRITEBYTECODE", "1").arg(super::fixture("socketio/offered_python.py"));
            let driver = Program::start(python.args([&format!("{}{query}", base(&hub)), mode, &token("alice")]));
            eventually(DEADLINE * 4, "the client is in the room", || driver.output().contains("in the room\n")).await;
            let body = json!({"room": "first", "event": "to-room", "data": {"n": 1}});
            let answer = hub.http().request("POST", "/api/room").key().json(&body).send();
            assert_eq!(answer.status, 200, "{answer:?}");
            let told: Value = driver.report();
            assert_eq!(told["letInWith"], let_in_with, "{mode} {query}");
            let arguments = if query.is_empty() { 1 } else { 2 };
            assert_eq!(told["heard"].as_array().unwrap().len(), arguments, "{mode} {query}: {told}");
            assert_eq!(told["heard"][0], json!({"n": 1}), "{mode} {query}");
        }
    }
}
