//! docs/backends.md: its snippets push to a hub and repeat requests, and its application answers one.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::snippets::{Snippet, text};
use crate::support::blocks::{blocks, page};
use crate::support::client::without_time;
use crate::support::port::ReservedPort;
use crate::support::run::finish;
use crate::support::token::token;
use crate::support::tools::node_modules;
use crate::support::{API_KEY, Client, DEADLINE, Hub, MockUpstream, Sio, SioTransport, UpstreamReply, wait_until};

/// The address in the page's commands.
const ADDRESS: &str = "http://127.0.0.1:8081";

/// What calls the function of a block and prints the response as JSON.
const CALLS: [(&str, &str); 4] = [
    ("python", "import json\nprint(json.dumps(push(\"alice\", \"order.shipped\", {\"order\": 7})))"),
    ("node", "console.log(JSON.stringify(await push(\"alice\", \"order.shipped\", { order: 7 })));"),
    ("php", "echo json_encode(push('alice', 'order.shipped', ['order' => 7]));"),
    ("laravel", "echo json_encode((new Hub())->push('alice', 'order.shipped', ['order' => 7], 'job-1'));"),
];

/// A shell block, after the block that sets the page's variables, in the directory of `hub`.
fn shell(hub: &Hub, name: &str) -> Snippet {
    fs::create_dir_all(hub.data()).unwrap();
    fs::write(hub.data().join("api.key"), API_KEY).unwrap();
    let environment = text("backends", "environment").replace(ADDRESS, &format!("http://{}", hub.address()));
    let program = Path::new(env!("CARGO_BIN_EXE_hubbub")).parent().unwrap();
    let path = format!("{}:{}", program.display(), env::var("PATH").unwrap());
    Snippet::changed("backends", name, |text| environment + &text).within(hub.dir()).env("PATH", &path)
}

/// The response to a delivery, without its time.
#[track_caller]
fn untimed(mut response: Value) -> Value {
    assert!(response["timestamp"].take().is_string(), "{response}");
    response
}

#[tokio::test]
async fn each_snippet_pushes_to_a_user() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    let delivered = json!({"success": true, "recipients": 1, "delivered": true, "timestamp": null});
    assert_eq!(untimed(shell(&hub, "curl").json()), delivered);
    for (name, call) in CALLS {
        let snippet = Snippet::changed("backends", name, |text| text + "\n" + call + "\n");
        assert_eq!(untimed(snippet.for_hub(&hub, API_KEY).json()), delivered, "{name}");
    }
    for _ in 0..1 + CALLS.len() {
        let event = json!({"type": "order.shipped", "data": {"order": 7}});
        assert_eq!(without_time(alice.next().await), event);
    }
    alice.expect_silence().await;
}

#[test]
fn each_snippet_repeats_a_request_with_the_same_idempotency_key() {
    for (name, call) in CALLS {
        let hub = MockUpstream::replying(UpstreamReply::Json(503, json!({"code": "OVERLOADED", "retryAfter": 1})));
        let mut attempts = 0;
        hub.set_reply_by(move |_| {
            attempts += 1;
            match attempts {
                1 => UpstreamReply::Json(503, json!({"code": "OVERLOADED", "retryAfter": 1})),
                2 => UpstreamReply::HangUp,
                _ => UpstreamReply::Json(200, json!({"success": true})),
            }
        });
        let snippet = Snippet::changed("backends", name, |text| text + "\n" + call + "\n");
        let response = snippet.env("HUB_URL", &hub.url("")).env("HUB_KEY", "key").json();
        assert_eq!(response, json!({"success": true}), "{name}");
        let requests = hub.requests();
        let keys: Vec<_> = requests.iter().map(|request| request.header("idempotency-key").unwrap()).collect();
        assert_eq!((keys.len(), keys[0]), (3, keys[2]), "{name}: {keys:?}");
        let body = json!({"userId": "alice", "event": "order.shipped", "data": {"order": 7}});
        for request in &requests {
            assert_eq!((request.path.as_str(), request.json()), ("/api/push", body.clone()), "{name}");
        }
    }
}

#[test]
fn each_snippet_reports_a_refusal_at_once() {
    let refusal = json!({"success": false, "code": "INVALID_REQUEST", "error": "the text of the refusal"});
    for (name, call) in CALLS {
        let hub = MockUpstream::replying(UpstreamReply::Json(400, refusal.clone()));
        let snippet = Snippet::changed("backends", name, |text| text + "\n" + call + "\n");
        let done = snippet.env("HUB_URL", &hub.url("")).env("HUB_KEY", "key").finish();
        let printed = format!("{}{}", done.stdout, done.stderr);
        assert_ne!(done.status, Some(0), "{name}: {printed}");
        assert!(printed.contains("400") && printed.contains("the text of the refusal"), "{name}: {printed}");
        assert_eq!(hub.count(), 1, "{name}");
    }
}

#[tokio::test]
async fn the_batch_has_a_result_for_each_command() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    let response = shell(&hub, "batch").json();
    let [first, second] = [&response["results"][0], &response["results"][1]];
    assert_eq!((&first["recipients"], &second["code"]), (&json!(1), &json!("INVALID_REQUEST")), "{response}");
    assert_eq!(second["details"], json!({"field": "data"}));
    assert_eq!(alice.next().await["type"], "order.shipped");
}

#[test]
fn the_chat_is_created_and_an_account_signs_in() {
    let hub = Hub::start();
    let chat = &shell(&hub, "chat").json()["chat"];
    assert_eq!((&chat["chatId"], &chat["participants"]), (&json!("team"), &json!(["42", "alice"])), "{chat}");
    let output = shell(&hub, "account").output();
    let signed_in: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    assert_eq!((&signed_in["token_type"], &signed_in["user"]["username"]), (&json!("Bearer"), &json!("alice")));
}

#[tokio::test]
async fn the_application_answers_clients_and_verifies_an_opaque_token() {
    let port = ReservedPort::reserve();
    let address = format!("http://{}", port.address());
    let config = text("backends", "application-config").replace("http://127.0.0.1:3000", &address);
    let table: toml::Table = config.parse().unwrap();
    let key = table["backend"]["api_key"].as_str().unwrap();
    let (application, _dir) = Snippet::of("backends", "application")
        .env("APP_KEY", key)
        .env("PORT", &port.address().port().to_string())
        .start();
    wait_until(DEADLINE, "the application listens", || std::net::TcpStream::connect(port.address()).is_ok());
    let hub = Hub::with(&config);
    let mut alice = Sio::with_token(&hub, SioTransport::WebSocket, "1|token-of-alice").await;
    let event = alice.emit_and_expect("server:response", "client:event", json!({"type": "order", "data": 1})).await;
    assert_eq!((&event["success"], &event["data"]), (&json!(true), &json!({"received": "order", "from": "1"})));
    let message = alice.emit_and_expect("message:ack", "client:message", json!({"content": "hello"})).await;
    let id = format!("m-{}", message["requestId"].as_str().unwrap());
    assert_eq!((&message["success"], &message["messageId"]), (&json!(true), &json!(id)));
    let action = alice.emit_and_expect("action:result", "client:action", json!({"action": "ship"})).await;
    assert_eq!((&action["success"], &action["result"]), (&json!(true), &json!({"did": "ship"})));
    let mut other = Sio::open(&hub, SioTransport::WebSocket).await;
    let refused = other.connect("/", &json!({"token": "2|unknown"})).await.unwrap_err();
    assert_eq!(refused["data"]["code"], "INVALID_TOKEN", "{refused}");
    assert_eq!(application.output(), "the application listens\n");
}

#[test]
fn the_client_of_the_page_gets_the_answer_of_the_application_as_an_event_and_as_its_acknowledgement() {
    let application = MockUpstream::replying(UpstreamReply::Json(200, json!({"data": {"error": "no stock"}})));
    let hub = Hub::with(&format!("[backend]\nurl = {:?}", application.url("")));
    let script = format!(
        "const socket = require(\"socket.io-client\").io(process.env.HUB_URL, {{ auth: {{ token: process.env.TOKEN }} }});\n\
         socket.on(\"server:response\", (answer) => console.log(\"%j\", answer));\n\
         (async () => {{\n{}socket.close();\n}})();\n",
        text("backends", "client-event").replace("console.log(", "console.log(\"%j\", ")
    );
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/socketio");
    let mut node = Command::new("node");
    node.env("NODE_PATH", node_modules(&packages)).args(["-e", &script]);
    node.env("HUB_URL", format!("http://{}", hub.address())).env("TOKEN", token("alice"));
    let done = finish(&mut node);
    assert_eq!(done.status, Some(0), "{done:?}");
    let (event, acknowledgement) = done.stdout.trim().split_once('\n').unwrap();
    assert_eq!(event, acknowledgement);
    let mut answer: Value = serde_json::from_str(event).unwrap();
    assert!(answer["requestId"].take().is_string(), "{answer}");
    assert_eq!(answer, json!({"success": true, "requestId": null, "data": {"error": "no stock"}}));
    let documented =
        blocks(&page("backends")).into_iter().find(|block| block.text.contains("\"client:event\", \"data\""));
    let documented: Value = serde_json::from_str(&documented.unwrap().text).unwrap();
    let request = application.requests()[0].json();
    assert_eq!(request["data"], json!({"type": "cart.add", "data": {"item": 7}}));
    assert_eq!((&request["event"], &request["data"]), (&documented["event"], &documented["data"]));
}

#[tokio::test]
async fn on_ws_an_event_for_the_application_is_answered_only_if_it_has_an_id() {
    let application = MockUpstream::replying(UpstreamReply::Json(200, json!({"data": 1})));
    let hub = Hub::with(&format!("[backend]\nurl = {:?}", application.url("")));
    let mut alice = Client::of(&hub, "alice").await;
    alice.send(json!({"type": "client:event", "data": {"type": "a"}})).await;
    wait_until(DEADLINE, "the application is asked", || application.count() == 1);
    alice.send(json!({"type": "client:event", "id": 7, "data": {"type": "b"}})).await;
    let reply = alice.next().await;
    assert_eq!((&reply["type"], &reply["id"]), (&json!("Reply"), &json!(7)), "{reply}");
    alice.expect_silence().await;
}

#[tokio::test]
async fn the_table_of_failures_of_the_application_has_the_messages_of_the_hub() {
    let page = page("backends");
    let application = MockUpstream::replying(UpstreamReply::Json(401, json!({"error": "not for clients"})));
    let hub = Hub::with(&format!("[backend]\nurl = {:?}\ntimeout_ms = 300", application.url("")));
    let mut alice = Client::of(&hub, "alice").await;
    for (reply, message) in [
        (UpstreamReply::Json(401, json!({"error": "not for clients"})), "The application refused the request"),
        (UpstreamReply::Json(500, json!({})), "The application failed"),
        (UpstreamReply::Json(503, json!({})), "The application cannot be reached at the moment; try again"),
        (UpstreamReply::Silence, "The application did not answer in time"),
        (UpstreamReply::Text(200, "<html>".into()), "The application sent a response that the hub cannot forward"),
        (UpstreamReply::Redirect("/login".into()), "The application sent a response that the hub cannot forward"),
    ] {
        application.set_reply(reply);
        let reply = alice.ask(json!({"type": "client:event", "id": 1, "data": {"type": "a"}}), "Reply").await;
        let failure = &reply["data"];
        assert_eq!((&failure["success"], &failure["error"]), (&json!(false), &json!(message)), "{reply}");
        assert!(page.contains(&format!("\n| `{message}` |")), "{message}");
        assert!(!reply.to_string().contains("not for clients"), "{reply}");
    }
}

#[test]
fn the_table_of_repeats_has_every_code_that_can_be_repeated() {
    let page = page("backends");
    let (_, table) = page.split_once("### When to repeat").unwrap();
    let (table, _) = table.split_once("### ").unwrap();
    for code in ["RATE_LIMITED", "OVERLOADED", "STORE_UNAVAILABLE", "SHUTTING_DOWN", "SERVER_FULL", "OUTCOME_UNKNOWN"] {
        assert!(table.contains(&format!("`{code}`")), "{code}");
    }
}
