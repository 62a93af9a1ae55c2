//! Cross-origin requests: pages of an allowed origin may use `/socket.io/`, pages of other origins may not.

use serde_json::json;

use crate::support::http::Response;
use crate::support::socketio::{POLLING, PollingSession, WEBSOCKET};
use crate::support::{DEADLINE, Hub, Wire, eventually};

const APP: &str = "https://app.example.com";
const LISTED: &str = "[server]\nallowed_origins = [\"https://app.example.com\"]";
const WITH_CREDENTIALS: &str = "[server]\nallowed_origins = [\"https://app.example.com\"]\nallow_credentials = true";

fn get(hub: &Hub, path: &str, origin: &str) -> Response {
    hub.http().request("GET", path).header("Origin", origin).send()
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_read_every_response() {
    let hub = Hub::with(WITH_CREDENTIALS);
    let mut polling = PollingSession::open(&hub).await;
    let answers = [
        (200, get(&hub, POLLING, APP)),
        (200, hub.http().request("POST", &polling.path()).header("Origin", APP).body("40").send()),
        (200, get(&hub, &polling.path(), APP)),
        // The page can read an error, too.
        (400, get(&hub, "/socket.io/?EIO=3&transport=polling", APP)),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{answer:?}");
        assert!(answer.headers.get_all("vary").iter().any(|vary| vary == "Origin"), "{answer:?}");
    }
    polling.send("41").await;
    polling.send("1").await;
    assert_eq!(polling.poll_body().await, "6");
}

#[tokio::test]
async fn a_preflight_of_an_allowed_origin_allows_the_requested_headers() {
    let hub = Hub::with(LISTED);
    let http = hub.http();
    let preflight = |origin: &str| {
        let request = http.request("OPTIONS", POLLING).header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "POST").header("X-Request-Id", "preflight");
        request.header("Access-Control-Request-Headers", "authorization,sentry-trace,traceparent,x-clientid").send()
    };
    let answer = preflight(APP);
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(APP), "{answer:?}");
    let methods = answer.header("access-control-allow-methods").unwrap();
    assert!(methods.contains("GET") && methods.contains("POST"), "{methods}");
    let headers = answer.header("access-control-allow-headers");
    assert_eq!(headers, Some("authorization, sentry-trace, traceparent, x-clientid"));
    assert_eq!(answer.header("access-control-allow-credentials"), None, "credentials are off");
    let vary: Vec<_> = answer.headers.get_all("vary").iter().map(|vary| vary.to_str().unwrap()).collect();
    assert_eq!(vary, ["Access-Control-Request-Method, Access-Control-Request-Headers", "Origin"]);
    assert!(!hub.output().contains("requestId=preflight"), "{}", hub.output());

    let answer = preflight("https://evil.example.com");
    for header in ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"] {
        assert_eq!(answer.header(header), None, "{answer:?}");
    }
    eventually(DEADLINE, "the log has the refused origin", || {
        let output = hub.output();
        let line = output.lines().find(|line| line.contains("requestId=preflight"));
        line.is_some_and(|line| line.contains("rule=server.allowed_origins") && line.contains("method=OPTIONS"))
    })
    .await;
}

#[tokio::test]
async fn credentials_are_allowed_for_listed_origins_where_the_configuration_allows_them() {
    let config = |credentials: bool| {
        let list = r#"["https://app.example.com", "capacitor://localhost", "null", "file://"]"#;
        format!("[server]\nallowed_origins = {list}\nallow_credentials = {credentials}")
    };
    let hub = Hub::with(&config(false));
    let own = format!("http://{}", hub.address());
    let allowed = |origin: &str| {
        let answer = get(&hub, POLLING, origin);
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{answer:?}");
        answer.header("access-control-allow-credentials").map(str::to_owned)
    };
    for origin in [APP, "capacitor://localhost", "null", "file://", &own] {
        assert_eq!(allowed(origin), None, "{origin}");
    }
    hub.reload(&config(true));
    for (origin, credentials) in
        [(APP, Some("true")), ("capacitor://localhost", Some("true")), ("null", None), ("file://", None), (&own, None)]
    {
        assert_eq!(allowed(origin).as_deref(), credentials, "{origin}");
    }
    hub.reload("[server]\nallowed_origins = [\"*\"]\nallow_credentials = true");
    assert_eq!(allowed(APP), None, "every origin is allowed");
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let hub = Hub::with(LISTED);
    let foreign = json!({"code": 4, "message": "This origin is not allowed"});
    for origin in ["https://evil.example.com", "http://app.example.com", "null"] {
        let answer = get(&hub, POLLING, origin);
        assert_eq!((answer.status, answer.json()), (403, foreign.clone()), "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:?}");
        let (answer, _) = Wire::upgrade(&hub, WEBSOCKET, &[("Origin", origin)]).await;
        assert_eq!((answer.status, answer.json()), (403, foreign.clone()), "{origin}");
    }
    let (answer, _) = Wire::upgrade(&hub, WEBSOCKET, &[("Origin", APP)]).await;
    assert_eq!(answer.status, 101, "{answer:?}");
}

#[tokio::test]
async fn the_first_offered_subprotocol_is_chosen() {
    let hub = Hub::start();
    for (offer, chosen) in [("mqtt", Some("mqtt")), ("one, access_token.a.b.c", Some("one")), ("", None)] {
        let (answer, _) = Wire::upgrade(&hub, WEBSOCKET, &[("Sec-WebSocket-Protocol", offer)]).await;
        assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), (101, chosen), "{offer}");
    }
}

#[tokio::test]
async fn without_a_list_only_pages_of_the_same_host_are_allowed() {
    let hub = Hub::start();
    let own = format!("http://{}", hub.address());
    assert_eq!(get(&hub, POLLING, &own).status, 200);
    assert_eq!(get(&hub, POLLING, APP).status, 403);
}
