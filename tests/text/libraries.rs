//! JSON text that the libraries of Node and Python write.

use std::process::Command;

use serde_json::{Value, json};

use crate::clients::socketio::{VERSIONS, base, fixture, node_with};
use crate::support::token::token;
use crate::support::tools::{Program, python};
use crate::support::{Client, Hub};

/// Checks the report of odd_text.js.
fn assert_report(report: &Value, client: &str) {
    let refused = |field: &str| json!([field, false, field]);
    let auth = json!({
        "message": "`auth` is nested more than 128 levels deep",
        "data": {"code": "INVALID_REQUEST", "details": {"field": "auth"}},
    });
    assert_eq!(report["errors"], json!([refused("event"), refused("data"), refused("topic")]), "{client}: {report}");
    assert_eq!((&report["half"], &report["deepest"]), (&json!(1), &json!(1)), "{client}: {report}");
    assert_eq!(report["auth"], auth, "{client}: {report}");
    // The script connects a second client twice; since 4.4, the library closes a connection without a namespace.
    assert_eq!(report["connections"], 1, "{client}: {report}");
    assert!(report["attempts"].as_u64().is_some_and(|attempts| attempts <= 2), "{client}: {report}");
}

#[tokio::test]
async fn every_version_of_socket_io_client_is_answered_and_stays_connected() {
    let hub = Hub::start();
    for version in VERSIONS {
        for transports in ["polling", "websocket"] {
            let mut reader = Client::of(&hub, "reader").await;
            reader.subscribe(&["first"]).await;
            let mut node = node_with(version, "odd_text.js");
            let driver = Program::start(node.args([&base(&hub), transports, &token("alice")]));
            assert_report(&driver.report(), &format!("{version} {transports}"));
            assert_eq!(reader.expect("Broadcast").await["data"]["payload"], "cut \u{fffd}");
        }
    }
}

#[tokio::test]
async fn python_is_answered_and_stays_connected_with_any_output_of_its_json_module() {
    let requirements = python(&fixture("requirements.txt"));
    let hub = Hub::start();
    for mode in ["polling", "websocket"] {
        let mut reader = Client::of(&hub, "reader").await;
        reader.subscribe(&["first"]).await;
        let mut python = Command::new(&requirements);
        python.env("PYTHONDONTWRITEBYTECODE", "1").arg(fixture("odd_text.py"));
        let report = Program::start(python.args([&base(&hub), mode, &token("alice")])).report();
        let want = json!({
            "infinity": {"field": "data"},
            "chinese": 1,
            "half": 1,
            "too long": {"field": "payload"},
            "integer": 1,
            "connections": 1,
        });
        assert_eq!(report, want, "{mode}");
        assert_eq!(reader.expect("Broadcast").await["data"]["payload"], "漢".repeat(11_000));
        assert_eq!(reader.expect("Broadcast").await["data"]["payload"], "cut \u{fffd}");
    }
}
