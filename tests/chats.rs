//! `PUT`, `GET` and `DELETE /api/chats/{chatId}`, and access to the room of a chat.

use serde_json::{Value, json};

use crate::push::untimed;
use crate::support::client::without_time;
use crate::support::http::Response;
use crate::support::{Client, Hub};

#[track_caller]
fn ask(hub: &Hub, method: &str, id: &str, body: Option<&Value>) -> Response {
    let http = hub.http();
    let request = http.request(method, &format!("/api/chats/{id}")).key().header("X-Request-Id", "r-1");
    match body {
        Some(body) => request.json(body).send(),
        None => request.send(),
    }
}

/// Creates or replaces a chat, and returns the status.
#[track_caller]
fn put(hub: &Hub, id: &str, body: &Value) -> u16 {
    ask(hub, "PUT", id, Some(body)).status
}

/// The chat in a response without its `createdAt`, and that time.
#[track_caller]
fn chat(answer: &Response) -> (Value, String) {
    let mut body = untimed(answer);
    assert_eq!(body["success"], true, "{body}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    let mut chat = body["chat"].take();
    let created = chat.as_object_mut().unwrap().remove("createdAt").unwrap();
    (chat, created.as_str().unwrap().to_owned())
}

#[track_caller]
fn missing(answer: &Response) {
    let body = json!({"success": false, "error": "There is no such chat", "code": "NOT_FOUND", "requestId": "r-1"});
    assert_eq!((answer.status, answer.json()), (404, body));
}

/// The denied topics, each with its code.
async fn denied(client: &mut Client, topics: &[&str]) -> Value {
    client.send(json!({"type": "Subscribe", "data": {"topics": topics}})).await;
    next(client).await["data"]["details"]["denied"].clone()
}

fn left(topic: &str) -> Value {
    json!({"type": "Status", "data": {"status": "unsubscribed", "details": {"topics": [topic]}}})
}

#[tokio::test]
async fn a_chat_is_created_read_replaced_and_deleted() {
    let hub = Hub::start();
    let made = ask(&hub, "PUT", "team%2F1%20%C3%A9", Some(&json!({"name": "Team", "participants": ["b", 7, "b"]})));
    let (body, created) = chat(&made);
    let expected = json!({
        "chatId": "team/1 é",
        "name": "Team",
        "description": "",
        "public": false,
        "participants": ["7", "b"],
    });
    assert_eq!((made.status, &body), (201, &expected));
    let read = ask(&hub, "GET", "team/1%20%C3%A9", None);
    assert_eq!((read.status, chat(&read)), (200, (expected, created.clone())));

    // Missing fields get their defaults. A response can be sent back.
    let replaced = ask(&hub, "PUT", "team/1%20%C3%A9", Some(&json!({"public": true, "description": "a\n\tb"})));
    let expected = json!({
        "chatId": "team/1 é",
        "name": "team/1 é",
        "description": "a\n\tb",
        "public": true,
        "participants": [],
    });
    assert_eq!((replaced.status, chat(&replaced)), (200, (expected.clone(), created.clone())));
    let again = ask(&hub, "PUT", "team/1%20%C3%A9", Some(&replaced.json()["chat"]));
    assert_eq!((again.status, chat(&again)), (200, (expected, created)));

    let deleted = ask(&hub, "DELETE", "team/1%20%C3%A9", None);
    assert_eq!((deleted.status, untimed(&deleted)), (200, json!({"success": true})));
    missing(&ask(&hub, "GET", "team/1%20%C3%A9", None));
    missing(&ask(&hub, "DELETE", "team/1%20%C3%A9", None));
}

/// The next message, without events about members and about the chat.
async fn next(client: &mut Client) -> Value {
    loop {
        let message = client.next().await;
        let skipped = ["user:joined", "user:left", "room:online-update", "room:info"];
        if !skipped.contains(&message["type"].as_str().unwrap()) {
            return message;
        }
    }
}

/// Fails if anything but such events is on its way to this client.
async fn expect_nothing_else(client: &mut Client) {
    client.send(json!({"type": "Ping", "data": {"timestamp": 0}})).await;
    let message = next(client).await;
    assert_eq!(message["type"], "Pong", "{message}");
}

/// Subscribes to a topic. Events about chats may arrive meanwhile.
async fn subscribe(client: &mut Client, topic: &str) {
    client.send(json!({"type": "Subscribe", "data": {"topics": [topic]}})).await;
    let status = next(client).await;
    assert_eq!(status["data"]["details"]["topics"], json!([topic]), "{status}");
}

#[tokio::test]
async fn anybody_joins_a_public_chat_and_an_unknown_chat_looks_like_a_private_one() {
    let hub = Hub::start();
    assert_eq!(put(&hub, "secret", &json!({"participants": ["alice"]})), 201);
    let (mut alice, mut bob) = (Client::of(&hub, "alice").await, Client::of(&hub, "bob").await);
    alice.subscribe(&["chat:general", "chat:secret"]).await;
    let refused = denied(&mut bob, &["chat:general", "chat:secret", "chat:nowhere", "chat:"]).await;
    let forbidden = |topic: &str| json!({"topic": topic, "code": "FORBIDDEN"});
    assert_eq!(refused, json!([forbidden("chat:secret"), forbidden("chat:nowhere"), forbidden("chat:")]));

    let event = json!({"room": "chat:secret", "event": "news", "data": 1});
    let answer = hub.http().request("POST", "/api/room").key().json(&event).send();
    assert_eq!(answer.json()["recipients"], 1);
    assert_eq!(without_time(next(&mut alice).await), json!({"type": "news", "topic": "chat:secret", "data": 1}));
    expect_nothing_else(&mut bob).await;
    // `Broadcast` cannot publish to a chat.
    let broadcast = json!({"type": "Broadcast", "data": {"topic": "chat:general", "payload": 1}});
    assert_eq!(bob.ask(broadcast, "Error").await["data"]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn a_removed_participant_leaves_the_chat_before_the_response() {
    let hub = Hub::start();
    assert_eq!(put(&hub, "c", &json!({"public": true})), 201);
    let (mut alice, mut bob) = (Client::of(&hub, "alice").await, Client::of(&hub, "bob").await);
    let mut phone = Client::of(&hub, "bob").await;
    for client in [&mut alice, &mut bob, &mut phone] {
        subscribe(client, "lobby").await;
        subscribe(client, "chat:c").await;
    }
    let members = || {
        let body = hub.http().request("GET", "/api/rooms/chat:c").key().send().json();
        body["members"].clone()
    };

    assert_eq!(put(&hub, "c", &json!({"participants": ["alice", "bob"]})), 200);
    assert_eq!(members(), json!([{"userId": "alice", "sessions": 1}, {"userId": "bob", "sessions": 2}]));
    expect_nothing_else(&mut bob).await;

    assert_eq!(put(&hub, "c", &json!({"participants": ["alice"]})), 200);
    assert_eq!(members(), json!([{"userId": "alice", "sessions": 1}]));
    for client in [&mut bob, &mut phone] {
        assert_eq!(without_time(next(client).await), left("chat:c"));
        assert_eq!(denied(client, &["chat:c"]).await[0]["code"], "FORBIDDEN");
        subscribe(client, "lobby").await;
    }
    assert_eq!(put(&hub, "c", &json!({"participants": ["alice", "bob"]})), 200);
    subscribe(&mut bob, "chat:c").await;
    expect_nothing_else(&mut alice).await;

    assert_eq!(ask(&hub, "DELETE", "c", None).status, 200);
    assert_eq!(members(), Value::Null);
    for client in [&mut alice, &mut bob] {
        assert_eq!(without_time(next(client).await), left("chat:c"));
        assert_eq!(denied(client, &["chat:c"]).await[0]["code"], "FORBIDDEN");
    }
    expect_nothing_else(&mut phone).await;
}

#[tokio::test]
async fn chats_survive_a_crash() {
    let hub = Hub::start();
    assert_eq!(put(&hub, "c", &json!({"name": "Chat", "participants": ["alice"]})), 201);
    assert_eq!(put(&hub, "gone", &json!({"public": true})), 201);
    let before = chat(&ask(&hub, "GET", "c", None));
    assert_eq!(ask(&hub, "DELETE", "gone", None).status, 200);
    let hub = hub.restart();
    assert_eq!(chat(&ask(&hub, "GET", "c", None)), before);
    missing(&ask(&hub, "GET", "gone", None));
    Client::of(&hub, "alice").await.subscribe(&["chat:c"]).await;
    assert_eq!(denied(&mut Client::of(&hub, "bob").await, &["chat:c"]).await[0]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn a_start_creates_the_configured_chats_that_do_not_exist() {
    let hub = Hub::with("[[chats]]\nid = \"staff\"\nparticipants = [1]\n[[chats]]\nid = \"hall\"\npublic = true");
    let staff = json!({"chatId": "staff", "name": "staff", "description": "", "public": false, "participants": ["1"]});
    assert_eq!(chat(&ask(&hub, "GET", "staff", None)).0, staff);
    // A configured list replaces the built-in chat.
    missing(&ask(&hub, "GET", "general", None));
    Client::of(&hub, "1").await.subscribe(&["chat:staff", "chat:hall"]).await;

    assert_eq!(put(&hub, "staff", &json!({"name": "Changed", "participants": [2]})), 200);
    assert_eq!(ask(&hub, "DELETE", "hall", None).status, 200);
    let hub = hub.restart();
    let (changed, _) = chat(&ask(&hub, "GET", "staff", None));
    assert_eq!((&changed["name"], &changed["participants"]), (&json!("Changed"), &json!(["2"])));
    assert_eq!(ask(&hub, "GET", "hall", None).status, 200);
}

#[tokio::test]
async fn an_invalid_chat_is_refused_and_changes_nothing() {
    let hub = Hub::start();
    let before = chat(&ask(&hub, "GET", "general", None));
    let many: Vec<u32> = (0..10_001).collect();
    for (body, field, message) in [
        (json!({"name": 5}), "name", "`name`: invalid type: integer `5`, expected a string"),
        (json!({"name": "x".repeat(201)}), "name", "`name` is longer than 200 characters"),
        (json!({"name": "a\nb"}), "name", "`name` has a character that is not printable"),
        (json!({"description": "x".repeat(2001)}), "description", "`description` is longer than 2000 characters"),
        (json!({"public": "yes"}), "public", "`public`: invalid type: string \"yes\", expected a boolean"),
        (json!({"participants": [1, ""]}), "participants[1]", "`participants[1]` is empty"),
        (
            json!({"participants": [1, 2.5]}),
            "participants[1]",
            "`participants[1]`: invalid type: floating point `2.5`, expected a string or an integer",
        ),
        (json!({"participants": many}), "participants", "`participants` has more than 10000 users"),
        (json!({"chatId": "other"}), "chatId", "`chatId` is not the one in the path"),
        (
            json!({"participant": [1]}),
            "participant",
            "`participant`: unknown field `participant`, expected one of `name`, `description`, `public`, \
             `participants`, `chatId`, `createdAt`",
        ),
    ] {
        let answer = ask(&hub, "PUT", "general", Some(&body));
        let refusal = json!({
            "success": false,
            "error": message,
            "code": "INVALID_REQUEST",
            "requestId": "r-1",
            "details": {"field": field},
        });
        assert_eq!((answer.status, answer.json()), (400, refusal));
    }
    let refused =
        |error: &str| json!({"success": false, "error": error, "code": "INVALID_REQUEST", "requestId": "r-1"});
    let none = ask(&hub, "PUT", "general", None);
    let error = "The body is not JSON: EOF while parsing a value at line 1 column 0";
    assert_eq!((none.status, none.json()), (400, refused(error)));
    let list = ask(&hub, "PUT", "general", Some(&json!([1])));
    assert_eq!((list.status, list.json()), (400, refused("The body is not a JSON object")));
    for (id, message) in [
        ("x".repeat(196), "`chatId` is longer than 195 characters"),
        ("a%0Ab".into(), "`chatId` has a character that is not printable"),
    ] {
        let mut refusal = refused(message);
        refusal["details"] = json!({"field": "chatId"});
        for (method, body) in [("PUT", Some(json!({}))), ("GET", None), ("DELETE", None)] {
            let answer = ask(&hub, method, &id, body.as_ref());
            assert_eq!((answer.status, answer.json()), (400, refusal.clone()), "{method}");
        }
    }
    assert_eq!(put(&hub, &"x".repeat(195), &json!({})), 201);
    assert_eq!(chat(&ask(&hub, "GET", "general", None)), before);
}

#[tokio::test]
async fn chats_need_an_api_key_and_refuse_post() {
    let hub = Hub::start();
    let http = hub.http();
    let refusal = |error: &str, code: &str| json!({"success": false, "error": error, "code": code, "requestId": "r-1"});
    for method in ["PUT", "GET", "DELETE"] {
        let answer = http.request(method, "/api/chats/general").header("X-Request-Id", "r-1").send();
        let error = "An API key is needed in X-API-Key";
        assert_eq!((answer.status, answer.json()), (401, refusal(error, "UNAUTHORIZED")), "{method}");
    }
    let post = ask(&hub, "POST", "general", Some(&json!({})));
    let error = "This path answers PUT, GET, HEAD, DELETE only";
    assert_eq!((post.status, post.json()), (405, refusal(error, "METHOD_NOT_ALLOWED")));
    assert_eq!(post.header("Allow"), Some("PUT, GET, HEAD, DELETE"));
    assert_eq!(ask(&hub, "GET", "general", None).status, 200);
}
