//! `python-socketio`.

use serde_json::json;
use std::process::Command;

use super::{assert_report, base, exchange, fixture, peer};
use crate::support::token::token;
use crate::support::tools::{Program, python};
use crate::support::{DEADLINE, Hub, eventually};

async fn drive_python(mode: &str) {
    let mut python = Command::new(python(&fixture("requirements.txt")));
    python.env("PYTHONDONTWRITEBYTECODE", "1").arg(fixture("drive_python.py"));
    // The hub notices a lost polling client when its heartbeat times out.
    let hub = Hub::with("[socketio]\nping_interval_ms = 1500\nping_timeout_ms = 1500");
    let mut peer = peer(&hub).await;
    let driver = Program::start(python.args([&base(&hub), mode, &token("alice")]));
    exchange(&hub, &mut peer).await;
    let report = driver.report();
    let transport = if mode == "polling" { "polling" } else { "websocket" };
    for (field, expected) in [("transport", transport), ("disconnectReason", "client disconnect")] {
        assert_eq!(report[field], expected, "{field} in {report}");
    }
    assert_eq!(report["badToken"], json!([{"message": "Unauthorized", "data": {"code": "INVALID_TOKEN"}}]));
    assert_report(report);
    peer.expect_silence().await;
    eventually(DEADLINE, "the client has disconnected", || hub.connections() == 1).await;
}

#[tokio::test]
async fn python_sends_and_receives_by_polling() {
    drive_python("polling").await;
}

#[tokio::test]
async fn python_sends_and_receives_by_websocket() {
    drive_python("websocket").await;
}

#[tokio::test]
async fn python_sends_and_receives_after_an_upgrade() {
    drive_python("upgrade").await;
}

#[tokio::test]
async fn python_handlers_get_one_argument() {
    let requirements = python(&fixture("requirements.txt"));
    let hub = Hub::start();
    for mode in ["polling", "websocket"] {
        let mut python = Command::new(&requirements);
        python.env("PYTHONDONTWRITEBYTECODE", "1").arg(fixture("one_argument.py"));
        let driver = Program::start(python.args([&base(&hub), mode, &token("alice")]));
        eventually(DEADLINE * 4, "the client is in the room", || driver.output().contains("in the room\n")).await;
        for (path, body) in [
            ("/api/room", json!({"room": "first", "event": "to-room", "data": {"n": 1}})),
            ("/api/push", json!({"userId": "alice", "event": "to-user", "data": "text"})),
            ("/api/broadcast", json!({"event": "to-all", "data": [1, 2]})),
        ] {
            let answer = hub.http().request("POST", path).key().json(&body).send();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let events = json!({"to-room": {"n": 1}, "to-user": "text", "to-all": [1, 2]});
        let expected = json!({"events": events, "connectData": ["sid"], "greetings": [true, true]});
        assert_eq!(driver.report(), expected, "{mode}");
        assert_eq!(hub.metric("hubbub_recovery_bytes"), 0.0, "nothing is stored for a client without recovery");
    }
}
