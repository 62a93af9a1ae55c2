//! Places that strangers hold: how many, for how long, and that those who have joined keep theirs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::socketio::{POLLING, PollingSession, SessionEnd, WEBSOCKET};
use crate::support::token::token;
use crate::support::{Client, DEADLINE, Hub, Sio, Transport, Wire, eventually};

/// Connections closed for this reason.
fn closed(hub: &Hub, reason: &str) -> f64 {
    hub.metric(&format!("hubbub_connections_closed_total{{reason=\"{reason}\"}}"))
}

/// Places held by connections that have joined nothing, as both pages have it.
fn pending(hub: &Hub) -> u64 {
    let pending = hub.get("/health").json()["connections"]["pending"].as_u64().unwrap();
    // Between the two questions it may change.
    if hub.metric("hubbub_connections_pending") as u64 == pending { pending } else { u64::MAX }
}

/// Asks for a polling session on a connection of its own; the status of the answer.
async fn handshake(wire: &mut Wire) -> u16 {
    wire.request("GET", POLLING, &[], b"").await;
    wire.response().await.status
}

#[tokio::test]
async fn strangers_hold_a_quarter_of_all_places_and_a_user_still_comes_in() {
    let hub = Hub::with("[server]\nworkers = 2\nmax_connections = 40");
    let mut wire = Wire::connect(&hub).await;
    let started = Instant::now();
    let mut statuses = Vec::new();
    for _ in 0..400 {
        statuses.push(handshake(&mut wire).await);
    }
    let taken = statuses.iter().filter(|&&status| status == 200).count();
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    // Each two seconds, the quarter may change hands once.
    let rounds = 1 + started.elapsed().as_millis() as usize / 2_000;
    assert!((10..=10 * rounds).contains(&taken), "{taken} of 400 handshakes were taken in {rounds} rounds");
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
    assert_eq!(hub.get(&format!("/ws?token={}", token("late"))).status, 426, "a plain request takes no place");
}

#[tokio::test]
async fn the_oldest_stranger_gives_way_to_a_newcomer_after_two_seconds() {
    let hub = Hub::with("[server]\nworkers = 2\nmax_connections = 16");
    let mut member = Sio::of(&hub, Transport::WebSocket, "alice").await;
    eventually(DEADLINE, "who joined is not pending", || pending(&hub) == 0).await;
    let started = Instant::now();
    let mut socket = Sio::open(&hub, Transport::WebSocket).await;
    let mut waiting = Sio::open(&hub, Transport::Polling).await;
    waiting.start_poll().await;
    let mut silent = PollingSession::open(&hub).await;
    let mut asking = Sio::open(&hub, Transport::WebSocket).await;
    asking.connect("/nowhere", &Value::Null).await.unwrap_err();
    assert_eq!(pending(&hub), 4);
    if started.elapsed() < Duration::from_millis(1_800) {
        for answer in [hub.get(POLLING), Wire::upgrade(&hub, WEBSOCKET, &[]).await.0] {
            assert_eq!(answer.status, 503, "all are new: {answer:?}");
        }
    }
    let mut newcomers = Vec::new();
    for n in 0..4 {
        let mut newcomer = None;
        eventually(DEADLINE, "there is a place", || {
            newcomer = Some(hub.get(POLLING)).filter(|answer| answer.status == 200);
            newcomer.is_some()
        })
        .await;
        newcomers.push(newcomer);
        assert_eq!((closed(&hub, "newcomers"), pending(&hub)), (n as f64 + 1.0, 4));
    }
    assert!(started.elapsed() > Duration::from_secs(2), "they gave way after {:?}", started.elapsed());
    // In the order in which they came, each told as its transport has it, and gone.
    assert_eq!(socket.read_to_end().await, (vec![], SessionEnd::Closed(Some(4408))));
    assert_eq!(waiting.read_to_end().await, (vec![], SessionEnd::ClosePacket));
    silent.assert_gone().await;
    assert_eq!(asking.read_to_end().await, (vec![], SessionEnd::Closed(Some(4408))));
    member.expect_silence().await;
}

#[tokio::test]
async fn who_joins_or_leaves_in_time_makes_room_for_the_next() {
    let hub = Hub::with("[server]\nmax_connections = 12");
    let mut members = Vec::new();
    // Three may join at once; one after the other, all there is place for.
    for n in 0..12 {
        let mut client = Sio::open(&hub, Transport::BOTH[n % 2]).await;
        client.connect("/", &json!({"token": token("alice")})).await.unwrap();
        members.push(client);
        eventually(DEADLINE, "who joined is not pending", || pending(&hub) == 0).await;
    }
    assert_eq!(hub.get("/health").json()["reason"], "At capacity");
    drop(members);
    let hub = Hub::with("[server]\nmax_connections = 4");
    for _ in 0..20 {
        let polling = PollingSession::open(&hub).await;
        let mut polling = polling;
        polling.send("1").await;
        polling.poll_body().await;
        eventually(DEADLINE, "who left is not pending", || pending(&hub) == 0).await;
    }
    assert_eq!(closed(&hub, "newcomers"), 0.0);
}

#[tokio::test]
async fn a_polling_session_that_asks_nothing_ends_after_ten_seconds() {
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
    eventually(DEADLINE, "those that nobody used are gone", || closed(&hub, "unused") == 3.0).await;
    assert!(started.elapsed() >= Duration::from_secs(10), "gone after {:?}", started.elapsed());
    assert_eq!(pending(&hub), 3);
    for polling in &mut unused {
        polling.assert_gone().await;
    }
    posts.send("40").await;
    polls.send("40").await;
    assert!(polls.poll_body().await.starts_with("40{"));
}
