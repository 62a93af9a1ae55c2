//! `monitoring:metrics`, `:events`, `:stats` and `:health`: what is to be known of the connections on every surface, and
//! by whom.

use serde_json::{Value, json};

use crate::support::client::{narrow, without_time};
use crate::support::socketio::{POLLING, WEBSOCKET};
use crate::support::token::{now, token, token_with};
use crate::support::wire::{Frame, opcode};
use crate::support::{Client, DEADLINE, Hub, Sio, Transport, Wire, eventually};

/// Believes in `X-Forwarded-For`, so that clients can come from anywhere.
const PROXIED: &str = "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n";

/// A hub that tells nobody who else is there, and has these keys besides.
#[track_caller]
fn hub_with(config: &str) -> Hub {
    Hub::with(&format!("{config}\n[presence]\naudience = \"off\""))
}

/// Those who watch.
struct Watcher(Client);

impl Watcher {
    async fn admin(hub: &Hub) -> Self {
        Self(Client::connect(hub, &token_with(json!({"sub": "admin", "role": "admin"}))).await)
    }

    async fn of(hub: &Hub, user: &str) -> Self {
        Self(Client::of(hub, user).await)
    }

    /// What an event is answered with.
    async fn ask(&mut self, event: &str, data: Value) -> Value {
        let asked = json!({"type": event, "data": data, "id": 7});
        let reply = without_time(self.0.ask(asked, "Reply").await);
        assert_eq!((&reply["id"], &reply["data"]["success"]), (&json!(7), &json!(true)), "{reply}");
        reply["data"].clone()
    }

    /// Events that were asked for, newest first, without their moments.
    async fn events(&mut self, data: Value) -> Vec<Value> {
        let answer = self.ask("monitoring:events", data).await;
        assert_eq!(answer.as_object().unwrap().len(), 2, "{answer}");
        answer["events"].as_array().unwrap().iter().cloned().map(untimed).collect()
    }

    /// As [`Watcher::events`], as soon as there are so many.
    async fn comes_to_see(&mut self, data: Value, count: usize) -> Vec<Value> {
        let started = std::time::Instant::now();
        loop {
            let events = self.events(data.clone()).await;
            if events.len() >= count {
                assert_eq!(events.len(), count, "{events:?}");
                return events;
            }
            assert!(started.elapsed() < DEADLINE, "waited for {count} events, but there are {events:?}");
        }
    }
}

/// An event without its moment, which has to be there.
#[track_caller]
fn untimed(mut event: Value) -> Value {
    let stamp = event.as_object_mut().unwrap().remove("timestamp").unwrap_or_default();
    assert!(is_moment(&stamp), "{stamp} in {event}");
    event
}

fn is_moment(stamp: &Value) -> bool {
    stamp.as_str().is_some_and(|stamp| stamp.ends_with('Z') && stamp.len() == 24)
}

/// An event's details without how long its session lasted, which has to be there.
#[track_caller]
fn without_duration(mut event: Value) -> Value {
    let duration = event["details"].as_object_mut().unwrap().remove("duration").unwrap_or_default();
    assert!(duration.as_u64().is_some_and(|ms| ms < 60_000), "{duration} in {event}");
    event
}

/// A session on `/chat` from an address, with a user agent; and its id.
async fn chat_from(hub: &Hub, user: &str, address: &str, agent: &str) -> (Sio, Value) {
    let mut client = Sio::open_with(hub, &[("X-Forwarded-For", address), ("User-Agent", agent)]).await;
    let joined = client.connect("/chat", &json!({"token": token(user)})).await.unwrap();
    (client, joined["sid"].clone())
}

/// A session on `/ws` likewise.
async fn raw_from(hub: &Hub, user: &str, address: &str, agent: &str) -> (Client, Value) {
    let path = format!("/ws?token={}", token(user));
    let headers = [("X-Forwarded-For", address), ("User-Agent", agent)];
    let client = Client::open(hub, &path, &headers).await;
    let id = client.welcome["data"]["details"]["connection_id"].clone();
    (client, id)
}

fn event(kind: &str, socket: &Value, user: &str, peer: [&str; 2], details: Value) -> Value {
    let [address, agent] = peer;
    json!({
        "type": kind,
        "socketId": socket,
        "userId": user,
        "ipAddress": address,
        "userAgent": agent,
        "details": details,
    })
}

/// An event as those see it whom it does not concern.
fn masked(mut event: Value) -> Value {
    for field in ["socketId", "ipAddress", "userAgent"] {
        event[field] = Value::Null;
    }
    event
}

#[tokio::test]
async fn sessions_of_every_surface_are_counted() {
    let hub = hub_with("");
    let mut alice = Sio::of_chat(&hub, Transport::WebSocket, "alice").await;
    let bob = Client::of(&hub, "bob").await;
    let guest = Sio::guest(&hub, Transport::Polling).await;
    let (refused, _) = Wire::upgrade(&hub, "/ws?token=nonsense", &[]).await;
    assert_eq!(refused.status, 401);
    bob.close().await;
    drop(guest);
    eventually(DEADLINE, "bob is gone", || hub.connections() == 2).await;

    let mut carol = Client::of(&hub, "carol").await;
    let asked = json!({"type": "monitoring:metrics", "data": {}, "id": 1});
    let reply = without_time(carol.ask(asked, "Reply").await);
    let mut answer = alice.request_on("/chat", "monitoring:metrics", json!({})).await[0].take();
    assert_eq!(reply, json!({"type": "Reply", "id": 1, "data": answer}));

    let started = answer["metrics"]["lastReset"].take();
    assert!(is_moment(&started), "{started}");
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
async fn what_happened_is_told_whole_to_whom_it_concerns_and_to_admins() {
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
    let mut seen = admin.comes_to_see(json!({"userId": "bob"}), 2).await;
    seen[0] = without_duration(seen[0].take());
    assert_eq!(seen, of_bob);
    let of_alice = event("connect", &alice_id, "alice", alices, json!({"surface": "/chat"}));
    for filter in [json!({"ip": "203.0.113.7"}), json!({"type": "connect", "userId": "alice", "limit": 1})] {
        assert_eq!(admin.events(filter).await, std::slice::from_ref(&of_alice));
    }

    // To others, an address says nothing.
    let asked = alice.request_on("/chat", "monitoring:events", json!({"userId": "bob"})).await;
    let told = asked[0]["events"].as_array().unwrap().iter().cloned().map(untimed);
    let told: Vec<_> =
        told.map(|event| if event["type"] == "disconnect" { without_duration(event) } else { event }).collect();
    assert_eq!(told, of_bob.map(masked));
    let asked = alice.request_on("/chat", "monitoring:events", json!({"ip": "203.0.113.7"})).await;
    assert_eq!(untimed(asked[0]["events"][0].clone()), of_alice);
    let none = json!([{"success": true, "events": []}]);
    for filter in
        [json!({"ip": "198.51.100.9"}), json!({"ip": "203.0.113.7", "userId": "bob"}), json!({"type": "error"})]
    {
        assert_eq!(alice.request_on("/chat", "monitoring:events", filter).await, none);
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_its_field() {
    let hub = hub_with("");
    let mut chat = Sio::of_chat(&hub, Transport::WebSocket, "alice").await;
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
        let asked = json!({"type": "monitoring:events", "data": data, "id": 1});
        let error = json!({"code": "INVALID_REQUEST", "message": reason, "details": {"field": field}});
        let refused = json!({"type": "Error", "id": 1, "data": error});
        assert_eq!(without_time(raw.ask(asked, "Error").await), refused);
    }
    for event in ["metrics", "events", "stats", "health"].map(|name| format!("monitoring:{name}")) {
        let refused = chat.request_on("/chat", &event, json!([1])).await[0].take();
        let details = json!({"field": "data", "reason": "`data`: expected an object"});
        assert_eq!((&refused["success"], &refused["details"]), (&json!(false), &details), "{event}");
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_for_its_token_is_remembered_on_every_surface() {
    let hub = hub_with(PROXIED);
    let mut admin = Watcher::admin(&hub).await;
    let peer = [("X-Forwarded-For", "203.0.113.7"), ("User-Agent", "curl/8")];
    let expired = token_with(json!({"sub": "alice", "exp": now() - 60}));
    let mut expected = Vec::new();
    for (token, code) in [("", "INVALID_TOKEN"), ("nonsense", "INVALID_TOKEN"), (&expired, "TOKEN_EXPIRED")] {
        let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={token}"), &peer).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!(code)));
        expected.push(json!({"surface": "raw", "code": code}));
        let mut client = Sio::open_with(&hub, &peer).await;
        for namespace in ["/", "/chat"] {
            if !(token.is_empty() && namespace == "/") {
                let refused = client.connect(namespace, &json!({ "token": token })).await.unwrap_err();
                assert_eq!((&refused["message"], &refused["data"]["code"]), (&json!("Unauthorized"), &json!(code)));
                expected.push(json!({"surface": namespace, "code": code}));
            }
        }
    }
    let events = admin.comes_to_see(json!({"type": "auth_failure"}), expected.len()).await;
    for (event, details) in events.into_iter().rev().zip(expected) {
        let whole = json!({
            "type": "auth_failure",
            "socketId": null,
            "userId": null,
            "ipAddress": "203.0.113.7",
            "userAgent": "curl/8",
            "details": details,
        });
        assert_eq!(event, whole);
    }
    // From whom they came is for admins alone.
    let mut bob = Watcher::of(&hub, "bob").await;
    assert_eq!(bob.events(json!({"type": "auth_failure", "ip": "203.0.113.7"})).await, Vec::<Value>::new());
    for event in bob.comes_to_see(json!({"type": "auth_failure"}), 8).await {
        assert_eq!(event, masked(event.clone()));
    }
}

#[tokio::test]
async fn a_flood_of_refused_connections_pushes_nothing_else_out() {
    let hub = hub_with(PROXIED);
    let mut admin = Watcher::admin(&hub).await;
    for _ in 0..30 {
        let (answer, _) = Wire::upgrade(&hub, "/ws", &[("X-Forwarded-For", "203.0.113.7")]).await;
        assert_eq!(answer.status, 401);
    }
    admin.comes_to_see(json!({"type": "auth_failure"}), 10).await;
    eventually(DEADLINE, "the rest is counted", || {
        hub.metric(r#"hubbub_observations_lost_total{reason="flood"}"#) == 20.0
    })
    .await;
    assert_eq!(admin.ask("monitoring:metrics", json!({})).await["metrics"]["failedConnections"], 30);
}

#[tokio::test]
async fn what_a_limit_refuses_is_remembered_connections_and_requests() {
    let limits = "[limits]\nexempt_loopback = false\n[limits.raw]\nconnections_per_minute = 2\nmessages_per_minute = 50\n\
                  [limits.push]\nconnections_per_minute = 1";
    let hub = hub_with(limits);
    let mut admin = Watcher::admin(&hub).await;
    let mut alice = Client::of(&hub, "alice").await;
    let id = alice.welcome["data"]["details"]["connection_id"].clone();
    let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token("bob")), &[]).await;
    assert_eq!(answer.status, 429);
    let _let_in = Sio::open(&hub, Transport::Polling).await;
    for answer in [hub.get(POLLING), Wire::upgrade(&hub, WEBSOCKET, &[("User-Agent", "")]).await.0] {
        assert_eq!(answer.status, 429);
    }
    for _ in 0..60 {
        alice.send(json!({"type": "Ping", "data": {"timestamp": 1}})).await;
    }
    for n in 0..60 {
        alice.expect(if n < 50 { "Pong" } else { "Error" }).await;
    }
    let events = admin.comes_to_see(json!({"type": "rate_limit"}), 4).await;
    let of = |surface: &str| json!({"surface": surface, "code": "RATE_LIMITED"});
    let whole = json!({
        "type": "rate_limit",
        "socketId": id,
        "userId": "alice",
        "ipAddress": "127.0.0.1",
        "userAgent": null,
        "details": of("raw"),
    });
    assert_eq!(events[0], whole, "once for ten requests");
    let details: Vec<_> = events[1..].iter().map(|event| (&event["socketId"], event["details"].clone())).collect();
    let refused = |surface| (&Value::Null, of(surface));
    assert_eq!(details, [refused("socket.io"), refused("socket.io"), refused("raw")]);
}

#[tokio::test]
async fn how_a_session_ends_is_remembered_and_a_fault_beside_it() {
    let hub = hub_with("[limits.raw]\nmessages_per_minute = 0");
    let mut admin = Watcher::admin(&hub).await;

    let mut broken = Wire::of(&hub, "unmasked").await;
    broken.send_frame(&Frame::text("{}").unmasked()).await;
    assert_eq!(broken.close_code().await, Some(1002));
    let mut left = Wire::of(&hub, "left").await;
    left.send_frame(&Frame::new(opcode::CLOSE, 1000_u16.to_be_bytes())).await;
    assert_eq!(left.close_code().await, Some(1000));
    drop(Wire::of(&hub, "lost").await);
    for (transport, user) in [(Transport::WebSocket, "packet"), (Transport::Polling, "polled")] {
        let mut client = Sio::of_chat(&hub, transport, user).await;
        client.try_send("4nonsense").await;
        client.read_to_end().await;
    }
    let mut out = Sio::of_chat(&hub, Transport::WebSocket, "out").await;
    out.send("41/chat,").await;
    let mut gone = Sio::of_chat(&hub, Transport::Polling, "gone").await;
    gone.send("1").await;
    let mut kicked = Sio::of_chat(&hub, Transport::WebSocket, "kicked").await;
    let kick = json!({"userId": "kicked"});
    assert_eq!(hub.http().request("POST", "/api/disconnect").key().json(&kick).send().status, 200);
    kicked.read_to_end().await;
    let mut slow = Client::over(narrow(&hub), &hub, &token("slow")).await;
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
        let mut events = admin.comes_to_see(json!({"userId": user}), kinds.len()).await;
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

#[tokio::test]
async fn all_figures_together_name_addresses_and_agents_to_admins_alone() {
    let hub = hub_with(PROXIED);
    let mut sessions = Vec::new();
    for (number, user) in ["alice", "bob", "alice"].into_iter().enumerate() {
        let address = ["203.0.113.7", "198.51.100.9"][number % 2];
        sessions.push(raw_from(&hub, user, address, &format!("agent/{}", number % 2)).await);
    }
    let (client, _) = &mut sessions[0];
    client.ask(json!({"type": "nonsense", "data": {}}), "Error").await;
    let mut admin = Watcher::admin(&hub).await;
    let mut told = admin.ask("monitoring:stats", json!({})).await;
    let recent = told["stats"]["recentEvents"].take();
    let metrics = told["stats"]["metrics"].take();
    let ip = |ip: &str, count: u8| json!({"ip": ip, "count": count});
    let agent = |agent: &str, count: u8| json!({"userAgent": agent, "count": count});
    let stats = json!({
        "metrics": null,
        "recentEvents": null,
        "topIPs": [ip("203.0.113.7", 2), ip("127.0.0.1", 1), ip("198.51.100.9", 1)],
        "topUserAgents": [agent("agent/0", 2), agent("agent/1", 1)],
        "errorRate": 0.5,
    });
    assert_eq!(told, json!({"success": true, "stats": stats}));
    assert_eq!(metrics, admin.ask("monitoring:metrics", json!({})).await["metrics"]);
    let recent: Vec<_> = recent.as_array().unwrap().iter().cloned().map(untimed).collect();
    assert_eq!(recent, admin.events(json!({"limit": 10})).await);
    assert_eq!(recent.len(), 4);

    let mut chat = Sio::of_chat(&hub, Transport::WebSocket, "alice").await;
    let mut told = chat.request_on("/chat", "monitoring:stats", json!({})).await;
    let recent = told[0]["stats"]["recentEvents"].take();
    told[0]["stats"]["metrics"].take();
    let stats = json!({
        "metrics": null,
        "recentEvents": null,
        "topIPs": [],
        "topUserAgents": [],
        "errorRate": 0.2,
    });
    assert_eq!(told, json!([{"success": true, "stats": stats}]));
    for event in recent.as_array().unwrap() {
        let is_shown = event["userId"] == "alice";
        for field in ["socketId", "ipAddress"] {
            assert_eq!(event[field].is_string(), is_shown, "{event}");
        }
    }
}

#[tokio::test]
async fn health_follows_from_how_full_the_hub_is() {
    let hub = hub_with("[server]\nmax_connections = 5");
    let mut alice = Sio::of_chat(&hub, Transport::WebSocket, "alice").await;
    let mut clients = vec![Client::of(&hub, "bob").await, Client::of(&hub, "carol").await];
    let healthy = json!({"status": "healthy", "issues": [], "recommendations": []});
    let told = alice.request_on("/chat", "monitoring:health", json!({})).await;
    assert_eq!(told, json!([{"success": true, "health": healthy}]));
    for (status, issue) in [
        ("warning", "80% of the connections that there may be are in use"),
        ("critical", "100% of the connections that there may be are in use"),
    ] {
        clients.push(Client::of(&hub, "dave").await);
        let health = json!({
            "status": status,
            "issues": [issue],
            "recommendations": ["Raise server.max_connections where memory allows it, or add another hub"],
        });
        let told = alice.request_on("/chat", "monitoring:health", json!({})).await;
        assert_eq!(told, json!([{"success": true, "health": health.clone()}]));
        let asked = json!({"type": "monitoring:health", "data": {}, "id": 1});
        let reply = without_time(clients[0].ask(asked, "Reply").await);
        assert_eq!(reply, json!({"type": "Reply", "id": 1, "data": {"success": true, "health": health}}));
    }
    let (full, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token("erin")), &[]).await;
    assert_eq!((full.status, &full.json()["error"]["code"]), (503, &json!("SERVER_FULL")));
    let told = alice.request_on("/chat", "monitoring:metrics", json!({})).await;
    assert_eq!(told[0]["metrics"]["failedConnections"], 1);
}
