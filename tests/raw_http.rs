//! The raw document over plain HTTP: `/health`, `/metrics`, `/info`, errors, and the parts that every answer has.

use serde_json::{Value, json};

use crate::support::http::Response;
use crate::support::{API_KEY, Client, DEADLINE, Hub, Wire, eventually};

fn error(code: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "details": {}}})
}

fn stats(connections: u64) -> Value {
    json!({
        "active_connections": connections,
        "total_connections": connections,
        "messages_sent": null,
        "messages_received": 0,
        "errors": 0,
    })
}

#[tokio::test]
async fn info_has_exactly_the_documents_shape() {
    let hub = Hub::with("[server]\nmax_connections = 77");
    let _alice = Client::of(&hub, "alice").await;
    let answer = hub.get("/info");
    let mut body = answer.json();
    assert!(body["stats"]["messages_sent"].take().is_u64());
    assert!(body["server"]["config"]["port"].take().is_u64());
    assert_eq!(
        (answer.status, body),
        (
            200,
            json!({
                "server": {
                    "name": "Hubbub",
                    "version": env!("CARGO_PKG_VERSION"),
                    "config": {
                        "host": "127.0.0.1",
                        "port": null,
                        "max_connections": 77,
                        "heartbeat_interval_secs": 30,
                        "client_timeout_secs": 60,
                        "max_frame_size": 65536,
                    },
                },
                "stats": stats(1),
                "features": [
                    "websocket",
                    "heartbeat",
                    "topic_subscription",
                    "broadcast_messaging",
                    "direct_messaging",
                    "connection_management",
                    "metrics",
                ],
            })
        )
    );
}

#[tokio::test]
async fn metrics_are_json_for_a_request_that_accepts_json() {
    let hub = Hub::start();
    let _alice = Client::of(&hub, "alice").await;
    let mut counters = hub.counters();
    assert!(counters["messages_sent"].take().is_u64());
    assert_eq!(counters, stats(1));
}

#[tokio::test]
async fn a_full_hub_is_unhealthy_and_ready() {
    let hub = Hub::with("[server]\nmax_connections = 1");
    let alice = Client::of(&hub, "alice").await;
    let answer = hub.get("/health");
    let body = answer.json();
    assert_eq!(answer.status, 503);
    for (field, value) in [
        ("status", json!("unhealthy")),
        ("reason", json!("At capacity")),
        ("active_connections", json!(1)),
        ("max_connections", json!(1)),
    ] {
        assert_eq!(body[field], value, "{body}");
    }
    assert_eq!(hub.get("/health/ready").status, 200);
    alice.close().await;
    eventually(DEADLINE, "there is room again", || hub.get("/health").status == 200).await;
}

#[test]
fn ws_without_an_upgrade_is_answered_with_the_protocol() {
    let hub = Hub::start();
    let answer = hub.get("/ws");
    assert_eq!(
        (answer.status, answer.json()),
        (426, error("UPGRADE_REQUIRED", "This path accepts WebSocket upgrades only"))
    );
    assert_eq!(answer.header("Upgrade"), Some("websocket"));
    assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
}

#[test]
fn errors_have_the_format_of_their_path() {
    let hub = Hub::start();
    let nothing = hub.get("/nothing");
    assert_eq!((nothing.status, nothing.json()), (404, error("NOT_FOUND", "No endpoint at this path")));
    let wrong = hub.http().request("DELETE", "/info").send();
    assert_eq!((wrong.status, wrong.header("Allow")), (405, Some("GET, HEAD")));
    assert_eq!(wrong.json(), error("METHOD_NOT_ALLOWED", "This path answers GET, HEAD only"));
    let nothing = hub.http().request("GET", "/api/nothing").header("X-Request-Id", "r-1").send();
    assert_eq!(
        (nothing.status, nothing.json()),
        (
            404,
            json!({
                "success": false,
                "error": "No endpoint at this path",
                "code": "NOT_FOUND",
                "requestId": "r-1",
            })
        )
    );
}

#[test]
fn a_valid_request_id_is_echoed_and_another_one_is_replaced() {
    let hub = Hub::start();
    let id_of = |id: &str| {
        let answer = hub.http().request("GET", "/health/live").header("X-Request-Id", id).send();
        answer.header("X-Request-Id").unwrap().to_owned()
    };
    for id in ["a", "req-42/x", &"x".repeat(128)] {
        assert_eq!(id_of(id), id);
    }
    for id in ["two words", &"x".repeat(129)] {
        assert_eq!(id_of(id).len(), 36);
    }
    assert_eq!(hub.get("/health/live").header("X-Request-Id").map(str::len), Some(36));
}

#[test]
fn head_is_answered_like_get_without_a_body() {
    let hub = Hub::start();
    let answer = hub.http().request("HEAD", "/health").send();
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert!(answer.header("Content-Length").unwrap().parse::<u64>().unwrap() > 100);
}

#[test]
fn the_refusal_of_an_invalid_body_names_the_field() {
    let hub = Hub::start();
    let http = hub.http();
    let post = |body: &str| {
        let request = http.request("POST", "/api/push").key().header("X-Request-Id", "r-1");
        request.header("Content-Type", "text/plain").body(body).send()
    };
    for (body, field, message) in [
        ("{\"userId\":\n 1,}", None, "The body is not JSON: trailing comma at line 2 column 4"),
        ("", None, "The body is not JSON: EOF while parsing a value at line 1 column 0"),
        ("[1]", None, "The body is not a JSON object"),
        // PHP writes an empty object like this.
        ("[]", Some("userId"), "`userId` is missing"),
        ("{\"userId\":1,\"event\":\"e\"}", Some("data"), "`data` is missing"),
        ("{\"userId\":1,\"event\":\"\",\"data\":1}", Some("event"), "`event` is empty"),
        (
            "{\"userId\":1,\"event\":7,\"data\":1}",
            Some("event"),
            "`event`: invalid type: integer `7`, expected a string",
        ),
    ] {
        let answer = post(body);
        let mut expected = json!({"success": false, "error": message, "code": "INVALID_REQUEST", "requestId": "r-1"});
        if let Some(field) = field {
            expected["details"] = json!({"field": field});
        }
        assert_eq!((answer.status, answer.json()), (400, expected), "{body}");
    }
    assert_eq!(post("{\"userId\":1,\"event\":\"e\",\"data\":1}").status, 200);
}

async fn send(hub: &Hub, request: String) -> Response {
    let mut wire = Wire::connect(hub).await;
    wire.try_send(request.as_bytes()).await;
    wire.response().await
}

#[tokio::test]
async fn a_body_over_a_mebibyte_is_refused_with_and_without_a_length() {
    let hub = Hub::start();
    let head = format!("POST /api/push HTTP/1.1\r\nHost: hub\r\nX-API-Key: {API_KEY}\r\nX-Request-Id: r-1\r\n");
    let too_large = json!({
        "success": false,
        "error": "The body is too large",
        "code": "PAYLOAD_TOO_LARGE",
        "requestId": "r-1",
    });
    let announced = send(&hub, format!("{head}Content-Length: 1048577\r\n\r\n")).await;
    assert_eq!((announced.status, announced.json()), (413, too_large.clone()));
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let body = format!("{}0\r\n\r\n", chunk.repeat(17));
    let chunked = send(&hub, format!("{head}Transfer-Encoding: chunked\r\n\r\n{body}")).await;
    assert_eq!((chunked.status, chunked.json()), (413, too_large));
    let data = "x".repeat(1_000_000);
    let fits = format!("{{\"userId\":1,\"event\":\"e\",\"data\":\"{data}\"}}");
    let answer = hub.http().request("POST", "/api/push").key().body(fits).send();
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn a_browser_page_can_read_answers_if_its_origin_is_listed() {
    let hub = Hub::with("[server]\nallowed_origins = [\"https://app.example\"]\nallow_credentials = true");
    let http = hub.http();
    let ask = |method: &str, origin: &str| {
        let request = http.request(method, "/api/push").header("Origin", origin);
        match method {
            "OPTIONS" => request
                .header("Access-Control-Request-Method", "POST")
                .header("Access-Control-Request-Headers", "content-type,x-api-key,x-anything"),
            _ => request.key(),
        }
        .body("{\"userId\":1,\"event\":\"e\",\"data\":1}")
        .send()
    };
    let preflight = ask("OPTIONS", "https://app.example");
    assert_eq!(preflight.status, 204);
    for (name, value) in [
        ("Access-Control-Allow-Origin", "https://app.example"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE"),
        ("Access-Control-Allow-Headers", "content-type, x-api-key, x-anything"),
    ] {
        assert_eq!(preflight.header(name), Some(value), "{name}");
    }
    let vary: Vec<_> = preflight.headers.get_all("Vary").iter().collect();
    assert!(vary.iter().any(|value| *value == "Origin"), "{vary:?}");
    assert_eq!(ask("OPTIONS", "https://evil.example").header("Access-Control-Allow-Origin"), None);
    assert_eq!(ask("POST", "https://app.example").status, 200);
    let foreign = ask("POST", "https://evil.example");
    assert_eq!((foreign.status, &foreign.json()["code"]), (403, &json!("FORBIDDEN")));
    assert_eq!(foreign.header("Access-Control-Allow-Origin"), None);
}
