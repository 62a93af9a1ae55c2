//! The code blocks of the push document and of the community document, unchanged, with `socket.io-client` in Node. The
//! drivers replace only the address and the placeholder token.

use serde_json::{Value, json};
use std::process::Command;

use super::{assert_unchanged, fixture, remove_offset};
use crate::support::token::{token, token_with};
use crate::support::tools::{Program, node_modules};
use crate::support::{DEADLINE, Hub, MockUpstream, Sio, SioTransport, UpstreamReply, eventually};

#[test]
fn the_code_blocks_equal_the_documents() {
    assert_unchanged(&[
        ("push/connect.js", "20955287c2c8ee3c226486376f8a3e08777abebe7d01dbb845f622d5037dc571"),
        ("push/register.js", "de99594964cede8618d5ce73f24d52cc64a1da76005447dd732a416c8d2ffb2f"),
        ("push/registered.js", "b75a896bfa1d1b6d06709ab64df2b52b9069578c07453a0ac8e40c94ace02805"),
        ("community/browser.mjs", "96c75cc1fa881b6ed9a64eb6e1b557c7f3d3a127d92522280d545fcc44b97ce4"),
        ("community/node.js", "5c6ff880451348903313541919182f8216038eab636614fd9c4823d39c5d91a7"),
        ("community/authenticate.js", "56536e0a49b51c87b7f66a379bb8382a8331af685d58d461b6c0f575470976d2"),
        ("community/notification_read.js", "e45e031145a7dd04f61c02cd9dfc25dca93431e6b553d303e21d45acf8d65b0f"),
        ("community/typing_start.js", "8933626a1b5e0733be5ab268f74e27fa4b9a216b8d2f6385dc69879558931539"),
        ("community/typing_stop.js", "2434f64555acdb66e7a18ef80fbacf5c850a10709c46756462ceb2def02b82cd"),
        ("community/debug_mode.js", "e1ee58277bffccd4e9b8afda3a7e22a7bc5c3104de09734a6f107885c75a17a3"),
    ]);
}

/// A driver of code blocks in Node, with the hub's address as its argument.
fn node(script: &str, hub: &Hub) -> Command {
    let mut node = Command::new("node");
    node.env("NODE_PATH", node_modules(&fixture("socketio"))).arg(fixture("documents").join(script));
    node.arg(format!("http://{}", hub.address()));
    node
}

#[track_caller]
fn push(hub: &Hub, path: &str, body: &Value) -> Value {
    let answer = hub.http().request("POST", path).key().json(body).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["recipients"].take()
}

/// Removes a non-empty text with a random or current value.
#[track_caller]
fn remove_text(data: &mut Value, field: &str) {
    let text = data[field].take();
    assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{field} is {text} in {data}");
}

#[tokio::test]
async fn the_push_documents_client_registers_sends_and_receives() {
    let hub = Hub::start();
    let driver = Program::start(node("push.js", &hub).arg(token("user-123")));
    eventually(DEADLINE * 4, "the client is in the room", || driver.output().contains("in the room\n")).await;
    let notification = json!({"title": "string", "message": "string", "type": "info"});
    let to_user = json!({"userId": "user-123", "event": "system:notification", "data": notification});
    assert_eq!(push(&hub, "/api/room", &json!({"room": "lobby", "event": "to-room", "data": {"n": 1}})), 1);
    assert_eq!(push(&hub, "/api/push", &to_user), 1);
    assert_eq!(push(&hub, "/api/broadcast", &json!({"event": "to-all", "data": {"n": 2}})), 1);
    let mut report = driver.report();
    for field in ["message", "socketId", "timestamp"] {
        remove_text(&mut report["welcome"], field);
    }
    remove_text(&mut report["welcome"]["serverInfo"], "version");
    remove_text(&mut report["client:message"], "messageId");
    for event in ["client:event", "client:message", "client:action"] {
        remove_text(&mut report[event], "requestId");
    }
    let error = report["error"].take();
    assert_eq!(
        (&error["event"], &error["code"]),
        (&json!("client:message"), &json!("INVALID_MESSAGE_DATA")),
        "{error}"
    );
    assert!(error["message"].is_string(), "{error}");
    assert!(report["welcome"]["serverInfo"]["environment"].is_string(), "{report}");
    report["welcome"] = json!(null);
    for event in ["toRoom", "toUser", "toAll"] {
        remove_offset(&mut report[event]);
    }
    let in_room = json!({"success": true, "room": "lobby"});
    assert_eq!(
        report,
        json!({
            "welcome": null,
            "ownId": true,
            "registered": {"success": true, "userId": "user-123"},
            "client:event": {"success": true, "requestId": null, "data": {"any": "object"}},
            "client:message": {"success": true, "requestId": null, "messageId": null},
            "client:action": {"success": true, "requestId": null, "result": {"any": 1}},
            "error": null,
            "room:join": in_room,
            "ping": "nothing",
            "toRoom": [{"n": 1}],
            "toUser": [notification],
            "toAll": [{"n": 2}],
            "room:leave": in_room,
            "printed": [["log", "Registration successful"]],
        })
    );
}

#[tokio::test]
async fn the_push_documents_client_reports_a_failed_registration_as_another_user() {
    let hub = Hub::start();
    let report = Program::start(node("push.js", &hub).arg(token("user-124"))).report();
    assert_eq!(report["registered"]["success"], false, "{report}");
    assert_eq!(
        report["printed"],
        json!([["error", "Registration failed:", report["registered"]["error"]]]),
        "{report}"
    );
}

#[tokio::test]
async fn the_community_documents_client_authenticates_types_and_reads_its_notifications() {
    let hub = Hub::start();
    let mut jane = Sio::with_token(&hub, SioTransport::WebSocket, &token_with(json!({"sub": 2, "name": "Jane"}))).await;
    jane.join("thread:456").await;
    let user = json!({"id": 1, "name": "John Doe", "email": "john@example.com", "role": "admin"});
    let permissions = json!(["receive_notifications", "send_messages"]);
    let mut claims = user.clone();
    claims["sub"] = claims["id"].take();
    claims["permissions"] = permissions.clone();
    let driver = Program::start(node("community.js", &hub).arg(token_with(claims)));

    eventually(DEADLINE * 4, "the client is connected", || hub.connections() == 2).await;
    let typing = |typing: bool| json!({"user_id": 1, "name": "John Doe", "thread_id": 456, "typing": typing});
    assert_eq!(jane.expect("user_typing").await, typing(true));
    let notification = json!({
        "id": "notif_123",
        "type": "thread_reply",
        "title": "New reply to your thread",
        "message": "Someone replied to your thread 'PLC Programming Tips'",
        "data": {"thread_id": 456, "reply_id": 789, "user": {"id": 2, "name": "Jane Smith"}},
        "timestamp": "2025-07-19T10:30:00.000Z",
        "read": false,
    });
    let pushed = json!({"userId": "1", "event": "notification", "data": notification});
    assert_eq!(push(&hub, "/api/push", &pushed), 1);
    assert_eq!(jane.expect("user_typing").await, typing(false));
    assert_eq!(jane.request("typing_start", json!({"thread_id": 456})).await, json!([]));
    assert_eq!(jane.request("typing_stop", json!({"thread_id": 456})).await, json!([]));

    let mut report = driver.report();
    remove_text(&mut report["connected"], "socketId");
    remove_text(&mut report["connected"], "timestamp");
    remove_text(&mut report["authenticated"], "socketId");
    remove_text(&mut report["updated"], "read_at");
    let by_jane = |typing: bool| json!({"user_id": 2, "name": "Jane", "thread_id": 456, "typing": typing});
    assert_eq!(
        report,
        json!({
            "connected": {"socketId": null, "timestamp": null},
            "authenticated": {"user": user, "permissions": permissions, "socketId": null},
            "ownId": true,
            "transport": "websocket",
            "notification": notification,
            "updated": {"notification_id": "notif_123", "read": true, "read_at": null},
            "typing": [by_jane(true), by_jane(false)],
            "debug": ["object", "object", "object"],
            "ping": "nothing",
            "printed": [["log", "New notification:", notification]],
        })
    );
}

#[tokio::test]
async fn the_community_documents_client_authenticates_with_a_token_of_the_backend() {
    let backend = MockUpstream::new(|request| match request.header("authorization") {
        Some("Bearer sanctum_token") => UpstreamReply::Json(200, json!({"user": {"id": 1, "name": "John Doe"}})),
        _ => UpstreamReply::Json(401, json!({"message": "Unauthenticated."})),
    });
    let hub = Hub::with(&format!("[auth.backend]\nurl = \"{}\"", backend.url("/api/user")));
    let mut report = Program::start(&mut node("sanctum.js", &hub)).report();
    remove_text(&mut report["known"], "socketId");
    remove_text(&mut report["unknown"], "error");
    assert_eq!(report["known"]["user"]["id"], 1, "{report}");
    assert_eq!(report["known"]["user"]["name"], "John Doe", "{report}");
    assert_eq!(report["unknown"], json!({"error": null, "code": "AUTH_FAILED"}), "{report}");
    assert_eq!((&report["ownId"], &report["printed"]), (&json!(true), &json!([])), "{report}");
}
