//! The community document over plain HTTP: `/`, `/health`, `/status`, `/metrics`.

use serde_json::{Value, json};

use crate::push::untimed;
use crate::support::{Client, Hub};

/// Replaces the values at these paths, which must be numbers, with `null`.
#[track_caller]
fn without_numbers(body: &mut Value, pointers: &[&str]) {
    for pointer in pointers {
        let number = body.pointer_mut(pointer).map(Value::take);
        assert!(number.as_ref().is_some_and(Value::is_number), "{pointer} is {number:?}");
    }
}

#[test]
fn the_root_describes_the_service_and_its_endpoints() {
    let hub = Hub::start();
    assert_eq!(
        untimed(&hub.get("/")),
        json!({
            "service": "Hubbub",
            "message": "WebSocket server is running",
            "version": env!("CARGO_PKG_VERSION"),
            "environment": "production",
            "endpoints": {
                "health": "/health",
                "live": "/health/live",
                "ready": "/health/ready",
                "status": "/status",
                "metrics": "/metrics",
                "info": "/info",
                "openapi": "/openapi.json",
                "sessions": "/sessions",
                "push": "/api/push",
                "broadcast": "/api/broadcast",
                "room": "/api/room",
                "batch": "/api/batch",
                "events": "/api/events",
            },
            "websocket": {
                "url": format!("ws://{}", hub.address()),
                "transports": ["websocket", "polling"],
                "path": "/socket.io/",
                "namespaces": ["/", "/chat"],
                "raw": format!("ws://{}/ws", hub.address()),
            },
        })
    );
}

#[tokio::test]
async fn the_status_has_the_documents_shape() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    alice.subscribe(&["lobby"]).await;
    Client::of(&hub, "bob").await.close().await;
    crate::support::eventually(crate::support::DEADLINE, "bob is gone", || hub.connections() == 1).await;
    let mut body = untimed(&hub.get("/status"));
    let memory = ["rss", "heapTotal", "heapUsed", "external"].map(|name| format!("/server/memory_usage/{name}"));
    without_numbers(&mut body, &["/server/uptime", "/websocket/events_per_minute", "/database/response_time"]);
    without_numbers(&mut body, &memory.each_ref().map(String::as_str));
    assert_eq!(
        body,
        json!({
            "status": "operational",
            "server": {
                "uptime": null,
                "environment": "production",
                "version": env!("CARGO_PKG_VERSION"),
                "memory_usage": {"rss": null, "heapTotal": null, "heapUsed": null, "external": null},
            },
            "database": {"status": "connected", "connections": 3, "response_time": null},
            "websocket": {
                "active_connections": 1,
                "total_connections": 2,
                "rooms": 1,
                "events_per_minute": null,
            },
        })
    );
}

#[tokio::test]
async fn the_environment_comes_from_the_configuration_and_a_reload_changes_it() {
    let hub = Hub::with("[server]\nenvironment = \"staging\"");
    let environments = |hub: &Hub| {
        [hub.get("/").json()["environment"].clone(), hub.get("/status").json()["server"]["environment"].clone()]
    };
    assert_eq!(environments(&hub), ["staging", "staging"]);
    let log = hub.reload("[server]\nenvironment = \"test\"");
    assert!(log.contains("server.environment"), "{log}");
    assert_eq!(environments(&hub), ["test", "test"]);
    let mut client = crate::support::Sio::open(&hub, crate::support::SioTransport::WebSocket).await;
    client.connect("/", &json!({"token": crate::support::token::token("alice")})).await.unwrap();
    client.expect("connected").await;
    assert_eq!(client.expect("system:welcome").await["serverInfo"]["environment"], "test");
}

#[tokio::test]
async fn events_per_minute_counts_client_and_backend_events_of_the_last_minute() {
    let hub = Hub::start();
    let rate = || hub.get("/status").json()["websocket"]["events_per_minute"].clone();
    assert_eq!(rate(), 0);
    let mut alice = Client::of(&hub, "alice").await;
    for _ in 0..10 {
        alice.ask(json!({"type": "Ping", "data": {"timestamp": 1}}), "Pong").await;
    }
    for _ in 0..30 {
        let event = json!({"room": "nowhere", "event": "e", "data": 1});
        let answer = hub.http().request("POST", "/api/room").key().json(&event).send();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!((rate(), rate()), (json!(40), json!(40)), "at any request");
    // A published event counts once.
    alice.broadcast("lobby", json!(1)).await;
    assert_eq!(rate(), 41);
}

#[tokio::test]
async fn health_is_the_union_of_three_documents() {
    let hub = Hub::start();
    let _alice = Client::of(&hub, "alice").await;
    let answer = hub.get("/health");
    let mut body = untimed(&answer);
    without_numbers(&mut body, &["/uptime", "/uptime_seconds", "/memory/used", "/memory/total", "/memory/percentage"]);
    assert_eq!(answer.status, 200);
    assert_eq!(
        body,
        json!({
            "status": "healthy",
            "uptime": null,
            "uptime_seconds": null,
            "memory": {"used": null, "total": null, "percentage": null},
            "active_connections": 1,
            "max_connections": 10_000,
            "connections": {"active": 1, "total": 1, "pending": 0},
        })
    );
}

#[tokio::test]
async fn metrics_include_those_of_both_documents() {
    let hub = Hub::start();
    let _alice = Client::of(&hub, "alice").await;
    assert_eq!(hub.get("/health").status, 200);
    let answer = hub.get("/metrics");
    assert_eq!(answer.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let lines: Vec<_> = answer.body.lines().collect();
    for line in [
        "# TYPE websocket_connections_total counter",
        "websocket_connections_total 1",
        "# TYPE websocket_connections_active gauge",
        "websocket_connections_active 1",
        "# TYPE http_requests_total counter",
        "# TYPE socket_server_active_connections gauge",
        "socket_server_active_connections 1",
        "# TYPE socket_server_connections_total counter",
        "socket_server_connections_total{authenticated=\"true\",transport=\"websocket\"} 1",
        "socket_server_connections_total{authenticated=\"false\",transport=\"websocket\"} 0",
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{}", answer.body);
    }
    assert!(hub.metric("http_requests_total") >= 2.0);
    for line in lines.iter().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
        assert!(answer.body.contains(&format!("# HELP {name} ")), "{name} has no HELP");
        assert!(answer.body.contains(&format!("# TYPE {name} ")), "{name} has no TYPE");
    }
}
