//! What Socket.IO's own clients are answered: `success` on `/chat`, and on `/` the documents' words and limits.

use std::collections::BTreeSet;
use std::process::Command;

use hubbub_actors::events::table;
use hubbub_actors::model::surface::Surface;
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

/// What `socket.io-client` of this version is told, when it sends these events one after the other.
fn told(hub: &Hub, version: &str, namespace: &str, auth: &Value, requests: &Value) -> Value {
    let mut node = node_with(version, "answers.js");
    node.args([&base(hub), namespace, &auth.to_string(), &requests.to_string()]);
    Program::start(&mut node).report()
}

/// Every event of `/chat`, with data that it is done for, in an order in which it is.
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

/// The same with what is refused: of every event bad data, then an event that there is not, and tokens that do not hold.
fn requests_that_fail() -> Vec<(&'static str, Value)> {
    let names = table::CLIENT.iter().filter(|row| row.on.contains(&Surface::Chat)).map(|row| row.name);
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
fn assert_answered(requests: &[(&str, Value)], answers: &Value, success: bool) {
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), requests.len());
    for ((event, _), answer) in requests.iter().zip(answers) {
        assert_eq!(answer["success"], success, "{event} is answered by {answer}");
        assert!(success || answer["message"].is_string(), "{event} is refused by {answer}");
    }
}

#[tokio::test]
async fn every_answer_on_chat_has_success_for_every_version() {
    let (good, bad) = (requests_that_succeed(&token("alice")), requests_that_fail());
    let tried: BTreeSet<_> = good.iter().map(|(event, _)| *event).chain(["connection:recover"]).collect();
    let table = table::CLIENT.iter().filter(|row| row.on.contains(&Surface::Chat)).map(|row| row.name);
    assert_eq!(tried, table.collect(), "each event of `/chat` is tried");
    for version in VERSIONS {
        let hub = Hub::with(UNLIMITED);
        let ask = |requests: &Value| told(&hub, version, "/chat", &json!({"token": token("alice")}), requests);
        let heard = ask(&json!(good));
        assert_answered(&good, &heard["answers"], true);
        assert_eq!(heard["answers"][0]["user"]["id"], "alice", "the answer has the rest too");
        assert_eq!(heard["answers"][2]["recipients"], 0, "the answer has the rest too");
        assert_answered(&bad, &ask(&json!(bad))["answers"], false);
    }
}

#[tokio::test]
async fn every_answer_on_chat_has_success_in_python() {
    for mode in ["polling", "websocket"] {
        let hub = Hub::with(UNLIMITED);
        let good: Vec<_> = requests_that_succeed(&token("alice"))
            .into_iter()
            .filter(|(_, data)| !data.to_string().contains("$sentMessage"))
            .collect();
        for (requests, success) in [(good, true), (requests_that_fail(), false)] {
            let mut python = Command::new(python(&fixture("socketio/requirements.txt")));
            python.arg(fixture("socketio/answers.py"));
            python.args([&base(&hub), mode, &token("alice"), &json!(requests).to_string()]);
            assert_answered(&requests, &Program::start(&mut python).report()["answers"], success);
        }
    }
}

#[tokio::test]
async fn a_guest_sends_sixty_messages_beside_its_token() {
    let mut requests = vec![("authenticate", json!({"token": token("alice")}))];
    requests.extend(vec![("client:event", json!({"type": "t"})); 61]);
    for version in VERSIONS {
        let hub = Hub::start();
        let heard = told(&hub, version, "/", &json!({}), &json!(requests));
        let answers = heard["answers"].as_array().unwrap();
        assert_eq!(answers[0]["user"]["id"], "alice", "{version}");
        let done: Vec<_> = answers[1..].iter().map(|answer| answer["success"] == true).collect();
        assert_eq!(done, [vec![true; 60], vec![false]].concat(), "{version}: {answers:?}");
        assert_eq!(
            (&answers[61]["code"], &heard["errors"][0]["event"]),
            (&json!("RATE_LIMITED"), &json!("client:event"))
        );
    }
}

#[tokio::test]
async fn bad_data_is_refused_in_the_push_documents_words() {
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
        let heard = told(&hub, version, "/", &json!({"token": token("alice")}), &requests);
        for (index, (event, code, words, field)) in [
            ("client:message", "INVALID_MESSAGE_DATA", "Invalid message data. Missing content.", "content"),
            ("client:message", "INVALID_MESSAGE_DATA", "Invalid message data. Missing content.", "content"),
            ("client:event", "INVALID_EVENT_DATA", "Invalid event data. Missing type.", "type"),
            ("client:action", "INVALID_ACTION_DATA", "Invalid action data. Missing action.", "action"),
            ("client:message", "INVALID_MESSAGE_DATA", mistyped, "content"),
        ]
        .into_iter()
        .enumerate()
        {
            let mut error = heard["errors"][index].clone();
            assert!(error["timestamp"].take().is_string(), "{version}: {error}");
            let details = json!({ "field": field });
            let told = json!({"event": event, "message": words, "error": words, "code": code,
                              "details": details, "timestamp": null});
            assert_eq!(error, told, "{version}");
            let answer = json!({"success": false, "error": words, "code": code, "details": details});
            assert_eq!(heard["answers"][index], answer, "{version}");
        }
    }
}

#[tokio::test]
async fn the_environment_is_the_configured_one() {
    for version in VERSIONS {
        let hub = Hub::with("[server]\nenvironment = \"staging\"");
        let heard = told(&hub, version, "/", &json!({"token": token("alice")}), &json!([["ping", {}]]));
        assert_eq!(heard["welcome"]["serverInfo"]["environment"], "staging", "{version}");
    }
}

#[tokio::test]
async fn a_limit_that_is_reached_is_named_on_chat() {
    let requests =
        json!([["room:join", {"room": "a"}], ["room:join", {"room": "b"}], ["join:chat", {"chatId": "general"}]]);
    for version in VERSIONS {
        let hub = Hub::with("[limits]\nrooms_per_session = 1");
        let heard = told(&hub, version, "/chat", &json!({"token": token("alice")}), &requests);
        assert_eq!(heard["answers"][0]["success"], true, "{version}: {heard}");
        for index in [1, 2] {
            let answer = &heard["answers"][index];
            let told = (&answer["success"], &answer["code"], &answer["details"]["limit"]);
            let limit = json!("limits.rooms_per_session");
            assert_eq!(told, (&json!(false), &json!("LIMIT_REACHED"), &limit), "{version}: {heard}");
        }
    }
}
