//! Replies to Socket.IO's own clients: `success` on `/chat`, and the documents' texts and limits on `/`.

use std::collections::BTreeSet;
use std::process::Command;

use hubbub_actors::events::{Surface, catalogue};
use serde_json::{Value, json};

use super::fixture;
use super::socketio::{VERSIONS, node_with};
use crate::support::Hub;
use crate::support::token::token;
use crate::support::tools::{Program, python};

/// No limit of messages on any surface.
const UNLIMITED: &str = "[limits.chat]\nrequests_per_minute = 0\nmessages_per_minute = 0\ntyping_per_minute = 0\n\
                         [limits.push]\nmessages_per_minute = 0";

fn base(hub: &Hub) -> String {
    format!("http://{}", hub.address())
}

/// Sends these events one after the other with this version of `socket.io-client`. Returns the replies.
fn replies(hub: &Hub, version: &str, namespace: &str, auth: &Value, requests: &Value) -> Value {
    let mut node = node_with(version, "replies.js");
    node.args([&base(hub), namespace, &auth.to_string(), &requests.to_string()]);
    Program::start(&mut node).report()
}

/// Every event of `/chat` with valid data, in an order in which each succeeds.
fn requests_that_succeed(token: &str) -> Vec<(&'static str, Value)> {
    let (chat, message) = (json!({"chatId": "general"}), "$sentMessage.id");
    let receipt = json!({"chatId": "general", "messageId": message});
    vec![
        ("authenticate", json!({ "token": token })),
        ("room:join", json!({"room": "lobby"})),
        ("Broadcast", json!({"topic": "lobby", "payload": null})),
        ("DirectMessage", json!({"target_user": "alice", "payload": 1})),
        ("room:leave", json!({"room": "lobby"})),
        ("join:chat", chat.clone()),
        ("room:info", chat.clone()),
        ("room:list", json!({})),
        ("room:online", chat.clone()),
        ("message:send", json!({"chatId": "general", "content": "Hello, world!", "type": "text"})),
        ("message:typing", json!({"chatId": "general", "isTyping": true})),
        ("message:typing-users", chat.clone()),
        ("message:delivered", receipt.clone()),
        ("message:read", receipt),
        ("message:delivery-status", json!({ "messageId": message })),
        ("message:stats", json!({})),
        ("message:history", chat.clone()),
        ("leave:chat", chat),
        ("presence:update-status", json!({"status": "away"})),
        ("presence:online-users", json!({})),
        ("presence:user-status", json!({"userId": "alice"})),
        ("presence:stats", json!({})),
        ("connection:create-session", json!({})),
        ("connection:session-info", json!({})),
        ("connection:stats", json!({})),
        ("monitoring:metrics", json!({})),
        ("monitoring:events", json!({"limit": 5})),
        ("monitoring:stats", json!({})),
        ("monitoring:health", json!({})),
    ]
}

/// Every event of `/chat` with invalid data, an unknown event, invalid tokens, and requests without permission.
fn requests_that_fail() -> Vec<(&'static str, Value)> {
    let names = catalogue::CLIENT.iter().filter(|row| row.on.contains(&Surface::Chat)).map(|row| row.name);
    let mut requests: Vec<_> = names.map(|name| (name, json!([1]))).collect();
    requests.extend([
        ("nonsense", json!({})),
        ("register", json!({"userId": "alice"})),
        ("authenticate", json!({"token": "nonsense"})),
        ("authenticate", json!({"token": token("bob")})),
        ("DirectMessage", json!({"target_user": "nobody", "payload": 1})),
        ("Broadcast", json!({"topic": "user:bob", "payload": 1})),
        ("connection:recover", json!({"recoveryToken": "nonsense"})),
    ]);
    requests
}

#[track_caller]
fn assert_success(requests: &[(&str, Value)], answers: &Value, success: bool) {
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), requests.len());
    for ((event, _), answer) in requests.iter().zip(answers) {
        assert_eq!(answer["success"], success, "the reply to {event} is {answer}");
        assert!(success || answer["message"].is_string(), "the refusal of {event} is {answer}");
    }
}

#[tokio::test]
async fn every_reply_on_chat_has_success_for_every_version() {
    let (valid, invalid) = (requests_that_succeed(&token("alice")), requests_that_fail());
    let covered: BTreeSet<_> = valid.iter().map(|(event, _)| *event).chain(["connection:recover"]).collect();
    let table = catalogue::CLIENT.iter().filter(|row| row.on.contains(&Surface::Chat)).map(|row| row.name);
    assert_eq!(covered, table.collect(), "each event of `/chat` is covered");
    for version in VERSIONS {
        let hub = Hub::with(UNLIMITED);
        let ask = |requests: &Value| replies(&hub, version, "/chat", &json!({"token": token("alice")}), requests);
        let reply = ask(&json!(valid));
        assert_success(&valid, &reply["replies"], true);
        assert_eq!(reply["replies"][0]["user"]["id"], "alice", "the reply has its own fields too");
        assert_eq!(reply["replies"][2]["recipients"], 0, "the reply has its own fields too");
        assert_success(&invalid, &ask(&json!(invalid))["replies"], false);
    }
}

#[tokio::test]
async fn every_reply_on_chat_has_success_in_python() {
    for mode in ["polling", "websocket"] {
        let hub = Hub::with(UNLIMITED);
        let valid: Vec<_> = requests_that_succeed(&token("alice"))
            .into_iter()
            .filter(|(_, data)| !data.to_string().contains("$sentMessage"))
            .collect();
        for (requests, success) in [(valid, true), (requests_that_fail(), false)] {
            let mut python = Command::new(python(&fixture("socketio/requirements.txt")));
            python.arg(fixture("socketio/replies.py"));
            python.args([&base(&hub), mode, &token("alice"), &json!(requests).to_string()]);
            assert_success(&requests, &Program::start(&mut python).report()["replies"], success);
        }
    }
}

#[tokio::test]
async fn a_guest_sends_sixty_messages_after_its_token() {
    let mut requests = vec![("authenticate", json!({"token": token("alice")}))];
    requests.extend(vec![("client:event", json!({"type": "t"})); 61]);
    for version in VERSIONS {
        let hub = Hub::start();
        let report = replies(&hub, version, "/", &json!({}), &json!(requests));
        let answers = report["replies"].as_array().unwrap();
        assert_eq!(answers[0]["user"]["id"], "alice", "{version}");
        let successes: Vec<_> = answers[1..].iter().map(|answer| answer["success"] == true).collect();
        assert_eq!(successes, [vec![true; 60], vec![false]].concat(), "{version}: {answers:?}");
        assert_eq!(
            (&answers[61]["code"], &report["errors"][0]["event"]),
            (&json!("RATE_LIMITED"), &json!("client:event"))
        );
    }
}

#[tokio::test]
async fn invalid_data_is_refused_with_the_push_documents_texts() {
    let requests = json!([
        ["client:message", {}],
        ["client:message", {"content": ""}],
        ["client:event", {"data": 1}],
        ["client:action", {"params": 1}],
        ["client:message", {"content": 7}],
    ]);
    let mistyped = "Invalid message data. `content`: invalid type: integer `7`, expected a string";
    for version in VERSIONS {
        let hub = Hub::start();
        let report = replies(&hub, version, "/", &json!({"token": token("alice")}), &requests);
        for (index, (event, code, text, field)) in [
            ("client:message", "INVALID_MESSAGE_DATA", "Invalid message data. Missing content.", "content"),
            ("client:message", "INVALID_MESSAGE_DATA", "Invalid message data. Missing content.", "content"),
            ("client:event", "INVALID_EVENT_DATA", "Invalid event data. Missing type.", "type"),
            ("client:action", "INVALID_ACTION_DATA", "Invalid action data. Missing action.", "action"),
            ("client:message", "INVALID_MESSAGE_DATA", mistyped, "content"),
        ]
        .into_iter()
        .enumerate()
        {
            let mut error = report["errors"][index].clone();
            assert!(error["timestamp"].take().is_string(), "{version}: {error}");
            let details = json!({ "field": field });
            let expected = json!({"event": event, "message": text, "error": text, "code": code,
                              "details": details, "timestamp": null});
            assert_eq!(error, expected, "{version}");
            let answer = json!({"success": false, "error": text, "code": code, "details": details});
            assert_eq!(report["replies"][index], answer, "{version}");
        }
    }
}

#[tokio::test]
async fn the_welcome_has_the_configured_environment() {
    for version in VERSIONS {
        let hub = Hub::with("[server]\nenvironment = \"staging\"");
        let report = replies(&hub, version, "/", &json!({"token": token("alice")}), &json!([["ping", {}]]));
        assert_eq!(report["welcome"]["serverInfo"]["environment"], "staging", "{version}");
    }
}

#[tokio::test]
async fn a_reached_limit_is_reported_with_its_key_on_chat() {
    let requests =
        json!([["room:join", {"room": "a"}], ["room:join", {"room": "b"}], ["join:chat", {"chatId": "general"}]]);
    for version in VERSIONS {
        let hub = Hub::with("[limits]\nrooms_per_session = 1");
        let report = replies(&hub, version, "/chat", &json!({"token": token("alice")}), &requests);
        assert_eq!(report["replies"][0]["success"], true, "{version}: {report}");
        for index in [1, 2] {
            let answer = &report["replies"][index];
            let actual = (&answer["success"], &answer["code"], &answer["details"]["limit"]);
            let limit = json!("limits.rooms_per_session");
            assert_eq!(actual, (&json!(false), &json!("LIMIT_REACHED"), &limit), "{version}: {report}");
        }
    }
}
