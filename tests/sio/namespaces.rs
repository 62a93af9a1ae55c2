//! CONNECT and DISCONNECT packets of one namespace in any order: the last one decides, and there is at most one session.

use serde_json::{Value, json};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};

use crate::support::socketio::{ObservedEnd, SEPARATOR, SocketPacket, WirePacket};
use crate::support::token::token;
use crate::support::wire::RawFrame;
use crate::support::{DEADLINE, Hub, MockUpstream, Sio, SioTransport, UpstreamReply, eventually};

/// A packet's text for `/` or `/chat`: `C` is a CONNECT, `D` a DISCONNECT.
fn packet(kind: char, namespace: &str, auth: &Value) -> String {
    let prefix = if namespace == "/" { String::new() } else { format!("{namespace},") };
    match kind {
        'C' => format!("40{prefix}{auth}"),
        _ => format!("41{prefix}"),
    }
}

/// Sends packets in one write.
async fn send_at_once(client: &mut Sio, transport: SioTransport, packets: &[String]) {
    match transport {
        SioTransport::Polling => client.polling().send(packets.join(&SEPARATOR.to_string())).await,
        SioTransport::WebSocket => {
            let frames: Vec<u8> = packets.iter().flat_map(|packet| RawFrame::text(packet.as_str()).encode()).collect();
            client.wire().send(&frames).await;
        }
    }
}

/// The packets before the reply to a marker: a CONNECT for a namespace that does not exist.
async fn until_marker(client: &mut Sio) -> Vec<SocketPacket> {
    client.send("40/marker,").await;
    let mut received = Vec::new();
    loop {
        let one = client.receive().await;
        if one.namespace == "/marker" {
            return received;
        }
        received.push(one);
    }
}

/// The packets up to the greeting of `namespace`, if the client joins it, and all other packets by then.
async fn until_settled(client: &mut Sio, namespace: &str, is_in: bool) -> Vec<SocketPacket> {
    let mut received: Vec<SocketPacket> = Vec::new();
    let is_last = |received: &SocketPacket| match namespace {
        "/" => received.event() == Some("system:welcome"),
        _ => received.kind == SocketPacket::CONNECT,
    };
    while is_in && !received.last().is_some_and(is_last) {
        received.push(client.receive().await);
    }
    received.extend(until_marker(client).await);
    received
}

/// Reads up to the next acknowledgement.
async fn until_ack(client: &mut Sio) {
    while client.receive().await.kind != SocketPacket::ACK {}
}

/// The packets of a namespace: each `sid` of a CONNECT, and the number of greetings.
fn summary(received: &[SocketPacket], namespace: &str) -> (Vec<String>, usize) {
    let in_namespace: Vec<_> = received.iter().filter(|received| received.namespace == namespace).collect();
    let connects = in_namespace.iter().filter(|received| received.kind == SocketPacket::CONNECT);
    let sids = connects.map(|received| received.data["sid"].as_str().unwrap().to_owned()).collect();
    let greetings = in_namespace.iter().filter(|received| received.event() == Some("connected")).count();
    assert!(in_namespace.iter().all(|received| received.kind != SocketPacket::CONNECT_ERROR), "{received:?}");
    (sids, greetings)
}

#[tokio::test]
async fn the_last_of_several_connects_and_disconnects_in_one_write_decides() {
    let hub = Hub::with("[presence]\naudience = \"off\"");
    let auth = json!({"token": token("alice")});
    for transport in SioTransport::BOTH {
        for namespace in ["/", "/chat"] {
            for order in ["CC", "CDC", "CCDC", "CDCDC", "CDDCC", "DCC", "CD", "CCD", "CDCD", "CCDCD", "D"] {
                let what = format!("{order} {namespace} {transport:?}");
                let mut client = Sio::open(&hub, transport).await;
                let packets: Vec<_> = order.chars().map(|kind| packet(kind, namespace, &auth)).collect();
                send_at_once(&mut client, transport, &packets).await;
                let is_in = u64::from(order.ends_with('C'));
                let received = until_settled(&mut client, namespace, is_in == 1).await;
                eventually(DEADLINE, &what, || hub.connections() == is_in).await;
                let (sids, greetings) = summary(&received, namespace);
                // Each CONNECT after the last DISCONNECT is answered, all with one id.
                let last = order.len() - order.trim_end_matches('C').len();
                assert_eq!(sids.len(), last, "{what}");
                assert!(sids.iter().all(|sid| *sid == sids[0]), "{what}: {sids:?}");
                assert_eq!(greetings as u64, if namespace == "/" { is_in } else { 0 }, "{what}");
                // The session is usable, or the namespace can be joined.
                if is_in == 0 {
                    client.send(&packet('C', namespace, &auth)).await;
                    let (sids, _) = summary(&until_settled(&mut client, namespace, true).await, namespace);
                    assert_eq!(sids.len(), 1, "{what}: only this CONNECT is answered");
                }
                client.emit_for_ack(namespace, "room:join", json!({"room": "r"})).await;
                until_ack(&mut client).await;
                assert_eq!(hub.connections(), 1, "{what}");
                client.send(&packet('D', namespace, &auth)).await;
                eventually(DEADLINE, "the session ends", || hub.connections() == 0).await;
            }
        }
    }
}

#[tokio::test]
async fn a_connect_for_a_joined_namespace_is_answered_with_the_same_sid_and_has_no_other_effect() {
    for offsets in ["never", "always"] {
        let hub = Hub::with(&format!("[socketio]\noffsets = \"{offsets}\""));
        for transport in SioTransport::BOTH {
            for namespace in ["/", "/chat"] {
                let auth = json!({"token": token("alice")});
                let mut client = Sio::open(&hub, transport).await;
                let first = client.connect(namespace, &auth).await.unwrap();
                until_marker(&mut client).await;
                let pids = namespace == "/" && offsets == "always";
                assert_eq!(first.get("pid").is_some(), pids, "{first}");
                client.emit_for_ack(namespace, "room:join", json!({"room": "r"})).await;
                until_ack(&mut client).await;
                // The token does not matter: the user changes only after a DISCONNECT.
                for auth in [&auth, &json!({"token": token("bob")}), &json!({"token": "nonsense"}), &json!({})] {
                    client.send(&packet('C', namespace, auth)).await;
                    let received = until_marker(&mut client).await;
                    assert_eq!(received.len(), 1, "{received:?}");
                    assert_eq!((received[0].kind, &received[0].data), (SocketPacket::CONNECT, &first), "{received:?}");
                }
                assert_eq!(hub.connections(), 1);
                // The session is still in its room.
                let push = json!({"room": "r", "event": "note", "data": {}});
                let answer = hub.http().request("POST", "/api/room").key().json(&push).send();
                assert_eq!(answer.json()["recipients"], 1, "{answer:?}");
                client.receive().await;
                client.send(&packet('D', namespace, &auth)).await;
                eventually(DEADLINE, "the session ends", || hub.connections() == 0).await;
            }
        }
    }
}

#[tokio::test]
async fn a_client_can_join_a_namespace_sixty_times_a_minute_and_stays_in_the_other() {
    let hub = Hub::start();
    let auth = json!({"token": token("alice")});
    for transport in SioTransport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        for n in 1..59 {
            client.connect("/chat", &auth).await.unwrap_or_else(|error| panic!("CONNECT {n}: {error}"));
            client.send("41/chat,").await;
        }
        client.connect("/chat", &auth).await.unwrap();
        // A CONNECT beyond the limit has no effect on a joined namespace, and is refused for another.
        client.send(&packet('C', "/chat", &auth)).await;
        client.expect_silence().await;
        client.send("41/chat,").await;
        let error = client.connect("/chat", &auth).await.unwrap_err();
        assert_eq!(error["data"]["code"], "RATE_LIMITED", "{error}");
        client.expect_silence().await;
        client.send("41").await;
        eventually(DEADLINE, "the sessions end", || hub.connections() == 0).await;
    }
}

#[tokio::test]
async fn six_hundred_connects_in_a_minute_close_the_connection() {
    let hub = Hub::with("[limits]\nframes_per_second = 0");
    let auth = json!({"token": token("alice")});
    let mut client = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    let connects = vec![packet('C', "/", &auth); 600];
    send_at_once(&mut client, SioTransport::WebSocket, &connects).await;
    let (received, end) = client.read_to_end().await;
    let answered = received.iter().filter(|received| received.kind == SocketPacket::CONNECT).count();
    assert_eq!((answered, end), (59, ObservedEnd::Closed(Some(4429))), "{received:?}");
    eventually(DEADLINE, "the session ends", || hub.connections() == 0).await;
}

/// An application that checks tokens. Each reply that the test sends answers one request.
fn application() -> (MockUpstream, Sender<UpstreamReply>) {
    let (answer, answers) = mpsc::channel();
    let answers = Arc::new(Mutex::new(answers));
    (MockUpstream::new(move |_| answers.lock().unwrap().recv().unwrap()), answer)
}

fn is_alice() -> UpstreamReply {
    UpstreamReply::Json(200, json!({"user": {"id": "alice"}}))
}

#[tokio::test]
async fn a_client_that_disconnects_during_its_authentication_does_not_join() {
    let (application, answer) = application();
    let hub = Hub::with(&format!("[auth.backend]\nurl = \"{}\"\ncache_secs = 0", application.url("/api/user")));
    for (round, (transport, namespace)) in
        SioTransport::BOTH.into_iter().flat_map(|transport| [(transport, "/"), (transport, "/chat")]).enumerate()
    {
        let auth = json!({"token": format!("1|opaque-{round}")});
        let mut client = Sio::open(&hub, transport).await;
        let expected = 1 + 2 * round;
        let is_called = || application.count() == expected;
        let reply = if round % 2 == 0 { is_alice() } else { UpstreamReply::Json(401, json!({})) };
        let [connect, disconnect] = ['C', 'D'].map(|kind| packet(kind, namespace, &auth));
        match transport {
            SioTransport::WebSocket => {
                client.send(&connect).await;
                eventually(DEADLINE, "the application receives the request", is_called).await;
                client.send(&disconnect).await;
                // The connection is read meanwhile: the marker is answered.
                assert_eq!(until_marker(&mut client).await, []);
                answer.send(reply).unwrap();
            }
            // A POST is answered when all its packets are handled.
            SioTransport::Polling => {
                let posted = client.polling().start_post([connect, disconnect].join(&SEPARATOR.to_string())).await;
                eventually(DEADLINE, "the application receives the request", is_called).await;
                answer.send(reply).unwrap();
                assert_eq!(posted.await.unwrap().status, 200);
            }
        }
        // Another CONNECT waits for the outcome of the first, and has its own.
        let auth = json!({"token": format!("1|again-{round}")});
        answer.send(is_alice()).unwrap();
        client.send(&packet('C', namespace, &auth)).await;
        let received = client.receive().await;
        assert_eq!((received.kind, received.namespace.as_str()), (SocketPacket::CONNECT, namespace), "{received:?}");
        eventually(DEADLINE, "one session", || hub.connections() == 1).await;
        let (_, greetings) = summary(&until_marker(&mut client).await, namespace);
        assert_eq!(greetings, usize::from(namespace == "/"));
        client.send(&packet('D', namespace, &auth)).await;
        eventually(DEADLINE, "no session", || hub.connections() == 0).await;
    }
}

#[tokio::test]
async fn the_outcome_of_a_connect_does_not_affect_the_next_one() {
    let (application, answer) = application();
    let hub = Hub::with(&format!("[auth.backend]\nurl = \"{}\"\ncache_secs = 0", application.url("/api/user")));
    let good = json!({"token": token("bob")});
    for (round, (transport, reply)) in [UpstreamReply::Json(401, json!({})), is_alice()]
        .into_iter()
        .flat_map(|reply| SioTransport::BOTH.map(|t| (t, reply.clone())))
        .enumerate()
    {
        let first = json!({"token": format!("1|opaque-{round}")});
        let mut client = Sio::open(&hub, transport).await;
        let [first, second] = [first, good.clone()].map(|auth| packet('C', "/", &auth));
        match transport {
            SioTransport::WebSocket => {
                client.send(&first).await;
                // Both packets are in one write: the hub has read the second when it answers the first.
                send_at_once(&mut client, transport, &["40/marker,".to_owned(), second]).await;
                assert_eq!(client.receive().await.namespace, "/marker");
            }
            SioTransport::Polling => {
                drop(client.polling().start_post([first, second].join(&SEPARATOR.to_string())).await);
            }
        }
        eventually(DEADLINE, "the application receives the request", || application.count() == 1 + round).await;
        answer.send(reply).unwrap();
        let received = client.receive().await;
        assert_eq!(received.kind, SocketPacket::CONNECT, "{received:?}");
        assert_eq!(client.expect("connected").await["socketId"], received.data["sid"]);
        client.expect("system:welcome").await;
        let registered = client.emit_and_expect("register:ack", "register", json!({"userId": "bob"})).await;
        assert_eq!(registered, json!({"success": true, "userId": "bob"}));
        eventually(DEADLINE, "one session", || hub.connections() == 1).await;
        client.send("41").await;
        eventually(DEADLINE, "no session", || hub.connections() == 0).await;
    }
}

#[tokio::test]
async fn an_event_after_a_connect_waits_for_its_outcome() {
    let hub = Hub::start();
    for transport in SioTransport::BOTH {
        let mut client = Sio::open(&hub, transport).await;
        let connect = packet('C', "/", &json!({"token": token("alice")}));
        let packets = [connect.clone(), "420[\"ping\"]".to_owned(), connect, "421[\"ping\"]".to_owned()];
        send_at_once(&mut client, transport, &packets).await;
        let mut received = Vec::new();
        while received.last().is_none_or(|received: &SocketPacket| received.id != Some(1)) {
            received.push(client.receive().await);
        }
        let acks: Vec<_> =
            received.iter().filter(|received| received.kind == SocketPacket::ACK).map(|received| received.id).collect();
        let (sids, greetings) = summary(&received, "/");
        assert_eq!((acks, sids.len(), greetings), (vec![Some(0), Some(1)], 2, 1), "{received:?}");
        assert!(sids.iter().all(|sid| *sid == sids[0]), "{sids:?}");
        // An event after a refused CONNECT closes the connection.
        let mut refused = Sio::open(&hub, SioTransport::WebSocket).await;
        let packets = [packet('C', "/", &json!({"token": "nonsense"})), "420[\"ping\"]".to_owned()];
        send_at_once(&mut refused, SioTransport::WebSocket, &packets).await;
        assert!(matches!(refused.packet().await, Some(WirePacket::Text(text)) if text.starts_with("44")));
        assert_eq!(refused.read_to_end().await, (vec![], ObservedEnd::Closed(Some(1002))));
    }
}
