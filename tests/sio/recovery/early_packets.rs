//! A client that returns sends another CONNECT, or a DISCONNECT, before it has a reply.

use serde_json::json;

use super::{
    ClientState, RecoveryClient, greeting, hub, reconnect_status, recovery_failed, state_recovered, to_room,
    wait_until_empty,
};
use crate::support::socketio::SocketPacket;
use crate::support::wire::RawFrame;
use crate::support::{Hub, Sio, SioTransport};

/// A client returns and sends these packets in one write.
async fn send_at_once(hub: &Hub, saved: &ClientState, packets: &[String]) -> Sio {
    let mut sio = Sio::open(hub, SioTransport::WebSocket).await;
    let frames: Vec<u8> = packets.iter().flat_map(|packet| RawFrame::text(packet.as_str()).encode()).collect();
    sio.wire().send(&frames).await;
    sio.id.clone_from(&saved.sid);
    sio
}

#[tokio::test]
async fn a_session_resumes_once_for_two_connects() {
    let hub = hub("");
    for is_same in [true, false] {
        let mut alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
        alice.sio.join("one").await;
        let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
        let missed = to_room(&hub, "one", 1);
        let mut other = saved.auth();
        if !is_same {
            other["fresh"] = true.into();
        }
        let packets = [format!("40{}", saved.auth()), format!("40{other}")];
        let mut sio = send_at_once(&hub, &saved, &packets).await;
        let reply = sio.receive().await;
        assert_eq!((reply.kind, &reply.data), (SocketPacket::CONNECT, &json!({"sid": saved.sid, "pid": saved.pid})));
        let mut client = RecoveryClient { sio, saved: saved.clone() };
        let received = client.next_events(4).await;
        assert_eq!(
            received,
            [vec![reconnect_status(1), state_recovered("alice")], greeting(&saved.sid)].concat(),
            "{is_same}"
        );
        client.expect(&[missed]).await;
        if is_same {
            assert_eq!(client.sio.receive().await, reply, "each CONNECT has a reply");
        }
        let live = to_room(&hub, "one", 2);
        client.expect_exactly(&[live]).await;
        client.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn a_session_does_not_resume_when_a_disconnect_follows_its_connect() {
    let hub = hub("");
    let mut alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
    to_room(&hub, "one", 1);
    let connect = format!("40{}", saved.auth());
    let mut sio = send_at_once(&hub, &saved, &[connect.clone(), "41".to_owned(), connect]).await;
    let reply = sio.receive().await;
    assert!(reply.kind == SocketPacket::CONNECT && reply.data["pid"] != saved.pid.as_str(), "{reply:?}");
    let mut client = RecoveryClient { sio, saved };
    let received = client.next_events(4).await;
    let sid = reply.data["sid"].as_str().unwrap();
    assert_eq!(received, [vec![reconnect_status(1), recovery_failed()], greeting(sid)].concat());
    client.sio.expect_silence().await;
    client.disconnect().await;
    wait_until_empty(&hub).await;
}
