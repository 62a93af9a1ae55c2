//! A client that was refused at a limit reconnects with the documented lines of code.

use serde_json::{Value, json};

use super::socketio::{VERSIONS, node_with};
use crate::support::blocks::block;
use crate::support::token::token;
use crate::support::tools::Program;
use crate::support::{DEADLINE, Hub, Sio, SioTransport, eventually};

/// The documented code block that reconnects.
fn retry_lines() -> String {
    block("clients", "retry after a limit").text
}

fn drive(hub: &Hub, version: &str, namespace: &str, token: &str) -> Program {
    let url = format!("http://{}", hub.address());
    Program::start(node_with(version, "retry.js").args([&url, namespace, token, &retry_lines()]))
}

#[track_caller]
fn assert_reconnected(report: &Value, code: &str, most: u64) {
    let refusals = report["refusals"].as_array().unwrap();
    assert!(!refusals.is_empty(), "the client was never refused");
    for refusal in refusals {
        assert_eq!(refusal["code"], code, "{report}");
        assert!(refusal["after"].as_u64().is_some_and(|seconds| (1..=most).contains(&seconds)), "{report}");
    }
}

#[tokio::test]
async fn every_version_reconnects_after_a_limit_with_the_documented_lines() {
    for version in VERSIONS {
        let hub = Hub::with(
            "[limits]\nexempt_loopback = false\n\
             [limits.chat]\nconnection_attempts = 1\nattempts_window_secs = 5\nblock_secs = 1",
        );
        let mut first = Sio::open(&hub, SioTransport::WebSocket).await;
        first.connect("/chat", &json!({"token": token("alice")})).await.unwrap();
        let report = drive(&hub, version, "/chat", &token("bob")).report();
        assert_reconnected(&report, "RATE_LIMITED", 5);
    }
}

#[tokio::test]
async fn a_guest_reconnects_when_its_address_is_below_its_limit() {
    let hub = Hub::with(
        "[limits]\nexempt_loopback = false\n\
         [limits.community]\nconnections_per_address = 1\nconnections_per_minute = 0",
    );
    let first = Sio::guest(&hub, SioTransport::WebSocket).await;
    let driver = drive(&hub, VERSIONS[3], "", "");
    eventually(DEADLINE, "the guest is refused", || hub.output().contains("LIMIT_REACHED")).await;
    drop(first);
    assert_reconnected(&driver.report(), "LIMIT_REACHED", 10);
}
