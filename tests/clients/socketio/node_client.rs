//! `socket.io-client` in Node.

use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{VERSIONS, assert_node_report, base, exchange, node, node_with, peer};
use crate::support::token::token;
use crate::support::tools::Program;
use crate::support::{API_KEY, DEADLINE, Hub, eventually};

const UNLIMITED: &str = "[limits.push]\nmessages_per_minute = 0\nconnections_per_minute = 0";

async fn drive_node(mode: &str) {
    let mut node = node("drive_node.js");
    let hub = Hub::start();
    let mut peer = peer(&hub).await;
    let driver = Program::start(node.args([&base(&hub), mode, &token("alice")]));
    exchange(&hub, &mut peer).await;
    assert_node_report(mode, driver.report());
    peer.expect_silence().await;
    eventually(DEADLINE, "the client has disconnected", || hub.connections() == 1).await;
}

#[tokio::test]
async fn every_version_connects_and_joins_a_room() {
    for version in VERSIONS {
        let hub = Hub::start();
        for transports in ["polling", "websocket", "polling,websocket"] {
            let driver =
                Program::start(node_with(version, "versions.js").args([&base(&hub), transports, &token("alice")]));
            assert_eq!(
                driver.report(),
                json!({"joined": {"success": true, "room": "first"}}),
                "{version} {transports}"
            );
        }
    }
}

#[tokio::test]
async fn every_version_connects_with_subprotocols_and_under_a_base_path() {
    for version in VERSIONS {
        let hub = Hub::unready("[server]\nbase_path = \"/hub\"");
        let driver = Program::start(node_with(version, "protocols.js").args([&base(&hub), &token("alice")]));
        let expected = json!({"alone": "websocket", "both": "websocket", "elsewhere": "not connected"});
        assert_eq!(driver.report(), expected, "{version}");
    }
}

#[tokio::test]
async fn node_sends_and_receives_by_polling() {
    drive_node("polling").await;
}

#[tokio::test]
async fn node_sends_and_receives_by_websocket() {
    drive_node("websocket").await;
}

#[tokio::test]
async fn node_sends_and_receives_after_an_upgrade() {
    drive_node("upgrade").await;
}

#[tokio::test]
async fn node_reports_refusals_and_stays_disconnected_after_a_server_disconnect() {
    let mut node = node("refusals.js");
    let hub = Hub::start();
    let driver = Program::start(node.args([&base(&hub), &token("alice"), API_KEY]));
    let report = driver.report();
    let unauthorized = json!({"message": "Unauthorized", "data": {"code": "INVALID_TOKEN"}});
    for mode in ["polling", "websocket", "upgrade"] {
        let expected = json!({
            "badToken": unauthorized,
            "noNamespace": {"message": "Invalid namespace", "data": null},
            "chatWithoutToken": unauthorized,
            "ownIds": true,
            "onChat": 0,
            "reason": "server_disconnect",
            "disconnectReason": "io server disconnect",
            "chatDisconnectReason": "io server disconnect",
            "staysDisconnected": true,
            "reconnected": true,
            "unexpected": [],
        });
        assert_eq!(report[mode], expected, "{mode}");
    }
}

#[tokio::test]
async fn node_receives_the_shutdown_events_and_recovers_on_the_next_hub() {
    let mut node = node("restart.js");
    let hub = Hub::with("[server]\nshutdown_secs = 10");
    let driver = Program::start(node.args([&base(&hub), &token("alice")]));
    eventually(DEADLINE * 2, "the clients are connected", || driver.output().contains("connected")).await;
    let hub = hub.restart_gracefully();
    let report = driver.report();
    for mode in ["polling", "websocket", "upgrade"] {
        let expected = json!({
            "hasDelay": true,
            "reason": "server_shutdown",
            "serverDisconnect": false,
            "recovered": true,
            "reconnected": true,
        });
        assert_eq!(report[mode], expected, "{mode}: {}", hub.output());
    }
}

#[tokio::test]
async fn node_recovers_the_missed_events_after_a_lost_connection() {
    let mut node = node("recovery.js");
    let hub = Hub::with(UNLIMITED);
    let report = Program::start(node.args([&base(&hub), &token("alice"), API_KEY])).report();
    let missed = |round: u32| {
        let data = json!({ "round": round });
        [json!(["to-room", data]), json!(["to-user", data]), json!(["to-all", format!("round {round}")])]
    };
    for mode in ["polling", "websocket", "upgrade"] {
        let expected = json!({
            "live": [{"n": 0}],
            "recovered": [false, true, true, false],
            "recoveryEvents": [1, "alice", 1, "alice"],
            "missed": ([missed(1), missed(2)].concat()),
            "sameId": true,
            "after": [{"n": 1}],
            "unexpected": [],
        });
        assert_eq!(report[mode], expected, "{mode}");
    }
    eventually(DEADLINE, "nothing is stored for recovery", || hub.metric("hubbub_recovery_bytes") == 0.0).await;
}

#[tokio::test]
async fn two_hundred_node_clients_in_a_room_receive_everything_once_in_one_order() {
    const CLIENTS: u64 = 200;
    const PUBLISHERS: u64 = 9;
    const EACH: u64 = 10;
    let mut node = node("many_clients.js");
    let hub = Hub::with(UNLIMITED);
    let numbers = [CLIENTS, PUBLISHERS, EACH].map(|number| number.to_string());
    let driver = Program::start(node.arg(base(&hub)).args(numbers).arg(token("alice")));
    let third = CLIENTS / 3;
    let transports = json!({"polling": third + 1, "websocket": CLIENTS - third - 1});
    let expected =
        json!({"received": PUBLISHERS * EACH, "publishersInOrder": true, "wrong": [], "transports": transports});
    assert_eq!(driver.report(), expected);
    eventually(DEADLINE, "the clients have disconnected", || hub.connections() == 0).await;
}

/// The path of the example, which cargo builds with the tests.
fn protocol_fixture() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let example = profile.join("examples/protocol_fixture");
    assert!(example.is_file(), "{} is not there: `cargo build --example protocol_fixture`", example.display());
    example
}

#[tokio::test]
async fn node_receives_its_arguments_and_bytes_back_in_events_and_acks() {
    let mut node = node("echo.js");
    let fixture = Program::start(Command::new(protocol_fixture()).arg("0"));
    eventually(DEADLINE, "the fixture listens", || fixture.output().contains('\n')).await;
    let output = fixture.output();
    let address = output.lines().next().unwrap().strip_prefix("listening on ").unwrap();
    let report = Program::start(node.arg(format!("http://{address}"))).report();
    let args = json!([1, "2", {"3": [true, null]}, "bytes:010203", {"deep": ["bytes:c3bc6ec3af", "bytes:"]}]);
    for mode in ["polling", "websocket", "upgrade"] {
        let expected = json!({
            "auth": [{"token": "abc"}],
            "transport": if mode == "polling" { "polling" } else { "websocket" },
            "echoed": args,
            "acknowledged": args,
            "large": 500_000,
            "afterPings": "still here",
            "custom": [{}],
            "unexpected": [],
        });
        assert_eq!(report[mode], expected, "{mode}");
    }
}
