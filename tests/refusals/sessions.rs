//! Refusals at `/ws`: upgrades, and the requests of sessions.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{CONFIG, RefusalLine, SECRET, assert_logged};
use crate::support::socketio::WEBSOCKET;
use crate::support::token::{now, signed, token, token_with, unsigned};
use crate::support::{Client, DEADLINE, Hub, Wire, eventually};

/// A refused upgrade: its id, path, headers, status, code and rule.
type RefusedUpgrade = (&'static str, String, Vec<(&'static str, &'static str)>, u16, &'static str, &'static str);

fn upgrades() -> Vec<RefusedUpgrade> {
    let with = |token: String| format!("/ws?token={token}");
    let good = || with(token("alice"));
    let claims = |claims: Value| with(token_with(claims));
    vec![
        ("none", "/ws".into(), vec![], 401, "INVALID_TOKEN", "token"),
        ("malformed", with(SECRET.into()), vec![], 401, "INVALID_TOKEN", "token"),
        (
            "forged",
            with(signed(Algorithm::HS256, SECRET, &json!({"sub": "a", "exp": now() + 9}))),
            vec![],
            401,
            "INVALID_TOKEN",
            "token signature",
        ),
        ("unsigned", with(unsigned(json!({"sub": "a"}))), vec![], 401, "INVALID_TOKEN", "auth.algorithm"),
        (
            "algorithm",
            with(signed(Algorithm::HS512, crate::support::JWT_SECRET, &json!({"sub": "a", "exp": now() + 9}))),
            vec![],
            401,
            "INVALID_TOKEN",
            "auth.algorithm",
        ),
        ("expired", claims(json!({"sub": "a", "exp": now() - 9})), vec![], 401, "TOKEN_EXPIRED", "token exp"),
        ("endless", claims(json!({"sub": "a", "exp": null})), vec![], 401, "INVALID_TOKEN", "auth.require_exp"),
        ("early", claims(json!({"sub": "a", "nbf": now() + 900})), vec![], 401, "INVALID_TOKEN", "token nbf"),
        ("future", claims(json!({"sub": "a", "iat": now() + 900})), vec![], 401, "INVALID_TOKEN", "token iat"),
        ("nobody", claims(json!({"name": "a"})), vec![], 401, "INVALID_TOKEN", "token sub"),
        ("topics", claims(json!({"sub": "a", "topics": 5})), vec![], 401, "INVALID_TOKEN", "token topics"),
        ("page", good(), vec![("Origin", "https://evil.example")], 403, "FORBIDDEN", "server.allowed_origins"),
        ("version", good(), vec![("Sec-WebSocket-Version", "8")], 426, "UPGRADE_REQUIRED", ""),
        ("handshake-key", good(), vec![("Sec-WebSocket-Key", "c2hvcnQ=")], 400, "INVALID_REQUEST", ""),
    ]
}

#[tokio::test]
async fn each_refused_upgrade_logs_one_line_with_its_request_id() {
    let hub = Hub::with(CONFIG);
    let mut expected = Vec::new();
    for (number, (id, path, headers, status, code, rule)) in upgrades().into_iter().enumerate() {
        let address = format!("203.0.113.{number}");
        let headers = [&headers[..], &[("X-Request-Id", id), ("X-Forwarded-For", &address)]].concat();
        let (answer, _) = Wire::upgrade(&hub, &path, &headers).await;
        assert_eq!((answer.status, answer.header("X-Request-Id")), (status, Some(id)), "{id}: {answer:?}");
        let line = RefusalLine::request(id, "raw", code, rule).with("address", address).with("path", "/ws");
        // The user of a token is known only if its signature is valid.
        let user =
            if ["expired", "endless", "early", "future", "topics"].contains(&id) { json!("a") } else { Value::Null };
        let origin = if id == "page" { json!("https://evil.example") } else { Value::Null };
        expected.push(line.with("method", "GET").with("user", user).with("origin", origin));
    }
    let (answer, _) = Wire::upgrade(&hub, "/ws/", &[("X-Request-Id", "with-a-slash")]).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    expected.push(RefusalLine::request("with-a-slash", "raw", "INVALID_TOKEN", "token").with("path", "/ws/"));
    for n in 0..4 {
        let (id, path) = (format!("often-{n}"), format!("/ws?token={}", token("alice")));
        let (answer, _) =
            Wire::upgrade(&hub, &path, &[("X-Request-Id", &id), ("X-Forwarded-For", "198.51.100.7")]).await;
        assert_eq!(answer.status, if n < 3 { 101 } else { 429 }, "{answer:?}");
    }
    let rule = "limits.raw.connections_per_minute";
    expected.push(RefusalLine::request("often-3", "raw", "RATE_LIMITED", rule).with("address", "198.51.100.7"));
    assert_logged(&hub, &expected);

    let refused = |surface: &str, reason: &str| {
        hub.metric(&format!("hubbub_connections_refused_total{{surface=\"{surface}\",reason=\"{reason}\"}}"))
    };
    let counts = [("raw", "token"), ("raw", "origin"), ("raw", "malformed"), ("raw", "rate_limit")];
    assert_eq!(counts.map(|(surface, reason)| refused(surface, reason)), [12.0, 1.0, 2.0, 1.0]);
    assert_eq!(hub.metric("hubbub_connections_refused_total"), expected.len() as f64);
    assert_eq!(hub.metric("hubbub_refusals_total"), expected.len() as f64);
    assert_eq!(hub.metric("hubbub_refusals_total{code=\"INVALID_TOKEN\"}"), 11.0);
}

#[tokio::test]
async fn a_missing_permission_and_a_full_hub_are_logged_with_the_user() {
    let permission = "[auth]\nrequired_permissions = [\"connect\"]\n";
    let config =
        CONFIG.replacen("[auth]\n", permission, 1).replacen("[server]\n", "[server]\nmax_connections = 1\n", 1);
    let hub = Hub::with(&config);
    let permitted = token_with(json!({"sub": "alice", "permissions": ["connect"]}));
    let _connected = Client::connect(&hub, &permitted).await;
    let mut expected = Vec::new();
    for (id, token, status, code, rule) in [
        ("lacking", token("bob"), 403, "FORBIDDEN", "auth.required_permissions"),
        (
            "full",
            token_with(json!({"sub": "bob", "permissions": ["connect"]})),
            503,
            "SERVER_FULL",
            "server.max_connections",
        ),
    ] {
        let path = format!("/ws?token={token}");
        let (answer, _) = Wire::upgrade(&hub, &path, &[("X-Request-Id", id)]).await;
        assert_eq!(answer.status, status, "{answer:?}");
        expected.push(RefusalLine::request(id, "raw", code, rule).with("user", "bob"));
    }
    assert_logged(&hub, &expected);
}

/// A refused request of a session: the claims of its token without `sub`, the message, and its log line.
struct MessageCase {
    claims: Value,
    message: Value,
    code: &'static str,
    rule: &'static str,
    event: Option<&'static str>,
    room: Option<&'static str>,
}

fn requests() -> Vec<MessageCase> {
    let case =
        |message: Value, code, rule, event| MessageCase { claims: json!({}), message, code, rule, event, room: None };
    let data = |event: &str, data: Value| json!({"type": event, "data": data, "id": 1});
    let broadcast = |topic: &str| data("Broadcast", json!({"topic": topic, "payload": SECRET}));
    let narrow = json!({"topics": {"publish": ["lobby"], "subscribe": ["lobby"]}});
    let subscribe = |topic: &str| data("Subscribe", json!({"topics": ["lobby", topic]}));
    let denied = |topic: &'static str, rule| MessageCase {
        room: Some(topic),
        ..case(subscribe(topic), "FORBIDDEN", rule, Some("Subscribe"))
    };
    vec![
        case(json!({"data": {}}), "INVALID_REQUEST", "", None),
        case(data("shout", json!({})), "INVALID_REQUEST", "", Some("shout")),
        case(data("Broadcast", json!({"topic": "t"})), "INVALID_REQUEST", "", Some("Broadcast")),
        case(data("Ping", json!({"timestamp": SECRET})), "INVALID_REQUEST", "", Some("Ping")),
        case(broadcast("news.today"), "FORBIDDEN", "topics \"news.*\" publish", Some("Broadcast")),
        case(broadcast("user:bob"), "FORBIDDEN", "reserved user:", Some("Broadcast")),
        MessageCase {
            claims: narrow.clone(),
            ..case(broadcast("other"), "FORBIDDEN", "token topics.publish", Some("Broadcast"))
        },
        case(
            data("DirectMessage", json!({"target_user": "nobody", "payload": SECRET})),
            "NOT_FOUND",
            "",
            Some("DirectMessage"),
        ),
        denied("news.today", "topics \"news.*\" subscribe"),
        denied("user:bob", "reserved user:"),
        denied("chat:secret", "chat participants"),
        denied("$all", "reserved $"),
        MessageCase { claims: narrow, ..denied("other", "token topics.subscribe") },
        MessageCase {
            room: Some("news.today"),
            ..case(
                data("room:join", json!({"room": "news.today"})),
                "FORBIDDEN",
                "topics \"news.*\" subscribe",
                Some("room:join"),
            )
        },
        MessageCase {
            room: Some("chat:none"),
            ..case(data("join:chat", json!({"chatId": "none"})), "NOT_FOUND", "chat participants", Some("join:chat"))
        },
        case(data("room:info", json!({"chatId": "none"})), "NOT_FOUND", "chat participants", Some("room:info")),
        case(data("register", json!({"userId": "bob"})), "FORBIDDEN", "token sub", Some("register")),
        case(data("Authenticate", json!({"token": token("bob")})), "FORBIDDEN", "token sub", Some("Authenticate")),
        case(data("Authenticate", json!({"token": SECRET})), "INVALID_TOKEN", "token", Some("Authenticate")),
        case(data("debug_mode", json!({"enabled": true})), "FORBIDDEN", "debug.open", Some("debug_mode")),
        case(data("client:action", json!({"action": "fly"})), "UNKNOWN_ACTION", "", Some("client:action")),
        case(data(&format!("eyJhbGciOiJIUzI1NiJ9.{SECRET}"), json!({})), "INVALID_REQUEST", "", Some("[token]")),
        case(data("connection:recover", json!({"recoveryToken": SECRET})), "NOT_FOUND", "", Some("connection:recover")),
        case(data("notification_read", json!({"notification_id": "none"})), "NOT_FOUND", "", Some("notification_read")),
        case(data("presence:user-status", json!({"userId": "none"})), "NOT_FOUND", "", Some("presence:user-status")),
    ]
}

#[tokio::test]
async fn each_refused_request_of_a_session_logs_one_line_with_its_connection() {
    let hub = Hub::with(CONFIG);
    let mut expected = Vec::new();
    for (number, case) in requests().into_iter().enumerate() {
        let mut claims = case.claims;
        claims["sub"] = "alice".into();
        let address = format!("203.0.113.{number}");
        let path = format!("/ws?token={}", token_with(claims));
        let mut client = Client::open(&hub, &path, &[("X-Forwarded-For", &address)]).await;
        client.send(case.message.clone()).await;
        let answer = client.next().await;
        let id = client.welcome["data"]["details"]["connection_id"].as_str().unwrap().to_owned();
        let line = RefusalLine::connection(&id, "raw", case.code, case.rule).with("address", address);
        let line = line.with("user", "alice").with("event", case.event);
        // Replies to the events for the application have a request id, and so has the line.
        let request = answer["data"]["requestId"].as_str();
        assert_eq!(request.is_some(), case.event == Some("client:action"), "{answer}");
        expected.push(line.with("room", case.room).with("requestId", request));
        client.close().await;
    }
    assert_logged(&hub, &expected);
    assert_eq!(hub.metric("hubbub_refusals_total"), expected.len() as f64);
}

#[tokio::test]
async fn exceeded_limits_of_a_session_are_logged_with_their_configuration_keys() {
    let hub = Hub::with(CONFIG);
    let id = |client: &Client| client.welcome["data"]["details"]["connection_id"].as_str().unwrap().to_owned();
    let connect = |user: &'static str, address: &'static str| {
        let path = format!("/ws?token={}", token(user));
        let hub = &hub;
        async move { Client::open(hub, &path, &[("X-Forwarded-For", address)]).await }
    };
    let mut expected = Vec::new();

    let mut pinging = connect("alice", "203.0.113.1").await;
    for n in 0..13 {
        let answer =
            pinging.ask(json!({"type": "Ping", "data": {"timestamp": n}}), if n < 12 { "Pong" } else { "Error" }).await;
        assert_eq!(answer["data"]["code"] == "RATE_LIMITED", n == 12, "{answer}");
    }
    expected.push(
        RefusalLine::connection(&id(&pinging), "raw", "RATE_LIMITED", "limits.raw.messages_per_minute")
            .with("event", "Ping"),
    );

    let mut joining = connect("bob", "203.0.113.2").await;
    let subscribe = json!({"type": "Subscribe", "data": {"topics": ["a", "b", "c", "d"]}});
    let answer = joining.ask(subscribe, "Status").await;
    assert_eq!(answer["data"]["details"]["denied"][0]["code"], "LIMIT_REACHED", "{answer}");
    expected.push(
        RefusalLine::connection(&id(&joining), "raw", "LIMIT_REACHED", "limits.rooms_per_session").with("room", "d"),
    );

    let mut chatting = connect("carol", "203.0.113.3").await;
    chatting.send(json!({"type": "join:chat", "data": {"chatId": "general"}})).await;
    for _ in 0..3 {
        chatting.send(json!({"type": "message:send", "data": {"chatId": "general", "content": SECRET}})).await;
    }
    expected.push(
        RefusalLine::connection(&id(&chatting), "raw", "RATE_LIMITED", "limits.chat.messages_per_minute")
            .with("event", "message:send"),
    );
    assert_logged(&hub, &expected);
}

#[tokio::test]
async fn requests_during_shutdown_are_refused_with_one_line_each() {
    let config = CONFIG.replacen("[server]\n", "[server]\ndrain_per_sec = 1\n", 1);
    let hub = Hub::with(&config);
    let mut connected = Vec::new();
    for n in 0..6 {
        let path = format!("/ws?token={}", token("alice"));
        let address = format!("203.0.113.{n}");
        connected.push(Client::open(&hub, &path, &[("X-Forwarded-For", &address)]).await);
    }
    hub.signal("TERM");
    eventually(DEADLINE, "the hub shuts down", || hub.get("/health/ready").status == 503).await;
    let path = format!("/ws?token={}", token("bob"));
    let (answer, _) = Wire::upgrade(&hub, &path, &[("X-Request-Id", "late-upgrade")]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let (answer, _) = Wire::upgrade(&hub, WEBSOCKET, &[("X-Request-Id", "late-handshake")]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let push = json!({"userId": "a", "event": "e", "data": SECRET});
    let request = hub.http().request("POST", "/api/push").key().json(&push).header("X-Request-Id", "late-push").send();
    assert_eq!(request.status, 503, "{request:?}");
    let expected = [("late-upgrade", "raw"), ("late-handshake", "socket.io"), ("late-push", "http")];
    let expected = expected.map(|(id, surface)| RefusalLine::request(id, surface, "SHUTTING_DOWN", ""));
    assert_logged(&hub, &expected);
}
