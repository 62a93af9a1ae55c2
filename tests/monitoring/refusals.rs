//! `monitoring:events`: refused connections and refused requests.

use serde_json::{Value, json};

use super::{PROXIED, Watcher, hub_with, masked};
use crate::support::socketio::{POLLING, WEBSOCKET};
use crate::support::token::{now, token, token_with};
use crate::support::{Client, DEADLINE, Sio, SioTransport, Wire, eventually};

#[tokio::test]
async fn a_connection_refused_for_its_token_is_recorded_on_every_surface() {
    let hub = hub_with(PROXIED);
    let mut admin = Watcher::admin(&hub).await;
    let peer = [("X-Forwarded-For", "203.0.113.7"), ("User-Agent", "curl/8")];
    let expired = token_with(json!({"sub": "alice", "exp": now() - 60}));
    let mut expected = Vec::new();
    for (token, code) in [("", "INVALID_TOKEN"), ("nonsense", "INVALID_TOKEN"), (&expired, "TOKEN_EXPIRED")] {
        let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={token}"), &peer).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!(code)));
        // The signature of the expired token is valid, so its user is known.
        let user = if code == "TOKEN_EXPIRED" { json!("alice") } else { Value::Null };
        expected.push((user.clone(), json!({"surface": "raw", "code": code})));
        let mut client = Sio::open_with(&hub, &peer).await;
        for namespace in ["/", "/chat"] {
            if !(token.is_empty() && namespace == "/") {
                let refused = client.connect(namespace, &json!({ "token": token })).await.unwrap_err();
                assert_eq!((&refused["message"], &refused["data"]["code"]), (&json!("Unauthorized"), &json!(code)));
                expected.push((user.clone(), json!({"surface": namespace, "code": code})));
            }
        }
    }
    let events = admin.wait_for_events(json!({"type": "auth_failure"}), expected.len()).await;
    for (event, (user, details)) in events.into_iter().rev().zip(expected) {
        let whole = json!({
            "type": "auth_failure",
            "socketId": null,
            "userId": user,
            "ipAddress": "203.0.113.7",
            "userAgent": "curl/8",
            "details": details,
        });
        assert_eq!(event, whole);
    }
    // Only admins see the addresses.
    let mut bob = Watcher::of(&hub, "bob").await;
    assert_eq!(bob.events(json!({"type": "auth_failure", "ip": "203.0.113.7"})).await, Vec::<Value>::new());
    for event in bob.wait_for_events(json!({"type": "auth_failure"}), 8).await {
        assert_eq!(event, masked(event.clone()));
    }
}

#[tokio::test]
async fn a_flood_of_refused_connections_does_not_fill_the_event_log() {
    let hub = hub_with(PROXIED);
    let mut admin = Watcher::admin(&hub).await;
    for _ in 0..30 {
        let (answer, _) = Wire::upgrade(&hub, "/ws", &[("X-Forwarded-For", "203.0.113.7")]).await;
        assert_eq!(answer.status, 401);
    }
    admin.wait_for_events(json!({"type": "auth_failure"}), 10).await;
    eventually(DEADLINE, "the other refusals are counted", || {
        hub.metric(r#"hubbub_observations_lost_total{reason="flood"}"#) == 20.0
    })
    .await;
    assert_eq!(admin.ask("monitoring:metrics", json!({})).await["metrics"]["failedConnections"], 30);
}

#[tokio::test]
async fn connections_and_requests_refused_by_a_limit_are_recorded() {
    let limits = "[limits]\nexempt_loopback = false\n[limits.raw]\nconnections_per_minute = 2\nmessages_per_minute = 50\n\
                  [limits.push]\nconnections_per_minute = 1";
    let hub = hub_with(limits);
    let mut admin = Watcher::admin(&hub).await;
    let mut alice = Client::of(&hub, "alice").await;
    let id = alice.welcome["data"]["details"]["connection_id"].clone();
    let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token("bob")), &[]).await;
    assert_eq!(answer.status, 429);
    let _admitted = Sio::open(&hub, SioTransport::Polling).await;
    for answer in [hub.get(POLLING), Wire::upgrade(&hub, WEBSOCKET, &[("User-Agent", "")]).await.0] {
        assert_eq!(answer.status, 429);
    }
    for _ in 0..60 {
        alice.send(json!({"type": "Ping", "data": {"timestamp": 1}})).await;
    }
    for n in 0..60 {
        alice.expect(if n < 50 { "Pong" } else { "Error" }).await;
    }
    let events = admin.wait_for_events(json!({"type": "rate_limit"}), 4).await;
    let of = |surface: &str| json!({"surface": surface, "code": "RATE_LIMITED"});
    let whole = json!({
        "type": "rate_limit",
        "socketId": id,
        "userId": "alice",
        "ipAddress": "127.0.0.1",
        "userAgent": null,
        "details": of("raw"),
    });
    assert_eq!(events[0], whole, "one event for ten requests");
    let details: Vec<_> = events[1..].iter().map(|event| (&event["socketId"], event["details"].clone())).collect();
    let refused = |surface| (&Value::Null, of(surface));
    assert_eq!(details, [refused("socket.io"), refused("socket.io"), refused("raw")]);
}
