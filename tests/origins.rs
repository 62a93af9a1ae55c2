//! `Origin` as libraries of other languages send it, and as pages and apps do, on every way in.

use crate::support::socketio::WEBSOCKET;
use crate::support::token::token;
use crate::support::{Hub, Wire};

/// The status of the answers on `/ws` and `/socket.io/` to an upgrade with these headers.
async fn statuses(hub: &Hub, headers: &[(&str, &str)]) -> [u16; 2] {
    let (raw, _) = Wire::upgrade(hub, &format!("/ws?token={}", token("alice")), headers).await;
    let (socketio, _) = Wire::upgrade(hub, WEBSOCKET, headers).await;
    [raw.status, socketio.status]
}

#[tokio::test]
async fn a_client_that_sends_its_own_address_is_of_the_same_host() {
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
    // As behind a proxy that ends TLS; clients write the default port, or do not.
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
async fn apps_files_and_null_connect_where_they_are_listed() {
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
