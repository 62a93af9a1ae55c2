//! A session that upgrades from polling to a WebSocket loses and repeats nothing, and no other socket can take it over.

use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

use crate::support::socketio::{ObservedEnd, PollingSession, WEBSOCKET, unknown_sid};
use crate::support::wait::within;
use crate::support::wire::{RawFrame, opcode};
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, Wire, eventually};

#[tokio::test]
async fn a_probe_is_answered_and_ends_the_waiting_poll() {
    let hub = Hub::start();
    let mut polling = PollingSession::open(&hub).await;
    polling.start_poll().await;
    let mut wire = polling.start_upgrade().await;
    wire.send_text("2probe").await;
    assert_eq!(wire.text().await, "3probe");
    assert_eq!(polling.poll_body().await, "6");
    // A poll that arrives later ends, too.
    assert_eq!(polling.poll_body().await, "6");
    wire.send_text("5").await;
    wire.send_text("40").await;
    let connected = wire.text().await;
    assert!(connected.starts_with("40{\"sid\":"), "{connected}");
}

#[tokio::test]
async fn a_probe_and_the_upgrade_may_be_sent_in_one_write() {
    let hub = Hub::start();
    let polling = PollingSession::open(&hub).await;
    let mut wire = polling.start_upgrade().await;
    let at_once = ["2probe", "5", "40"].map(|text| RawFrame::text(text).encode()).concat();
    wire.send(&at_once).await;
    assert_eq!(wire.text().await, "3probe");
    let connected = wire.text().await;
    assert!(connected.starts_with("40{\"sid\":"), "{connected}");
}

#[tokio::test]
async fn an_upgraded_session_accepts_neither_requests_nor_another_websocket() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let (path, sid) = (client.polling().path(), client.polling().sid().to_owned());
    client.upgrade().await;
    client.expect_silence().await;
    for answer in [hub.get(&path), hub.http().request("POST", &path).body("42[\"ping\"]").send()] {
        let refusal = json!({"code": 3, "message": "Bad request: the session is on a socket now"});
        assert_eq!((answer.status, answer.json()), (400, refusal));
    }
    let second = format!("{}&sid={sid}", WEBSOCKET);
    let (answer, mut wire) = Wire::upgrade(&hub, &second, &[]).await;
    if answer.status == 101 {
        wire.try_send(&RawFrame::text("2probe").encode()).await;
        let frame = wire.frame().await.expect("a close frame");
        assert_eq!((frame.opcode, frame.close_code()), (opcode::CLOSE, Some(1002)), "{frame:?}");
        wire.wait_closed().await;
    } else {
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    client.expect_silence().await;
    client.join("lobby").await;
}

#[tokio::test]
async fn a_second_websocket_does_not_disturb_the_first_during_its_probe() {
    let hub = Hub::start();
    let polling = PollingSession::open(&hub).await;
    let mut first = polling.start_upgrade().await;
    first.send_text("2probe").await;
    assert_eq!(first.text().await, "3probe");
    let mut second = polling.start_upgrade().await;
    second.try_send(&RawFrame::text("2probe").encode()).await;
    assert_eq!(second.close_code().await, Some(1002));
    first.send_text("5").await;
    first.send_text("40").await;
    assert!(first.text().await.starts_with("40{\"sid\":"));
}

/// A WebSocket with an answered probe. Retries until the hub has detected the end of the one before.
async fn probed(polling: &PollingSession) -> Wire {
    let answered = async {
        loop {
            let mut wire = polling.start_upgrade().await;
            wire.try_send(&RawFrame::text("2probe").encode()).await;
            let answer = wire.frame().await.expect("an answer, or a close frame");
            if answer.payload == b"3probe" {
                return wire;
            }
            assert_eq!(answer.close_code(), Some(1002), "{answer:?}");
        }
    };
    within(DEADLINE, "the probe is answered", answered).await
}

#[tokio::test]
async fn a_failed_upgrade_leaves_the_polling_session_unchanged() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    drop(client.polling().start_upgrade().await);
    client.expect_silence().await;
    drop(probed(client.polling()).await);
    client.expect_silence().await;
    let mut wire = probed(client.polling()).await;
    wire.send_frame(&RawFrame::new(opcode::CLOSE, 1000_u16.to_be_bytes())).await;
    wire.wait_closed().await;
    client.expect_silence().await;
    for wrong in ["2probe", "4hello", "3probe", "1", "6", "55", ""] {
        let mut wire = probed(client.polling()).await;
        wire.send_text(wrong).await;
        assert_eq!(wire.close_code().await, Some(1002), "{wrong}");
        client.expect_silence().await;
    }
    for wrong in ["2", "55", "4hello", "3probe"] {
        let mut wire = client.polling().start_upgrade().await;
        wire.send_text(wrong).await;
        assert_eq!(wire.close_code().await, Some(1002), "{wrong}");
        client.expect_silence().await;
    }
    client.upgrade().await;
    client.expect_silence().await;
}

#[tokio::test]
async fn an_ended_session_cannot_be_upgraded() {
    let hub = Hub::start();
    let mut polling = PollingSession::open(&hub).await;
    let mut wire = polling.start_upgrade().await;
    wire.send_text("2probe").await;
    assert_eq!(wire.text().await, "3probe");
    polling.send("1").await;
    assert_eq!(polling.poll_body().await, "6");
    wire.try_send(&RawFrame::text("5").encode()).await;
    assert_eq!(wire.close_code().await, Some(1002));
    let path = format!("{}&sid={}", WEBSOCKET, polling.sid());
    let (answer, _) = Wire::upgrade(&hub, &path, &[]).await;
    assert_eq!((answer.status, answer.json()), (400, unknown_sid()));
}

const MESSAGES: u64 = 2_000;
const CLIENTS: u64 = 20;

/// Receives all messages, and upgrades to a WebSocket after `after` of them.
async fn listen(mut client: Sio, after: u64) -> Vec<u64> {
    let mut received = Vec::new();
    let mut upgraded = false;
    while received.len() < MESSAGES as usize {
        if !upgraded && received.len() as u64 >= after {
            client.upgrade().await;
            upgraded = true;
        }
        received.push(client.expect("Broadcast").await["payload"].as_u64().unwrap());
    }
    assert!(upgraded);
    client.expect_silence().await;
    received
}

#[tokio::test]
async fn an_upgrade_under_load_loses_and_repeats_nothing() {
    let hub = Hub::with("[server]\nworkers = 2\n[limits.raw]\nmessages_per_minute = 0");
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let mut client = Sio::of(&hub, SioTransport::Polling, &format!("member-{n}")).await;
        client.join("feed").await;
        clients.spawn(listen(client, n * (MESSAGES - 500) / CLIENTS));
    }
    let mut publisher = Client::of(&hub, "publisher").await;
    for n in 0..MESSAGES {
        let ack = publisher.broadcast("feed", json!(n)).await;
        assert_eq!(ack["data"]["recipients"], CLIENTS, "{ack}");
        // Slows the publisher down, so that clients upgrade before the last message.
        if n % 50 == 49 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let all: Vec<_> = (0..MESSAGES).collect();
    while let Some(received) = clients.join_next().await {
        assert_eq!(received.unwrap(), all);
    }
}

#[tokio::test]
async fn events_before_and_after_an_upgrade_are_handled_in_order() {
    let hub = Hub::with("[limits.push]\nmessages_per_minute = 0");
    let mut raw = Client::of(&hub, "raw").await;
    raw.subscribe(&["feed"]).await;
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    let publication = |n: u64| json!({"topic": "feed", "payload": n});
    for n in 0..20 {
        client.emit("Broadcast", publication(n)).await;
    }
    client.upgrade().await;
    for n in 20..40 {
        client.emit("Broadcast", publication(n)).await;
    }
    for n in 0..40 {
        assert_eq!(raw.expect("Broadcast").await["data"]["payload"], n);
    }
    client.expect_silence().await;
}

#[tokio::test]
async fn an_upgraded_session_ends_with_its_websocket() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    client.upgrade().await;
    client.send("1").await;
    assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1000))));
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    client.upgrade().await;
    drop(client);
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
    assert_eq!(hub.counters()["errors"], Value::from(0));
}
