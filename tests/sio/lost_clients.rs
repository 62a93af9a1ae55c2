//! A thousand clients lose their connections in the middle of a request. They leave no session, descriptor or memory behind.

use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;

use crate::support::socketio::{POLLING, PollingSession};
use crate::support::token::token;
use crate::support::wire::RawFrame;
use crate::support::{Client, Hub, Sio, SioTransport, Wire, eventually};

const CLIENTS: usize = 1_000;
/// Clients that are opened at a time: fewer than the listen queue of the hub holds.
const OPENING: usize = 25;
const ALL_ENDED: Duration = Duration::from_secs(30);
/// The memory that a second thousand may add, in KiB. The allocator varies a little from round to round; a thousand leaked
/// sessions would need several times as much.
const GROWTH_KIB: u64 = 2 * 1024;

const SHORT_HEARTBEAT: &str = "[socketio]\nping_interval_ms = 500\nping_timeout_ms = 2000\n\
    [limits.push]\nconnections_per_minute = 0\n[server]\nworkers = 2";

/// Opens a session, joins `/` and a room, and loses its connection in one of six states.
async fn open_and_drop(address: SocketAddr, n: usize) {
    let mut polling = PollingSession::open_at(address, POLLING).await;
    let auth = json!({"token": token(&format!("user-{}", n % 50))});
    let join = json!(["room:join", {"room": format!("room-{}", n % 20)}]);
    match n % 6 {
        // A poll waits.
        0 | 1 => {
            polling.send(format!("40{auth}\u{1e}42{join}")).await;
            polling.start_poll().await;
        }
        // The body of a POST is incomplete.
        2 => {
            polling.send(format!("40{auth}\u{1e}42{join}")).await;
            let mut wire = Wire::to(address).await;
            let head = format!("POST {} HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n\r\n", polling.path());
            wire.send(head.as_bytes()).await;
            wire.send(&[b'4'; 300]).await;
        }
        // The response to a POST is not read.
        3 => {
            let mut wire = Wire::to(address).await;
            wire.request("POST", &polling.path(), &[], format!("40{auth}").as_bytes()).await;
            polling.start_poll().await;
        }
        // The upgrade is probed.
        4 => {
            polling.send(format!("40{auth}\u{1e}42{join}")).await;
            polling.start_poll().await;
            let mut wire = polling.start_upgrade().await;
            wire.send_text("2probe").await;
            assert_eq!(wire.text().await, "3probe");
        }
        // The upgrade is complete, and a frame is not.
        _ => {
            polling.send(format!("40{auth}\u{1e}42{join}")).await;
            let mut wire = polling.start_upgrade().await;
            wire.send_text("2probe").await;
            wire.send_text("5").await;
            assert_eq!(wire.text().await, "3probe");
            let mut half = RawFrame::text("4".repeat(200)).encode();
            half.truncate(100);
            wire.try_send(&half).await;
        }
    }
}

async fn lose_a_thousand(hub: &Hub, before: usize) {
    let opened = hub.counters()["total_connections"].as_u64().unwrap();
    for opening in 0..CLIENTS / OPENING {
        let mut clients = JoinSet::new();
        for n in 0..OPENING {
            clients.spawn(open_and_drop(hub.address(), opening * OPENING + n));
        }
        while let Some(dropped) = clients.join_next().await {
            dropped.unwrap();
        }
    }
    eventually(ALL_ENDED, "the sessions are open", || {
        // A client that did not read its response may have no session.
        let opened = hub.counters()["total_connections"].as_u64().unwrap() - opened;
        opened as usize >= CLIENTS * 5 / 6
    })
    .await;
    eventually(ALL_ENDED, "no session is left", || hub.connections() == 0).await;
    let rooms = || hub.http().request("GET", "/api/rooms").key().send().json()["total"].as_u64();
    eventually(ALL_ENDED, "no room is left", || rooms() == Some(0)).await;
    eventually(ALL_ENDED, "no descriptor is left", || hub.open_fds() <= before).await;
}

#[tokio::test]
async fn a_thousand_lost_clients_leave_nothing_behind() {
    rlimit::increase_nofile_limit(8 * 1024).unwrap();
    let hub = Hub::with(&format!("{SHORT_HEARTBEAT}\n[limits.http]\nrequests_per_minute = 0"));
    // Opens the descriptors that the hub opens on first use.
    let mut first = Sio::of(&hub, SioTransport::Polling, "first").await;
    first.join("room").await;
    first.upgrade().await;
    drop(first);
    eventually(ALL_ENDED, "the first has left", || hub.connections() == 0).await;
    let before = hub.open_fds();

    lose_a_thousand(&hub, before).await;
    let warm = hub.rss_kib();
    lose_a_thousand(&hub, before).await;
    let after = hub.rss_kib();
    eprintln!("{warm} KiB after the first thousand, {after} KiB after the second");
    assert!(after <= warm + GROWTH_KIB, "the hub grew from {warm} to {after} KiB");

    let mut next = Client::of(&hub, "next").await;
    next.subscribe(&["room-1"]).await;
    assert_eq!(next.broadcast("room-1", json!(1)).await["data"]["recipients"], 0);
    let capacity = hub.get("/health").json();
    assert_eq!(capacity["active_connections"], 1, "{capacity}");
}

#[tokio::test]
async fn lost_clients_free_their_connection_slots() {
    let hub = Hub::with(&format!("{SHORT_HEARTBEAT}\nmax_connections = 20"));
    for _ in 0..2 {
        let mut clients = Vec::new();
        for n in 0..20 {
            clients.push(Sio::of(&hub, SioTransport::BOTH[n % 2], "alice").await);
        }
        assert_eq!(hub.get(POLLING).status, 503);
        for client in &mut clients {
            client.start_poll().await;
        }
        drop(clients);
        eventually(ALL_ENDED, "no session is left", || hub.connections() == 0).await;
    }
}
