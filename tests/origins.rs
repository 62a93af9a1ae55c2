//! `Origin` and `Host` on every surface, as libraries, pages and apps send them.

use serde_json::json;

use crate::support::http::Response;
use crate::support::socketio::{POLLING, WEBSOCKET};
use crate::support::token::token;
use crate::support::{API_KEY, DEADLINE, Hub, Wire, wait_until};

/// The statuses of an upgrade with these headers on `/ws` and on `/socket.io/`.
async fn statuses(hub: &Hub, headers: &[(&str, &str)]) -> [u16; 2] {
    let (raw, _) = Wire::upgrade(hub, &format!("/ws?token={}", token("alice")), headers).await;
    let (socketio, _) = Wire::upgrade(hub, WEBSOCKET, headers).await;
    [raw.status, socketio.status]
}

#[tokio::test]
async fn an_origin_with_the_address_of_the_hub_is_the_same_host() {
    let hub = Hub::start();
    let address = hub.address().to_string();
    let sent = |origin: &str| origin.replace("HOST", &address);
    for (library, origin) in [
        ("Starscream", "ws://HOST"),
        ("Starscream over TLS", "wss://HOST"),
        ("IXWebSocket", "ws://HOST"),
        ("x/net/websocket", "http://HOST/"),
        ("x/net/websocket with a path", "http://HOST/some/page?and=query"),
        ("a page", "http://HOST"),
    ] {
        assert_eq!(statuses(&hub, &[("Origin", &sent(origin))]).await, [101, 101], "{library}");
    }
    for origin in ["ws://user@HOST", "http://evil.example/HOST", "http://HOST.evil.example", "ftp://HOST", "file://"] {
        assert_eq!(statuses(&hub, &[("Origin", &sent(origin))]).await, [403, 403], "{origin}");
    }
    // Behind a proxy that terminates TLS, clients may include or omit the default port.
    for (host, origin, status) in [
        ("hub.example", "wss://hub.example", 101),
        ("hub.example:443", "wss://hub.example", 101),
        ("hub.example", "wss://hub.example:443", 101),
        ("hub.example", "ws://hub.example:80", 101),
        ("hub.example:80", "wss://hub.example", 403),
        ("hub.example:8443", "wss://hub.example", 403),
    ] {
        assert_eq!(statuses(&hub, &[("Host", host), ("Origin", origin)]).await, [status; 2], "{origin} at {host}");
    }
}

#[tokio::test]
async fn apps_files_and_null_origins_connect_only_if_listed() {
    let listed =
        ["capacitor://localhost", "ionic://localhost", "tauri://localhost", "file://", "null", "wss://app.example"];
    let hub = Hub::with(&format!("[server]\nallowed_origins = {listed:?}"));
    for origin in listed.iter().chain(&["https://app.example", "file:///android_asset/www/index.html"]) {
        assert_eq!(statuses(&hub, &[("Origin", origin)]).await, [101, 101], "{origin}");
    }
    for origin in ["http://localhost", "http://app.example", "ws://app.example", "app://localhost", "NULL"] {
        assert_eq!(statuses(&hub, &[("Origin", origin)]).await, [403, 403], "{origin}");
    }
    let hub = Hub::start();
    for origin in &listed {
        assert_eq!(statuses(&hub, &[("Origin", origin)]).await, [403, 403], "{origin}");
    }
}

/// The response to a plain request with this `Host`.
async fn request(hub: &Hub, method: &str, path: &str, host: &str) -> Response {
    let mut wire = Wire::connect(hub).await;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {API_KEY}\r\nX-Request-Id: asked\r\nContent-Length: 0\r\n\r\n"
    );
    wire.send(request.as_bytes()).await;
    wire.response().await
}

#[tokio::test]
async fn an_unlisted_host_is_refused_on_every_surface() {
    let hub = Hub::with("[server]\nhosts = [\"hub.example\", \"127.0.0.1\"]");
    let rebound = "evil.example:8081";
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("GET", "/info"),
        ("GET", "/api/rooms"),
        ("POST", "/api/push"),
        ("OPTIONS", "/api/push"),
        ("POST", "/sessions"),
        ("GET", "/nowhere"),
        ("GET", POLLING),
        ("GET", "http://hub.example/health"),
    ] {
        let answer = request(&hub, method, path, rebound).await;
        assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{answer:?}");
        let body = answer.json();
        let (code, details) = match path {
            // The shape that Engine.IO clients read.
            POLLING => {
                let message = "`Host` is not a name of this hub: `server.hosts` does not list it";
                assert_eq!(body, json!({"code": 4, "message": message}));
                continue;
            }
            _ if path.starts_with("/api/") => (&body["code"], &body["details"]),
            _ => (&body["error"]["code"], &body["error"]["details"]),
        };
        assert_eq!((code, details), (&json!("FORBIDDEN"), &json!({"field": "Host"})), "{method} {path}");
    }
    let page = "http://evil.example:8081";
    assert_eq!(statuses(&hub, &[("Host", rebound), ("Origin", page)]).await, [403, 403], "a page on the same host");
    assert_eq!(request(&hub, "GET", "http://evil.example/info", "hub.example").await.status, 403);
    wait_until(DEADLINE, "the log names the reason", || {
        let log = hub.output();
        let line = log.lines().find(|line| line.contains("requestId=asked") && line.contains("path=/api/push"));
        line.is_some_and(|line| line.contains("rule=server.hosts") && line.contains("code=FORBIDDEN"))
    });
    let (answer, _) = Wire::upgrade(&hub, WEBSOCKET, &[("Host", rebound)]).await;
    assert_eq!(answer.json()["code"], 4, "{answer:?}");
    // A request of an existing session does not count as a connection.
    assert_eq!(request(&hub, "GET", &format!("{POLLING}&sid=abc"), rebound).await.status, 403);
    for (surface, count) in [("raw", 1.0), ("socket.io", 3.0)] {
        let refused = format!("hubbub_connections_refused_total{{surface=\"{surface}\",reason=\"host\"}}");
        assert_eq!(hub.metric(&refused), count, "{surface}");
    }

    for host in ["hub.example", "HUB.example:443", "hub.example."] {
        assert_eq!(request(&hub, "GET", "/info", host).await.status, 200, "{host}");
        assert_eq!(statuses(&hub, &[("Host", host)]).await, [101, 101], "{host}");
    }
}

#[tokio::test]
async fn health_and_metrics_accept_any_ip_address_as_host() {
    let hub = Hub::with("[server]\nhosts = [\"hub.example\", \"127.0.0.1\"]");
    for host in ["10.0.0.7:8081", "[fd00::7]:8081"] {
        for path in ["/health", "/health/", "/health/live", "/health/ready", "/metrics"] {
            assert_eq!(request(&hub, "GET", path, host).await.status, 200, "{path} by {host}");
        }
        assert_eq!(request(&hub, "GET", "/info", host).await.status, 403, "{host}");
        assert_eq!(statuses(&hub, &[("Host", host)]).await, [403, 403], "{host}");
    }
    // Load balancers may send no host.
    for (path, status) in [("/health", 200), ("/info", 403)] {
        let mut wire = Wire::connect(&hub).await;
        wire.send(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await;
        assert_eq!(wire.response().await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_reload_changes_the_hosts() {
    let hub = Hub::start();
    assert_eq!(statuses(&hub, &[("Host", "any.example")]).await, [101, 101]);
    let log = hub.reload("[server]\nhosts = [\"hub.example\"]");
    assert!(log.contains("changed=server.hosts"), "{log}");
    assert_eq!(statuses(&hub, &[("Host", "any.example")]).await, [403, 403]);
    assert_eq!(statuses(&hub, &[("Host", "hub.example")]).await, [101, 101]);
}
