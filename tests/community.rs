//! The community document over Socket.IO: presence, typing, debug mode, and its limits.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::token::{token, token_with};
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, eventually};

/// The data without this ISO time, which must be there.
#[track_caller]
fn untimed(mut data: Value, field: &str) -> Value {
    let time = data.as_object_mut().unwrap().remove(field).unwrap_or_default();
    assert!(time.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')), "{field} is {time}");
    data
}

/// A session on any surface. Closed when dropped.
enum Any {
    Raw(Box<Client>),
    Sio(Box<Sio>),
}

impl Any {
    /// A session with this token. The surface follows from `number`.
    async fn open(hub: &Hub, number: usize, token: &str) -> Self {
        match number % 4 {
            0 => Self::Raw(Box::new(Client::connect(hub, token).await)),
            1 => Self::Sio(Box::new(Sio::with_token(hub, SioTransport::WebSocket, token).await)),
            2 => {
                let mut guest = Sio::guest(hub, SioTransport::Polling).await;
                guest.emit("authenticate", json!({ "token": token })).await;
                guest.expect("authenticated").await;
                Self::Sio(Box::new(guest))
            }
            _ => {
                let mut chat = Sio::open(hub, SioTransport::WebSocket).await;
                chat.connect("/chat", &json!({ "token": token })).await.unwrap();
                Self::Sio(Box::new(chat))
            }
        }
    }

    async fn end(self) {
        match self {
            Self::Raw(client) => client.close().await,
            Self::Sio(mut client) => drop(client.try_send("1").await),
        }
    }
}

#[tokio::test]
async fn ten_sessions_of_a_user_that_open_and_close_together_are_one_online_and_one_offline() {
    let hub = Hub::with_manual_clock("[presence]\nlinger_ms = 4000");
    let mut observer = Sio::of(&hub, SioTransport::WebSocket, "observer").await;
    let mut subscriber = Client::of(&hub, "subscriber").await;
    observer.expect("user_online").await;
    subscriber.subscribe(&["$presence"]).await;
    let jane = token_with(json!({"sub": 2, "name": "Jane Smith", "avatar": "/images/users/avatars/jane.jpg"}));
    let mut sessions = futures_util::future::join_all((0..10).map(|number| Any::open(&hub, number, &jane))).await;
    let online = json!({"user_id": 2, "name": "Jane Smith", "avatar": "/images/users/avatars/jane.jpg"});
    assert_eq!(untimed(observer.expect("user_online").await, "last_seen"), online);
    // Two stay longer than the others, and one opens again before the user counts as offline.
    let last = sessions.split_off(8);
    futures_util::future::join_all(sessions.into_iter().map(Any::end)).await;
    observer.expect_silence().await;
    futures_util::future::join_all(last.into_iter().map(Any::end)).await;
    eventually(DEADLINE, "all of them are closed", || hub.connections() == 2).await;
    hub.advance(3_999);
    Any::open(&hub, 0, &jane).await.end().await;
    eventually(DEADLINE, "it is closed", || hub.connections() == 2).await;
    hub.advance(3_999);
    observer.expect_silence().await;
    hub.advance(1);
    assert_eq!(untimed(observer.expect("user_offline").await, "last_seen"), json!({"user_id": 2}));
    let mut received = Vec::new();
    while received.len() < 2 {
        let message = subscriber.next_with_presence().await;
        received.push((message["type"].clone(), message["data"]["user_id"].clone(), message.get("topic").cloned()));
    }
    assert_eq!(received, [(json!("user_online"), json!(2), None), (json!("user_offline"), json!(2), None)]);
    assert_eq!(hub.metric("hubbub_presence_changes_total{outcome=\"suppressed\"}"), 0.0);
}

#[tokio::test]
async fn audience_shared_rooms_notifies_room_members_and_off_notifies_no_session() {
    let hub = Hub::with("[presence]\naudience = \"shared-rooms\"\nlinger_ms = 0");
    let mut near = Sio::of(&hub, SioTransport::WebSocket, "near").await;
    let mut far = Sio::of(&hub, SioTransport::WebSocket, "far").await;
    near.join("lobby").await;
    let mut bob = Client::of(&hub, "bob").await;
    bob.subscribe(&["lobby"]).await;
    let online = json!({"user_id": "bob", "name": "bob", "avatar": null});
    assert_eq!(untimed(near.expect("user_online").await, "last_seen"), online);
    bob.close().await;
    assert_eq!(untimed(near.expect("user_offline").await, "last_seen"), json!({"user_id": "bob"}));
    far.emit_for_ack("/", "ping", json!({})).await;
    assert_eq!(far.receive_any().await.id, Some(0));

    let hub = Hub::with("[presence]\naudience = \"off\"");
    let mut observer = Sio::of(&hub, SioTransport::WebSocket, "observer").await;
    let _bob = Client::of(&hub, "bob").await;
    observer.emit_for_ack("/", "ping", json!({})).await;
    assert_eq!(observer.receive_any().await.id, Some(0));
}

#[tokio::test]
async fn presence_of_many_new_sessions_stays_within_the_configured_rate() {
    const USERS: usize = 120;
    let hub = Hub::with_manual_clock("[presence]\ndeliveries_per_second = 2000");
    let started = hub.clock().elapsed_ms();
    let is_within_bound = || {
        let seconds = (hub.clock().elapsed_ms() - started) as f64 / 1_000.0;
        hub.metric("hubbub_presence_deliveries_total") <= 2_000.0 * (seconds + 1.0) + USERS as f64
    };
    let mut sessions = Vec::new();
    for user in 0..USERS {
        sessions.push(Sio::of(&hub, SioTransport::WebSocket, &format!("u{user}")).await);
    }
    assert!(is_within_bound());
    let clock = hub.clock().clone();
    let ticking = tokio::spawn(async move {
        loop {
            clock.advance(100);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    // In the end the first session gets every other user, each once.
    let mut known = std::collections::HashSet::new();
    while known.len() < USERS - 1 {
        let data = sessions[0].expect("user_online").await;
        assert!(known.insert(data["user_id"].as_str().unwrap().to_owned()), "{data} twice");
    }
    ticking.abort();
    assert!(is_within_bound());
}

#[tokio::test]
async fn typing_in_a_thread_is_sent_to_the_others_until_five_seconds_without_it() {
    let hub = Hub::with_manual_clock("");
    let john = token_with(json!({"sub": 1, "name": "John Doe"}));
    let mut john = Sio::with_token(&hub, SioTransport::WebSocket, &john).await;
    let mut jane = Sio::of(&hub, SioTransport::Polling, "2").await;
    let mut raw = Client::of(&hub, "raw").await;
    jane.join("thread:456").await;
    raw.subscribe(&["thread:456"]).await;
    let typing = |typing: bool| json!({"user_id": 1, "name": "John Doe", "thread_id": 456, "typing": typing});
    assert_eq!(john.request("typing_start", json!({"thread_id": 456})).await, json!([]));
    assert_eq!(john.request("typing_start", json!({"thread_id": 456})).await, json!([]));
    assert_eq!(jane.expect("user_typing").await, typing(true));
    let pushed = raw.expect("user_typing").await;
    assert_eq!((&pushed["data"], &pushed["topic"]), (&typing(true), &json!("thread:456")));
    hub.advance(4_999);
    jane.expect_silence().await;
    hub.advance(1);
    assert_eq!(jane.expect("user_typing").await, typing(false));
    assert_eq!(raw.expect("user_typing").await["data"], typing(false));

    raw.ask(json!({"type": "typing_start", "data": {"thread_id": "456"}, "id": 1}), "Reply").await;
    let by_raw = json!({"user_id": "raw", "name": "raw", "thread_id": "456", "typing": true});
    assert_eq!(john.expect("user_typing").await, by_raw, "a typist takes part in the thread");
    raw.close().await;
    assert_eq!(john.expect("user_typing").await["typing"], false, "a session that ends stops typing");
    john.expect_silence().await;
}

#[tokio::test]
async fn typing_has_its_own_limit_and_needs_a_thread_id() {
    let hub = Hub::with("[limits.community]\ntyping_per_minute = 2");
    let mut alice = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    alice.emit("typing_start", json!({"thread_id": [1]})).await;
    let refused = untimed(alice.expect("error").await, "timestamp");
    assert_eq!((&refused["event"], &refused["code"]), (&json!("typing_start"), &json!("VALIDATION_ERROR")));
    assert_eq!(refused["details"], json!({"field": "thread_id"}));
    alice.request("typing_start", json!({"thread_id": 1})).await;
    alice.emit("typing_stop", json!({"thread_id": 1})).await;
    let mut refused = untimed(alice.expect("error").await, "timestamp");
    assert!(refused["details"]["retryAfter"].take().as_u64().is_some_and(|seconds| (1..=60).contains(&seconds)));
    assert_eq!(
        refused,
        json!({
            "event": "typing_stop",
            "message": "Rate limit exceeded",
            "error": "Rate limit exceeded",
            "code": "RATE_LIMITED",
            "details": {"retryAfter": null},
        })
    );
    alice.expect_silence().await;
}

#[tokio::test]
async fn an_admin_in_debug_mode_receives_metrics_of_the_hub_every_five_seconds() {
    let hub = Hub::with_manual_clock("");
    let mut admin =
        Sio::with_token(&hub, SioTransport::WebSocket, &token_with(json!({"sub": 1, "role": "admin"}))).await;
    assert_eq!(admin.request("debug_mode", json!({"enabled": true})).await, json!([]));
    let connections = json!({
        "active_connections": 1, "total_connections": 1, "max_connections": 10_000, "users_online": 1, "rooms": 0,
    });
    for _ in 0..2 {
        assert_eq!(untimed(admin.expect("connection_stats").await, "timestamp"), connections);
        let memory = untimed(admin.expect("memory_usage").await, "timestamp");
        assert!(memory["rss"].as_f64().is_some_and(|rss| rss > 1.0), "{memory}");
        let rss = &memory["rss"];
        assert_eq!(memory, json!({"rss": rss, "heapTotal": rss, "heapUsed": rss, "external": 0.0}));
        let events = untimed(admin.expect("event_metrics").await, "timestamp");
        let mut names: Vec<_> = events.as_object().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(
            names,
            ["errors", "events_per_minute", "events_published", "events_received", "events_sent", "rate_limited"]
        );
        hub.advance(4_999);
        admin.expect_silence().await;
        hub.advance(1);
    }
    for event in ["connection_stats", "memory_usage", "event_metrics"] {
        admin.expect(event).await;
    }
    assert_eq!(admin.request("debug_mode", json!({"enabled": false})).await, json!([]));
    assert_eq!(hub.metric("hubbub_debugging_sessions"), 0.0);

    let mut bob = Sio::of(&hub, SioTransport::WebSocket, "bob").await;
    bob.emit("debug_mode", json!({"enabled": true})).await;
    assert_eq!(
        untimed(bob.expect("error").await, "timestamp"),
        json!({
            "event": "debug_mode",
            "message": "Only for admins",
            "error": "Only for admins",
            "code": "PERMISSION_DENIED",
        })
    );
}

#[tokio::test]
async fn connections_without_a_token_are_limited_per_address() {
    let hub = Hub::with(
        "[limits]\nexempt_loopback = false\n[limits.community]\nconnections_per_minute = 0\nconnections_per_address = 2",
    );
    let mut one = Sio::guest(&hub, SioTransport::WebSocket).await;
    let two = Sio::guest(&hub, SioTransport::Polling).await;
    let mut three = Sio::open(&hub, SioTransport::WebSocket).await;
    assert_eq!(
        three.connect("/", &Value::Null).await,
        Err(json!({
            "message": "Too many connections from this address",
            "data": {
                "code": "LIMIT_REACHED",
                "retryAfter": 10,
                "details": {"limit": "limits.community.connections_per_address"},
            },
        }))
    );
    assert!(
        three.connect("/", &json!({"token": token("alice")})).await.is_ok(),
        "a connection with a token is not counted"
    );
    one.send("41").await;
    let mut four = Sio::open(&hub, SioTransport::WebSocket).await;
    eventually(DEADLINE, "the first is gone", || hub.connections() == 2).await;
    assert!(four.connect("/", &Value::Null).await.is_ok());
    drop((one, two));
}

#[tokio::test]
async fn connections_that_authenticate_later_are_limited_per_user() {
    let hub = Hub::with(
        "[limits]\nexempt_loopback = false\n[limits.community]\nconnections_per_minute = 0\nconnections_per_user = 1",
    );
    let alice = json!({"token": token("alice")});
    let mut one = Sio::guest(&hub, SioTransport::WebSocket).await;
    one.emit("authenticate", alice.clone()).await;
    one.expect("authenticated").await;
    let _pushed = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    let mut two = Sio::guest(&hub, SioTransport::WebSocket).await;
    two.emit("authenticate", alice.clone()).await;
    assert_eq!(
        two.expect("authentication_error").await,
        json!({
            "error": "Too many connections of this user",
            "code": "LIMIT_REACHED",
            "details": {"limit": "limits.community.connections_per_user"},
        })
    );
    // The connection ends without a close.
    drop(one);
    eventually(DEADLINE, "the first is gone", || hub.connections() == 2).await;
    two.emit("authenticate", alice).await;
    two.expect("authenticated").await;
}

#[tokio::test]
async fn metrics_count_connections_by_transport_and_events_by_name() {
    let hub = Hub::start();
    let _raw = Client::of(&hub, "raw").await;
    let mut guest = Sio::guest(&hub, SioTransport::Polling).await;
    guest.request("ping", json!({})).await;
    guest.request("ping", json!({})).await;
    let _push = Sio::of(&hub, SioTransport::Polling, "push").await;
    for (authenticated, transport, count) in
        [("true", "websocket", 1.0), ("true", "polling", 1.0), ("false", "websocket", 0.0), ("false", "polling", 1.0)]
    {
        let labels = format!("authenticated=\"{authenticated}\",transport=\"{transport}\"");
        assert_eq!(hub.metric(&format!("socket_server_connections_total{{{labels}}}")), count, "{labels}");
    }
    assert_eq!(hub.metric("socket_server_events_total{event=\"ping\"}"), 2.0);
    assert_eq!(hub.metric("socket_server_events_total{event=\"typing_start\"}"), 0.0);
}
