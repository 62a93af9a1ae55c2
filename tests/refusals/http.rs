//! Refused requests over plain HTTP.

use serde_json::{Value, json};

use super::{CONFIG, RefusalLine, SECRET, assert_logged};
use crate::support::http::RequestBuilder;
use crate::support::{API_KEY, DEADLINE, Hub, Wire, wait_until};

/// A request with its expected refusal.
struct RequestCase {
    id: &'static str,
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
    headers: &'static [(&'static str, &'static str)],
    status: u16,
    code: &'static str,
    rule: &'static str,
}

const KEY: (&str, &str) = ("X-API-Key", API_KEY);

fn cases() -> Vec<RequestCase> {
    let case = |id, method, path, body, headers, status, code, rule| RequestCase {
        id,
        method,
        path,
        body,
        headers,
        status,
        code,
        rule,
    };
    let push = || Some(json!({"userId": "alice", "event": "e", "data": {"x": SECRET}}));
    vec![
        case("no-such-path", "GET", "/nothing?token=s3cret-marker", None, &[], 404, "NOT_FOUND", ""),
        case("wrong-method", "DELETE", "/health", None, &[], 405, "METHOD_NOT_ALLOWED", ""),
        case("no-key", "POST", "/api/push", push(), &[], 401, "UNAUTHORIZED", "api.keys"),
        case("wrong-key", "GET", "/api/status", None, &[("X-API-Key", SECRET)], 401, "INVALID_API_KEY", "api.keys"),
        case("missing-field", "POST", "/api/push", Some(json!({"data": SECRET})), &[KEY], 400, "INVALID_REQUEST", ""),
        case(
            "wrong-type",
            "POST",
            "/api/users",
            Some(json!({"username": "u", "password": {SECRET: SECRET}, "roles": SECRET})),
            &[KEY],
            400,
            "INVALID_REQUEST",
            "",
        ),
        case(
            "unsigned",
            "POST",
            "/api/push",
            push(),
            &[("X-API-Key", "signed-key-0123456789abcdef0123456789abcd")],
            401,
            "INVALID_SIGNATURE",
            "api key \"signed\" signature",
        ),
        case(
            "foreign-page",
            "POST",
            "/api/push",
            push(),
            &[KEY, ("Origin", "https://evil.example")],
            403,
            "FORBIDDEN",
            "server.allowed_origins",
        ),
        case(
            "encoded",
            "POST",
            "/api/push",
            push(),
            &[KEY, ("Content-Encoding", "br")],
            415,
            "UNSUPPORTED_ENCODING",
            "",
        ),
        case(
            "too-much",
            "POST",
            "/api/push",
            Some(json!({"userId": "a", "event": "e", "data": "x".repeat(1_100_000)})),
            &[KEY],
            413,
            "PAYLOAD_TOO_LARGE",
            "server.max_body",
        ),
        case("no-chat", "GET", "/api/chats/none", None, &[KEY], 404, "NOT_FOUND", ""),
        case("no-room", "GET", "/api/rooms/none", None, &[KEY], 404, "NOT_FOUND", ""),
        case(
            "hub-room",
            "POST",
            "/api/room",
            Some(json!({"room": "$all", "event": "e", "data": 1})),
            &[KEY],
            400,
            "INVALID_REQUEST",
            "",
        ),
        case(
            "own-event",
            "POST",
            "/api/broadcast",
            Some(json!({"event": "connect", "data": 1})),
            &[KEY],
            400,
            "INVALID_REQUEST",
            "",
        ),
        case("bad-revoke", "POST", "/api/revoke", Some(json!({})), &[KEY], 400, "INVALID_REQUEST", ""),
        case("bad-events", "GET", "/api/events?type=login", None, &[KEY], 400, "INVALID_REQUEST", ""),
        case("bad-batch", "POST", "/api/batch", Some(json!({"commands": []})), &[KEY], 400, "INVALID_REQUEST", ""),
        case(
            "wrong-password",
            "POST",
            "/sessions",
            Some(json!({"username": "nobody", "password": SECRET})),
            &[],
            401,
            "INVALID_CREDENTIALS",
            "",
        ),
        case(
            "refresh",
            "POST",
            "/sessions/refresh",
            Some(json!({"refresh_token": SECRET})),
            &[],
            401,
            "INVALID_TOKEN",
            "refresh_token",
        ),
        case("sign-out", "DELETE", "/sessions/none", None, &[], 401, "INVALID_TOKEN", "token"),
        case(
            "sign-out-forged",
            "DELETE",
            "/sessions/none",
            None,
            &[("Authorization", "Bearer s3cret-marker")],
            401,
            "INVALID_TOKEN",
            "token",
        ),
        case("no-websocket", "GET", "/ws?token=s3cret-marker", None, &[], 426, "UPGRADE_REQUIRED", ""),
    ]
}

fn request<'a>(hub: &'a crate::support::http::Http, case: &RequestCase, address: &str) -> RequestBuilder<'a> {
    let mut request = hub.request(case.method, case.path).header("X-Request-Id", case.id);
    request = request.header("X-Forwarded-For", address);
    for (name, value) in case.headers {
        request = request.header(name, value);
    }
    match &case.body {
        Some(body) => request.json(body),
        None => request,
    }
}

#[test]
fn each_refused_request_logs_one_line_with_its_id() {
    let hub = Hub::with(CONFIG);
    let http = hub.http();
    let mut expected = Vec::new();
    for (number, case) in cases().iter().enumerate() {
        let address = format!("203.0.113.{number}");
        let answer = request(&http, case, &address).send();
        assert_eq!(answer.status, case.status, "{}: {answer:?}", case.id);
        assert_eq!(answer.header("X-Request-Id"), Some(case.id));
        let path = case.path.split('?').next();
        let line = RefusalLine::request(case.id, "http", case.code, case.rule);
        let line = line.with("address", address).with("path", path).with("method", case.method);
        let by_key = case.headers.contains(&KEY) && case.rule != "server.allowed_origins";
        expected.push(if by_key { line.with("key", "tests") } else { line });
    }
    // A request without an id: the line has the id that the hub made.
    let answer = http.get("/nowhere");
    expected.push(RefusalLine::request(answer.header("X-Request-Id").unwrap(), "http", "NOT_FOUND", ""));
    assert_logged(&hub, &expected);
}

#[test]
fn an_exceeded_limit_is_logged_with_its_configuration_key() {
    let hub = Hub::with(CONFIG);
    let http = hub.http();
    let mut expected = Vec::new();
    let general = "limits.http.requests_per_minute";
    let login = json!({"username": "nobody", "password": SECRET});
    let keyed = |key| http.request("GET", "/api/status").header("X-API-Key", key);
    let nothing = ("", "");
    for (name, times, before, rule) in [
        ("anonymous", 5, ("UNAUTHORIZED", "api.keys"), general),
        ("slow", 2, nothing, "api key \"slow\" per_minute"),
        ("plain", 5, nothing, general),
        ("login", 3, ("INVALID_CREDENTIALS", ""), "limits.login.attempts_per_minute"),
    ] {
        for n in 1..=times {
            let (id, address) = (format!("{name}-{n}"), format!("203.0.113.{times}{}", name.len()));
            let request = match name {
                "slow" => keyed("slow-key-0123456789abcdef0123456789abcdef"),
                "plain" => keyed("plain-key-0123456789abcdef0123456789abcde"),
                "login" => http.request("POST", "/sessions").json(&login),
                _ => http.request("GET", "/api/status"),
            };
            let answer = request.header("X-Request-Id", &id).header("X-Forwarded-For", &address).send();
            assert_eq!(answer.status == 429, n == times, "{id}: {answer:?}");
            let (code, rule) = if n == times { ("RATE_LIMITED", rule) } else { before };
            if !code.is_empty() {
                expected.push(RefusalLine::request(&id, "http", code, rule).with("address", address));
            }
        }
    }
    assert_logged(&hub, &expected);
}

#[test]
fn a_refused_command_of_a_batch_logs_one_line_with_its_number() {
    let hub = Hub::with(CONFIG);
    let good = json!({"push": {"userId": "a", "event": "e", "data": SECRET}});
    let batch = json!({"commands": [good, {"shout": {"text": SECRET}}, good]});
    let answer = hub.http().request("POST", "/api/batch").key().header("X-Request-Id", "batch").json(&batch).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    let line = RefusalLine::request("batch", "http", "INVALID_REQUEST", "");
    assert_logged(&hub, &[line.with("item", 1).with("key", "tests").with("path", "/api/batch")]);
}

#[test]
fn a_replayed_response_logs_no_line_and_a_conflict_logs_one() {
    let hub = Hub::with(CONFIG);
    let http = hub.http();
    let push = |id: &str, event: &str| {
        let push = json!({"userId": "a", "event": event, "data": 1});
        let request = http.request("POST", "/api/push").key().header("Idempotency-Key", "once");
        request.header("X-Request-Id", id).json(&push).send().status
    };
    assert_eq!([push("first", "e"), push("again", "e"), push("other", "f")], [200, 200, 409]);
    // A refused request frees its idempotency key, so its repetition is a second refusal.
    let bad = |id: &str| {
        let request = http.request("POST", "/api/push").key().header("Idempotency-Key", "bad");
        request.header("X-Request-Id", id).json(&json!({})).send().status
    };
    assert_eq!([bad("bad-1"), bad("bad-2")], [400, 400]);
    let conflict = RefusalLine::request("other", "http", "CONFLICT", "");
    let bad = ["bad-1", "bad-2"].map(|id| RefusalLine::request(id, "http", "INVALID_REQUEST", "").with("key", "tests"));
    assert_logged(&hub, &[&[conflict], &bad[..]].concat());
}

/// Requests that the parser refuses. They are sent as bytes, because HTTP libraries cannot send them.
#[tokio::test]
async fn an_unreadable_request_logs_one_line_and_garbage_logs_none() {
    let hub = Hub::with(CONFIG);
    let mut expected = Vec::new();
    for (id, request, status, code, rule) in [
        ("long-target", format!("GET /{} HTTP/1.1\r\nX-Request-Id: long-target\r\n\r\n", "x".repeat(17_000)), "414", "URI_TOO_LONG", ""),
        ("long-head", format!("GET / HTTP/1.1\r\nX-Request-Id: long-head\r\nX: {}\r\n\r\n", "x".repeat(40_000)), "431", "HEADERS_TOO_LARGE", ""),
        ("two-lengths", "POST /api/push HTTP/1.1\r\nHost: hub\r\nX-Request-Id: two-lengths\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), "400", "INVALID_REQUEST", ""),
        ("no-host", "GET / HTTP/1.1\r\nX-Request-Id: no-host\r\n\r\n".to_owned(), "400", "INVALID_REQUEST", ""),
        ("bare-lf", "GET / HTTP/1.1\nX-Request-Id: bare-lf\n\n".to_owned(), "400", "INVALID_REQUEST", ""),
        ("slow-head", "GET / HTTP/1.1\r\nX-Request-Id: slow-head\r\nHost: h".to_owned(), "408", "REQUEST_TIMEOUT", "server.head_secs"),
        (
            "slow-body",
            format!("POST /api/push HTTP/1.1\r\nHost: hub\r\nX-API-Key: {API_KEY}\r\nX-Request-Id: slow-body\r\nContent-Length: 9\r\n\r\n{{"),
            "408",
            "REQUEST_TIMEOUT",
            "server.body_secs",
        ),
    ] {
        let mut wire = Wire::connect(&hub).await;
        wire.try_send(request.as_bytes()).await;
        let answer = wire.read_to_end().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{id}: {answer}");
        expected.push(RefusalLine::request(id, "http", code, rule).with("address", "127.0.0.1"));
    }
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"hello\r\n\r\n"]
    {
        let mut wire = Wire::connect(&hub).await;
        wire.try_send(garbage).await;
        assert!(wire.read_to_end().await.starts_with("HTTP/1.1 400 "));
    }
    assert_logged(&hub, &expected);
}

#[test]
fn an_upstream_failure_is_a_warning_and_a_health_probe_is_no_refusal() {
    let hub = Hub::with(&format!("{CONFIG}\n[auth.backend]\nurl = \"http://127.0.0.1:1/user\""));
    let http = hub.http();
    let request = http.request("DELETE", "/sessions/none").bearer(&format!("12|{SECRET}"));
    let answer = request.header("X-Request-Id", "unanswered").send();
    assert_eq!(answer.status, 503, "{answer:?}");
    hub.signal("TERM");
    wait_until(DEADLINE, "the hub ends", || hub.http().request("GET", "/health/ready").try_send().is_none());
    let line = RefusalLine::request("unanswered", "http", "AUTH_FAILED", "");
    assert_logged(&hub, &[line.with("level", "WARN")]);
}
