//! What a client missed comes to it once and in order, wherever its connection was cut.

use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{
    RecoveryClient, SavedSession, hub, many_to_room, post, to_all, to_room, to_user, wait_until_empty,
    wait_until_suspended,
};
use crate::support::http::Http;
use crate::support::socketio::{SessionEnd, SocketPacket, events};
use crate::support::token::token;
use crate::support::{DEADLINE, Hub, Sio, Transport, eventually};

/// Sends to two rooms, to the user and to everybody, all that has an order.
fn to_each(hub: &Hub, from: usize) -> Vec<Value> {
    let mut sent = Vec::new();
    for n in from..from + 3 {
        sent.extend([to_room(hub, "one", n), to_user(hub, "alice", n), to_room(hub, "other", n), to_all(hub, n)]);
    }
    sent
}

#[tokio::test]
async fn a_session_goes_on_with_all_that_it_missed_in_order_and_then_live() {
    let hub = hub("");
    for from in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, from, "alice").await;
        for room in ["one", "other", "none of these"] {
            alice.sio.join(room).await;
        }
        for to in Transport::BOTH {
            let received = to_each(&hub, 0);
            alice.expect_exactly(&received).await;
            let saved = alice.suspend(&hub, from).await;
            let missed = to_each(&hub, 10);
            to_room(&hub, "elsewhere", 1);
            to_user(&hub, "bob", 1);
            alice = saved.resume(&hub, to).await;
            alice.expect_exactly(&missed).await;
            let live = to_each(&hub, 20);
            alice.expect_exactly(&live).await;
            // Once more, with nothing missed.
            let saved = alice.suspend(&hub, to).await;
            alice = saved.resume(&hub, from).await;
            alice.sio.expect_silence().await;
        }
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
    assert_eq!(hub.metric("hubbub_sessions_recovered_total"), 8.0);
    assert_eq!(hub.metric("hubbub_sessions_not_recovered_total"), 0.0);
}

#[tokio::test]
async fn a_session_whose_poll_was_cut_goes_on() {
    let hub = hub("socketio.ping_interval_ms = 120000");
    let mut alice = RecoveryClient::of(&hub, Transport::Polling, "alice").await;
    alice.sio.join("one").await;
    alice.sio.start_poll().await;
    alice.sio.polling().abort_poll();
    wait_until_suspended(&hub, 1.0).await;
    let missed = [to_room(&hub, "one", 1), to_user(&hub, "alice", 2)];
    let mut back = alice.saved.resume(&hub, Transport::Polling).await;
    back.expect_exactly(&missed).await;
}

#[tokio::test]
async fn what_was_written_to_a_connection_that_was_dead_comes_again() {
    let hub = hub("");
    for from in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, from, "alice").await;
        alice.sio.join("one").await;
        let sent = to_each(&hub, 0);
        let (received, unheard): (Vec<_>, Vec<_>) = sent.into_iter().partition(|event| event[1]["in"] != "other");
        assert_eq!(unheard.len(), 3);
        alice.expect_exactly(&received).await;
        // Fetched by a poll whose answer nobody reads, or written to a socket that nobody reads.
        if from == Transport::Polling {
            alice.sio.start_poll().await;
        }
        let lost: Vec<_> = (0..3).map(|n| to_room(&hub, "one", n)).collect();
        if from == Transport::Polling {
            eventually(DEADLINE, "the poll is answered", || hub.metric("hubbub_recovery_bytes") > 0.0).await;
            alice.sio.polling().abort_poll();
        }
        let saved = alice.suspend(&hub, from).await;
        let missed = to_room(&hub, "one", 3);
        let mut alice = saved.resume(&hub, Transport::WebSocket).await;
        alice.expect_exactly(&[lost, vec![missed]].concat()).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn a_client_that_is_cut_off_again_before_it_heard_the_answer_loses_and_doubles_nothing() {
    let hub = hub("");
    for transport in Transport::BOTH {
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
            eventually(DEADLINE, "the hub goes on", || {
                hub.metric("hubbub_sessions_recovered_total") == recovered + 1.0
            })
            .await;
            missed.push(to_room(&hub, "one", 10 * n));
            match transport {
                Transport::WebSocket => sio.into_wire().reset(),
                Transport::Polling => sio.send("1").await,
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

#[tokio::test]
async fn a_client_comes_back_while_its_old_connection_looks_alive() {
    let hub = hub("");
    for transport in Transport::BOTH {
        let mut old = RecoveryClient::of(&hub, transport, "alice").await;
        old.sio.join("one").await;
        let received = to_room(&hub, "one", 0);
        old.expect_exactly(&[received]).await;
        let unheard = to_room(&hub, "one", 1);
        let mut alice = old.saved.resume(&hub, transport).await;
        alice.expect_exactly(std::slice::from_ref(&unheard)).await;
        let live = to_room(&hub, "one", 2);
        alice.expect_exactly(&[live]).await;
        let (told, end) = old.sio.read_to_end().await;
        let mut told: Vec<_> = told.into_iter().filter(|said| said.data[0] != "to-room").collect();
        assert_eq!(told.pop().map(|said| said.kind), Some(SocketPacket::DISCONNECT));
        assert_eq!(events(&told), [json!(["disconnected", {"reason": "session_recovered"}])]);
        assert_ne!(end, SessionEnd::UnknownSession, "{transport:?}");
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn one_that_fell_silent_is_recovered_when_its_heartbeat_ran_out() {
    let hub = hub("socketio.ping_interval_ms = 200\nsocketio.ping_timeout_ms = 1000");
    for transport in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let lost: Vec<_> = (0..3).map(|n| to_room(&hub, "one", n)).collect();
        wait_until_suspended(&hub, 1.0).await;
        let missed = to_room(&hub, "one", 3);
        let mut alice = alice.saved.resume(&hub, transport).await;
        alice.expect_exactly(&[lost, vec![missed]].concat()).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn of_two_who_come_back_to_one_session_one_goes_on() {
    let hub = hub("");
    for transport in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let saved = alice.suspend(&hub, transport).await;
        let missed = to_room(&hub, "one", 1);
        let mut rivals = [Sio::open(&hub, transport).await, Sio::open(&hub, Transport::WebSocket).await];
        for rival in &mut rivals {
            rival.send(&format!("40{}", saved.auth())).await;
        }
        let mut going_on = 0;
        for rival in &mut rivals {
            let mut received = Vec::new();
            while let Some(said) = rival.try_receive().await {
                // Who was first may have been put out for the other, who came to a session that lived.
                if said.kind == SocketPacket::DISCONNECT {
                    break;
                }
                let name = said.event().map(str::to_owned);
                received.push(name.clone().unwrap_or_default());
                if name.as_deref() == Some("system:welcome") {
                    break;
                }
            }
            if received.contains(&"system:state_recovered".to_owned())
                && rival.try_receive().await.and_then(|said| said.data.get(1).cloned()).as_ref() == Some(&missed[1])
            {
                going_on += 1;
            }
        }
        assert!(going_on >= 1);
        let room = hub.http().request("GET", "/api/rooms/one").key().send().json();
        assert_eq!(room["sessions"], 1, "{room}");
        for rival in &mut rivals {
            rival.try_send("41").await;
        }
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn bytes_come_again_as_bytes() {
    let hub = hub("");
    for transport in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let saved = alice.suspend(&hub, transport).await;
        let data = json!({"one": {"$binary": "AP8B"}, "list": [{"$binary": ""}, 1]});
        post(&hub, "/api/room", &json!({"room": "one", "event": "bytes", "data": data}));
        let behind = to_room(&hub, "one", 1);
        let mut alice = saved.resume(&hub, transport).await;
        let said = alice.receive().await;
        let placed = |num: u64| json!({"_placeholder": true, "num": num});
        assert_eq!(said.data, json!(["bytes", {"list": [placed(0), 1], "one": placed(1)}]));
        assert_eq!(said.attachments, [vec![], vec![0, 255, 1]]);
        alice.expect_exactly(&[behind]).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn more_than_may_wait_for_a_client_is_not_brought_and_less_is_whole() {
    let hub = hub("limits.outbox_bytes = 100000");
    let text = "x".repeat(10_000);
    for transport in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let saved = alice.suspend(&hub, transport).await;
        let missed = many_to_room(&hub, "one", 0..4, &text);
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&missed).await;
        let live = many_to_room(&hub, "one", 0..3, &text);
        alice.expect_exactly(&live).await;
        let saved = alice.suspend(&hub, transport).await;
        many_to_room(&hub, "one", 0..30, &text);
        let mut alice = saved.fail_to_resume(&hub, transport).await;
        alice.sio.expect_silence().await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

/// Alice, in a room, on a socket that is full after a few KiB.
async fn narrow(hub: &Hub) -> RecoveryClient {
    let mut sio = Sio::open_with_small_buffers(hub).await;
    let token = token("alice");
    let answer = sio.connect("/", &json!({ "token": token })).await.unwrap();
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let (sid, pid) = (text("sid"), text("pid"));
    let saved = SavedSession { user: "alice".to_owned(), token: Some(token), sid, pid, last: None };
    let mut alice = RecoveryClient { sio, saved };
    alice.next_events(2).await;
    alice.sio.join("one").await;
    alice
}

#[tokio::test]
async fn a_client_comes_back_while_its_old_connection_takes_nothing_any_more() {
    let hub = hub("");
    let stuck = narrow(&hub).await;
    let missed = many_to_room(&hub, "one", 0..150, &"x".repeat(2_000));
    let mut alice = stuck.saved.resume(&hub, Transport::WebSocket).await;
    alice.expect_exactly(&missed).await;
    let live = to_room(&hub, "one", 1);
    alice.expect_exactly(&[live]).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
    drop(stuck.sio);
}

#[tokio::test]
async fn one_that_read_too_slowly_goes_on_where_it_was() {
    let hub = hub("limits.outbox_frames = 16\nrecovery.queue = 5000");
    let alice = narrow(&hub).await;
    let mut missed = Vec::new();
    while hub.metric("hubbub_parked_sessions") == 0.0 {
        let n = missed.len();
        assert!(n < 5_000, "it was never too slow");
        missed.extend(many_to_room(&hub, "one", n..n + 200, "some words"));
    }
    let mut alice = alice.saved.resume(&hub, Transport::WebSocket).await;
    alice.expect_exactly(&missed).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

/// Publishes to two rooms and to the user until it is told to stop; how many each got.
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

#[tokio::test]
async fn one_that_is_cut_off_again_and_again_while_others_talk_hears_everything_once() {
    const CUTS: usize = 24;
    // Pings come often, so that what was confirmed is forgotten meanwhile.
    // The slower this goes, the more is missed at once.
    let hub = hub("socketio.ping_interval_ms = 30\nsocketio.ping_timeout_ms = 20000\n\
        recovery.queue = 1000000\nlimits.outbox_bytes = 100000000");
    let mut alice = RecoveryClient::of(&hub, Transport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    alice.sio.join("other").await;
    let stop = Arc::new(AtomicBool::new(false));
    let (http, stopped) = (hub.http(), stop.clone());
    let publisher = thread::spawn(move || publish(&http, &stopped));
    let mut counts = 0;
    let mut transport = Transport::WebSocket;
    for cut in 0..CUTS {
        // Some are cut off long before they read all.
        for _ in 0..cut % 7 * 5 {
            alice.expect_any(&mut counts).await;
        }
        let next = if cut % 3 == 2 { Transport::Polling } else { Transport::WebSocket };
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
    let sent = tokio::task::spawn_blocking(|| publisher.join().unwrap()).await.unwrap();
    while counts < 3 * sent {
        alice.expect_any(&mut counts).await;
    }
    alice.sio.expect_silence().await;
    assert_eq!(counts, 3 * sent);
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

impl RecoveryClient {
    /// That the next event is the next of those that are published one after the other to all three.
    async fn expect_any(&mut self, received: &mut usize) {
        let event = self.event().await;
        assert_eq!(event, json!(["many", {"n": *received / 3}]), "number {received}");
        *received += 1;
    }
}
