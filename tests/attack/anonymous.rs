//! Connections that have joined no namespace: their share of all connections, their eviction, and their time limit.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::socketio::{POLLING, PollingSession, SessionEnd, WEBSOCKET};
use crate::support::token::token;
use crate::support::{Client, DEADLINE, Hub, Sio, Transport, Wire, eventually};

/// The number of connections closed for this reason.
fn closed(hub: &Hub, reason: &str) -> f64 {
    hub.metric(&format!("hubbub_connections_closed_total{{reason=\"{reason}\"}}"))
}

/// The number of connections without a namespace, where `/health` and `/metrics` agree; else `u64::MAX`.
fn pending(hub: &Hub) -> u64 {
    let pending = hub.get("/health").json()["connections"]["pending"].as_u64().unwrap();
    // The number can change between the two requests.
    if hub.metric("hubbub_connections_pending") as u64 == pending { pending } else { u64::MAX }
}

/// Requests a polling session. Returns the status of the response.
async fn handshake(wire: &mut Wire) -> u16 {
    wire.request("GET", POLLING, &[], b"").await;
    wire.response().await.status
}

#[tokio::test]
async fn anonymous_connections_take_a_quarter_of_all_and_users_still_connect() {
    let hub = Hub::with("[server]\nworkers = 2\nmax_connections = 40");
    let mut wire = Wire::connect(&hub).await;
    let started = Instant::now();
    let mut statuses = Vec::new();
    for _ in 0..400 {
        statuses.push(handshake(&mut wire).await);
    }
    let taken = statuses.iter().filter(|&&status| status == 200).count();
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    // The whole quarter can be replaced once in two seconds.
    let rounds = 1 + started.elapsed().as_millis() as usize / 2_000;
    assert!((10..=10 * rounds).contains(&taken), "{taken} of 400 handshakes succeeded in {rounds} rounds");
    assert_eq!(pending(&hub), 10);
    let answer = hub.get(POLLING);
    if answer.status == 503 {
        assert_eq!(answer.json(), json!({"code": 3, "message": "Too many connections are joining"}));
    }
    let users: Vec<_> = (0..30).map(|n| format!("user-{n}")).collect();
    let mut clients = Vec::new();
    for user in &users {
        clients.push(Client::of(&hub, user).await);
    }
    assert_eq!(hub.connections(), 30);
    assert_eq!(hub.get(&format!("/ws?token={}", token("late"))).status, 426, "a plain request takes no session");
}

#[tokio::test]
async fn the_oldest_anonymous_connection_is_evicted_after_two_seconds() {
    let hub = Hub::with("[server]\nworkers = 2\nmax_connections = 16");
    let mut member = Sio::of(&hub, Transport::WebSocket, "alice").await;
    eventually(DEADLINE, "a joined connection is not pending", || pending(&hub) == 0).await;
    let started = Instant::now();
    let mut socket = Sio::open(&hub, Transport::WebSocket).await;
    let mut waiting = Sio::open(&hub, Transport::Polling).await;
    waiting.start_poll().await;
    let mut silent = PollingSession::open(&hub).await;
    let mut refused = Sio::open(&hub, Transport::WebSocket).await;
    refused.connect("/nowhere", &Value::Null).await.unwrap_err();
    assert_eq!(pending(&hub), 4);
    if started.elapsed() < Duration::from_millis(1_800) {
        for answer in [hub.get(POLLING), Wire::upgrade(&hub, WEBSOCKET, &[]).await.0] {
            assert_eq!(answer.status, 503, "none is old enough to evict: {answer:?}");
        }
    }
    let mut newcomers = Vec::new();
    for n in 0..4 {
        let mut newcomer = None;
        eventually(DEADLINE, "an old connection is evicted", || {
            newcomer = Some(hub.get(POLLING)).filter(|answer| answer.status == 200);
            newcomer.is_some()
        })
        .await;
        newcomers.push(newcomer);
        assert_eq!((closed(&hub, "newcomers"), pending(&hub)), (n as f64 + 1.0, 4));
    }
    assert!(started.elapsed() > Duration::from_secs(2), "they were evicted after {:?}", started.elapsed());
    // The oldest was evicted first. Each gets the close of its transport.
    assert_eq!(socket.read_to_end().await, (vec![], SessionEnd::Closed(Some(4408))));
    assert_eq!(waiting.read_to_end().await, (vec![], SessionEnd::ClosePacket));
    silent.assert_gone().await;
    assert_eq!(refused.read_to_end().await, (vec![], SessionEnd::Closed(Some(4408))));
    member.expect_silence().await;
}

#[tokio::test]
async fn a_join_or_a_leave_makes_room_for_the_next_connection() {
    let hub = Hub::with("[server]\nmax_connections = 12");
    let mut members = Vec::new();
    // Three can be pending at once. One after another, 12 join.
    for n in 0..12 {
        let mut client = Sio::open(&hub, Transport::BOTH[n % 2]).await;
        client.connect("/", &json!({"token": token("alice")})).await.unwrap();
        members.push(client);
        eventually(DEADLINE, "a joined connection is not pending", || pending(&hub) == 0).await;
    }
    assert_eq!(hub.get("/health").json()["reason"], "At capacity");
    drop(members);
    let hub = Hub::with("[server]\nmax_connections = 4");
    for _ in 0..20 {
        let mut polling = PollingSession::open(&hub).await;
        polling.send("1").await;
        polling.poll_body().await;
        eventually(DEADLINE, "a closed connection is not pending", || pending(&hub) == 0).await;
    }
    assert_eq!(closed(&hub, "newcomers"), 0.0);
}

#[tokio::test]
async fn a_polling_session_without_a_request_ends_after_ten_seconds() {
    let hub = Hub::start();
    let started = Instant::now();
    let mut unused: Vec<_> = Vec::new();
    for _ in 0..3 {
        unused.push(PollingSession::open(&hub).await);
    }
    let mut polls = PollingSession::open(&hub).await;
    polls.start_poll().await;
    let posts = PollingSession::open(&hub).await;
    posts.send("6").await;
    let probes = PollingSession::open(&hub).await;
    let _wire = probes.start_upgrade().await;
    eventually(DEADLINE, "the unused sessions are closed", || closed(&hub, "unused") == 3.0).await;
    assert!(started.elapsed() >= Duration::from_secs(10), "closed after {:?}", started.elapsed());
    assert_eq!(pending(&hub), 3);
    for polling in &mut unused {
        polling.assert_gone().await;
    }
    posts.send("40").await;
    polls.send("40").await;
    assert!(polls.poll_body().await.starts_with("40{"));
}
