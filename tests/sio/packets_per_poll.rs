//! A response to a poll has at most 16 packets, attachments included. The rest waits for the next poll.

use serde_json::{Value, json};

use crate::support::socketio::{ObservedEnd, SocketPacket, WirePacket, decode_payload};
use crate::support::{DEADLINE, Hub, Sio, SioTransport, eventually};

/// Pushes `count` numbered events named `burst` to a user in one request, each with this many attachments.
#[track_caller]
fn burst(hub: &Hub, user: &str, count: usize, attachments: usize) {
    let bytes = vec![json!({"$binary": "AP8B"}); attachments];
    let push = |n| json!({"push": {"userId": user, "event": "burst", "data": {"n": n, "bytes": bytes}}});
    let commands: Vec<Value> = (0..count).map(push).collect();
    let answer = hub.http().request("POST", "/api/batch").key().json(&json!({ "commands": commands })).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].take();
    assert!(results.as_array().unwrap().iter().all(|result| result["recipients"] == 1), "{results}");
}

/// The packets of the next response: an event as its number, an attachment as `None`.
async fn next(client: &mut Sio) -> Vec<Option<u64>> {
    let body = client.polling().poll_body().await;
    let packets = decode_payload(&body).map(|packet| match packet {
        WirePacket::Text(text) => Some(SocketPacket::parse(&text[1..]).0.data[1]["n"].as_u64().unwrap()),
        WirePacket::Binary(bytes) => {
            assert_eq!(bytes, [0, 255, 1]);
            None
        }
    });
    packets.collect()
}

#[tokio::test]
async fn a_response_has_16_packets_and_the_next_poll_has_the_rest() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    burst(&hub, "alice", 50, 0);
    let mut received = Vec::new();
    for size in [16, 16, 16, 2] {
        let answer = next(&mut client).await;
        assert_eq!(answer.len(), size);
        received.extend(answer);
    }
    assert_eq!(received, (0..50).map(Some).collect::<Vec<_>>());
    client.expect_silence().await;
}

#[tokio::test]
async fn attachments_count_and_are_never_split_from_their_event() {
    let hub = Hub::start();
    for (attachments, events) in [(0, 16), (1, 8), (2, 5), (4, 3), (7, 2), (8, 1), (10, 1)] {
        let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
        let count = events * 2 + 1;
        burst(&hub, "alice", count, attachments);
        let mut first = 0;
        for size in [events, events, 1] {
            let mut expected = Vec::new();
            for n in first..first + size {
                expected.push(Some(n as u64));
                expected.extend(vec![None; attachments]);
            }
            first += size;
            assert_eq!(next(&mut client).await, expected, "{attachments} attachments");
        }
        client.expect_silence().await;
        client.send("1").await;
        eventually(DEADLINE, "the session has ended", || hub.connections() == 0).await;
    }
}

#[tokio::test]
async fn packets_that_no_poll_fetched_use_the_websocket_after_an_upgrade() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    burst(&hub, "alice", 50, 1);
    assert_eq!(next(&mut client).await.len(), 16);
    // The last poll before the upgrade fetches 16 more packets.
    client.upgrade().await;
    for n in 8..50 {
        let packet = client.receive().await;
        assert_eq!((packet.data[1]["n"].as_u64(), packet.attachments.len()), (Some(n), 1), "{packet:?}");
    }
    client.expect_silence().await;
}

#[tokio::test]
async fn packets_that_no_poll_fetched_are_fetched_before_the_session_ends() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    burst(&hub, "alice", 50, 0);
    let answer = hub.http().request("POST", "/api/disconnect").key().json(&json!({"userId": "alice"})).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    for n in 0..50 {
        assert_eq!(client.expect("burst").await["n"], n);
    }
    client.expect("disconnected").await;
    let (packets, end) = client.read_to_end().await;
    assert_eq!(
        (packets.len(), packets[0].kind, end),
        (1, SocketPacket::DISCONNECT, ObservedEnd::ClosePacket),
        "{packets:?}"
    );
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
}

#[tokio::test]
async fn packets_that_no_poll_fetched_are_fetched_while_the_hub_drains() {
    let hub = Hub::start();
    let mut client = Sio::of(&hub, SioTransport::Polling, "alice").await;
    burst(&hub, "alice", 100, 0);
    hub.signal("TERM");
    for n in 0..100 {
        assert_eq!(client.expect("burst").await["n"], n);
    }
    client.expect("system:draining").await;
    client.expect("disconnected").await;
    assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::ClosePacket));
}
