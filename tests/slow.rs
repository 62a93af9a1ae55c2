//! A client that stops reading is closed and delays no other client.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::client::small_buffer_stream;
use crate::support::token::token;
use crate::support::wire::{RawFrame, opcode};
use crate::support::{Client, DEADLINE, Hub, Wire, eventually, wait_until};

/// Each message's payload, in bytes, and how many there are: far more than any bound holds.
const PAYLOAD: usize = 40_000;
const MESSAGES: usize = 1_600;
/// The metric that counts clients closed by the hub.
const CUT: &str = r#"hubbub_sessions_closed_total{reason="slow_consumer"}"#;
/// How much the hub's memory may grow while one client holds 64 MB back, in KiB.
const GROWTH_KIB: u64 = 8 * 1024;

/// Whether the hub's end of the connection to `client` still takes and gives data.
fn open(hub: &Hub, client: SocketAddr) -> bool {
    const ESTABLISHED: &str = "01";
    let hex = |address: SocketAddr| {
        let SocketAddr::V4(address) = address else { panic!("{address} is not IPv4") };
        format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
    };
    let (local, remote) = (hex(hub.address()), hex(client));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        columns.get(1) == Some(&local.as_str())
            && columns.get(2) == Some(&remote.as_str())
            && columns.get(3) == Some(&ESTABLISHED)
    })
}

#[tokio::test]
async fn a_client_that_stops_reading_is_closed_and_the_other_members_get_every_message() {
    let hub = Hub::with("[limits.raw]\nmessages_per_minute = 0");
    let stream = small_buffer_stream(&hub);
    let address = stream.local_addr().unwrap();
    let mut slow = Client::over(stream, &hub, &token("slow")).await;
    slow.subscribe(&["room"]).await;
    let mut member = Client::of(&hub, "member").await;
    member.subscribe(&["room"]).await;
    let mut sender = Client::of(&hub, "sender").await;
    // Once around, so that what every connection needs is there.
    sender.broadcast("room", json!("x".repeat(PAYLOAD))).await;
    assert_eq!(member.expect("Broadcast").await["data"]["payload"].as_str().unwrap().len(), PAYLOAD);
    let before = hub.rss_kib();
    assert!(open(&hub, address), "the slow client is connected");

    let (mut most, mut is_counted) = (before, false);
    for n in 0..MESSAGES {
        let payload = json!({"n": n, "text": "x".repeat(PAYLOAD)});
        sender.broadcast("room", payload).await;
        let received = member.expect("Broadcast").await;
        assert_eq!(received["data"]["payload"]["n"], n, "the other member gets every message");
        if n % 16 == 0 {
            most = most.max(hub.rss_kib());
            if !is_counted && hub.metric(CUT) >= 1.0 {
                is_counted = true;
                // The client still reads nothing.
                wait_until(DEADLINE, "the slow client's socket is closed", || !open(&hub, address));
            }
        }
    }
    assert!(is_counted, "the slow client is closed before the last message");
    assert_eq!(hub.metric(CUT), 1.0);
    assert!(
        most < before + GROWTH_KIB,
        "the hub grew from {before} to {most} KiB while {} MB were held back",
        PAYLOAD * MESSAGES / 1_000_000
    );
    eventually(DEADLINE, "the slow client is gone", || hub.connections() == 2).await;
    assert_eq!(sender.broadcast("room", json!(1)).await["data"]["recipients"], 1);

    let (received, code) = slow.until_closed().await;
    assert_eq!(code, Some(1008), "after {} messages", received.len());
    let numbers: Vec<_> = received.iter().filter_map(number).collect();
    let counted: Vec<_> = (0..numbers.len() as u64).collect();
    assert_eq!(numbers, counted, "the messages before its close are complete and in order");
}

fn number(message: &Value) -> Option<u64> {
    message["data"]["payload"]["n"].as_u64()
}

/// Sends `frame` over and over and reads nothing, up to 32 MB or until the hub reads no more. Gives the most memory
/// that the hub had meanwhile, in KiB.
async fn flood(hub: &Hub, wire: &mut Wire, frame: &RawFrame) -> u64 {
    let many = frame.encode().repeat(1_000);
    let mut most = hub.rss_kib();
    for _ in 0..32_000_000 / many.len() {
        let taken = wire.push(&many, Duration::from_secs(2)).await;
        most = most.max(hub.rss_kib());
        if !taken {
            break;
        }
    }
    most
}

#[tokio::test]
async fn a_client_that_sends_requests_and_reads_no_answer_uses_bounded_memory() {
    let questions = [
        ("a Ping", RawFrame::text(r#"{"type":"Ping","data":{"timestamp":1}}"#)),
        ("nonsense", RawFrame::text("x")),
        ("a ping of the protocol", RawFrame::new(opcode::PING, [b'x'; 125])),
        ("a message to oneself", {
            let payload = "x".repeat(10_000);
            let direct = json!({"type": "DirectMessage", "data": {"target_user": "slow", "payload": payload}});
            RawFrame::text(direct.to_string())
        }),
    ];
    let hub = Hub::with("[limits.raw]\nmessages_per_minute = 0");
    let mut other = Client::of(&hub, "other").await;
    for (what, question) in questions {
        let mut slow = Wire::with_small_buffer(&hub, "slow").await;
        let before = hub.rss_kib();
        let most = flood(&hub, &mut slow, &question).await;
        assert!(most < before + GROWTH_KIB, "{what}: the hub grew from {before} to {most} KiB");
        other.expect_silence().await;
        drop(slow);
        eventually(DEADLINE, "the slow client is gone", || hub.connections() == 1).await;
    }
}
