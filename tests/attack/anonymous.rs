//! Places of connections that have joined nothing: how many there are, and for how long. Joined connections keep theirs.

use serde_json::{Value, json};

use crate::support::socketio::{ObservedEnd, POLLING, PollingSession, WEBSOCKET};
use crate::support::token::token;
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, Wire, eventually};

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
async fn clients_without_a_token_hold_at_most_a_quarter_of_all_connections_and_a_user_still_connects() {
    let hub = Hub::with_manual_clock("[server]\nworkers = 2\nmax_connections = 40");
    let mut wire = Wire::connect(&hub).await;
    let mut statuses = Vec::new();
    for _ in 0..400 {
        statuses.push(handshake(&mut wire).await);
    }
    let taken = statuses.iter().filter(|&&status| status == 200).count();
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    assert_eq!((taken, pending(&hub)), (10, 10));
    let answer = hub.get(POLLING);
    assert_eq!(
        (answer.status, answer.json()),
        (503, json!({"code": 3, "message": "Too many connections are joining"}))
    );
    let users: Vec<_> = (0..30).map(|n| format!("user-{n}")).collect();
    let mut clients = Vec::new();
    for user in &users {
        clients.push(Client::of(&hub, user).await);
    }
    assert_eq!(hub.connections(), 30);
    assert_eq!(hub.get(&format!("/ws?token={}", token("late"))).status, 426, "a plain request takes no session");
}

#[tokio::test]
async fn a_new_connection_replaces_the_oldest_unjoined_one_after_two_seconds() {
    let hub = Hub::with_manual_clock("[server]\nworkers = 2\nmax_connections = 16");
    let mut member = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    eventually(DEADLINE, "a connection that joined is not pending", || pending(&hub) == 0).await;
    let mut socket = Sio::open(&hub, SioTransport::WebSocket).await;
    let mut waiting = Sio::open(&hub, SioTransport::Polling).await;
    waiting.start_poll().await;
    let mut silent = PollingSession::open(&hub).await;
    let mut refused = Sio::open(&hub, SioTransport::WebSocket).await;
    refused.connect("/nowhere", &Value::Null).await.unwrap_err();
    assert_eq!(pending(&hub), 4);
    hub.advance(2_000);
    for answer in [hub.get(POLLING), Wire::upgrade(&hub, WEBSOCKET, &[]).await.0] {
        assert_eq!(answer.status, 503, "all are new: {answer:?}");
    }
    hub.advance(1);
    for n in 0..4 {
        assert_eq!(hub.get(POLLING).status, 200);
        assert_eq!((closed(&hub, "newcomers"), pending(&hub)), (f64::from(n) + 1.0, 4));
    }
    assert_eq!(hub.get(POLLING).status, 503, "all are new again");
    // In the order in which they connected, each with the end of its transport.
    assert_eq!(socket.read_to_end().await, (vec![], ObservedEnd::Closed(Some(4408))));
    assert_eq!(waiting.read_to_end().await, (vec![], ObservedEnd::ClosePacket));
    silent.assert_gone().await;
    assert_eq!(refused.read_to_end().await, (vec![], ObservedEnd::Closed(Some(4408))));
    member.expect_silence().await;
}

#[tokio::test]
async fn a_connection_that_joins_or_leaves_makes_room_for_the_next() {
    let hub = Hub::with("[server]\nmax_connections = 12");
    let mut members = Vec::new();
    // Three can be pending at once. One after another, 12 join.
    for n in 0..12 {
        let mut client = Sio::open(&hub, SioTransport::BOTH[n % 2]).await;
        client.connect("/", &json!({"token": token("alice")})).await.unwrap();
        members.push(client);
        eventually(DEADLINE, "a connection that joined is not pending", || pending(&hub) == 0).await;
    }
    assert_eq!(hub.get("/health").json()["reason"], "At capacity");
    drop(members);
    let hub = Hub::with("[server]\nmax_connections = 4");
    for _ in 0..20 {
        let polling = PollingSession::open(&hub).await;
        let mut polling = polling;
        polling.send("1").await;
        polling.poll_body().await;
        eventually(DEADLINE, "a connection that left is not pending", || pending(&hub) == 0).await;
    }
    assert_eq!(closed(&hub, "newcomers"), 0.0);
}

#[tokio::test]
async fn a_polling_session_without_requests_ends_after_ten_seconds() {
    let hub = Hub::with_manual_clock("");
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
    hub.advance(9_999);
    // Each request was accepted by now: the hub closes nothing else at 10 s.
    assert_eq!((closed(&hub, "unused"), pending(&hub)), (0.0, 6));
    hub.advance(1);
    eventually(DEADLINE, "the unused sessions are closed", || closed(&hub, "unused") == 3.0).await;
    assert_eq!(pending(&hub), 3);
    for polling in &mut unused {
        polling.assert_gone().await;
    }
    posts.send("40").await;
    polls.send("40").await;
    assert!(polls.poll_body().await.starts_with("40{"));
}
