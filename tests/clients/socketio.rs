//! `socket.io-client` in Node and in a browser and `python-socketio`, as they are published: by polling, by WebSocket, and
//! from the one to the other.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::take_number;
use crate::support::page::{PageFile, PageListener, PageServer};
use crate::support::token::token;
use crate::support::tools::{Browser, Program, node_modules, python};
use crate::support::{API_KEY, Client, DEADLINE, Hub, eventually};

const UNLIMITED: &str = "[limits.push]\nmessages_per_minute = 0\nconnections_per_minute = 0";

/// What socket.io-client is told besides as it comes back, first after a cut and then after it had left.
const CAME_BACK: [&str; 4] =
    ["system:reconnect_status", "system:state_recovered", "system:reconnect_status", "system:state_recovery_failed"];

pub(crate) fn fixture(name: &str) -> PathBuf {
    super::fixture("socketio").join(name)
}

pub(crate) fn base(hub: &Hub) -> String {
    format!("http://{}", hub.address())
}

/// The versions of `socket.io-client` that must work, by their names in `package.json`: the oldest that speaks
/// Engine.IO 4, the oldest of 4, the last before state recovery, and the newest.
pub(crate) const VERSIONS: [&str; 4] =
    ["socket.io-client-3.1", "socket.io-client-4.0", "socket.io-client-4.4", "socket.io-client"];

/// A driver in Node.
pub(crate) fn node(script: &str) -> Command {
    node_with(VERSIONS[3], script)
}

/// A driver in Node, with one of [`VERSIONS`]; the script requires `./client.js`.
pub(crate) fn node_with(version: &str, script: &str) -> Command {
    let mut node = Command::new("node");
    node.env("NODE_PATH", node_modules(&fixture(""))).env("SOCKETIO_CLIENT", version).arg(fixture(script));
    node
}

/// The raw member that the driven client talks with.
async fn peer(hub: &Hub) -> Client {
    let mut peer = Client::of(hub, "bob").await;
    peer.subscribe(&["first"]).await;
    peer
}

/// Hears what the driven client publishes, and has it hear all that there is.
async fn converse(hub: &Hub, peer: &mut Client) {
    let heard = peer.next_within(DEADLINE * 4).await;
    assert_eq!(heard["data"]["payload"], json!({"text": "ünï ☃", "list": [1, 2.5, null]}), "{heard}");
    assert_eq!(heard["data"]["from_user"], "alice", "{heard}");
    let push = |path: &str, body: Value| {
        let answer = hub.http().request("POST", path).key().json(&body).send();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["recipients"].clone()
    };
    let data = json!({"n": [1, {"deep": "ü"}]});
    assert_eq!(push("/api/push", json!({"userId": "alice", "event": "pushed", "data": data})), 1);
    assert_eq!(push("/api/room", json!({"room": "second", "event": "to-room", "data": "text"})), 1);
    peer.broadcast("first", json!({"back": ["to", "you"]})).await;
    peer.broadcast("first", json!({"one": {"$binary": "AP8B"}, "two": [{"$binary": ""}]})).await;
    let heard = peer.expect("Broadcast").await;
    assert_eq!(heard["data"]["payload"], json!({"$binary": "AAEC/v8="}), "{heard}");
}

/// That a driver heard what `converse` said and what the contract says.
#[track_caller]
fn assert_heard(mut heard: Value) {
    for ack in ["ack", "bytesAck"] {
        let id = heard[ack]["message_id"].take();
        assert!(id.is_string(), "message_id is {id} in {heard}");
    }
    let joined = |room: &str| json!({"success": true, "room": room});
    let message = heard["broadcast"]["message_id"].take();
    assert!(message.is_string(), "message_id is {message} in {heard}");
    let broadcast =
        json!({"topic": "first", "payload": {"back": ["to", "you"]}, "from_user": "bob", "message_id": null});
    for (what, told) in [
        ("ping", json!("nothing")),
        ("joined", joined("first")),
        ("joinedEvent", joined("first")),
        ("joinedSecond", joined("second")),
        ("ack", json!({"message_id": null, "recipients": 1})),
        ("pushed", json!([{"n": [1, {"deep": "ü"}]}])),
        ("toRoom", json!(["text"])),
        ("broadcast", broadcast),
        ("bytes", json!([[0, 255, 1], []])),
        ("bytesAck", json!({"message_id": null, "recipients": 2})),
        ("otherBytes", json!([0, 1, 2, 254, 255])),
        ("left", joined("second")),
        ("cameBack", json!(true)),
    ] {
        assert_eq!(heard[what], told, "{what} in {heard}");
    }
}

/// As [`assert_heard`], with what socket.io-client alone tells.
#[track_caller]
fn assert_heard_by_javascript(mode: &str, mut heard: Value) {
    let transports = match mode {
        "upgrade" => json!(["polling", "websocket"]),
        one => json!([one, one]),
    };
    for event in ["pushed", "toRoom"] {
        take_number(&mut heard[event]);
    }
    let refused = heard["refused"].take();
    assert_eq!((&refused["success"], &refused["code"]), (&json!(false), &json!("INVALID_REQUEST")), "{refused}");
    for (what, told) in [
        ("transports", transports),
        ("error", json!("INVALID_REQUEST")),
        ("lost", json!("forced close")),
        ("went", json!("io client disconnect")),
        ("cameAgain", json!(true)),
        ("recovered", json!([true, false])),
        ("unexpected", json!(CAME_BACK)),
    ] {
        assert_eq!(heard[what], told, "{what} in {heard}");
    }
    assert_heard(heard);
}

async fn drive_node(mode: &str) {
    let mut node = node("drive_node.js");
    let hub = Hub::start();
    let mut peer = peer(&hub).await;
    let driver = Program::start(node.args([&base(&hub), mode, &token("alice")]));
    converse(&hub, &mut peer).await;
    assert_heard_by_javascript(mode, driver.report());
    peer.expect_silence().await;
    eventually(DEADLINE, "the client has left", || hub.connections() == 1).await;
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
        let told = json!({"alone": "websocket", "both": "websocket", "elsewhere": "not connected"});
        assert_eq!(driver.report(), told, "{version}");
    }
}

#[tokio::test]
async fn node_talks_both_ways_by_polling() {
    drive_node("polling").await;
}

#[tokio::test]
async fn node_talks_both_ways_by_websocket() {
    drive_node("websocket").await;
}

#[tokio::test]
async fn node_talks_both_ways_after_an_upgrade() {
    drive_node("upgrade").await;
}

#[tokio::test]
async fn node_tells_why_it_is_not_let_in_and_stays_out_when_it_is_put_out() {
    let mut node = node("refusals.js");
    let hub = Hub::start();
    let driver = Program::start(node.args([&base(&hub), &token("alice"), API_KEY]));
    let heard = driver.report();
    let unauthorized = json!({"message": "Unauthorized", "data": {"code": "INVALID_TOKEN"}});
    for mode in ["polling", "websocket", "upgrade"] {
        let told = json!({
            "badToken": unauthorized,
            "noNamespace": {"message": "Invalid namespace", "data": null},
            "chatWithoutToken": unauthorized,
            "ownIds": true,
            "onChat": 0,
            "told": "server_disconnect",
            "putOut": "io server disconnect",
            "putOutOfChat": "io server disconnect",
            "staysOut": true,
            "back": true,
            "unexpected": [],
        });
        assert_eq!(heard[mode], told, "{mode}");
    }
}

#[tokio::test]
async fn node_is_told_that_the_hub_goes_away_and_comes_back() {
    let mut node = node("restart.js");
    let hub = Hub::with("[server]\nshutdown_secs = 10");
    let driver = Program::start(node.args([&base(&hub), &token("alice")]));
    eventually(DEADLINE * 2, "the clients are there", || driver.output().contains("there")).await;
    let hub = hub.restart_gracefully();
    let heard = driver.report();
    for mode in ["polling", "websocket", "upgrade"] {
        let told = json!({
            "when": true,
            "told": "server_shutdown",
            "serverDisconnect": false,
            "recovered": true,
            "back": true,
        });
        assert_eq!(heard[mode], told, "{mode}: {}", hub.output());
    }
}

#[tokio::test]
async fn node_goes_on_with_what_it_missed_after_its_connection_was_cut() {
    let mut node = node("recovery.js");
    let hub = Hub::with(UNLIMITED);
    let heard = Program::start(node.args([&base(&hub), &token("alice"), API_KEY])).report();
    let missed = |round: u32| {
        let data = json!({ "round": round });
        [json!(["to-room", data]), json!(["to-user", data]), json!(["to-all", format!("round {round}")])]
    };
    for mode in ["polling", "websocket", "upgrade"] {
        let told = json!({
            "live": [{"n": 0}],
            "recovered": [false, true, true, false],
            "told": [1, "alice", 1, "alice"],
            "missed": ([missed(1), missed(2)].concat()),
            "sameId": true,
            "after": [{"n": 1}],
            "unexpected": [],
        });
        assert_eq!(heard[mode], told, "{mode}");
    }
    eventually(DEADLINE, "nothing is kept", || hub.metric("hubbub_recovery_bytes") == 0.0).await;
}

#[tokio::test]
async fn two_hundred_node_clients_in_a_room_hear_everything_once_in_one_order() {
    const CLIENTS: u64 = 200;
    const PUBLISHERS: u64 = 9;
    const EACH: u64 = 10;
    let mut node = node("crowd.js");
    let hub = Hub::with(UNLIMITED);
    let numbers = [CLIENTS, PUBLISHERS, EACH].map(|number| number.to_string());
    let driver = Program::start(node.arg(base(&hub)).args(numbers).arg(token("alice")));
    let third = CLIENTS / 3;
    let transports = json!({"polling": third + 1, "websocket": CLIENTS - third - 1});
    let told = json!({"heard": PUBLISHERS * EACH, "publishersInOrder": true, "wrong": [], "transports": transports});
    assert_eq!(driver.report(), told);
    eventually(DEADLINE, "the crowd has left", || hub.connections() == 0).await;
}

/// The example beside the test: cargo builds it with the tests.
fn protocol_fixture() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let example = profile.join("examples/protocol_fixture");
    assert!(example.is_file(), "{} is not there: `cargo build --example protocol_fixture`", example.display());
    example
}

#[tokio::test]
async fn node_gets_arguments_and_bytes_back_in_events_and_acknowledgements() {
    let mut node = node("echo.js");
    let fixture = Program::start(Command::new(protocol_fixture()).arg("0"));
    eventually(DEADLINE, "the fixture listens", || fixture.output().contains('\n')).await;
    let said = fixture.output();
    let address = said.lines().next().unwrap().strip_prefix("listening on ").unwrap();
    let heard = Program::start(node.arg(format!("http://{address}"))).report();
    let args = json!([1, "2", {"3": [true, null]}, "bytes:010203", {"deep": ["bytes:c3bc6ec3af", "bytes:"]}]);
    for mode in ["polling", "websocket", "upgrade"] {
        let told = json!({
            "auth": [{"token": "abc"}],
            "transport": if mode == "polling" { "polling" } else { "websocket" },
            "back": args,
            "acked": args,
            "large": 500_000,
            "alive": "still here",
            "custom": [{}],
            "unexpected": [],
        });
        assert_eq!(heard[mode], told, "{mode}");
    }
}

async fn drive_python(mode: &str) {
    let mut python = Command::new(python(&fixture("requirements.txt")));
    python.env("PYTHONDONTWRITEBYTECODE", "1").arg(fixture("drive_python.py"));
    // One that is lost by polling is not heard of again until its heartbeat runs out.
    let hub = Hub::with("[socketio]\nping_interval_ms = 1500\nping_timeout_ms = 1500");
    let mut peer = peer(&hub).await;
    let driver = Program::start(python.args([&base(&hub), mode, &token("alice")]));
    converse(&hub, &mut peer).await;
    let heard = driver.report();
    let transport = if mode == "polling" { "polling" } else { "websocket" };
    for (what, told) in [("transport", transport), ("went", "client disconnect")] {
        assert_eq!(heard[what], told, "{what} in {heard}");
    }
    assert_eq!(heard["badToken"], json!([{"message": "Unauthorized", "data": {"code": "INVALID_TOKEN"}}]));
    assert_heard(heard);
    peer.expect_silence().await;
    eventually(DEADLINE, "the client has left", || hub.connections() == 1).await;
}

#[tokio::test]
async fn python_talks_both_ways_by_polling() {
    drive_python("polling").await;
}

#[tokio::test]
async fn python_talks_both_ways_by_websocket() {
    drive_python("websocket").await;
}

#[tokio::test]
async fn python_talks_both_ways_after_an_upgrade() {
    drive_python("upgrade").await;
}

#[tokio::test]
async fn pythons_handlers_get_the_one_argument_that_they_take() {
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
        let heard = json!({"to-room": {"n": 1}, "to-user": "text", "to-all": [1, 2]});
        let told = json!({"heard": heard, "letInWith": ["sid"], "greeted": [true, true]});
        assert_eq!(driver.report(), told, "{mode}");
        assert_eq!(hub.metric("hubbub_recovery_bytes"), 0.0, "nothing is kept for such a client");
    }
}

/// A page with the browser's build of socket.io-client and its driver.
fn page(page: PageListener, told: &Value) -> PageServer {
    let html = format!(
        r#"<!doctype html><title>client</title>
        <script id="hub" type="application/json">{told}</script>
        <script src="/socket.io.min.js"></script>
        <script src="/drive.js"></script>
        <script src="/drive_browser.js"></script>"#
    );
    let build = node_modules(&fixture("")).join("socket.io-client/dist/socket.io.min.js");
    let script = |name: &str, file: PathBuf| PageFile::script(&format!("/{name}"), fs::read_to_string(file).unwrap());
    page.serve(vec![
        PageFile::html("/", html),
        script("socket.io.min.js", build),
        script("drive.js", fixture("drive.js")),
        script("drive_browser.js", fixture("drive_browser.js")),
    ])
}

#[tokio::test]
async fn a_browser_talks_both_ways_from_an_origin_that_is_listed() {
    let (browser, bound) = (Browser::ready(), PageListener::bind());
    let hub = Hub::with(&format!("[server]\nallowed_origins = [{:?}]", bound.origin()));
    let mut peer = peer(&hub).await;
    let modes = ["upgrade", "polling", "websocket"];
    let told = json!({"url": base(&hub), "token": token("alice"), "modes": modes});
    let mut page = page(bound, &told);
    let browser = browser.show(&page.origin());
    for _ in modes {
        converse(&hub, &mut peer).await;
    }
    let mut report = page.report(&browser);
    assert!(report["heard"].is_object(), "{report}");
    for mode in modes {
        assert_heard_by_javascript(mode, report["heard"][mode].take());
    }
}

#[tokio::test]
async fn a_browser_is_refused_from_an_origin_that_is_not_listed() {
    let (browser, bound) = (Browser::ready(), PageListener::bind());
    let hub = Hub::with("[server]\nallowed_origins = [\"https://app.example.com\"]");
    let modes = ["polling", "websocket", "upgrade"];
    let told = json!({"url": base(&hub), "token": token("alice"), "modes": modes, "refused": true});
    let mut page = page(bound, &told);
    let browser = browser.show(&page.origin());
    let refused = json!({"polling": "xhr poll error", "websocket": "websocket error", "upgrade": "xhr poll error"});
    assert_eq!(page.report(&browser), json!({"heard": refused}));
    assert_eq!(hub.counters()["total_connections"], 0);
}
