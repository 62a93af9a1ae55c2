//! API keys: their limits, scopes and expiry, signed requests, and secrets that stay out of responses and logs.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpStream;

use super::{post, read};
use crate::support::http::RequestBuilder;
use crate::support::token::now_ms;
use crate::support::{API_KEY, Client, DEADLINE, Hub, JWT_SECRET, wait_until};

#[tokio::test]
async fn a_key_gets_exactly_its_limit_and_then_a_retry_time() {
    let key = format!("[[api.keys]]\nname = \"slow\"\nkey = \"{API_KEY}\"\nper_minute = 3");
    let hub = Hub::with(&key);
    let push = || post(&hub, "/api/push", json!({"userId": 1, "event": "e", "data": 1})).status;
    assert_eq!([push(), push(), push()], [200; 3]);
    let answer = hub.http().request("GET", "/api/status").key().header("X-Request-Id", "r-1").send();
    let body = answer.json();
    let wait = body["retryAfter"].as_u64().unwrap();
    assert!((1..=60).contains(&wait), "{body}");
    assert_eq!(answer.header("Retry-After"), Some(wait.to_string().as_str()));
    assert_eq!(
        (answer.status, body),
        (
            429,
            json!({
                "success": false,
                "error": "Rate limit exceeded",
                "code": "RATE_LIMITED",
                "retryAfter": wait,
                "requestId": "r-1",
            })
        )
    );
}

/// A request with the document's signature headers. In version 2, `message` includes a hash of the body.
pub(crate) fn signed<'a>(
    request: RequestBuilder<'a>,
    message: String,
    nonce: &str,
    timestamp: u64,
    version: &str,
) -> RequestBuilder<'a> {
    let mut mac = Hmac::<Sha256>::new_from_slice(API_KEY.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    request
        .key()
        .header("X-Request-Timestamp", &timestamp.to_string())
        .header("X-Request-Nonce", nonce)
        .header("X-Signature-Version", version)
        .header("X-Signature", &hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_key_with_require_signature_accepts_each_signed_request_once() {
    let key = format!("[[api.keys]]\nname = \"careful\"\nkey = \"{API_KEY}\"\nrequire_signature = true");
    let hub = Hub::with(&key);
    let http = hub.http();
    let time = now_ms();
    let status = || {
        let request = http.request("GET", "/api/status");
        signed(request, format!("GET/api/status{time}n-1"), "n-1", time, "v1").send()
    };
    assert_eq!(status().status, 200);
    let again = status();
    assert_eq!((again.status, &again.json()["code"]), (401, &json!("INVALID_SIGNATURE")));

    let body = json!({"userId": 1, "event": "e", "data": 1});
    let digest = hex::encode(Sha256::digest(body.to_string()));
    let push = |nonce: &str, body: &Value| {
        let message = format!("POST/api/push{time}{nonce}{digest}");
        signed(http.request("POST", "/api/push"), message, nonce, time, "v2").json(body).send().status
    };
    assert_eq!(push("n-2", &body), 200);
    assert_eq!(push("n-3", &json!({"userId": 2, "event": "e", "data": 1})), 401);
    assert_eq!(http.request("GET", "/api/status").key().send().status, 401);
}

#[tokio::test]
async fn the_refusal_of_a_time_in_seconds_names_the_expected_unit() {
    let hub = Hub::start();
    let (http, time) = (hub.http(), now_ms() / 1_000);
    let request = http.request("GET", "/api/status");
    let answer = signed(request, format!("GET/api/status{time}n"), "n", time, "v1").send();
    let message = format!("X-Request-Timestamp is in milliseconds since 1970: got {time}, which looks like seconds");
    let body = answer.json();
    assert_eq!((answer.status, &body["code"], &body["error"]), (401, &json!("INVALID_SIGNATURE"), &json!(message)));

    // The position in a topic is not a time.
    let mut client = Client::of(&hub, "alice").await;
    let since = json!({"type": "Subscribe", "data": {"topics": ["news"], "since": {"news": time}}});
    let error = client.ask(since, "Error").await;
    assert_eq!(error["data"]["details"]["field"], "since.news", "{error}");
    let message = error["data"]["message"].as_str().unwrap();
    assert!(message.ends_with("expected an object {epoch, offset}, as `positions` has it, not a time"), "{message}");
    let answer = read(&hub, "/api/rooms/news/history?after=2026-01-01T00:00:00Z");
    let message = "`after` is not a number: expected the `offset` of a message, not a time";
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!(message)));
}

#[test]
fn a_key_without_the_scope_is_refused_before_the_body_is_read_until_a_reload_adds_it() {
    let key = |scopes: &str| {
        format!("[[api.keys]]\nname = \"shop\"\nkey = \"{API_KEY}\"\nscopes = {scopes}\nexpires = 2100-01-31T12:00:00Z")
    };
    let hub = Hub::with(&key(r#"["status:read"]"#));
    assert_eq!(read(&hub, "/api/status").status, 200);
    let mut socket = TcpStream::connect(hub.address()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!("POST /api/push HTTP/1.1\r\nHost: h\r\nX-API-Key: {API_KEY}\r\nContent-Length: 70000\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(answer.contains("This request needs an API key with the scope `push`"), "{answer}");
    let rule = r#"rule="api key \"shop\" scopes""#;
    wait_until(DEADLINE, "the refusal is logged", || hub.output().contains(rule) && hub.output().contains("key=shop"));

    let log = hub.reload(&key(r#"["status:read", "push"]"#));
    assert!(log.contains("reloaded changed=api.keys.scopes"), "{log}");
    assert_eq!(post(&hub, "/api/push", json!({"userId": 1, "event": "e", "data": 1})).status, 200);
}

#[test]
fn an_expired_key_is_refused_and_the_start_warns_about_it() {
    let key = format!("[[api.keys]]\nname = \"shop\"\nkey = \"{API_KEY}\"\nexpires = \"2025-01-31\"");
    let hub = Hub::with(&key);
    let answer = read(&hub, "/api/status");
    assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("INVALID_API_KEY")));
    assert_eq!(answer.json()["error"], "The API key has expired");
    let warning = r#"api.keys[0].expires: the key "shop" has expired: it is refused since 2025-01-31T00:00:00.000Z"#;
    let rule = r#"rule="api key \"shop\" expires""#;
    wait_until(DEADLINE, "both are logged", || {
        let log = hub.output();
        log.contains(warning) && log.contains(rule)
    });
    assert!(hub.sighup().contains(warning), "a reload repeats the warning");
}

#[tokio::test]
async fn responses_and_log_lines_contain_no_secret() {
    let hub = Hub::start();
    let wrong = hub.http().request("GET", "/api/status").header("X-API-Key", "a-wrong-key-1234").send();
    let answers = ["/info", "/status", "/metrics", "/health", "/"].map(|path| hub.get(path).body);
    let seen = format!("{} {} {} {:?}", hub.output(), wrong.body, read(&hub, "/api/status").body, answers);
    for secret in [API_KEY, JWT_SECRET, "a-wrong-key-1234"] {
        assert!(!seen.contains(secret), "{seen}");
    }
}
