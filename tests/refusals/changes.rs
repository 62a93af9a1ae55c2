//! The audit log of changes, and the events of connections: `monitoring:events` and `GET /api/events`.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{CONFIG, SECRET, lines};
use crate::support::socketio::WEBSOCKET;
use crate::support::token::{now, signed, token_with};
use crate::support::{Client, DEADLINE, Hub, Wire, account, eventually, wait_until};

fn audited(hub: &Hub) -> Vec<Value> {
    lines(hub, "hubbub::audit")
}

#[test]
fn each_change_over_http_logs_one_line_with_key_and_request_id() {
    let config = CONFIG.replace("format = \"json\"", "format = \"json\"\nlevel = \"debug\"");
    let hub = Hub::with(&config);
    let http = hub.http();
    let change = |id: &str, method: &str, path: &str, body: Value| {
        let request =
            http.request(method, path).key().header("X-Request-Id", id).header("X-Forwarded-For", "203.0.113.5");
        let answer = if body.is_null() { request } else { request.json(&body) }.send();
        assert!(answer.status < 300, "{id}: {answer:?}");
    };
    let data = json!({"x": SECRET});
    change("made", "POST", "/api/users", json!({"username": "alice", "password": format!("{SECRET} {SECRET}")}));
    change("chat", "PUT", "/api/chats/c1", json!({"public": true}));
    change("chat-again", "PUT", "/api/chats/c1", json!({"public": false}));
    change("chat-gone", "DELETE", "/api/chats/c1", Value::Null);
    change("push", "POST", "/api/push", json!({"userId": "bob", "event": "e", "data": data}));
    change("notify", "POST", "/api/push", json!({"userId": "bob", "event": "notification", "data": data}));
    change("all", "POST", "/api/broadcast", json!({"event": "e", "data": data}));
    change("room", "POST", "/api/room", json!({"room": "lobby", "event": "e", "data": data}));
    change("kick", "POST", "/api/disconnect", json!({"userId": "bob"}));
    change("revoke", "POST", "/api/revoke", json!({"userId": "bob"}));
    let batch = json!({"commands": [{"push": {"userId": "bob", "event": "e", "data": data}}, {"disconnect": {"userId": "carol"}}]});
    change("batch", "POST", "/api/batch", batch);

    let expected = [
        json!(["made", "INFO", "account created"]),
        json!(["chat", "INFO", "chat created"]),
        json!(["chat-again", "INFO", "chat changed"]),
        json!(["chat-gone", "INFO", "chat deleted"]),
        json!(["push", "DEBUG", "event pushed"]),
        json!(["notify", "DEBUG", "notification pushed"]),
        json!(["all", "DEBUG", "event pushed"]),
        json!(["room", "DEBUG", "event pushed"]),
        json!(["kick", "INFO", "user disconnected"]),
        json!(["revoke", "INFO", "tokens revoked"]),
        json!(["batch", "DEBUG", "event pushed"]),
        json!(["batch", "INFO", "user disconnected"]),
    ];
    wait_until(DEADLINE, "all changes are logged", || audited(&hub).len() >= expected.len());
    let lines = audited(&hub);
    let logged: Vec<_> = lines.iter().map(|line| json!([line["requestId"], line["level"], line["message"]])).collect();
    assert_eq!(logged, expected);
    for line in &lines {
        assert_eq!((&line["key"], &line["address"]), (&json!("tests"), &json!("203.0.113.5")), "{line}");
    }
    let field = |number: usize, name: &str| lines[number][name].clone();
    assert_eq!((field(1, "chat"), field(8, "user"), field(9, "user")), (json!("c1"), json!("bob"), json!("bob")));
    assert_eq!((field(4, "user"), field(7, "room"), field(4, "event")), (json!("bob"), json!("lobby"), json!("e")));
    assert_eq!((field(4, "recipients"), field(11, "item")), (json!(0), json!(1)));
    assert!(!hub.output().contains(SECRET), "{}", hub.output());
}

#[test]
fn a_sign_out_logs_its_user_and_level_info_omits_pushes() {
    let hub = Hub::with(CONFIG);
    let alice = account::user(&hub, "alice");
    let signed_in = account::sign_in(&hub, "alice");
    assert_eq!(account::sign_out(&hub, &signed_in.id, &signed_in.access).status, 204);
    hub.http().request("POST", "/api/broadcast").key().json(&json!({"event": "e", "data": 1})).send();
    wait_until(DEADLINE, "the sign-out is logged", || audited(&hub).len() >= 2);
    let lines = audited(&hub);
    assert_eq!(lines.iter().map(|line| &line["message"]).collect::<Vec<_>>(), ["account created", "session ended"]);
    let line = &lines[1];
    assert_eq!(
        (&line["by"], &line["user"], &line["session"]),
        (&json!(alice), &json!(alice), &json!(signed_in.id)),
        "{line}"
    );
    for secret in [&signed_in.access, &signed_in.refresh] {
        assert!(!hub.output().contains(secret.as_str()), "{}", hub.output());
    }
}

#[tokio::test]
async fn refused_origins_and_denied_joins_are_monitoring_events() {
    let hub = Hub::with(CONFIG);
    let from = [("X-Forwarded-For", "203.0.113.77"), ("Origin", "https://evil.example")];
    let (answer, _) = Wire::upgrade(&hub, WEBSOCKET, &from).await;
    assert_eq!(answer.status, 403);
    let mut alice = Client::of(&hub, "alice").await;
    let subscribe = json!({"type": "Subscribe", "data": {"topics": ["news.today", "lobby"]}});
    alice.ask(subscribe, "Status").await;

    let events = |query: &str| {
        let answer = hub.http().request("GET", &format!("/api/events{query}")).key().send();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    eventually(DEADLINE, "both events are recorded", || {
        events("?type=auth_failure")["events"].as_array().unwrap().len() == 2
    })
    .await;
    let answer = events("?type=auth_failure");
    assert!(answer["success"] == true && answer["timestamp"].is_string(), "{answer}");
    let (denied, origin) = (&answer["events"][0], &answer["events"][1]);
    assert_eq!(
        denied["details"],
        json!({"surface": "raw", "reason": "join denied", "code": "FORBIDDEN", "room": "news.today"})
    );
    assert_eq!(
        (&denied["userId"], &denied["socketId"]),
        (&json!("alice"), &alice.welcome["data"]["details"]["connection_id"])
    );
    assert_eq!(origin["details"], json!({"surface": "socket.io", "reason": "origin not allowed", "code": "FORBIDDEN"}));
    assert_eq!((&origin["userId"], &origin["ipAddress"]), (&Value::Null, &json!("203.0.113.77")));

    let count = |query: &str| events(query)["events"].as_array().unwrap().len();
    assert_eq!([count(""), count("?limit=1"), count("?user=alice"), count("?ip=203.0.113.77")], [3, 1, 2, 1]);
    assert_eq!([count("?type=connect"), count("?type=connect&user=bob")], [1, 0]);

    // A user without admin rights sees that another user's join was denied, but not the room.
    let mut bob = Client::of(&hub, "bob").await;
    let request = json!({"type": "monitoring:events", "id": 1, "data": {"type": "auth_failure"}});
    let reply = bob.ask(request, "Reply").await;
    let details = &reply["data"]["events"][0]["details"];
    assert_eq!(*details, json!({"surface": "raw", "reason": "join denied", "code": "FORBIDDEN"}), "{reply}");
}

#[tokio::test]
async fn a_refused_token_is_found_by_its_user() {
    let hub = Hub::with(CONFIG);
    let expired = token_with(json!({"sub": "alice", "exp": now() - 9}));
    let forged =
        signed(Algorithm::HS256, "another secret of 32 bytes or so", &json!({"sub": "alice", "exp": now() + 9}));
    for token in [expired, forged] {
        let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={token}"), &[]).await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let events = |query: &str| hub.http().request("GET", &format!("/api/events?{query}")).key().send().json();
    let count = |query: &str| events(query)["events"].as_array().unwrap().len();
    eventually(DEADLINE, "both events are recorded", || count("type=auth_failure") == 2).await;
    let found = events("user=alice");
    assert_eq!((count("user=alice"), &found["events"][0]["details"]["code"]), (1, &json!("TOKEN_EXPIRED")), "{found}");
}

#[test]
fn a_bad_query_parameter_of_events_is_reported_by_name() {
    let hub = Hub::with(CONFIG);
    for (query, field, error) in [
        ("limit=0", "limit", "`limit` is not 1 to 1000"),
        ("type=login", "type", "`type` is none of connect, disconnect, error, rate_limit, auth_failure"),
        ("ip=x", "ip", "`ip` is not an IPv4 or IPv6 address"),
        ("userId=7", "userId", "`userId` is none of type, user, ip and limit"),
    ] {
        let answer = hub.http().request("GET", &format!("/api/events?{query}")).key().send();
        let body = answer.json();
        assert_eq!((answer.status, &body["code"]), (400, &json!("INVALID_REQUEST")), "{answer:?}");
        assert_eq!((&body["details"]["field"], &body["error"]), (&json!(field), &json!(error)), "{answer:?}");
    }
    assert_eq!(hub.get("/api/events").status, 401);
}
