//! `monitoring:metrics`, `:stats` and `:health`.

use serde_json::json;

use super::{PROXIED, Watcher, hub_with, is_time, raw_from, untimed};
use crate::support::client::without_time;
use crate::support::token::token;
use crate::support::{Client, DEADLINE, Sio, SioTransport, Wire, eventually};

#[tokio::test]
async fn sessions_of_every_surface_are_counted() {
    let hub = hub_with("");
    let mut alice = Sio::of_chat(&hub, SioTransport::WebSocket, "alice").await;
    let bob = Client::of(&hub, "bob").await;
    let guest = Sio::guest(&hub, SioTransport::Polling).await;
    let (refused, _) = Wire::upgrade(&hub, "/ws?token=nonsense", &[]).await;
    assert_eq!(refused.status, 401);
    bob.close().await;
    drop(guest);
    eventually(DEADLINE, "bob is gone", || hub.connections() == 2).await;

    let mut carol = Client::of(&hub, "carol").await;
    let request = json!({"type": "monitoring:metrics", "data": {}, "id": 1});
    let reply = without_time(carol.ask(request, "Reply").await);
    let mut answer = alice.request_on("/chat", "monitoring:metrics", json!({})).await[0].take();
    assert_eq!(reply, json!({"type": "Reply", "id": 1, "data": answer}));

    let started = answer["metrics"]["lastReset"].take();
    assert!(is_time(&started), "{started}");
    let average = answer["metrics"]["averageConnectionDuration"].take();
    assert!(average.as_u64().is_some_and(|ms| ms < 60_000), "{average}");
    let metrics = json!({
        "totalConnections": 4,
        "activeConnections": 3,
        "failedConnections": 1,
        "averageConnectionDuration": null,
        "peakConnections": 3,
        "connectionsPerMinute": 4,
        "lastReset": null,
    });
    assert_eq!(answer, json!({"success": true, "metrics": metrics}));
    assert_eq!(hub.metric("hubbub_connections_refused_total"), 1.0);
}

#[tokio::test]
async fn stats_name_addresses_and_user_agents_to_admins_only() {
    let hub = hub_with(PROXIED);
    let mut sessions = Vec::new();
    for (number, user) in ["alice", "bob", "alice"].into_iter().enumerate() {
        let address = ["203.0.113.7", "198.51.100.9"][number % 2];
        sessions.push(raw_from(&hub, user, address, &format!("agent/{}", number % 2)).await);
    }
    let (client, _) = &mut sessions[0];
    client.ask(json!({"type": "nonsense", "data": {}}), "Error").await;
    let mut admin = Watcher::admin(&hub).await;
    let mut answer = admin.ask("monitoring:stats", json!({})).await;
    let recent = answer["stats"]["recentEvents"].take();
    let metrics = answer["stats"]["metrics"].take();
    let ip = |ip: &str, count: u8| json!({"ip": ip, "count": count});
    let agent = |agent: &str, count: u8| json!({"userAgent": agent, "count": count});
    let stats = json!({
        "metrics": null,
        "recentEvents": null,
        "topIPs": [ip("203.0.113.7", 2), ip("127.0.0.1", 1), ip("198.51.100.9", 1)],
        "topUserAgents": [agent("agent/0", 2), agent("agent/1", 1)],
        "errorRate": 0.5,
    });
    assert_eq!(answer, json!({"success": true, "stats": stats}));
    assert_eq!(metrics, admin.ask("monitoring:metrics", json!({})).await["metrics"]);
    let recent: Vec<_> = recent.as_array().unwrap().iter().cloned().map(untimed).collect();
    assert_eq!(recent, admin.events(json!({"limit": 10})).await);
    assert_eq!(recent.len(), 4);

    let mut chat = Sio::of_chat(&hub, SioTransport::WebSocket, "alice").await;
    let mut answer = chat.request_on("/chat", "monitoring:stats", json!({})).await;
    let recent = answer[0]["stats"]["recentEvents"].take();
    answer[0]["stats"]["metrics"].take();
    let stats = json!({
        "metrics": null,
        "recentEvents": null,
        "topIPs": [],
        "topUserAgents": [],
        "errorRate": 0.2,
    });
    assert_eq!(answer, json!([{"success": true, "stats": stats}]));
    for event in recent.as_array().unwrap() {
        let is_shown = event["userId"] == "alice";
        for field in ["socketId", "ipAddress"] {
            assert_eq!(event[field].is_string(), is_shown, "{event}");
        }
    }
}

#[tokio::test]
async fn health_depends_on_the_connections_in_use() {
    let hub = hub_with("[server]\nmax_connections = 5");
    let mut alice = Sio::of_chat(&hub, SioTransport::WebSocket, "alice").await;
    let mut clients = vec![Client::of(&hub, "bob").await, Client::of(&hub, "carol").await];
    let healthy = json!({"status": "healthy", "issues": [], "recommendations": []});
    let answer = alice.request_on("/chat", "monitoring:health", json!({})).await;
    assert_eq!(answer, json!([{"success": true, "health": healthy}]));
    for (status, issue) in [
        ("warning", "80% of the allowed connections are in use"),
        ("critical", "100% of the allowed connections are in use"),
    ] {
        clients.push(Client::of(&hub, "dave").await);
        let health = json!({
            "status": status,
            "issues": [issue],
            "recommendations": ["Raise server.max_connections where memory allows it, or add another hub"],
        });
        let answer = alice.request_on("/chat", "monitoring:health", json!({})).await;
        assert_eq!(answer, json!([{"success": true, "health": health.clone()}]));
        let request = json!({"type": "monitoring:health", "data": {}, "id": 1});
        let reply = without_time(clients[0].ask(request, "Reply").await);
        assert_eq!(reply, json!({"type": "Reply", "id": 1, "data": {"success": true, "health": health}}));
    }
    let (full, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token("erin")), &[]).await;
    assert_eq!((full.status, &full.json()["error"]["code"]), (503, &json!("SERVER_FULL")));
    let answer = alice.request_on("/chat", "monitoring:metrics", json!({})).await;
    assert_eq!(answer[0]["metrics"]["failedConnections"], 1);
}
