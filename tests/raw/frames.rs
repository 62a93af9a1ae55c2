//! Frames: fragments, sizes, and the close code for each violation of RFC 6455. After a close frame the hub closes the
//! connection.

use serde_json::json;

use crate::support::wire::{RawFrame, opcode};
use crate::support::{Client, Hub, Wire};

const PING: &str = r#"{"type":"Ping","data":{"timestamp":1}}"#;
/// The default of `server.max_frame_size`.
const LARGEST: usize = 65_536;

/// A connection after its welcome.
async fn welcomed(hub: &Hub) -> Wire {
    let mut wire = Wire::of(hub, "alice").await;
    assert_eq!(wire.message().await["data"]["status"], "connected");
    wire
}

/// Asserts that the hub answers these frames with a close frame of this code, and closes the connection.
async fn assert_closes(hub: &Hub, what: &str, frames: &[RawFrame], code: u16) {
    let mut wire = welcomed(hub).await;
    for frame in frames {
        // The hub may close before the last one.
        wire.try_send(&frame.encode()).await;
    }
    assert_eq!(wire.close_code().await, Some(code), "{what}");
    wire.wait_closed().await;
}

async fn assert_pong(wire: &mut Wire, what: &str) {
    let pong = wire.message().await;
    assert_eq!((&pong["type"], &pong["data"]), (&json!("Pong"), &json!({"timestamp": 1})), "{what}");
}

/// A `Ping` of exactly this many bytes.
fn ping_of(length: usize) -> Vec<u8> {
    let mut text = PING.to_owned();
    text.insert_str(1, &" ".repeat(length - PING.len()));
    text.into_bytes()
}

#[tokio::test]
async fn a_binary_frame_is_the_same_json() {
    let hub = Hub::start();
    let mut wire = welcomed(&hub).await;
    wire.send_frame(&RawFrame::new(opcode::BINARY, PING)).await;
    let answer = wire.frame().await.unwrap();
    assert_eq!(answer.opcode, opcode::TEXT, "answers are text");
    assert!(String::from_utf8(answer.payload).unwrap().contains(r#""type":"Pong""#));
}

#[tokio::test]
async fn a_message_in_fragments_with_pings_between_is_accepted() {
    let hub = Hub::start();
    let mut wire = welcomed(&hub).await;
    let (first, rest) = PING.split_at(5);
    let (second, third) = rest.split_at(9);
    wire.send_frame(&RawFrame::text(first).unfinished()).await;
    wire.send_frame(&RawFrame::new(opcode::CONTINUATION, second).unfinished()).await;
    wire.send_frame(&RawFrame::new(opcode::PING, "are you there?")).await;
    let pong = wire.frame().await.unwrap();
    assert_eq!((pong.opcode, pong.payload.as_slice()), (opcode::PONG, &b"are you there?"[..]));
    wire.send_frame(&RawFrame::new(opcode::CONTINUATION, "").unfinished()).await;
    wire.send_frame(&RawFrame::new(opcode::CONTINUATION, third)).await;
    assert_pong(&mut wire, "four pieces").await;
}

#[tokio::test]
async fn bytes_that_arrive_one_at_a_time_are_accepted() {
    let hub = Hub::start();
    let mut wire = welcomed(&hub).await;
    for byte in RawFrame::text(PING).encode() {
        wire.send(&[byte]).await;
    }
    assert_pong(&mut wire, "byte by byte").await;
}

#[tokio::test]
async fn many_messages_in_one_segment_are_accepted() {
    let hub = Hub::start();
    let mut wire = welcomed(&hub).await;
    wire.send(&RawFrame::text(PING).encode().repeat(200)).await;
    for turn in 0..200 {
        assert_pong(&mut wire, &format!("{turn} of 200")).await;
    }
}

#[tokio::test]
async fn a_character_split_over_two_fragments_is_accepted() {
    let hub = Hub::start();
    let mut wire = welcomed(&hub).await;
    let text = r#"{"type":"Ping","id":"☃😀","data":{"timestamp":1}}"#;
    let last = text.len() - 1;
    for (at, byte) in text.bytes().enumerate() {
        let opcode = if at == 0 { opcode::TEXT } else { opcode::CONTINUATION };
        let frame = RawFrame::new(opcode, [byte]);
        wire.send_frame(&if at == last { frame } else { frame.unfinished() }).await;
    }
    assert_eq!(wire.message().await["id"], "☃😀");
}

#[tokio::test]
async fn the_largest_message_is_accepted_and_one_byte_more_is_too_large() {
    let hub = Hub::start();
    let mut wire = welcomed(&hub).await;
    wire.send_frame(&RawFrame::text(ping_of(LARGEST))).await;
    assert_pong(&mut wire, "the largest in one frame").await;
    let largest = ping_of(LARGEST);
    let (first, rest) = largest.split_at(40_000);
    wire.send_frame(&RawFrame::text(first).unfinished()).await;
    wire.send_frame(&RawFrame::new(opcode::CONTINUATION, rest)).await;
    assert_pong(&mut wire, "the largest in two frames").await;

    assert_closes(&hub, "one frame", &[RawFrame::text(ping_of(LARGEST + 1))], 1009).await;
    let larger = ping_of(LARGEST + 1);
    let (first, rest) = larger.split_at(40_000);
    let pieces = [RawFrame::text(first).unfinished(), RawFrame::new(opcode::CONTINUATION, rest)];
    assert_closes(&hub, "two frames", &pieces, 1009).await;
    let binary = RawFrame::new(opcode::BINARY, ping_of(LARGEST + 1));
    assert_closes(&hub, "a binary frame", &[binary], 1009).await;
}

#[tokio::test]
async fn the_bound_of_a_message_is_configurable() {
    let hub = Hub::with("[server]\nmax_frame_size = 1024");
    let mut wire = welcomed(&hub).await;
    wire.send_frame(&RawFrame::text(ping_of(1024))).await;
    assert_pong(&mut wire, "1,024 bytes").await;
    assert_closes(&hub, "1,025 bytes", &[RawFrame::text(ping_of(1025))], 1009).await;
}

#[tokio::test]
async fn the_largest_message_is_delivered_whole() {
    for largest in [LARGEST, 1 << 20, 3 << 20] {
        let config = format!("[server]\nmax_frame_size = {largest}\n[limits]\noutbox_bytes = {}", largest.max(1 << 20));
        let hub = Hub::with(&config);
        let mut member = Client::of(&hub, "member").await;
        member.subscribe(&["t"]).await;
        let mut wire = welcomed(&hub).await;
        let envelope = |text: &str| format!(r#"{{"type":"Broadcast","data":{{"topic":"t","payload":"{text}"}}}}"#);
        let text = "x".repeat(largest - envelope("").len());
        wire.send_frame(&RawFrame::text(envelope(&text))).await;
        assert_eq!(wire.message().await["data"]["recipients"], 1, "{largest} bytes");
        let received = member.expect("Broadcast").await;
        assert_eq!(received["data"]["payload"].as_str().map(str::len), Some(text.len()));
    }
}

#[tokio::test]
async fn a_frame_with_a_huge_length_is_refused_before_its_payload() {
    let hub = Hub::start();
    for length in [1 << 17, 1 << 40, u64::MAX >> 1] {
        let mut wire = welcomed(&hub).await;
        let mut head = vec![0x81, 0xFF];
        head.extend(u64::to_be_bytes(length));
        head.extend([0; 4]);
        wire.send(&head).await;
        assert_eq!(wire.close_code().await, Some(1009), "{length} bytes");
        wire.wait_closed().await;
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_closes_with_1007() {
    let hub = Hub::start();
    for bytes in [&b"\xFF"[..], b"\"\xC3\x28\"", b"\xED\xA0\x80", b"{\"type\":\"\xF0\x9F\x98\"}"] {
        assert_closes(&hub, &format!("{bytes:?}"), &[RawFrame::text(bytes)], 1007).await;
    }
    let unfinished = [RawFrame::text(*b"\"\xE2\x98").unfinished(), RawFrame::new(opcode::CONTINUATION, *b"\"")];
    assert_closes(&hub, "a character without its end", &unfinished, 1007).await;
    assert_closes(&hub, "binary", &[RawFrame::new(opcode::BINARY, *b"\xFF")], 1007).await;
}

#[tokio::test]
async fn a_protocol_violation_closes_with_1002() {
    let hub = Hub::start();
    let more = |text: &str| RawFrame::new(opcode::CONTINUATION, text);
    let close = |payload: &[u8]| RawFrame::new(opcode::CLOSE, payload);
    let forbidden: [(&str, Vec<RawFrame>); 15] = [
        ("a reserved bit, 1", vec![RawFrame::text(PING).reserved(4)]),
        ("a reserved bit, 2", vec![RawFrame::text(PING).reserved(2)]),
        ("a reserved bit, 3", vec![RawFrame::text(PING).reserved(1)]),
        ("a reserved bit on a ping", vec![RawFrame::new(opcode::PING, "").reserved(4)]),
        ("no mask", vec![RawFrame::text(PING).unmasked()]),
        ("no mask on a ping", vec![RawFrame::new(opcode::PING, "").unmasked()]),
        ("an unknown opcode", vec![RawFrame::new(3, PING)]),
        ("an unknown control opcode", vec![RawFrame::new(0xB, "")]),
        ("a continuation of nothing", vec![more(PING)]),
        ("a message within a message", vec![RawFrame::text("{").unfinished(), RawFrame::text(PING)]),
        ("a ping in pieces", vec![RawFrame::new(opcode::PING, "").unfinished()]),
        ("a ping of 126 bytes", vec![RawFrame::new(opcode::PING, [0; 126])]),
        ("a close frame of one byte", vec![close(&[3])]),
        ("a close code that is never sent", vec![close(&1005_u16.to_be_bytes())]),
        ("an unassigned close code", vec![close(&999_u16.to_be_bytes())]),
    ];
    for (what, frames) in forbidden {
        assert_closes(&hub, what, &frames, 1002).await;
    }
}

#[tokio::test]
async fn a_frame_length_in_more_bytes_than_it_needs_closes_with_1002() {
    let hub = Hub::start();
    for head in [
        [&[0x81, 0xFE][..], &PING.len().to_be_bytes()[6..]].concat(),
        [&[0x81, 0xFF][..], &PING.len().to_be_bytes()].concat(),
        [&[0x81, 0xFF][..], &65_535_u64.to_be_bytes()].concat(),
        [&[0x81, 0xFF][..], &u64::MAX.to_be_bytes()].concat(),
    ] {
        let mut wire = welcomed(&hub).await;
        wire.try_send(&[&head[..], &[0; 4], PING.as_bytes()].concat()).await;
        assert_eq!(wire.close_code().await, Some(1002), "{head:x?}");
        wire.wait_closed().await;
    }
}

#[tokio::test]
async fn a_close_frame_is_answered_with_its_own_code() {
    let hub = Hub::start();
    for code in [1000_u16, 1001, 3000, 4999] {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend(b"so long");
        assert_closes(&hub, "a close", &[RawFrame::new(opcode::CLOSE, payload)], code).await;
    }
    let mut wire = welcomed(&hub).await;
    wire.send_frame(&RawFrame::new(opcode::CLOSE, "")).await;
    let answer = wire.frame().await.unwrap();
    assert_eq!(answer.opcode, opcode::CLOSE);
    assert!(matches!(answer.close_code(), None | Some(1000)), "{answer:?}");
    wire.wait_closed().await;
}

#[tokio::test]
async fn messages_before_a_violation_are_handled() {
    let hub = Hub::start();
    let mut wire = welcomed(&hub).await;
    let mut bytes = RawFrame::text(PING).encode();
    bytes.extend(RawFrame::text(PING).reserved(4).encode());
    bytes.extend(RawFrame::text(PING).encode());
    wire.send(&bytes).await;
    assert_pong(&mut wire, "before").await;
    let close = wire.frame().await.unwrap();
    assert_eq!(close.close_code(), Some(1002), "nothing after the mistake: {close:?}");
}

#[tokio::test]
async fn frames_after_a_close_frame_are_ignored() {
    let hub = Hub::start();
    let mut member = Client::of(&hub, "member").await;
    member.subscribe(&["t"]).await;
    let mut wire = welcomed(&hub).await;
    let publish = |n: u32| RawFrame::text(format!(r#"{{"type":"Broadcast","data":{{"topic":"t","payload":{n}}}}}"#));
    let mut bytes = publish(1).encode();
    bytes.extend(RawFrame::new(opcode::CLOSE, 1000_u16.to_be_bytes()).encode());
    bytes.extend(publish(2).encode());
    wire.send(&bytes).await;
    assert_eq!(wire.close_code().await, Some(1000));
    wire.wait_closed().await;
    assert_eq!(member.expect("Broadcast").await["data"]["payload"], 1);
    member.expect_silence().await;
}
