//! A thousand faulty connections at once: each is closed with the right code, and the hub keeps nothing of them.

use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

use crate::support::wire::{RawFrame, opcode};
use crate::support::{Client, Hub, Wire, eventually};

const CONNECTIONS: usize = 1_000;
/// Connections that open at a time; the listening queue is finite.
const OPENING: usize = 100;
/// Long enough for the slowest close: a client that sends nothing.
const ALL_ENDED: Duration = Duration::from_secs(60);

/// The fault of a connection.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    NoHttp,
    HalfRequest,
    Nothing,
    NoPong,
    HalfFrame,
    HugeFrame,
    BadUtf8,
    ReservedBits,
    Vanishes,
    Nonsense,
}

const ALL: [Wrong; 10] = [
    Wrong::NoHttp,
    Wrong::HalfRequest,
    Wrong::Nothing,
    Wrong::NoPong,
    Wrong::HalfFrame,
    Wrong::HugeFrame,
    Wrong::BadUtf8,
    Wrong::ReservedBits,
    Wrong::Vanishes,
    Wrong::Nonsense,
];

impl Wrong {
    /// Commits the fault, and checks how the hub closes the connection.
    async fn commit(self, mut wire: Wire) {
        let code = match self {
            Self::NoHttp => {
                wire.try_send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 nonsense\r\n\r\n").await;
                return assert_rejected(wire, "400").await;
            }
            Self::HalfRequest => {
                wire.try_send(b"GET /ws HTTP/1.1\r\nHost: hub").await;
                return assert_rejected(wire, "408").await;
            }
            Self::Nothing => return assert_rejected(wire, "408").await,
            Self::Vanishes => return,
            Self::NoPong => 4408,
            Self::HalfFrame => {
                let mut bytes = RawFrame::text("x".repeat(200)).encode();
                bytes.truncate(100);
                wire.try_send(&bytes).await;
                4408
            }
            Self::HugeFrame => {
                wire.try_send(&RawFrame::text("x".repeat(70_000)).encode()).await;
                1009
            }
            Self::BadUtf8 => {
                wire.try_send(&RawFrame::text(*b"\xFF\xFE").encode()).await;
                1007
            }
            Self::ReservedBits => {
                wire.try_send(&RawFrame::text("{}").reserved(7).encode()).await;
                1002
            }
            Self::Nonsense => {
                wire.try_send(&RawFrame::text("}{").encode()).await;
                loop {
                    if wire.message().await["type"] == "Error" {
                        break;
                    }
                }
                wire.try_send(&RawFrame::new(opcode::CLOSE, 1000_u16.to_be_bytes()).encode()).await;
                1000
            }
        };
        assert_eq!(wire.close_code().await, Some(code), "{self:?}");
        wire.wait_closed().await;
    }

    /// Whether the connection is never upgraded.
    fn before_upgrade(self) -> bool {
        matches!(self, Self::NoHttp | Self::HalfRequest | Self::Nothing)
    }

    async fn connect(self, hub: &Hub, n: usize) -> Wire {
        if self.before_upgrade() {
            return Wire::connect(hub).await;
        }
        let mut wire = Wire::of(hub, &format!("user-{}", n % 50)).await;
        let subscribe = json!({"type": "Subscribe", "data": {"topics": [format!("t{}", n % 20)]}});
        wire.send_frame(&RawFrame::text(subscribe.to_string())).await;
        wire
    }
}

/// Fails unless the hub answers with this status or with nothing, and closes the connection.
async fn assert_rejected(mut wire: Wire, status: &str) {
    let received = wire.read_to_end().await;
    let expected = received.is_empty() || received.starts_with(&format!("HTTP/1.1 {status}"));
    assert!(expected, "expected {status} or nothing, got {received:?}");
}

#[tokio::test]
async fn a_thousand_faulty_connections_leave_nothing_behind() {
    rlimit::increase_nofile_limit(8 * 1024).unwrap();
    let hub = Hub::with(
        "[server]\nheartbeat_interval_secs = 1\nclient_timeout_secs = 5\n[limits.raw]\nconnections_per_minute = 0",
    );
    // Opens the files that the hub opens at the first use.
    let mut witness = Client::of(&hub, "witness").await;
    witness.subscribe(&["first"]).await;
    witness.close().await;
    eventually(ALL_ENDED, "the witness has left", || hub.connections() == 0).await;
    let before = hub.open_fds();

    let mut wrongs = JoinSet::new();
    for opening in 0..CONNECTIONS / OPENING {
        for n in 0..OPENING {
            let wrong = ALL[n % ALL.len()];
            let wire = wrong.connect(&hub, opening * OPENING + n).await;
            wrongs.spawn(wrong.commit(wire));
        }
    }
    while let Some(ended) = wrongs.join_next().await {
        ended.unwrap();
    }

    eventually(ALL_ENDED, "no session is left", || hub.connections() == 0).await;
    eventually(ALL_ENDED, "no room is left", || rooms(&hub) == 0).await;
    eventually(ALL_ENDED, "no socket is left", || hub.open_fds() <= before).await;
    let mut after = Client::of(&hub, "after").await;
    after.subscribe(&["t1"]).await;
    assert_eq!(after.broadcast("t1", json!(1)).await["data"]["recipients"], 0);
}

/// Rooms of the hub.
fn rooms(hub: &Hub) -> u64 {
    let answer = hub.http().request("GET", "/api/rooms").key().send();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["total"].as_u64().unwrap()
}

/// Reproducible pseudorandom numbers.
struct FrameDice(u64);

impl FrameDice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.below(256) as u8).collect()
    }

    /// A valid message with up to three changes.
    fn mutated(&mut self) -> Vec<u8> {
        const VALID: [&str; 6] = [
            r#"{"type":"Ping","data":{"timestamp":1}}"#,
            r#"{"type":"Subscribe","data":{"topics":["a","b"],"since":{"a":{"epoch":"e","offset":1}}},"id":1}"#,
            r#"{"type":"Unsubscribe","data":{"topics":["a"]}}"#,
            r#"{"type":"Broadcast","data":{"topic":"a","payload":{"x":[1,2,"\u2603"]}},"id":"x"}"#,
            r#"{"type":"DirectMessage","data":{"target_user":"user","payload":null}}"#,
            r#"{"type":"Authenticate","data":{"token":"a.b.c"}}"#,
        ];
        let mut text = VALID[self.below(6) as usize].as_bytes().to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(text.len() as u64) as usize;
            match self.below(3) {
                0 => text[at] = self.below(256) as u8,
                1 => text.insert(at, b"{}[]\",:0\\"[self.below(9) as usize]),
                _ => text.truncate(at.max(1)),
            }
        }
        text
    }

    fn frame(&mut self) -> Vec<u8> {
        let opcode = [0x1, 0x1, 0x1, 0x2, 0x0, 0x9, 0xA, 0x8, 0x3][self.below(9) as usize];
        let payload = if self.below(4) == 0 { self.bytes(200) } else { self.mutated() };
        let frame = RawFrame {
            last: self.below(5) > 0,
            reserved: u8::from(self.below(30) == 0),
            masked: self.below(30) > 0,
            ..RawFrame::new(opcode, payload)
        };
        if self.below(40) == 0 { self.bytes(50) } else { frame.encode() }
    }
}

#[tokio::test]
async fn random_bytes_do_not_stop_the_hub() {
    let hub = Hub::with("[limits.raw]\nconnections_per_minute = 0\nmessages_per_minute = 0");
    let mut witness = Client::of(&hub, "witness").await;
    let mut dice = FrameDice(0x9E37_79B9_7F4A_7C15);
    for _ in 0..400 {
        let mut wire = Wire::of(&hub, "user").await;
        for _ in 0..1 + dice.below(20) {
            wire.try_send(&dice.frame()).await;
        }
    }
    witness.expect_silence().await;
    eventually(ALL_ENDED, "only the session of the witness is left", || hub.connections() == 1).await;
    eventually(ALL_ENDED, "no room is left", || rooms(&hub) == 0).await;
    assert_eq!(hub.get("/health/ready").status, 200);
}
