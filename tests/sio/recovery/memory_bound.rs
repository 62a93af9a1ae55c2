//! The memory for events of suspended sessions has a bound. The longest-suspended sessions are evicted first.

use super::{
    ClientState, RecoveryClient, hub, many_to_room, recovery_failed, to_room, wait_until_empty, wait_until_suspended,
};
use crate::support::{Hub, SioTransport};

const BOUND: usize = 400_000;
const TEXT: usize = 20_000;
const SESSIONS: usize = 40;

/// The stored bytes. Asserts that they exceed the bound by at most one event per worker.
#[track_caller]
fn stored_bytes(hub: &Hub, workers: usize) -> f64 {
    let stored = hub.metric("hubbub_recovery_bytes");
    let most = BOUND + workers * (TEXT + 1_000);
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

#[tokio::test]
async fn the_longest_suspended_sessions_are_evicted_first() {
    let text = "x".repeat(TEXT);
    for workers in [1, 2] {
        let hub = hub(&format!("recovery.bytes = {BOUND}\nserver.workers = {workers}"));
        let saved_sessions = suspend_all(&hub, SioTransport::WebSocket).await;
        // The sessions miss events in reverse order.
        for n in (0..SESSIONS).rev() {
            many_to_room(&hub, &format!("room-{n}"), n..n + 1, &text);
            stored_bytes(&hub, workers);
        }
        for n in (SESSIONS / 2..SESSIONS).rev() {
            many_to_room(&hub, &format!("room-{n}"), SESSIONS + n..SESSIONS + n + 1, &text);
            stored_bytes(&hub, workers);
        }
        // An evicted session stays suspended, and fails to resume.
        wait_until_suspended(&hub, SESSIONS as f64).await;
        let evicted = metric(&hub, "hubbub_sessions_evicted_total");
        let capacity = BOUND / (TEXT + 1_000);
        assert!(evicted > 0 && evicted < SESSIONS, "{evicted} of {SESSIONS}");
        assert!(metric(&hub, "hubbub_buffered_messages") <= capacity + workers);
        let mut recovered = Vec::new();
        for (n, saved) in saved_sessions.iter().enumerate() {
            let mut client = saved.connect(&hub, SioTransport::WebSocket, &saved.auth()).await;
            let first = client.next_events(4).await;
            let is_recovered = first[1][0] == "system:state_recovered";
            assert!(is_recovered || first[1] == recovery_failed(), "{first:?}");
            if is_recovered {
                let received = [client.event().await, client.event().await].map(|event| event[1]["n"].clone());
                assert_eq!(received, [n, SESSIONS + n]);
            }
            client.sio.expect_silence().await;
            client.disconnect().await;
            recovered.push(is_recovered);
            stored_bytes(&hub, workers);
        }
        let count = recovered.iter().filter(|recovered| **recovered).count();
        assert_eq!(count + evicted, SESSIONS);
        assert!(count >= capacity / 2 - workers && count <= capacity / 2 + workers, "{count} recovered");
        if workers == 1 {
            // The last ones resume.
            let expected: Vec<_> = (0..SESSIONS).map(|n| n >= SESSIONS - count).collect();
            assert_eq!(recovered, expected);
        }
        wait_until_empty(&hub).await;
        assert_eq!(metric(&hub, "hubbub_sessions_evicted_total"), evicted);
    }
}

#[tokio::test]
async fn an_event_that_many_sessions_missed_is_stored_once() {
    let hub = hub("server.workers = 1");
    let text = "x".repeat(TEXT);
    let most = |times: usize| (times * 10 * (TEXT + 1_000)) as f64;
    let mut saved_sessions = Vec::new();
    for n in 0..SESSIONS {
        let mut client = RecoveryClient::of(&hub, SioTransport::WebSocket, &format!("user-{n}")).await;
        client.sio.join("one").await;
        saved_sessions.push(client.suspend(&hub, SioTransport::WebSocket).await);
    }
    let missed = many_to_room(&hub, "one", 0..10, &text);
    assert!(hub.metric("hubbub_recovery_bytes") < most(1));
    let mut clients = Vec::new();
    for saved in &saved_sessions {
        let mut client = saved.resume(&hub, SioTransport::WebSocket).await;
        client.expect_exactly(&missed).await;
        // The replayed events are stored again, once for all sessions.
        assert!(hub.metric("hubbub_recovery_bytes") < most(2));
        clients.push(client);
    }
    assert_eq!(metric(&hub, "hubbub_sessions_evicted_total"), 0);
    for client in clients {
        client.disconnect().await;
    }
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn events_that_clients_never_confirm_are_bounded_too() {
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
            stored_bytes(&hub, 2);
            client.expect_exactly(&sent).await;
        }
        let sent = many_to_room(&hub, "all", round..round + 1, &text);
        for client in &mut clients {
            client.expect_exactly(&sent).await;
        }
        stored_bytes(&hub, 2);
    }
    assert!(stored_bytes(&hub, 2) > 0.0);
    // The offset that a client names confirms the events up to it, so they need not be stored.
    let mut saved_sessions = Vec::new();
    for (n, client) in clients.into_iter().enumerate() {
        let transport = if n == 3 { SioTransport::Polling } else { SioTransport::WebSocket };
        saved_sessions.push(client.suspend(&hub, transport).await);
    }
    for (n, saved) in saved_sessions.iter().enumerate() {
        let missed = to_room(&hub, &format!("room-{n}"), n);
        stored_bytes(&hub, 2);
        let mut client = saved.resume(&hub, SioTransport::WebSocket).await;
        client.expect_exactly(&[missed]).await;
        client.disconnect().await;
    }
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn one_unconfirmed_event_for_each_of_many_sessions_is_within_the_bound() {
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
async fn confirmed_events_are_not_stored() {
    let hub = hub("socketio.ping_interval_ms = 50\nsocketio.ping_timeout_ms = 15000");
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let sent = many_to_room(&hub, "one", 0..50, "x");
        alice.expect_exactly(&sent).await;
        alice.answer_pings_until_confirmed(&hub).await;
        let saved = alice.suspend(&hub, transport).await;
        let missed = to_room(&hub, "one", 1);
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&[missed]).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
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
