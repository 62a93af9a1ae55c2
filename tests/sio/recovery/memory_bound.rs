//! What the hub keeps for recovery is bounded in bytes, and in time. The oldest publications of the hub go first, so a
//! session that needs one of them does not resume.

use super::{
    ClientState, RecoveryClient, config, hub, many_to_room, recovery_failed, to_room, wait_until_empty,
    wait_until_suspended,
};
use crate::support::{DEADLINE, Hub, SioTransport, eventually};

const TEXT: usize = 20_000;
/// What a publication with this text counts, at most: its data, one encoded form and an overhead.
const WEIGHT: usize = 2 * (TEXT + 100) + 512;
/// The bound has room for this many.
const CAPACITY: usize = 20;
const BOUND: usize = CAPACITY * WEIGHT;
const SESSIONS: usize = 40;

/// The stored bytes. Asserts that they exceed the bound by at most `unread` publications, which a worker has not read
/// yet.
#[track_caller]
fn stored_bytes(hub: &Hub, unread: usize) -> f64 {
    let stored = hub.metric("hubbub_recovery_bytes");
    let most = BOUND + unread * WEIGHT;
    assert!(stored <= most as f64, "{stored} of {most}");
    stored
}

fn metric(hub: &Hub, name: &str) -> usize {
    hub.metric(name) as usize
}

/// Suspends sessions one after the other, each in a room of its own.
async fn suspend_all(hub: &Hub, transport: SioTransport) -> Vec<ClientState> {
    let mut saved_sessions = Vec::new();
    for n in 0..SESSIONS {
        let mut client = RecoveryClient::of(hub, transport, &format!("user-{n}")).await;
        client.sio.join(&format!("room-{n}")).await;
        saved_sessions.push(client.suspend(hub, transport).await);
    }
    saved_sessions
}

/// Whether the session resumes. Then its client receives these numbers.
async fn resumes(hub: &Hub, saved: &ClientState, numbers: &[usize]) -> bool {
    let mut client = saved.connect(hub, SioTransport::WebSocket, &saved.auth()).await;
    let first = client.next_events(4).await;
    let is_recovered = first[1][0] == "system:state_recovered";
    assert!(is_recovered || first[1] == recovery_failed(), "{first:?}");
    if is_recovered {
        for n in numbers {
            assert_eq!(client.event().await[1]["n"], *n);
        }
    }
    client.sio.expect_silence().await;
    client.disconnect().await;
    is_recovered
}

#[tokio::test]
async fn the_oldest_publications_of_the_hub_are_evicted_first() {
    let text = "x".repeat(TEXT);
    for workers in [1, 2] {
        let hub = hub(&format!("recovery.bytes = {BOUND}\nserver.workers = {workers}"));
        let saved_sessions = suspend_all(&hub, SioTransport::WebSocket).await;
        // The sessions that are suspended for the longest time miss the newest events, and some miss two.
        let rooms: Vec<_> = (0..SESSIONS).rev().chain((SESSIONS - 10..SESSIONS).rev()).collect();
        for (n, room) in rooms.iter().enumerate() {
            many_to_room(&hub, &format!("room-{room}"), n..n + 1, &text);
            stored_bytes(&hub, workers);
        }
        // All of them stay suspended.
        wait_until_suspended(&hub, SESSIONS as f64).await;
        let (kept, evicted) = (metric(&hub, "hubbub_buffered_messages"), metric(&hub, "hubbub_recovery_evicted_total"));
        assert_eq!(kept + evicted, rooms.len());
        assert!((CAPACITY..=CAPACITY + workers).contains(&kept), "{kept} are kept");
        for (session, saved) in saved_sessions.iter().enumerate() {
            let missed: Vec<_> = (0..rooms.len()).filter(|&n| rooms[n] == session).collect();
            let is_kept = missed.iter().all(|&n| n >= evicted);
            assert_eq!(resumes(&hub, saved, &missed).await, is_kept, "session {session}, with {evicted} evicted");
        }
        assert_eq!(metric(&hub, "hubbub_sessions_recovered_total"), kept - 10);
        assert_eq!(metric(&hub, "hubbub_sessions_evicted_total"), 0);
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn an_event_that_many_sessions_missed_is_stored_once() {
    let hub = hub("server.workers = 1");
    let text = "x".repeat(TEXT);
    let mut saved_sessions = Vec::new();
    for n in 0..SESSIONS {
        let mut client = RecoveryClient::of(&hub, SioTransport::WebSocket, &format!("user-{n}")).await;
        client.sio.join("one").await;
        saved_sessions.push(client.suspend(&hub, SioTransport::WebSocket).await);
    }
    let missed = many_to_room(&hub, "one", 0..10, &text);
    let assert_stored_once = || {
        assert!(metric(&hub, "hubbub_recovery_bytes") <= 10 * WEIGHT);
        assert_eq!(metric(&hub, "hubbub_buffered_messages"), 10);
    };
    assert_stored_once();
    let mut clients = Vec::new();
    for saved in &saved_sessions {
        let mut client = saved.resume(&hub, SioTransport::WebSocket).await;
        client.expect_exactly(&missed).await;
        assert_stored_once();
        clients.push(client);
    }
    for client in clients {
        client.disconnect().await;
    }
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn what_is_kept_for_connected_sessions_is_bounded_too() {
    let hub = hub(&format!("recovery.bytes = {BOUND}"));
    let text = "x".repeat(TEXT);
    let mut clients = Vec::new();
    for n in 0..4 {
        let transport = if n == 3 { SioTransport::Polling } else { SioTransport::WebSocket };
        let mut client = RecoveryClient::of(&hub, transport, &format!("user-{n}")).await;
        client.sio.join(&format!("room-{n}")).await;
        client.sio.join("all").await;
        clients.push(client);
    }
    for round in 0..10 {
        for (n, client) in clients.iter_mut().enumerate() {
            let sent = many_to_room(&hub, &format!("room-{n}"), round * 10..round * 10 + 3, &text);
            stored_bytes(&hub, 3);
            client.expect_exactly(&sent).await;
        }
        let sent = many_to_room(&hub, "all", round..round + 1, &text);
        for client in &mut clients {
            client.expect_exactly(&sent).await;
        }
        stored_bytes(&hub, 3);
    }
    assert!(stored_bytes(&hub, 3) > 0.0);
    assert!(metric(&hub, "hubbub_recovery_evicted_total") > 0);
    // The clients have received what was evicted, so their sessions resume.
    let mut saved_sessions = Vec::new();
    for (n, client) in clients.into_iter().enumerate() {
        let transport = if n == 3 { SioTransport::Polling } else { SioTransport::WebSocket };
        saved_sessions.push(client.suspend(&hub, transport).await);
    }
    for (n, saved) in saved_sessions.iter().enumerate() {
        let missed = to_room(&hub, &format!("room-{n}"), n);
        stored_bytes(&hub, 3);
        let mut client = saved.resume(&hub, SioTransport::WebSocket).await;
        client.expect_exactly(&[missed]).await;
        client.disconnect().await;
    }
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn one_event_for_each_of_many_sessions_is_within_the_bound() {
    let hub = hub(&format!("recovery.bytes = {BOUND}"));
    let text = "x".repeat(TEXT);
    let mut clients = Vec::new();
    for n in 0..SESSIONS {
        let mut client = RecoveryClient::of(&hub, SioTransport::WebSocket, &format!("user-{n}")).await;
        client.sio.join(&format!("room-{n}")).await;
        clients.push(client);
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let sent = many_to_room(&hub, &format!("room-{n}"), n..n + 1, &text);
        stored_bytes(&hub, 2);
        client.expect_exactly(&sent).await;
    }
    for client in clients {
        client.disconnect().await;
    }
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn publications_are_kept_while_a_session_may_need_them() {
    let hub = hub("");
    let kept = |count: usize| metric(&hub, "hubbub_buffered_messages") == count;
    for transport in SioTransport::BOTH {
        let mut clients = Vec::new();
        for user in ["alice", "bob"] {
            let mut client = RecoveryClient::of(&hub, transport, user).await;
            client.sio.join("one").await;
            clients.push(client);
        }
        let sent = many_to_room(&hub, "one", 0..50, "x");
        // No client names its offset while it is connected.
        for client in &mut clients {
            client.expect_exactly(&sent).await;
        }
        assert!(kept(50));
        let [alice, bob] = clients.try_into().ok().unwrap();
        let saved = alice.suspend(&hub, transport).await;
        bob.disconnect().await;
        eventually(DEADLINE, "bob has disconnected", || hub.connections() == 0).await;
        assert!(kept(50), "alice is suspended");
        let missed = to_room(&hub, "one", 1);
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&[missed]).await;
        assert!(kept(51));
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

/// Longer than the window: a client that does not read is noticed after that.
const PATIENT: &str = "recovery.window_secs = 60\nsocketio.ping_interval_ms = 120000";

#[tokio::test]
async fn a_publication_is_gone_when_the_recovery_window_has_passed() {
    let hub = Hub::with_manual_clock(&config(PATIENT));
    for transport in SioTransport::BOTH {
        for (ms, is_kept) in [(59_999, true), (60_000, false)] {
            let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
            alice.sio.join("one").await;
            let received = to_room(&hub, "one", 0);
            alice.expect_exactly(&[received]).await;
            // She does not read it. Her connection looks alive.
            let missed = to_room(&hub, "one", 1);
            hub.advance(ms);
            if is_kept {
                let mut client = alice.saved.resume(&hub, transport).await;
                client.expect_exactly(&[missed]).await;
                client.disconnect().await;
            } else {
                eventually(DEADLINE, "nothing is kept", || hub.metric("hubbub_buffered_messages") == 0.0).await;
                alice.saved.fail_to_resume(&hub, transport).await.disconnect().await;
            }
            drop(alice);
            wait_until_empty(&hub).await;
        }
    }
}

#[tokio::test]
async fn a_session_that_has_all_events_resumes_after_they_are_gone() {
    let hub = Hub::with_manual_clock(&config(PATIENT));
    let mut alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    let received = to_room(&hub, "one", 0);
    alice.expect_exactly(&[received]).await;
    hub.advance(60_000);
    eventually(DEADLINE, "nothing is kept", || hub.metric("hubbub_buffered_messages") == 0.0).await;
    let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
    let missed = to_room(&hub, "one", 1);
    let mut alice = saved.resume(&hub, SioTransport::WebSocket).await;
    alice.expect_exactly(&[missed]).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn sessions_that_never_return_leave_nothing_behind() {
    let hub = hub("recovery.window_secs = 1");
    for n in 0..SESSIONS {
        let mut client = RecoveryClient::of(&hub, SioTransport::Polling, &format!("user-{n}")).await;
        client.sio.join("one").await;
        client.cut(SioTransport::Polling).await;
        to_room(&hub, "one", n);
    }
    wait_until_empty(&hub).await;
    assert_eq!(hub.metric("hubbub_sessions_evicted_total"), 0.0);
}
