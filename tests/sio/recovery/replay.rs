//! The replay of missed events where the shape of a case does not fit: reconnects that fail half-way, rival clients, slow
//! sockets, and cuts under load.

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{ClientState, RecoveryClient, hub, many_to_room, post, to_room, wait_until_empty, wait_until_suspended};
use crate::support::http::Http;
use crate::support::socketio::SocketPacket;
use crate::support::token::token;
use crate::support::{DEADLINE, Hub, Sio, SioTransport, eventually};

#[tokio::test]
async fn a_client_that_is_cut_before_it_reads_the_reply_loses_and_repeats_nothing() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let received = to_room(&hub, "one", 0);
        alice.expect_exactly(&[received]).await;
        let saved = alice.suspend(&hub, transport).await;
        let mut missed = vec![to_room(&hub, "one", 1)];
        for n in 2..5 {
            let recovered = hub.metric("hubbub_sessions_recovered_total");
            let mut sio = Sio::open(&hub, transport).await;
            sio.send(&format!("40{}", saved.auth())).await;
            eventually(DEADLINE, "the session resumes", || {
                hub.metric("hubbub_sessions_recovered_total") == recovered + 1.0
            })
            .await;
            missed.push(to_room(&hub, "one", 10 * n));
            match transport {
                SioTransport::WebSocket => sio.into_wire().reset(),
                SioTransport::Polling => sio.send("1").await,
            }
            wait_until_suspended(&hub, 1.0).await;
            missed.push(to_room(&hub, "one", 10 * n + 1));
        }
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&missed).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

/// Reads the greeting and the first event after it. True if the client resumed the session and `missed` is that event.
async fn has_resumed(client: &mut Sio, missed: &Value) -> bool {
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "system:welcome") {
        match client.try_receive().await {
            // The second client ends the connection of the first, because the session is connected again by then.
            None => break,
            Some(packet) if packet.kind == SocketPacket::DISCONNECT => break,
            Some(packet) => names.push(packet.event().unwrap_or_default().to_owned()),
        }
    }
    names.iter().any(|name| name == "system:state_recovered")
        && client.try_receive().await.and_then(|packet| packet.data.get(1).cloned()).as_ref() == Some(missed)
}

#[tokio::test]
async fn two_clients_that_name_one_session_never_share_it() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let saved = alice.suspend(&hub, transport).await;
        let missed = to_room(&hub, "one", 1);
        let mut rivals = [Sio::open(&hub, transport).await, Sio::open(&hub, SioTransport::WebSocket).await];
        for rival in &mut rivals {
            rival.send(&format!("40{}", saved.auth())).await;
        }
        let mut resumed = 0;
        for rival in &mut rivals {
            resumed += usize::from(has_resumed(rival, &missed[1]).await);
        }
        assert!(resumed >= 1);
        let room = hub.http().request("GET", "/api/rooms/one").key().send().json();
        assert_eq!(room["sessions"], 1, "{room}");
        for rival in &mut rivals {
            rival.try_send("41").await;
        }
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn missed_bytes_are_replayed_as_attachments() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let saved = alice.suspend(&hub, transport).await;
        let data = json!({"one": {"$binary": "AP8B"}, "list": [{"$binary": ""}, 1]});
        post(&hub, "/api/room", &json!({"room": "one", "event": "bytes", "data": data}));
        let next = to_room(&hub, "one", 1);
        let mut alice = saved.resume(&hub, transport).await;
        let packet = alice.receive().await;
        let placeholder = |num: u64| json!({"_placeholder": true, "num": num});
        assert_eq!(packet.data, json!(["bytes", {"list": [placeholder(0), 1], "one": placeholder(1)}]));
        assert_eq!(packet.attachments, [vec![], vec![0, 255, 1]]);
        alice.expect_exactly(&[next]).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

/// Alice in room `one`, on a socket that is full after a few KiB.
async fn on_small_buffers(hub: &Hub) -> RecoveryClient {
    let mut sio = Sio::open_with_small_buffers(hub).await;
    let token = token("alice");
    let answer = sio.connect("/", &json!({ "token": token })).await.unwrap();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let (sid, pid) = (text("sid"), text("pid"));
    let saved = ClientState { user: "alice".to_owned(), token: Some(token), sid, pid, offset: None };
    let mut alice = RecoveryClient { sio, saved };
    alice.next_events(2).await;
    alice.sio.join("one").await;
    alice
}

#[tokio::test]
async fn a_session_resumes_while_its_old_socket_is_full() {
    let hub = hub("");
    let stuck = on_small_buffers(&hub).await;
    let missed = many_to_room(&hub, "one", 0..150, &"x".repeat(2_000));
    let mut alice = stuck.saved.resume(&hub, SioTransport::WebSocket).await;
    alice.expect_exactly(&missed).await;
    let live = to_room(&hub, "one", 1);
    alice.expect_exactly(&[live]).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
    drop(stuck.sio);
}

#[tokio::test]
async fn a_slow_consumer_resumes_without_loss() {
    let hub = hub("limits.outbox_frames = 16\nrecovery.queue = 5000");
    let alice = on_small_buffers(&hub).await;
    let mut missed = Vec::new();
    while hub.metric("hubbub_suspended_sessions") == 0.0 {
        let n = missed.len();
        assert!(n < 5_000, "{n} unread events did not end the connection");
        missed.extend(many_to_room(&hub, "one", n..n + 200, "some words"));
    }
    let mut alice = alice.saved.resume(&hub, SioTransport::WebSocket).await;
    alice.expect_exactly(&missed).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

/// Publishes to two rooms and to alice until `stop` is set. The result is the number of rounds.
fn publish(http: &Http, stop: &AtomicBool) -> usize {
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let event = json!("many");
        let data = json!({ "n": n });
        let commands = json!([
            {"room": {"room": "one", "event": event, "data": data}},
            {"room": {"room": "other", "event": event, "data": data}},
            {"push": {"userId": "alice", "event": event, "data": data}},
        ]);
        let answer = http.request("POST", "/api/batch").key().json(&json!({ "commands": commands })).send();
        assert_eq!(answer.status, 200, "{answer:?}");
        n += 1;
    }
    n
}

/// Asserts that the next event is number `count` of the events of [`publish`]: three in each round.
async fn expect_number(client: &mut RecoveryClient, count: &mut usize) {
    let event = client.event().await;
    assert_eq!(event, json!(["many", {"n": *count / 3}]), "event {count}");
    *count += 1;
}

#[tokio::test]
async fn a_client_that_is_cut_again_and_again_under_load_receives_each_event_once() {
    const CUTS: usize = 24;
    // Pings come between the events. The bounds are high, because the hub keeps the events of all cuts.
    let hub = hub("socketio.ping_interval_ms = 30\nsocketio.ping_timeout_ms = 20000\n\
        recovery.queue = 1000000\nlimits.outbox_bytes = 100000000");
    let mut alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    alice.sio.join("other").await;
    let stop = Arc::new(AtomicBool::new(false));
    let (http, stopped) = (hub.http(), stop.clone());
    let publisher = thread::spawn(move || publish(&http, &stopped));
    let mut count = 0;
    let mut transport = SioTransport::WebSocket;
    for cut in 0..CUTS {
        // Some cuts come long before the client has read all.
        for _ in 0..cut % 7 * 5 {
            expect_number(&mut alice, &mut count).await;
        }
        let next = if cut % 3 == 2 { SioTransport::Polling } else { SioTransport::WebSocket };
        let saved = match cut % 4 {
            // The old connection still looks alive.
            0 => alice.saved.clone(),
            1 => alice.suspend(&hub, transport).await,
            _ => alice.cut(transport).await,
        };
        alice = saved.resume(&hub, next).await;
        transport = next;
    }
    stop.store(true, Ordering::Relaxed);
    let rounds = tokio::task::spawn_blocking(|| publisher.join().unwrap()).await.unwrap();
    while count < 3 * rounds {
        expect_number(&mut alice, &mut count).await;
    }
    alice.sio.expect_silence().await;
    assert_eq!(count, 3 * rounds);
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}
