//! Socket.IO packets: namespaces are joined and left, and a broken packet ends the connection.

use serde_json::{Value, json};

use crate::support::socketio::{ObservedEnd, SocketPacket, WirePacket};
use crate::support::token::token;
use crate::support::wire::{RawFrame, opcode};
use crate::support::{DEADLINE, Hub, Sio, SioTransport, eventually};

#[tokio::test]
async fn an_unknown_namespace_is_refused_with_the_standard_message() {
    let hub = Hub::start();
    for transport in SioTransport::BOTH {
        let mut client = Sio::open(&hub, transport).await;
        client.send("40/nowhere,{\"token\":\"x\"}").await;
        let refused = "44/nowhere,{\"message\":\"Invalid namespace\"}";
        assert_eq!(client.packet().await, Some(WirePacket::Text(refused.to_owned())));
        // The connection stays open for another namespace.
        client.connect("/", &Value::Null).await.unwrap();
    }
}

#[tokio::test]
async fn an_error_about_an_invalid_event_has_its_name() {
    let hub = Hub::start();
    for transport in SioTransport::BOTH {
        for namespace in ["/", "/chat"] {
            let mut client = Sio::open(&hub, transport).await;
            client.connect(namespace, &json!({"token": token("alice")})).await.unwrap();
            let prefix = if namespace == "/" { "" } else { "/chat," };
            let packet = format!("451-{prefix}[\"client:event\",{{\"_placeholder\":true,\"num\":7}}]");
            client.send_with_attachments(&packet, &[b"x"]).await;
            let error = loop {
                let received = client.receive().await;
                if received.event() == Some("error") {
                    break received.data[1].clone();
                }
            };
            let fields = (&error["event"], &error["code"], &error["details"]["field"]);
            assert_eq!(fields, (&json!("client:event"), &json!("INVALID_REQUEST"), &json!("data")), "{namespace}");
        }
    }
}

#[tokio::test]
async fn a_connection_is_in_several_namespaces_each_with_an_id_of_its_own() {
    let hub = Hub::start();
    for transport in SioTransport::BOTH {
        let mut client = Sio::open(&hub, transport).await;
        let auth = json!({"token": token("alice")});
        let root = client.connect("/", &auth).await.unwrap();
        let socket_id = client.expect("connected").await["socketId"].clone();
        assert_eq!(client.expect("system:welcome").await["socketId"], socket_id);
        let chat = client.connect("/chat", &auth).await.unwrap();
        assert_eq!(root, json!({"sid": socket_id}));
        assert_eq!(chat.as_object().unwrap().keys().collect::<Vec<_>>(), ["sid"], "{chat}");
        assert_ne!(root["sid"], chat["sid"]);
        if transport == SioTransport::Polling {
            let engine = client.polling().sid().to_owned();
            assert!(root["sid"] != engine && chat["sid"] != engine, "the id of the connection is disclosed");
        }
        assert_eq!(hub.connections(), 2, "two sessions");

        // Each session replies, and a DISCONNECT of one does not end the other.
        let data = json!({"topic": "lobby", "payload": 1});
        let id = client.emit_for_ack("/chat", "Broadcast", data).await;
        let received = client.receive().await;
        assert_eq!(
            (received.kind, received.namespace.as_str(), received.id),
            (SocketPacket::ACK, "/chat", Some(id)),
            "{received:?}"
        );
        client.send("41/chat,").await;
        client.expect_silence().await;
        eventually(DEADLINE, "one session is left", || hub.connections() == 1).await;
        // The namespace can be joined again, as another user.
        let again = client.connect("/chat", &json!({"token": token("bob")})).await.unwrap();
        assert_ne!(again["sid"], chat["sid"]);
        client.send("41").await;
        eventually(DEADLINE, "the other is left", || hub.connections() == 1).await;
        drop(client);
        if transport == SioTransport::WebSocket {
            eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
        } else {
            // The hub does not know that the client stopped polling.
            let closed = json!({"userId": "bob"});
            let answer = hub.http().request("POST", "/api/disconnect").key().json(&closed).send();
            assert_eq!(answer.status, 200, "{answer:?}");
            eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
        }
    }
}

/// Invalid packets of a client that has joined `/`.
const BROKEN: [&str; 15] = [
    "4",
    "47",
    "4x",
    "42",
    "42{}",
    "42abc[\"ping\"]",
    "42[\"connect\"]",
    "42[\"disconnect\"]",
    "42/chat,[\"ping\"]",
    "42/nowhere,[\"ping\"]",
    "43[]",
    "431{}",
    "44{\"message\":\"no\"}",
    "41x",
    "4511-[\"ping\"]",
];

#[tokio::test]
async fn a_broken_packet_ends_the_connection() {
    let hub = Hub::start();
    for broken in BROKEN {
        let mut client = Sio::guest(&hub, SioTransport::WebSocket).await;
        client.send(broken).await;
        assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1002))), "{broken}");
        client.wire().wait_closed().await;

        let mut client = Sio::guest(&hub, SioTransport::Polling).await;
        let answer = client.polling().post(broken).await;
        let refusal = json!({"code": 3, "message": "Bad request: a malformed packet"});
        assert_eq!((answer.status, answer.json()), (400, refusal), "{broken}");
        client.polling().assert_gone().await;
    }
    eventually(DEADLINE, "no session is left", || hub.connections() == 0).await;
    let mut after = Sio::guest(&hub, SioTransport::WebSocket).await;
    after.expect_silence().await;
}

#[tokio::test]
async fn a_packet_before_a_namespace_is_joined_ends_the_connection() {
    let hub = Hub::start();
    for packet in ["42[\"ping\"]", "430[]", "451-[\"ping\",{\"_placeholder\":true,\"num\":0}]"] {
        let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
        client.send(packet).await;
        if packet.starts_with("45") {
            client.wire().try_send(&RawFrame::new(opcode::BINARY, *b"x").encode()).await;
        }
        assert_eq!(client.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1002))), "{packet}");
    }
}

#[tokio::test]
async fn attachments_follow_their_packet_directly() {
    let hub = Hub::start();
    let announcement = "451-[\"ping\",{\"_placeholder\":true,\"num\":0}]";
    let mut unannounced = Sio::guest(&hub, SioTransport::WebSocket).await;
    unannounced.wire().send_frame(&RawFrame::new(opcode::BINARY, *b"x")).await;
    assert_eq!(unannounced.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1002))));

    let mut interrupted = Sio::guest(&hub, SioTransport::WebSocket).await;
    interrupted.send(announcement).await;
    interrupted.send("42[\"ping\"]").await;
    assert_eq!(interrupted.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1002))));

    let mut unannounced = Sio::guest(&hub, SioTransport::Polling).await;
    assert_eq!(unannounced.polling().post("bAQID").await.status, 400);
    unannounced.polling().assert_gone().await;

    let mut interrupted = Sio::guest(&hub, SioTransport::Polling).await;
    assert_eq!(interrupted.polling().post(format!("{announcement}\u{1e}42[\"ping\"]")).await.status, 400);
    interrupted.polling().assert_gone().await;

    // A WebSocket ping between the two is allowed.
    let mut pinged = Sio::guest(&hub, SioTransport::WebSocket).await;
    pinged.send("451-7[\"ping\",{\"timestamp\":{\"_placeholder\":true,\"num\":0}}]").await;
    pinged.wire().send_frame(&RawFrame::new(opcode::PING, *b"")).await;
    pinged.send("3").await;
    pinged.wire().send_frame(&RawFrame::new(opcode::BINARY, *b"x")).await;
    assert_eq!(pinged.receive().await.id, Some(7));
}

#[tokio::test]
async fn a_namespace_may_have_a_query_and_an_unsolicited_acknowledgement_is_ignored() {
    let hub = Hub::start();
    let mut client = Sio::open(&hub, SioTransport::WebSocket).await;
    client.send(&format!("40/chat?x=1,{}", json!({"token": token("alice")}))).await;
    let received = client.receive().await;
    assert_eq!((received.kind, received.namespace.as_str()), (SocketPacket::CONNECT, "/chat"), "{received:?}");
    client.connect("/", &Value::Null).await.unwrap();
    client.expect("connected").await;
    client.expect("system:welcome").await;
    client.send("4399[{}]").await;
    client.expect_silence().await;
}

#[tokio::test]
async fn refused_namespaces_do_not_count_as_joined() {
    let hub = Hub::start();
    let mut client = Sio::guest(&hub, SioTransport::WebSocket).await;
    for n in 0..50 {
        client.connect(&format!("/n{n}"), &Value::Null).await.unwrap_err();
    }
    client.expect_silence().await;
}
