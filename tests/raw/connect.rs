//! The handshake: where the token may stand, which of several counts, and every refusal, which is
//! plain HTTP as nothing was upgraded yet.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use std::time::Duration;

use crate::support::client::without_time;
use crate::support::http::Response;
use crate::support::token::{now, signed, token, token_with, unsigned};
use crate::support::{Client, DEADLINE, Hub, JWT_SECRET, Wire, eventually};

/// Who a client is, as its welcome says.
fn user(client: &Client) -> &Value {
    &client.welcome["data"]["details"]["user"]["id"]
}

async fn refused(hub: &Hub, path: &str, headers: &[(&str, &str)]) -> Response {
    let (answer, _) = Wire::upgrade(hub, path, headers).await;
    assert_ne!(answer.status, 101, "was let in by {path} {headers:?}");
    answer
}

/// That a refusal has this status, and the raw document's error body with this code.
#[track_caller]
fn assert_refusal(answer: &Response, status: u16, code: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["error"]["code"]), (status, &json!(code)), "{answer:?}");
    let keys: Vec<_> = body["error"].as_object().unwrap().keys().collect();
    assert!(body["error"]["message"].is_string(), "{body}");
    assert!(keys.iter().all(|key| ["code", "message", "details"].contains(&key.as_str())), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
}

#[tokio::test]
async fn the_token_may_come_in_the_authorization_header() {
    let hub = Hub::start();
    let bearer = format!("Bearer {}", token("alice"));
    let client = Client::open(&hub, "/ws", &[("Authorization", &bearer)]).await;
    assert_eq!(user(&client), "alice");
}

#[tokio::test]
async fn the_token_may_come_in_the_query() {
    let hub = Hub::start();
    let client = Client::open(&hub, &format!("/ws?token={}", token("alice")), &[]).await;
    assert_eq!(user(&client), "alice");
}

#[tokio::test]
async fn the_token_may_come_as_a_subprotocol_which_is_echoed() {
    let hub = Hub::start();
    let protocol = format!("access_token.{}", token("alice"));
    let offer = format!("chat, {protocol}");
    let (answer, mut wire) = Wire::upgrade(&hub, "/ws", &[("Sec-WebSocket-Protocol", &offer)]).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), Some(protocol.as_str()));
    assert_eq!(answer.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(wire.message().await["data"]["details"]["user"]["id"], "alice");
}

#[tokio::test]
async fn the_first_subprotocol_is_chosen_when_none_brings_a_token() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    for (offer, chosen) in
        [("my-protocol", Some("my-protocol")), ("v2.chat, v1.chat", Some("v2.chat")), ("not a token", None)]
    {
        let (answer, _) = Wire::upgrade(&hub, &path, &[("Sec-WebSocket-Protocol", offer)]).await;
        assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), (101, chosen), "{offer}");
    }
}

#[tokio::test]
async fn no_subprotocol_is_chosen_when_none_was_offered() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    let (answer, _) = Wire::upgrade(&hub, &path, &[]).await;
    assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), (101, None));
}

#[tokio::test]
async fn the_header_goes_before_the_subprotocol_and_that_before_the_query() {
    let hub = Hub::start();
    let bearer = format!("Bearer {}", token("header"));
    let protocol = format!("access_token.{}", token("subprotocol"));
    let path = format!("/ws?token={}", token("query"));
    let header = ("Authorization", bearer.as_str());
    let subprotocol = ("Sec-WebSocket-Protocol", protocol.as_str());

    assert_eq!(user(&Client::open(&hub, &path, &[header, subprotocol]).await), "header");
    assert_eq!(user(&Client::open(&hub, &path, &[subprotocol]).await), "subprotocol");
    assert_eq!(user(&Client::open(&hub, &path, &[]).await), "query");
}

#[tokio::test]
async fn a_bad_token_is_not_made_good_by_another_one_of_less_weight() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    let answer = refused(&hub, &path, &[("Authorization", "Bearer nonsense")]).await;
    assert_refusal(&answer, 401, "INVALID_TOKEN");
}

#[tokio::test]
async fn without_a_token_nobody_gets_in() {
    let hub = Hub::start();
    assert_refusal(&refused(&hub, "/ws", &[]).await, 401, "INVALID_TOKEN");
    assert_refusal(&refused(&hub, "/ws?token=", &[]).await, 401, "INVALID_TOKEN");
    let protocol = [("Sec-WebSocket-Protocol", "access_token.")];
    assert_refusal(&refused(&hub, "/ws", &protocol).await, 401, "INVALID_TOKEN");
    assert_eq!(hub.counters()["total_connections"], 0);
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_refused() {
    let hub = Hub::start();
    let good = token("alice");
    let (body, _) = good.rsplit_once('.').unwrap();
    let claims = json!({"sub": "alice", "exp": now() + 3600});
    let bad = [
        ("not a JWT", "nonsense".to_owned()),
        ("no signature", format!("{body}.")),
        ("another secret", signed(Algorithm::HS256, "another secret", &claims)),
        ("an algorithm that is not the configured one", signed(Algorithm::HS512, JWT_SECRET, &claims)),
        ("no algorithm", unsigned(json!({"sub": "alice"}))),
        ("an empty user", token_with(json!({"sub": ""}))),
        ("a user that is no name", token_with(json!({"sub": {"id": 1}}))),
        ("an expiry that is no time", token_with(json!({"sub": "alice", "exp": "tomorrow"}))),
        ("no user", token_with(json!({"name": "alice"}))),
        ("no expiry", token_with(json!({"sub": "alice", "exp": null}))),
        ("not valid yet", token_with(json!({"sub": "alice", "nbf": now() + 600}))),
    ];
    for (what, token) in bad {
        let answer = refused(&hub, &format!("/ws?token={token}"), &[]).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_refusal(&answer, 401, "INVALID_TOKEN");
        assert!(!answer.body.contains(JWT_SECRET) && !hub.output().contains(JWT_SECRET));
    }
}

#[tokio::test]
async fn an_expired_token_is_told_apart() {
    let hub = Hub::start();
    let token = token_with(json!({"sub": "alice", "exp": now() - 60}));
    let answer = refused(&hub, &format!("/ws?token={token}"), &[]).await;
    assert_refusal(&answer, 401, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn the_clock_of_who_made_the_token_may_be_a_little_off() {
    let hub = Hub::with("[auth]\nleeway_secs = 60");
    let expired = token_with(json!({"sub": "alice", "exp": now() - 30}));
    Client::connect(&hub, &expired).await;
    let early = token_with(json!({"sub": "alice", "nbf": now() + 30}));
    Client::connect(&hub, &early).await;
}

#[tokio::test]
async fn a_token_without_an_expiry_is_good_where_that_is_allowed() {
    let hub = Hub::with("[auth]\nrequire_exp = false");
    Client::connect(&hub, &token_with(json!({"sub": "alice", "exp": null}))).await;
}

#[tokio::test]
async fn a_token_that_lacks_a_required_permission_is_forbidden() {
    let hub = Hub::with("[auth]\nrequired_permissions = [\"realtime\", \"chat\"]");
    for permissions in [json!([]), json!(["realtime"]), json!(["chat", "admin"])] {
        let token = token_with(json!({"sub": "alice", "permissions": permissions}));
        let answer = refused(&hub, &format!("/ws?token={token}"), &[]).await;
        assert_refusal(&answer, 403, "FORBIDDEN");
    }
    let permissions = json!(["chat", "other", "realtime"]);
    Client::connect(&hub, &token_with(json!({"sub": "alice", "permissions": permissions}))).await;
}

#[tokio::test]
async fn a_full_hub_refuses_until_somebody_leaves() {
    let hub = Hub::with("[server]\nmax_connections = 2");
    let first = Client::of(&hub, "first").await;
    let _second = Client::of(&hub, "second").await;
    let path = format!("/ws?token={}", token("third"));
    assert_refusal(&refused(&hub, &path, &[]).await, 503, "SERVER_FULL");

    first.close().await;
    eventually(DEADLINE, "the place is free", || hub.connections() == 1).await;
    Client::of(&hub, "third").await;
}

#[tokio::test]
async fn one_address_may_connect_so_often_a_minute_and_no_more() {
    let hub = Hub::with("[limits]\nexempt_loopback = false\n[limits.raw]\nconnections_per_minute = 3");
    for _ in 0..3 {
        Client::of(&hub, "alice").await;
    }
    let answer = refused(&hub, &format!("/ws?token={}", token("alice")), &[]).await;
    assert_refusal(&answer, 429, "RATE_LIMITED");
    let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{answer:?}");
    assert_eq!(answer.json()["error"]["details"]["retryAfter"], wait);
}

#[tokio::test]
async fn connections_from_this_machine_itself_are_not_counted() {
    let hub = Hub::with("[limits.raw]\nconnections_per_minute = 1");
    for _ in 0..3 {
        Client::of(&hub, "alice").await;
    }
    // Through a proxy they come from elsewhere, whether or not that header is believed.
    let path = format!("/ws?token={}", token("alice"));
    let forwarded = [("X-Forwarded-For", "198.51.100.7")];
    assert_eq!(Wire::upgrade(&hub, &path, &forwarded).await.0.status, 101);
    assert_refusal(&refused(&hub, &path, &forwarded).await, 429, "RATE_LIMITED");
}

#[tokio::test]
async fn a_trusted_proxy_tells_addresses_apart() {
    let hub = Hub::with("[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[limits.raw]\nconnections_per_minute = 1");
    let path = format!("/ws?token={}", token("alice"));
    // What a client itself wrote stands further left, and counts for nothing.
    for address in ["198.51.100.7", "10.0.0.1, 198.51.100.8", "198.51.100.9, 127.0.0.2"] {
        let (answer, _) = Wire::upgrade(&hub, &path, &[("X-Forwarded-For", address)]).await;
        assert_eq!(answer.status, 101, "{address}: {answer:?}");
    }
    for address in ["198.51.100.7", "10.0.0.2, 198.51.100.8", "198.51.100.9"] {
        let answer = refused(&hub, &path, &[("X-Forwarded-For", address)]).await;
        assert_refusal(&answer, 429, "RATE_LIMITED");
    }
}

#[tokio::test]
async fn a_browser_gets_in_from_the_same_host_and_the_listed_origins_alone() {
    let hub = Hub::with("[server]\nallowed_origins = [\"https://app.example.com\"]");
    let path = format!("/ws?token={}", token("alice"));
    let own = format!("http://{}", hub.address());
    for origin in [own.as_str(), "https://app.example.com"] {
        let (answer, _) = Wire::upgrade(&hub, &path, &[("Origin", origin)]).await;
        assert_eq!(answer.status, 101, "{origin}: {answer:?}");
    }
    let strangers = [
        "https://evil.example.com",
        "http://app.example.com",
        "https://app.example.com.evil.org",
        "https://app.example.com:8443",
        "http://127.0.0.1:1",
        "null",
    ];
    for origin in strangers {
        let answer = refused(&hub, &path, &[("Origin", origin)]).await;
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
        assert_refusal(&answer, 403, "FORBIDDEN");
    }
}

#[tokio::test]
async fn the_same_host_is_the_one_the_client_asked_for() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    // As behind a proxy that ends TLS and leaves `Host` alone.
    let asked = |origin: &'static str| [("Host", "hub.example.com"), ("Origin", origin)];
    let (answer, _) = Wire::upgrade(&hub, &path, &asked("https://hub.example.com")).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    for origin in ["https://hub.example.com:8443", "https://example.com", "https://hub.example.com.evil.org"] {
        assert_refusal(&refused(&hub, &path, &asked(origin)).await, 403, "FORBIDDEN");
    }
}

#[tokio::test]
async fn other_versions_of_the_protocol_are_told_which_one_is_spoken() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    for version in ["8", "7", "14", "x"] {
        let answer = refused(&hub, &path, &[("Sec-WebSocket-Version", version)]).await;
        assert_refusal(&answer, 426, "UPGRADE_REQUIRED");
        assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_handshake_without_a_key_is_a_bad_request() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    for key in ["", "short", "not base64 at all!!!!!!!"] {
        let answer = refused(&hub, &path, &[("Sec-WebSocket-Key", key)]).await;
        assert_eq!(answer.status, 400, "{key:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_handshake_with_two_keys_is_a_bad_request_that_names_the_header() {
    let hub = Hub::start();
    let (path, key) = (format!("/ws?token={}", token("alice")), "dGhlIHNhbXBsZSBub25jZQ==");
    for other in [key, "AAAAAAAAAAAAAAAAAAAAAA=="] {
        let answer = refused(&hub, &path, &[("Sec-WebSocket-Key", key), ("Sec-WebSocket-Key", other)]).await;
        assert_refusal(&answer, 400, "INVALID_REQUEST");
        assert_eq!(answer.json()["error"]["details"]["field"], "Sec-WebSocket-Key", "{answer:?}");
    }
}

#[tokio::test]
async fn a_handshake_over_http_1_0_is_told_to_upgrade() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    let head = format!(
        "GET /ws?token={} HTTP/1.0\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        token("alice"),
        hub.address()
    );
    wire.send(head.as_bytes()).await;
    assert_refusal(&wire.response().await, 426, "UPGRADE_REQUIRED");
}

#[tokio::test]
async fn a_plain_request_is_told_to_upgrade() {
    let hub = Hub::start();
    let answer = hub.http().request("GET", "/ws").bearer(&token("alice")).send();
    assert_refusal(&answer, 426, "UPGRADE_REQUIRED");
}

#[tokio::test]
async fn the_welcome_says_who_and_where_one_is() {
    let hub = Hub::start();
    let claims = json!({"sub": "u1", "username": "ann", "name": "Ann", "roles": ["admin", "editor"]});
    let client = Client::connect(&hub, &token_with(claims)).await;
    let mut welcome = without_time(client.welcome);
    let details = &mut welcome["data"]["details"];
    assert!(details["connection_id"].take().as_str().is_some_and(|id| !id.is_empty()));
    let time = details["server_time"].take().as_u64().unwrap();
    assert!(time.abs_diff(now() * 1000) < 60_000, "server_time is {time}");
    assert_eq!(
        welcome,
        json!({"type": "Status", "data": {"status": "connected", "details": {
            "connection_id": null,
            "server_time": null,
            "protocol_version": "1.0",
            "user": {"id": "u1", "name": "Ann", "roles": ["admin", "editor"]},
        }}})
    );
}

#[tokio::test]
async fn what_a_client_sends_with_its_handshake_is_not_lost() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    let ping = crate::support::wire::Frame::text(r#"{"type":"Ping","data":{"timestamp":7}}"#);
    let mut bytes = format!(
        "GET /ws?token={} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        token("alice"),
        hub.address()
    )
    .into_bytes();
    bytes.extend(ping.encode());
    wire.send(&bytes).await;
    assert_eq!(wire.response().await.status, 101);
    assert_eq!(wire.message().await["type"], "Status");
    let pong = without_time(wire.message().await);
    assert_eq!(pong, json!({"type": "Pong", "data": {"timestamp": 7}}));
}

#[tokio::test]
async fn an_expiry_may_have_a_fraction_and_may_be_far_away() {
    let hub = Hub::start();
    for exp in [json!(now() as f64 + 3600.5), json!(253_402_300_799_u64)] {
        let path = format!("/ws?token={}", token_with(json!({"sub": "alice", "exp": exp})));
        let (answer, mut wire) = Wire::upgrade(&hub, &path, &[]).await;
        assert_eq!(answer.status, 101, "{exp}: {answer:?}");
        assert_eq!(wire.message().await["type"], "Status");
        assert!(wire.quiet_for(Duration::from_millis(100)).await, "{exp}: is not over");
    }
}

#[tokio::test]
async fn headers_are_read_as_http_says() {
    let hub = Hub::start();
    let path = format!("/ws?other=1&token={}&more", token("alice").replace('.', "%2E"));
    let variants: [&[(&str, &str)]; 3] = [
        &[("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")],
        &[("connection", "UPGRADE"), ("UPGRADE", "websocket")],
        &[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")],
    ];
    for headers in variants {
        let (answer, mut wire) = Wire::upgrade(&hub, &path, headers).await;
        assert_eq!(answer.status, 101, "{headers:?}: {answer:?}");
        assert_eq!(answer.header("Sec-WebSocket-Extensions"), None, "no extension is spoken");
        assert_eq!(wire.message().await["type"], "Status");
    }
    let bearer = format!("bearer {}", token("alice"));
    Client::open(&hub, "/ws", &[("authorization", &bearer)]).await;
}

#[tokio::test]
async fn a_connection_that_asked_for_something_else_before_may_upgrade() {
    let hub = Hub::start();
    let mut wire = Wire::connect(&hub).await;
    wire.send(format!("GET /health/live HTTP/1.1\r\nHost: {}\r\n\r\n", hub.address()).as_bytes()).await;
    assert_eq!(wire.response().await.status, 200);
    let answer = wire.request_upgrade(hub.address(), &format!("/ws?token={}", token("alice")), &[]).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(wire.message().await["type"], "Status");
}

#[tokio::test]
async fn other_paths_are_not_upgraded() {
    let hub = Hub::start();
    let answer = refused(&hub, &format!("/nowhere?token={}", token("alice")), &[]).await;
    assert_refusal(&answer, 404, "NOT_FOUND");
    // What some clients offer with every plain request, and nobody has to take.
    let offer = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")];
    let answer = refused(&hub, "/health", &offer).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn who_was_refused_or_has_vanished_takes_no_place() {
    let hub = Hub::with("[server]\nmax_connections = 2\n[limits.raw]\nconnections_per_minute = 0");
    for _ in 0..20 {
        refused(&hub, "/ws?token=nonsense", &[]).await;
        refused(&hub, &format!("/ws?token={}", token("alice")), &[("Origin", "https://evil.example.com")]).await;
        drop(Wire::of(&hub, "alice").await);
        eventually(DEADLINE, "the place is free", || hub.connections() == 0).await;
    }
    let _first = Client::of(&hub, "first").await;
    let _second = Client::of(&hub, "second").await;
}
