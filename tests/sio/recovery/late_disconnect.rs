//! A polling client disconnects and connects again at once. Its DISCONNECT travels on another TCP connection, and may arrive
//! after its next CONNECT. The session that it left must not resume.

use serde_json::json;

use super::{
    ClientState, RecoveryClient, greeting, hub, reconnect_status, recovery_failed, state_recovered, to_room,
    wait_until_empty,
};
use crate::support::socketio::{SocketPacket, events};
use crate::support::{Hub, Sio, SioTransport, Wire};

/// Sends the head of a POST with `packets`. The body follows later.
async fn start_post(hub: &Hub, client: &mut RecoveryClient, packets: &str) -> Wire {
    let mut request = Wire::to(hub.address()).await;
    let path = client.sio.polling().path();
    let head = format!("POST {path} HTTP/1.1\r\nHost: hub\r\nContent-Length: {}\r\n\r\n", packets.len());
    request.send(head.as_bytes()).await;
    request
}

/// Sends a CONNECT that asks for recovery while the session is still connected.
async fn start_recovery(hub: &Hub, saved: &ClientState) -> Sio {
    let mut sio = Sio::open(hub, SioTransport::WebSocket).await;
    sio.send(&format!("40{}", saved.auth())).await;
    // The hub has read the first CONNECT when it answers the second one.
    assert_eq!(sio.connect("/nowhere", &json!({})).await.unwrap_err()["message"], "Invalid namespace");
    for _ in 0..5 {
        assert_eq!(hub.get("/health").status, 200);
    }
    sio
}

/// A client starts to send a DISCONNECT, and returns before the hub has read all of it.
async fn return_before_disconnect(hub: &Hub, disconnect: &str) {
    let mut alice = RecoveryClient::of(hub, SioTransport::Polling, "alice").await;
    alice.sio.join("one").await;
    let saved = alice.saved.clone();
    let mut request = start_post(hub, &mut alice, disconnect).await;
    let mut sio = start_recovery(hub, &saved).await;
    request.send(disconnect.as_bytes()).await;
    let packet = sio.receive().await;
    assert_eq!(packet.kind, SocketPacket::CONNECT, "{packet:?}");
    assert!(packet.data["pid"] != saved.pid.as_str() && packet.data["sid"] != saved.sid.as_str(), "{packet:?}");
    let mut client = RecoveryClient { sio, saved };
    let received = client.next_events(4).await;
    let sid = packet.data["sid"].as_str().unwrap();
    assert_eq!(received, [vec![reconnect_status(1), recovery_failed()], greeting(sid)].concat());
    // The new session is in no room.
    to_room(hub, "one", 1);
    client.sio.expect_silence().await;
    client.disconnect().await;
    drop(alice);
    wait_until_empty(hub).await;
}

#[tokio::test]
async fn a_session_does_not_resume_when_its_disconnect_arrives_late() {
    let hub = hub("");
    for disconnect in ["41", "41\u{1e}1"] {
        return_before_disconnect(&hub, disconnect).await;
    }
}

#[tokio::test]
async fn each_attempt_of_a_client_gets_its_session_in_its_turn() {
    let hub = hub("");
    for is_cut in [true, false] {
        let mut alice = RecoveryClient::of(&hub, SioTransport::Polling, "alice").await;
        alice.sio.join("one").await;
        let missed = to_room(&hub, "one", 1);
        let saved = alice.saved.clone();
        let mut request = start_post(&hub, &mut alice, "6").await;
        let first = start_recovery(&hub, &saved).await;
        let first = if is_cut {
            first.into_wire().reset();
            None
        } else {
            Some(first)
        };
        let mut sio = start_recovery(&hub, &saved).await;
        request.send(b"6").await;
        if let Some(first) = first {
            // It is served in its turn, and loses the session to the next attempt. Without a DISCONNECT, a client tries again.
            let mut first = RecoveryClient { sio: first, saved: saved.clone() };
            let packet = first.sio.receive().await;
            assert_eq!((packet.kind, &packet.data["pid"]), (SocketPacket::CONNECT, &json!(saved.pid)));
            let (mut received, _) = first.sio.read_to_end().await;
            // It may receive the missed event before it loses the session.
            received.retain(|packet| packet.data[0] != "to-room");
            assert_eq!(events(&received).last(), Some(&json!(["disconnected", {"reason": "session_recovered"}])));
            assert!(received.iter().all(|packet| packet.kind == SocketPacket::EVENT), "{received:?}");
        }
        let packet = sio.receive().await;
        assert_eq!((packet.kind, &packet.data), (SocketPacket::CONNECT, &json!({"sid": saved.sid, "pid": saved.pid})));
        let mut client = RecoveryClient { sio, saved: saved.clone() };
        let expected = [vec![reconnect_status(1), state_recovered("alice")], greeting(&saved.sid)].concat();
        assert_eq!(client.next_events(4).await, expected, "{is_cut}");
        client.expect_exactly(&[missed]).await;
        client.disconnect().await;
        drop(alice);
        wait_until_empty(&hub).await;
    }
}
