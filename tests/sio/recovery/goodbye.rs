//! A client by polling takes its leave and connects again at once. Its goodbye goes over a connection of its own, and may be
//! received later than its next CONNECT: what it left is not gone on with.

use serde_json::json;

use super::{RecoveryClient, SavedSession, greeting, hub, reconnect_status, recovery_failed, wait_until_empty};
use crate::support::socketio::SocketPacket;
use crate::support::{Hub, Sio, Transport, Wire};

/// The head of a request by which a polling client begins to say `packets`.
async fn begin_to_say(hub: &Hub, client: &mut RecoveryClient, packets: &str) -> Wire {
    let mut request = Wire::to(hub.address()).await;
    let path = client.sio.polling().path();
    let head = format!("POST {path} HTTP/1.1\r\nHost: hub\r\nContent-Length: {}\r\n\r\n", packets.len());
    request.send(head.as_bytes()).await;
    request
}

/// An attempt to go on with a session that does not end yet.
async fn attempt(hub: &Hub, saved: &SavedSession) -> Sio {
    let mut sio = Sio::open(hub, Transport::WebSocket).await;
    sio.send(&format!("40{}", saved.auth())).await;
    // It is under way by then: this was said behind it.
    assert_eq!(sio.connect("/nowhere", &json!({})).await.unwrap_err()["message"], "Invalid namespace");
    for _ in 0..5 {
        assert_eq!(hub.get("/health").status, 200);
    }
    sio
}

/// A client that begins to say goodbye, and comes back before the hub has all of that.
async fn come_back_before_goodbye(hub: &Hub, goodbye: &str) {
    let mut alice = RecoveryClient::of(hub, Transport::Polling, "alice").await;
    alice.sio.join("one").await;
    let saved = alice.saved.clone();
    let mut request = begin_to_say(hub, &mut alice, goodbye).await;
    let mut sio = attempt(hub, &saved).await;
    request.send(goodbye.as_bytes()).await;
    let said = sio.receive().await;
    assert_eq!(said.kind, SocketPacket::CONNECT, "{said:?}");
    assert!(said.data["pid"] != saved.pid.as_str() && said.data["sid"] != saved.sid.as_str(), "{said:?}");
    let mut client = RecoveryClient { sio, saved };
    let told = client.next_events(4).await;
    assert_eq!(
        told,
        [vec![reconnect_status(1), recovery_failed()], greeting(said.data["sid"].as_str().unwrap())].concat()
    );
    // It is in no room of before.
    super::to_room(hub, "one", 1);
    client.sio.expect_silence().await;
    client.disconnect().await;
    drop(alice);
    wait_until_empty(hub).await;
}

#[tokio::test]
async fn a_session_that_its_client_left_is_not_gone_on_with_though_the_goodbye_comes_late() {
    let hub = hub("");
    for goodbye in ["41", "41\u{1e}1"] {
        come_back_before_goodbye(&hub, goodbye).await;
    }
}

#[tokio::test]
async fn a_session_whose_connection_is_just_not_known_to_be_dead_is_gone_on_with() {
    let hub = hub("");
    for transport in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.sio.join("one").await;
        let missed = super::to_room(&hub, "one", 1);
        let mut back = alice.saved.resume(&hub, transport).await;
        back.expect_exactly(&[missed]).await;
        back.disconnect().await;
        drop(alice);
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn a_client_that_is_cut_off_while_it_waits_for_its_session_goes_on_with_it_at_its_next_attempt() {
    let hub = hub("");
    for is_known in [true, false] {
        let mut alice = RecoveryClient::of(&hub, Transport::Polling, "alice").await;
        alice.sio.join("one").await;
        let missed = super::to_room(&hub, "one", 1);
        let saved = alice.saved.clone();
        let mut request = begin_to_say(&hub, &mut alice, "6").await;
        let first = attempt(&hub, &saved).await;
        let first = if is_known {
            first.into_wire().reset();
            None
        } else {
            Some(first)
        };
        let mut sio = attempt(&hub, &saved).await;
        request.send(b"6").await;
        let said = sio.receive().await;
        assert_eq!((said.kind, &said.data), (SocketPacket::CONNECT, &json!({"sid": saved.sid, "pid": saved.pid})));
        let mut client = RecoveryClient { sio, saved: saved.clone() };
        let recovered = json!(["system:state_recovered", {"userId": "alice"}]);
        assert_eq!(
            client.next_events(4).await,
            [vec![reconnect_status(1), recovered], greeting(&saved.sid)].concat(),
            "{is_known}"
        );
        client.expect_exactly(&[missed]).await;
        if let Some(mut first) = first {
            let said = first.receive().await;
            assert!(said.kind == SocketPacket::CONNECT && said.data["pid"] != saved.pid.as_str(), "{said:?}");
            first.send("41").await;
        }
        client.disconnect().await;
        drop(alice);
        wait_until_empty(&hub).await;
    }
}
