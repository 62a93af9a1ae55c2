//! docs/migrating.md: the code after each migration runs against a hub.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::blocks::block;
use crate::support::port::ReservedPort;
use crate::support::tools::{Program, node_modules};
use crate::support::{API_KEY, Hub};

const PAGE: &str = "migrating";

/// A script waits for members by asking the API.
const UNLIMITED: &str = "[limits.http]\nrequests_per_minute = 0\n";

/// Runs the blocks of the page between the two parts of a script; the script's report.
#[track_caller]
fn run(hub: &Hub, token: &str, port: u16, blocks: &[&str], after: &str) -> Value {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let file = |name: &str| fs::read_to_string(tests.join("manual/migrating").join(name)).unwrap();
    let code: String = blocks.iter().map(|name| block(PAGE, name).text).collect();
    let script = hub.dir().join("script.js");
    fs::write(&script, format!("{}\n{code}\n{}", file("before.js"), file(after))).unwrap();
    let mut node = Command::new("node");
    node.env("NODE_PATH", node_modules(&tests.join("clients/socketio"))).arg(script);
    let url = format!("http://{}", hub.address());
    Program::start(node.args([&url, API_KEY, token, &port.to_string()])).report()
}

#[test]
fn a_socketio_client_and_its_backend_work_after_the_migration() {
    let reserved = ReservedPort::reserve();
    let port = reserved.address().port();
    let hub = Hub::with(&format!("{UNLIMITED}[backend]\nurl = \"http://127.0.0.1:{port}\""));
    let token = crate::support::token::token("alice");
    let report = run(&hub, &token, port, &["socketio client", "socketio backend"], "socketio.js");
    let note = json!(["alice", {"order": 7, "text": "gift"}]);
    let expected = json!({"shown": [7, 7], "saved": [note], "denied": [], "reloads": 0, "id": 41, "recovered": true});
    assert_eq!(report, expected);
}

#[test]
fn a_client_of_the_pusher_protocol_works_after_the_migration() {
    let hub = Hub::with(UNLIMITED);
    let token = |topic: &str| {
        let topics = json!({"subscribe": [topic], "publish": []});
        crate::support::token::token_with(json!({"sub": "alice", "topics": topics}))
    };
    let blocks = ["pusher client", "pusher backend"];
    let report = run(&hub, &token("orders-7"), 0, &blocks, "pusher.js");
    assert_eq!(report, json!({"shown": [7], "saved": [], "denied": [], "reloads": 0}));
    let report = run(&hub, &token("orders-8"), 0, &blocks, "pusher.js");
    let denied = json!([{"topic": "orders-7", "code": "FORBIDDEN"}]);
    assert_eq!(report, json!({"shown": [], "saved": [], "denied": denied, "reloads": 0}));
}

#[test]
fn a_client_of_centrifugo_works_after_the_migration() {
    let hub = Hub::with(&format!("{}{UNLIMITED}", block(PAGE, "centrifugo rules").text));
    let token = crate::support::token::token("alice");
    let report = run(&hub, &token, 0, &["centrifugo client", "centrifugo backend"], "centrifugo.js");
    let shown = ["first", "second", "third", "live"].map(|text| json!({"text": text}));
    assert_eq!(report, json!({"shown": shown, "saved": [], "denied": [], "reloads": 1, "before": 0}));
}
