//! Connections of nobody on Socket.IO, and connections of anybody that send too much: what each may send, what it is
//! answered, how it ends, and how many places it holds.

use serde_json::json;

use crate::support::socketio::{End, Polling, SEPARATOR};
use crate::support::wire::{Frame, opcode};
use crate::support::{DEADLINE, Hub, Sio, Transport, Wire, eventually};

/// A hub that takes 50 frames of a connection at once, and 10 a second.
const FEW_FRAMES: &str = "[limits]\nframes_per_second = 10";
/// One that takes a message of `socketio.max_payload` and not two.
const FEW_BYTES: &str = "[limits]\nbytes_per_second = 200100";

/// Connections closed for this reason.
fn closed(hub: &Hub, reason: &str) -> f64 {
    hub.metric(&format!("hubbub_connections_closed_total{{reason=\"{reason}\"}}"))
}

/// Frames that no limit of messages counts.
fn idle_frames() -> [(&'static str, Frame); 5] {
    [
        ("a noop", Frame::text("6")),
        ("a pong", Frame::text("3")),
        ("a disconnect", Frame::text("41/nowhere,")),
        ("a ping of the WebSocket", Frame::new(opcode::PING, "")),
        ("a pong of the WebSocket", Frame::new(opcode::PONG, "")),
    ]
}

#[tokio::test]
async fn frames_that_say_nothing_are_counted_and_close_the_connection_with_4429() {
    let hub = Hub::with(FEW_FRAMES);
    for (n, (what, frame)) in idle_frames().into_iter().enumerate() {
        let mut client = Sio::of(&hub, Transport::WebSocket, "alice").await;
        client.wire().send(&frame.encode().repeat(45)).await;
        client.expect_silence().await;
        client.wire().offer(&frame.encode().repeat(1_000)).await;
        assert_eq!(client.until_ended().await.1, End::Closed(Some(4429)), "{what}");
        client.wire().gone().await;
        assert_eq!(closed(&hub, "budget"), n as f64 + 1.0, "{what}");
    }
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
}

#[tokio::test]
async fn a_raw_connection_has_the_same_budget_and_fragments_count() {
    let hub = Hub::with(FEW_FRAMES);
    let pieces = |count: usize| {
        let mut bytes = Frame::text("").unfinished().encode();
        bytes.extend(Frame::new(opcode::CONTINUATION, "").unfinished().encode().repeat(count));
        bytes
    };
    for (what, few, many) in [
        ("fragments", pieces(40), Frame::new(opcode::CONTINUATION, "").unfinished().encode().repeat(1_000)),
        (
            "pongs",
            Frame::new(opcode::PONG, "").encode().repeat(40),
            Frame::new(opcode::PONG, "").encode().repeat(1_000),
        ),
    ] {
        let mut wire = Wire::of(&hub, "alice").await;
        assert_eq!(wire.message().await["type"], "Status");
        wire.send(&few).await;
        wire.send_frame(&Frame::new(opcode::PING, "there?")).await;
        assert_eq!(wire.frame().await.unwrap().payload, b"there?", "{what}");
        wire.offer(&many).await;
        assert_eq!(wire.close_code().await, Some(4429), "{what}");
        wire.gone().await;
    }
    assert_eq!(closed(&hub, "budget"), 2.0);
}

#[tokio::test]
async fn bytes_over_the_budget_close_the_connection_with_4429() {
    let hub = Hub::with(FEW_BYTES);
    let mut wire = Wire::of(&hub, "alice").await;
    let large = Frame::text(format!("\"{}\"", "x".repeat(60_000))).encode();
    for _ in 0..20 {
        wire.offer(&large).await;
    }
    assert_eq!(wire.close_code().await, Some(4429));
    for transport in Transport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        client.say(&ping_of(0, 900_000)).await;
        assert_eq!(client.hear().await.id, Some(0), "one is within the budget");
        assert_eq!(client.try_say(&ping_of(1, 900_000)).await, transport == Transport::WebSocket);
        let (said, end) = client.until_ended().await;
        assert_eq!(said, vec![], "{transport:?}");
        assert!(matches!(end, End::Told | End::Closed(Some(4429))), "{end:?}");
    }
    assert_eq!(closed(&hub, "budget"), 3.0);
}

#[tokio::test]
async fn each_polling_request_and_each_packet_in_it_is_a_frame() {
    let hub = Hub::with(FEW_FRAMES);
    let many = |count: usize| vec!["6"; count].join(&SEPARATOR.to_string());
    let mut polling = Polling::open(&hub).await;
    polling.say(many(40)).await;
    let answer = polling.post(many(1_000)).await;
    let refusal = json!({"code": 3, "message": "Rate limit exceeded"});
    assert_eq!((answer.status, answer.json()), (429, refusal));
    assert_eq!(polling.body().await, "1");
    polling.assert_gone().await;

    let mut polling = Polling::open(&hub).await;
    let mut answers = Vec::new();
    for _ in 0..1_000 {
        let answer = polling.post("6").await;
        answers.push(answer.status);
        if answer.status != 200 {
            break;
        }
    }
    let taken = answers.iter().filter(|&&status| status == 200).count();
    assert!((25..500).contains(&taken) && answers.last() == Some(&429), "{taken} requests of two frames were taken");
    polling.poll().await;
    polling.assert_gone().await;
    assert_eq!(closed(&hub, "budget"), 2.0);
}

#[tokio::test]
async fn no_budget_is_no_limit() {
    let hub = Hub::with("[limits]\nframes_per_second = 0\nbytes_per_second = 0");
    let mut client = Sio::of(&hub, Transport::WebSocket, "alice").await;
    client.wire().send(&Frame::text("6").encode().repeat(20_000)).await;
    client.expect_silence().await;
    assert_eq!(closed(&hub, "budget"), 0.0);
}

/// A packet of this length that asks for an acknowledgement.
fn ping_of(id: u64, length: usize) -> String {
    let packet = |padding: &str| format!("42{id}[\"ping\",{{\"timestamp\":\"{padding}\"}}]");
    packet(&"x".repeat(length - packet("").len()))
}

#[tokio::test]
async fn a_burst_of_connects_is_answered_a_hundred_times_at_most_and_ends_the_connection() {
    let hub = Hub::start();
    for namespace in ["/nowhere,", "/chat,", ""] {
        let mut client = Sio::open(&hub, Transport::WebSocket).await;
        // A client that is let in is in; a broken token is judged each time.
        let connect = Frame::text(format!("40{namespace}{}", json!({"token": "x"}))).encode();
        client.wire().offer(&connect.repeat(2_000)).await;
        let (said, end) = client.until_ended().await;
        assert_eq!(end, End::Closed(Some(4429)), "{namespace}");
        let limited = said.iter().filter(|said| said.data["data"]["code"] == "RATE_LIMITED").count();
        assert_eq!((said.len(), limited), (90, 30), "{namespace}");
    }
    let mut polling = Polling::open(&hub).await;
    let body = vec!["40/nowhere,"; 700].join(&SEPARATOR.to_string());
    assert_eq!(polling.post(body).await.status, 429);
    let mut answers = Vec::new();
    while answers.last().is_none_or(|last| last != "1") {
        answers.extend(polling.body().await.split(SEPARATOR).map(str::to_owned));
    }
    assert_eq!(answers.len(), 90 + 1, "{answers:?}");
    polling.assert_gone().await;
}
