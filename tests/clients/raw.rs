//! The raw document's `NodeRealtimeClient`, its browser `RealtimeClient` and its Python `RealtimeClient`. Each receives the
//! welcome, subscribes, publishes, sends a direct message to a peer, and receives the same from it.

use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::assert_unchanged;
use crate::support::client::without_time;
use crate::support::page::{PageFile, PageListener};
use crate::support::token::token;
use crate::support::tools::{Browser, Program, node_modules, python};
use crate::support::{Client, DEADLINE, Hub};

fn fixture(name: &str) -> PathBuf {
    super::fixture("raw").join(name)
}

#[test]
fn the_clients_equal_the_document() {
    assert_unchanged(&[
        ("raw/node.js", "f999881a5dad29d2a1248d734d74da855a26f870e6ce4bcdbe08f80e376a73df"),
        ("raw/browser.js", "3797da489e62d898033c7fd11ccb60b620a85d2ee8eac51907826205863db8c3"),
        ("raw/python.py", "571136371ab2d1b3183687a11931b2969b30f44437220b1dac33177b0511be8b"),
    ]);
}

#[tokio::test]
async fn the_node_client_sends_and_receives() {
    let mut node = Command::new("node");
    node.env("NODE_PATH", node_modules(&fixture(""))).arg(fixture("drive_node.js"));
    let hub = Hub::start();
    let peer = peer(&hub).await;
    let driver = Program::start(node.args([&hub.ws("/ws"), &token("alice"), "bob"]));
    exchange(peer).await;
    let report = driver.report();
    assert_report(&report);
    assert!(report["pong"]["timestamp"].is_u64(), "{report}");
    assert_eq!(report["closed"], 1000, "{report}");
}

#[tokio::test]
async fn the_python_client_sends_and_receives() {
    let mut python = Command::new(python(&fixture("requirements.txt")));
    python.env("PYTHONDONTWRITEBYTECODE", "1").arg(fixture("drive_python.py"));
    let hub = Hub::start();
    let peer = peer(&hub).await;
    let driver = Program::start(python.args([&hub.ws("/ws"), &token("alice"), "bob"]));
    exchange(peer).await;
    let report = driver.report();
    assert_report(&report);
    assert_eq!(report["closed"], 1000, "{report}");
}

#[tokio::test]
async fn the_browser_client_sends_and_receives_from_a_listed_origin() {
    let browser = Browser::ready();
    let page = PageListener::bind();
    let hub = Hub::with(&format!("[server]\nallowed_origins = [{:?}]", page.origin()));
    let peer = peer(&hub).await;
    let mut page = page.serve(browser_client(&hub));
    let browser = browser.show(&page.origin());
    exchange(peer).await;
    let report = page.report(&browser);
    assert_report(&report["result"]);
}

#[tokio::test]
async fn the_browser_client_is_refused_from_an_unlisted_origin() {
    let browser = Browser::ready();
    let page = PageListener::bind();
    let hub = Hub::with("[server]\nallowed_origins = [\"https://app.example.com\"]");
    let mut page = page.serve(browser_client(&hub));
    let browser = browser.show(&page.origin());
    let closed = 3;
    assert_eq!(page.report(&browser), json!({"failed": "event error", "readyState": closed}));
    assert_eq!(hub.counters()["total_connections"], 0);
}

/// The page with the document's class and its driver.
fn browser_client(hub: &Hub) -> Vec<PageFile> {
    let options = json!({"url": hub.ws("/ws"), "token": token("alice"), "peer": "bob"});
    let html = format!(
        r#"<!doctype html><title>client</title>
        <script id="hub" type="application/json">{options}</script>
        <script src="/browser.js"></script>
        <script src="/drive.js"></script>
        <script src="/drive_browser.js"></script>"#
    );
    let script = |name: &str| PageFile::script(&format!("/{name}"), fs::read_to_string(fixture(name)).unwrap());
    vec![PageFile::html("/", html), script("browser.js"), script("drive.js"), script("drive_browser.js")]
}

/// The user that receives the client's messages and sends to it.
async fn peer(hub: &Hub) -> Client {
    let mut peer = Client::of(hub, "bob").await;
    peer.subscribe(&["chat.general"]).await;
    peer
}

/// Receives the messages of the document's client, and sends the same back.
async fn exchange(mut peer: Client) {
    let payload = json!({"message": "Hello from the document", "list": [1, 2.5, null, "ünï ☃"]});
    let mut message = peer.next_within(DEADLINE * 4).await;
    let id = message["data"]["message_id"].take();
    assert!(id.is_string(), "message_id is {id}");
    let data = json!({"topic": "chat.general", "payload": payload, "from_user": "alice", "message_id": null});
    assert_eq!(message["type"], "Broadcast", "{message}");
    assert_eq!(message["data"], data);
    let mut message = without_time(peer.expect("DirectMessage").await);
    let id = message["data"]["message_id"].take();
    assert!(id.is_string(), "message_id is {id}");
    let data = json!({"from_user": "alice", "payload": "just for you", "message_id": null});
    assert_eq!(message, json!({"type": "DirectMessage", "data": data}));

    let ack = peer.broadcast("chat.general", json!({"back": ["to", "you"]})).await;
    assert_eq!(ack["data"]["recipients"], 1, "{ack}");
    let direct = json!({"target_user": "alice", "payload": {"dm": true}});
    let ack = peer.ask(json!({"type": "DirectMessage", "data": direct}), "Ack").await;
    assert_eq!(ack["data"]["recipients"], 1, "{ack}");
}

/// Asserts that the driver received the events of the document.
#[track_caller]
fn assert_report(report: &Value) {
    let details = &report["welcome"]["details"];
    assert_eq!(details["protocol_version"], "1.0", "{report}");
    assert_eq!(details["user"], json!({"id": "alice", "name": "alice", "roles": []}), "{report}");
    assert!(details["connection_id"].is_string() && details["server_time"].is_u64(), "{report}");
    let subscribed = &report["subscribed"]["details"];
    assert_eq!(subscribed["topics"], json!(["chat.general", "updates"]), "{report}");
    assert_eq!(subscribed["denied"], json!([]), "{report}");
    for ack in ["broadcastAck", "directAck"] {
        assert_eq!(report[ack]["recipients"], 1, "{report}");
        assert!(report[ack]["message_id"].is_string(), "{report}");
    }
    let broadcast = &report["broadcast"];
    assert_eq!(broadcast["topic"], "chat.general", "{report}");
    assert_eq!(broadcast["payload"], json!({"back": ["to", "you"]}), "{report}");
    assert_eq!(broadcast["from_user"], "bob", "{report}");
    assert!(broadcast["message_id"].is_string(), "{report}");
    assert_eq!(report["direct"]["payload"], json!({"dm": true}), "{report}");
    assert_eq!(report["direct"]["from_user"], "bob", "{report}");
}
