//! The raw document's `NodeRealtimeClient`, its browser `RealtimeClient` and its Python
//! `RealtimeClient`: each is welcomed, subscribes, publishes and writes to another user, and hears
//! that user do the same.

use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::assert_printed;
use crate::support::client::without_time;
use crate::support::page::{PageFile, PageListener};
use crate::support::token::token;
use crate::support::tools::{Browser, Program, node_modules, python};
use crate::support::{Client, DEADLINE, Hub};

fn fixture(name: &str) -> PathBuf {
    super::fixture("raw").join(name)
}

#[test]
fn the_clients_are_those_of_the_document() {
    assert_printed(&[
        ("raw/node.js", "f999881a5dad29d2a1248d734d74da855a26f870e6ce4bcdbe08f80e376a73df"),
        ("raw/browser.js", "3797da489e62d898033c7fd11ccb60b620a85d2ee8eac51907826205863db8c3"),
        ("raw/python.py", "571136371ab2d1b3183687a11931b2969b30f44437220b1dac33177b0511be8b"),
    ]);
}

#[tokio::test]
async fn the_node_client_talks_both_ways() {
    let mut node = Command::new("node");
    node.env("NODE_PATH", node_modules(&fixture(""))).arg(fixture("drive_node.js"));
    let hub = Hub::start();
    let peer = peer(&hub).await;
    let driver = Program::start(node.args([&hub.ws("/ws"), &token("alice"), "bob"]));
    converse(peer).await;
    let heard = driver.report();
    assert_heard(&heard);
    assert!(heard["pong"]["timestamp"].is_u64(), "{heard}");
    assert_eq!(heard["closed"], 1000, "{heard}");
}

#[tokio::test]
async fn the_python_client_talks_both_ways() {
    let mut python = Command::new(python(&fixture("requirements.txt")));
    python.env("PYTHONDONTWRITEBYTECODE", "1").arg(fixture("drive_python.py"));
    let hub = Hub::start();
    let peer = peer(&hub).await;
    let driver = Program::start(python.args([&hub.ws("/ws"), &token("alice"), "bob"]));
    converse(peer).await;
    let heard = driver.report();
    assert_heard(&heard);
    assert_eq!(heard["closed"], 1000, "{heard}");
}

#[tokio::test]
async fn the_browser_client_talks_both_ways_from_an_origin_that_is_listed() {
    let browser = Browser::ready();
    let page = PageListener::bind();
    let hub = Hub::with(&format!("[server]\nallowed_origins = [{:?}]", page.origin()));
    let peer = peer(&hub).await;
    let mut page = page.serve(browser_client(&hub));
    let browser = browser.show(&page.origin());
    converse(peer).await;
    let report = page.report(&browser);
    assert_heard(&report["heard"]);
}

#[tokio::test]
async fn the_browser_client_is_refused_from_an_origin_that_is_not_listed() {
    let browser = Browser::ready();
    let page = PageListener::bind();
    let hub = Hub::with("[server]\nallowed_origins = [\"https://app.example.com\"]");
    let mut page = page.serve(browser_client(&hub));
    let browser = browser.show(&page.origin());
    let closed = 3;
    assert_eq!(page.report(&browser), json!({"failed": "event error", "reached": closed}));
    assert_eq!(hub.counters()["total_connections"], 0);
}

/// The page with the document's class and its driver.
fn browser_client(hub: &Hub) -> Vec<PageFile> {
    let told = json!({"url": hub.ws("/ws"), "token": token("alice"), "peer": "bob"});
    let html = format!(
        r#"<!doctype html><title>client</title>
        <script id="hub" type="application/json">{told}</script>
        <script src="/browser.js"></script>
        <script src="/drive.js"></script>
        <script src="/drive_browser.js"></script>"#
    );
    let script = |name: &str| PageFile::script(&format!("/{name}"), fs::read_to_string(fixture(name)).unwrap());
    vec![PageFile::html("/", html), script("browser.js"), script("drive.js"), script("drive_browser.js")]
}

/// The user that the document's client talks with.
async fn peer(hub: &Hub) -> Client {
    let mut peer = Client::of(hub, "bob").await;
    peer.subscribe(&["chat.general"]).await;
    peer
}

/// Hears what the document's client has to say, and says the same back.
async fn converse(mut peer: Client) {
    let payload = json!({"message": "Hello from the document", "list": [1, 2.5, null, "ünï ☃"]});
    let mut heard = peer.next_within(DEADLINE * 4).await;
    let id = heard["data"]["message_id"].take();
    assert!(id.is_string(), "message_id is {id}");
    let data = json!({"topic": "chat.general", "payload": payload, "from_user": "alice", "message_id": null});
    assert_eq!(heard["type"], "Broadcast", "{heard}");
    assert_eq!(heard["data"], data);
    let mut heard = without_time(peer.expect("DirectMessage").await);
    let id = heard["data"]["message_id"].take();
    assert!(id.is_string(), "message_id is {id}");
    let data = json!({"from_user": "alice", "payload": "just for you", "message_id": null});
    assert_eq!(heard, json!({"type": "DirectMessage", "data": data}));

    let ack = peer.broadcast("chat.general", json!({"back": ["to", "you"]})).await;
    assert_eq!(ack["data"]["recipients"], 1, "{ack}");
    let direct = json!({"target_user": "alice", "payload": {"dm": true}});
    let ack = peer.ask(json!({"type": "DirectMessage", "data": direct}), "Ack").await;
    assert_eq!(ack["data"]["recipients"], 1, "{ack}");
}

/// That the driver was told what the contract says, as far as it can be foretold.
#[track_caller]
fn assert_heard(heard: &Value) {
    let details = &heard["welcome"]["details"];
    assert_eq!(details["protocol_version"], "1.0", "{heard}");
    assert_eq!(details["user"], json!({"id": "alice", "name": "alice", "roles": []}), "{heard}");
    assert!(details["connection_id"].is_string() && details["server_time"].is_u64(), "{heard}");
    let subscribed = &heard["subscribed"]["details"];
    assert_eq!(subscribed["topics"], json!(["chat.general", "updates"]), "{heard}");
    assert_eq!(subscribed["denied"], json!([]), "{heard}");
    for ack in ["broadcastAck", "directAck"] {
        assert_eq!(heard[ack]["recipients"], 1, "{heard}");
        assert!(heard[ack]["message_id"].is_string(), "{heard}");
    }
    let broadcast = &heard["broadcast"];
    assert_eq!(broadcast["topic"], "chat.general", "{heard}");
    assert_eq!(broadcast["payload"], json!({"back": ["to", "you"]}), "{heard}");
    assert_eq!(broadcast["from_user"], "bob", "{heard}");
    assert!(broadcast["message_id"].is_string(), "{heard}");
    assert_eq!(heard["direct"]["payload"], json!({"dm": true}), "{heard}");
    assert_eq!(heard["direct"]["from_user"], "bob", "{heard}");
}
