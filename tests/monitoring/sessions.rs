//! `monitoring:events`: sessions that start and end, and the faults that end them.

use serde_json::json;

use super::{PROXIED, Watcher, chat_from, event, hub_with, masked, raw_from, untimed, without_duration};
use crate::support::client::{small_buffer_stream, without_time};
use crate::support::token::token;
use crate::support::wire::{RawFrame, opcode};
use crate::support::{Client, Sio, SioTransport, Wire};

#[tokio::test]
async fn events_show_addresses_to_their_own_user_and_to_admins() {
    let hub = hub_with(PROXIED);
    let agent = "Mozilla/5.0 (X11; Linux) \u{e9}";
    let (mut alice, alice_id) = chat_from(&hub, "alice", "203.0.113.7", agent).await;
    let (bob, bob_id) = raw_from(&hub, "bob", "198.51.100.9, 127.0.0.1", &"b".repeat(300)).await;
    bob.close().await;
    let (bobs, alices) = (["198.51.100.9", &"b".repeat(256)], ["203.0.113.7", agent]);
    let mut admin = Watcher::admin(&hub).await;
    let of_bob = [
        event("disconnect", &bob_id, "bob", bobs, json!({"surface": "raw", "reason": "client left"})),
        event("connect", &bob_id, "bob", bobs, json!({"surface": "raw"})),
    ];
    let mut seen = admin.wait_for_events(json!({"userId": "bob"}), 2).await;
    seen[0] = without_duration(seen[0].take());
    assert_eq!(seen, of_bob);
    let of_alice = event("connect", &alice_id, "alice", alices, json!({"surface": "/chat"}));
    for filter in [json!({"ip": "203.0.113.7"}), json!({"type": "connect", "userId": "alice", "limit": 1})] {
        assert_eq!(admin.events(filter).await, std::slice::from_ref(&of_alice));
    }

    // Other users cannot select events by address.
    let answer = alice.request_on("/chat", "monitoring:events", json!({"userId": "bob"})).await;
    let events = answer[0]["events"].as_array().unwrap().iter().cloned().map(untimed);
    let events: Vec<_> =
        events.map(|event| if event["type"] == "disconnect" { without_duration(event) } else { event }).collect();
    assert_eq!(events, of_bob.map(masked));
    let answer = alice.request_on("/chat", "monitoring:events", json!({"ip": "203.0.113.7"})).await;
    assert_eq!(untimed(answer[0]["events"][0].clone()), of_alice);
    let none = json!([{"success": true, "events": []}]);
    for filter in
        [json!({"ip": "198.51.100.9"}), json!({"ip": "203.0.113.7", "userId": "bob"}), json!({"type": "error"})]
    {
        assert_eq!(alice.request_on("/chat", "monitoring:events", filter).await, none);
    }
}

#[tokio::test]
async fn a_refusal_names_the_invalid_field() {
    let hub = hub_with("");
    let mut chat = Sio::of_chat(&hub, SioTransport::WebSocket, "alice").await;
    let mut raw = Client::of(&hub, "alice").await;
    let kinds = "expected one of `connect`, `disconnect`, `error`, `rate_limit`, `auth_failure`";
    for (data, field, reason) in [
        (json!({"limit": 0}), "limit", "`limit`: expected 1 to 100".to_owned()),
        (json!({"limit": 101}), "limit", "`limit`: expected 1 to 100".to_owned()),
        (json!({"limit": "ten"}), "limit", "`limit`: invalid type: string \"ten\", expected usize".to_owned()),
        (json!({"type": "reconnect"}), "type", format!("`type`: unknown variant `reconnect`, {kinds}")),
        (json!({"ip": "10.0.0"}), "ip", "`ip`: invalid IP address syntax".to_owned()),
        (json!({"userId": ""}), "userId", "`userId`: not a user id: 1 to 195 printable characters".to_owned()),
    ] {
        let refused = json!([{
            "success": false,
            "message": "Invalid request data",
            "code": "INVALID_REQUEST",
            "details": {"field": field, "reason": reason},
        }]);
        assert_eq!(chat.request_on("/chat", "monitoring:events", data.clone()).await, refused, "{data}");
        let request = json!({"type": "monitoring:events", "data": data, "id": 1});
        let error = json!({"code": "INVALID_REQUEST", "message": reason, "details": {"field": field}});
        let refused = json!({"type": "Error", "id": 1, "data": error});
        assert_eq!(without_time(raw.ask(request, "Error").await), refused);
    }
    for event in ["metrics", "events", "stats", "health"].map(|name| format!("monitoring:{name}")) {
        let refused = chat.request_on("/chat", &event, json!([1])).await[0].take();
        let details = json!({"field": "data", "reason": "`data`: expected an object"});
        assert_eq!((&refused["success"], &refused["details"]), (&json!(false), &details), "{event}");
    }
}

#[tokio::test]
async fn the_end_of_a_session_is_recorded_and_its_fault_too() {
    let hub = hub_with("[limits.raw]\nmessages_per_minute = 0");
    let mut admin = Watcher::admin(&hub).await;

    let mut broken = Wire::of(&hub, "unmasked").await;
    broken.send_frame(&RawFrame::text("{}").unmasked()).await;
    assert_eq!(broken.close_code().await, Some(1002));
    let mut left = Wire::of(&hub, "left").await;
    left.send_frame(&RawFrame::new(opcode::CLOSE, 1000_u16.to_be_bytes())).await;
    assert_eq!(left.close_code().await, Some(1000));
    drop(Wire::of(&hub, "lost").await);
    for (transport, user) in [(SioTransport::WebSocket, "packet"), (SioTransport::Polling, "polled")] {
        let mut client = Sio::of_chat(&hub, transport, user).await;
        client.try_send("4nonsense").await;
        client.read_to_end().await;
    }
    let mut out = Sio::of_chat(&hub, SioTransport::WebSocket, "out").await;
    out.send("41/chat,").await;
    let mut gone = Sio::of_chat(&hub, SioTransport::Polling, "gone").await;
    gone.send("1").await;
    let mut kicked = Sio::of_chat(&hub, SioTransport::WebSocket, "kicked").await;
    let kick = json!({"userId": "kicked"});
    assert_eq!(hub.http().request("POST", "/api/disconnect").key().json(&kick).send().status, 200);
    kicked.read_to_end().await;
    let mut slow = Client::over(small_buffer_stream(&hub), &hub, &token("slow")).await;
    slow.subscribe(&["room"]).await;
    let mut sender = Client::of(&hub, "sender").await;
    while hub.metric(r#"hubbub_sessions_closed_total{reason="slow_consumer"}"#) < 1.0 {
        sender.broadcast("room", json!("x".repeat(40_000))).await;
    }

    for (user, surface, reason, is_fault) in [
        ("unmasked", "raw", "malformed packet", true),
        ("left", "raw", "client left", false),
        ("lost", "raw", "connection lost", false),
        ("packet", "/chat", "malformed packet", true),
        ("polled", "/chat", "malformed packet", true),
        ("out", "/chat", "client left", false),
        ("gone", "/chat", "client left", false),
        ("kicked", "/chat", "disconnected by the application", false),
        ("slow", "raw", "slow consumer", true),
    ] {
        let kinds = if is_fault { vec!["disconnect", "error", "connect"] } else { vec!["disconnect", "connect"] };
        let mut events = admin.wait_for_events(json!({"userId": user}), kinds.len()).await;
        events[0] = without_duration(events[0].take());
        let (socket, ended) = (events[0]["socketId"].clone(), json!({"surface": surface, "reason": reason}));
        assert!(socket.is_string());
        for (event, kind) in events.iter().zip(kinds) {
            let details = if kind == "connect" { json!({ "surface": surface }) } else { ended.clone() };
            let whole = json!({
                "type": kind,
                "socketId": socket,
                "userId": user,
                "ipAddress": "127.0.0.1",
                "userAgent": null,
                "details": details,
            });
            assert_eq!(*event, whole);
        }
    }
}
