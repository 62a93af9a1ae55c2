//! A client that comes back sends CONNECT again, or DISCONNECT, before it has an answer.

use serde_json::json;

use super::{Comer, Place, failed, greeting, hub, nothing_left, status, to_room};
use crate::support::socketio::SocketPacket;
use crate::support::wire::Frame;
use crate::support::{Hub, Sio, Transport};

/// A client that was cut off sends these packets in one write.
async fn back_with(hub: &Hub, place: &Place, packets: &[String]) -> Sio {
    let mut sio = Sio::open(hub, Transport::WebSocket).await;
    let frames: Vec<u8> = packets.iter().flat_map(|packet| Frame::text(packet.as_str()).encode()).collect();
    sio.wire().send(&frames).await;
    sio.id.clone_from(&place.sid);
    sio
}

#[tokio::test]
async fn a_session_goes_on_once_however_often_its_client_asks_for_it() {
    let hub = hub("");
    for is_same in [true, false] {
        let mut alice = Comer::of(&hub, Transport::WebSocket, "alice").await;
        alice.sio.join("one").await;
        let place = alice.cut_off(&hub, Transport::WebSocket).await;
        let missed = to_room(&hub, "one", 1);
        let mut other = place.auth();
        if !is_same {
            other["fresh"] = true.into();
        }
        let packets = [format!("40{}", place.auth()), format!("40{other}")];
        let mut sio = back_with(&hub, &place, &packets).await;
        let answer = sio.receive().await;
        assert_eq!((answer.kind, &answer.data), (SocketPacket::CONNECT, &json!({"sid": place.sid, "pid": place.pid})));
        let mut comer = Comer { sio, place: place.clone() };
        let told = comer.told(4).await;
        let recovered = json!(["system:state_recovered", {"userId": "alice"}]);
        assert_eq!(told, [vec![status(1), recovered], greeting(&place.sid)].concat(), "{is_same}");
        comer.expect(&[missed]).await;
        if is_same {
            assert_eq!(comer.sio.receive().await, answer, "each CONNECT is answered");
        }
        let live = to_room(&hub, "one", 2);
        comer.expect_just(&[live]).await;
        comer.leave().await;
        nothing_left(&hub).await;
    }
}

#[tokio::test]
async fn a_session_that_its_client_leaves_before_it_is_back_does_not_go_on() {
    let hub = hub("");
    let mut alice = Comer::of(&hub, Transport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    let place = alice.cut_off(&hub, Transport::WebSocket).await;
    to_room(&hub, "one", 1);
    let connect = format!("40{}", place.auth());
    let mut sio = back_with(&hub, &place, &[connect.clone(), "41".to_owned(), connect]).await;
    let answer = sio.receive().await;
    assert!(answer.kind == SocketPacket::CONNECT && answer.data["pid"] != place.pid.as_str(), "{answer:?}");
    let mut comer = Comer { sio, place };
    let told = comer.told(4).await;
    assert_eq!(told, [vec![status(1), failed()], greeting(answer.data["sid"].as_str().unwrap())].concat());
    comer.sio.expect_silence().await;
    comer.leave().await;
    nothing_left(&hub).await;
}
