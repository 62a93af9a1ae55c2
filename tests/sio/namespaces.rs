//! CONNECTs and DISCONNECTs for one namespace in any order: the last one decides, and there is one session at most.

use serde_json::{Value, json};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};

use crate::support::socketio::{EnginePacket, SEPARATOR, SessionEnd, SocketPacket};
use crate::support::token::token;
use crate::support::wire::Frame;
use crate::support::{DEADLINE, Hub, Reply, Sio, Transport, Upstream, eventually};

/// A packet's text for `/` or `/chat`: `C` is a CONNECT, `D` a DISCONNECT.
fn packet(kind: char, namespace: &str, auth: &Value) -> String {
    let prefix = if namespace == "/" { String::new() } else { format!("{namespace},") };
    match kind {
        'C' => format!("40{prefix}{auth}"),
        _ => format!("41{prefix}"),
    }
}

/// Sends packets in one write.
async fn say_at_once(client: &mut Sio, transport: Transport, packets: &[String]) {
    match transport {
        Transport::Polling => client.polling().send(packets.join(&SEPARATOR.to_string())).await,
        Transport::WebSocket => {
            let frames: Vec<u8> = packets.iter().flat_map(|packet| Frame::text(packet.as_str()).encode()).collect();
            client.wire().send(&frames).await;
        }
    }
}

/// What is said until the answer to a marker: a CONNECT for a namespace that does not exist.
async fn until_marker(client: &mut Sio) -> Vec<SocketPacket> {
    client.send("40/marker,").await;
    let mut said = Vec::new();
    loop {
        let one = client.receive().await;
        if one.namespace == "/marker" {
            return said;
        }
        said.push(one);
    }
}

/// What is said until the client is in `namespace` and greeted, where it is to be in; and whatever else is there by then.
async fn until_settled(client: &mut Sio, namespace: &str, is_in: bool) -> Vec<SocketPacket> {
    let mut said: Vec<SocketPacket> = Vec::new();
    let is_last = |said: &SocketPacket| match namespace {
        "/" => said.event() == Some("system:welcome"),
        _ => said.kind == SocketPacket::CONNECT,
    };
    while is_in && !said.last().is_some_and(is_last) {
        said.push(client.receive().await);
    }
    said.extend(until_marker(client).await);
    said
}

/// Reads on to the next acknowledgement.
async fn until_ack(client: &mut Sio) {
    while client.receive().await.kind != SocketPacket::ACK {}
}

/// What a client is told of a namespace: its `sid`s, and how many greetings came.
fn summary(said: &[SocketPacket], namespace: &str) -> (Vec<String>, usize) {
    let of_it: Vec<_> = said.iter().filter(|said| said.namespace == namespace).collect();
    let connects = of_it.iter().filter(|said| said.kind == SocketPacket::CONNECT);
    let sids = connects.map(|said| said.data["sid"].as_str().unwrap().to_owned()).collect();
    let greetings = of_it.iter().filter(|said| said.event() == Some("connected")).count();
    assert!(of_it.iter().all(|said| said.kind != SocketPacket::CONNECT_ERROR), "{said:?}");
    (sids, greetings)
}

#[tokio::test]
async fn any_order_of_connect_and_disconnect_in_one_write_ends_as_the_last_one_says() {
    let hub = Hub::with("[presence]\naudience = \"off\"");
    let auth = json!({"token": token("alice")});
    for transport in Transport::BOTH {
        for namespace in ["/", "/chat"] {
            for order in ["CC", "CDC", "CCDC", "CDCDC", "CDDCC", "DCC", "CD", "CCD", "CDCD", "CCDCD", "D"] {
                let what = format!("{order} {namespace} {transport:?}");
                let mut client = Sio::open(&hub, transport).await;
                let packets: Vec<_> = order.chars().map(|kind| packet(kind, namespace, &auth)).collect();
                say_at_once(&mut client, transport, &packets).await;
                let is_in = u64::from(order.ends_with('C'));
                let said = until_settled(&mut client, namespace, is_in == 1).await;
                eventually(DEADLINE, &what, || hub.connections() == is_in).await;
                let (sids, greetings) = summary(&said, namespace);
                // Each CONNECT that no DISCONNECT follows is answered, with one id.
                let last = order.len() - order.trim_end_matches('C').len();
                assert_eq!(sids.len(), last, "{what}");
                assert!(sids.iter().all(|sid| *sid == sids[0]), "{what}: {sids:?}");
                assert_eq!(greetings as u64, if namespace == "/" { is_in } else { 0 }, "{what}");
                // The session answers, or the namespace can be joined.
                if is_in == 0 {
                    client.send(&packet('C', namespace, &auth)).await;
                    let (sids, _) = summary(&until_settled(&mut client, namespace, true).await, namespace);
                    assert_eq!(sids.len(), 1, "{what}: this CONNECT alone is answered");
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
async fn a_connect_for_a_joined_namespace_is_answered_with_the_same_sid_and_does_nothing_else() {
    for offsets in ["never", "always"] {
        let hub = Hub::with(&format!("[socketio]\noffsets = \"{offsets}\""));
        for transport in Transport::BOTH {
            for namespace in ["/", "/chat"] {
                let auth = json!({"token": token("alice")});
                let mut client = Sio::open(&hub, transport).await;
                let first = client.connect(namespace, &auth).await.unwrap();
                until_marker(&mut client).await;
                let pids = namespace == "/" && offsets == "always";
                assert_eq!(first.get("pid").is_some(), pids, "{first}");
                client.emit_for_ack(namespace, "room:join", json!({"room": "r"})).await;
                until_ack(&mut client).await;
                // Whatever it shows: nobody changes without a DISCONNECT.
                for auth in [&auth, &json!({"token": token("bob")}), &json!({"token": "nonsense"}), &json!({})] {
                    client.send(&packet('C', namespace, auth)).await;
                    let said = until_marker(&mut client).await;
                    assert_eq!(said.len(), 1, "{said:?}");
                    assert_eq!((said[0].kind, &said[0].data), (SocketPacket::CONNECT, &first), "{said:?}");
                }
                assert_eq!(hub.connections(), 1);
                // It is in its room still.
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
async fn a_page_may_toggle_a_namespace_sixty_times_a_minute_and_stays_in_the_other() {
    let hub = Hub::start();
    let auth = json!({"token": token("alice")});
    for transport in Transport::BOTH {
        let mut client = Sio::of(&hub, transport, "alice").await;
        for n in 1..59 {
            client.connect("/chat", &auth).await.unwrap_or_else(|error| panic!("CONNECT {n}: {error}"));
            client.send("41/chat,").await;
        }
        client.connect("/chat", &auth).await.unwrap();
        // One too many changes nothing for a client that is in; where it is out, it is refused.
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
async fn six_hundred_connects_in_a_minute_close_the_connection_whether_they_join_anything_or_not() {
    let hub = Hub::with("[limits]\nframes_per_second = 0");
    let auth = json!({"token": token("alice")});
    let mut client = Sio::of(&hub, Transport::WebSocket, "alice").await;
    let connects = vec![packet('C', "/", &auth); 600];
    say_at_once(&mut client, Transport::WebSocket, &connects).await;
    let (said, end) = client.read_to_end().await;
    let answered = said.iter().filter(|said| said.kind == SocketPacket::CONNECT).count();
    assert_eq!((answered, end), (59, SessionEnd::Closed(Some(4429))), "{said:?}");
    eventually(DEADLINE, "the session ends", || hub.connections() == 0).await;
}

/// An application that answers for a token once the test says what: each answer is one for one question.
fn application() -> (Upstream, Sender<Reply>) {
    let (answer, answers) = mpsc::channel();
    let answers = Arc::new(Mutex::new(answers));
    (Upstream::new(move |_| answers.lock().unwrap().recv().unwrap()), answer)
}

fn is_alice() -> Reply {
    Reply::Json(200, json!({"user": {"id": "alice"}}))
}

#[tokio::test]
async fn a_client_that_leaves_while_it_is_authorized_is_not_let_in() {
    let (application, answer) = application();
    let hub = Hub::with(&format!("[auth.backend]\nurl = \"{}\"\ncache_secs = 0", application.url("/api/user")));
    for (round, (transport, namespace)) in
        Transport::BOTH.into_iter().flat_map(|transport| [(transport, "/"), (transport, "/chat")]).enumerate()
    {
        let auth = json!({"token": format!("1|opaque-{round}")});
        let mut client = Sio::open(&hub, transport).await;
        let asked = 1 + 2 * round;
        let is_asked = || application.count() == asked;
        let reply = if round % 2 == 0 { is_alice() } else { Reply::Json(401, json!({})) };
        let [connect, disconnect] = ['C', 'D'].map(|kind| packet(kind, namespace, &auth));
        match transport {
            Transport::WebSocket => {
                client.send(&connect).await;
                eventually(DEADLINE, "the application is asked", is_asked).await;
                client.send(&disconnect).await;
                // It is read meanwhile: this is answered.
                assert_eq!(until_marker(&mut client).await, []);
                answer.send(reply).unwrap();
            }
            // A request is answered once all that it asks is decided.
            Transport::Polling => {
                let posted = client.polling().start_post([connect, disconnect].join(&SEPARATOR.to_string())).await;
                eventually(DEADLINE, "the application is asked", is_asked).await;
                answer.send(reply).unwrap();
                assert_eq!(posted.await.unwrap().status, 200);
            }
        }
        // Another CONNECT waits for the outcome of the first, and is judged by itself.
        let auth = json!({"token": format!("1|again-{round}")});
        answer.send(is_alice()).unwrap();
        client.send(&packet('C', namespace, &auth)).await;
        let said = client.receive().await;
        assert_eq!((said.kind, said.namespace.as_str()), (SocketPacket::CONNECT, namespace), "{said:?}");
        eventually(DEADLINE, "one session", || hub.connections() == 1).await;
        let (_, greetings) = summary(&until_marker(&mut client).await, namespace);
        assert_eq!(greetings, usize::from(namespace == "/"));
        client.send(&packet('D', namespace, &auth)).await;
        eventually(DEADLINE, "no session", || hub.connections() == 0).await;
    }
}

#[tokio::test]
async fn the_outcome_of_a_connect_does_not_reach_the_one_that_took_its_place() {
    let (application, answer) = application();
    let hub = Hub::with(&format!("[auth.backend]\nurl = \"{}\"\ncache_secs = 0", application.url("/api/user")));
    let good = json!({"token": token("bob")});
    for (round, (transport, reply)) in [Reply::Json(401, json!({})), is_alice()]
        .into_iter()
        .flat_map(|reply| Transport::BOTH.map(|t| (t, reply.clone())))
        .enumerate()
    {
        let first = json!({"token": format!("1|opaque-{round}")});
        let mut client = Sio::open(&hub, transport).await;
        let [first, second] = [first, good.clone()].map(|auth| packet('C', "/", &auth));
        match transport {
            Transport::WebSocket => {
                client.send(&first).await;
                // Both are read at once: the answer to the first of them shows that the second is there.
                say_at_once(&mut client, transport, &["40/marker,".to_owned(), second]).await;
                assert_eq!(client.receive().await.namespace, "/marker");
            }
            Transport::Polling => {
                drop(client.polling().start_post([first, second].join(&SEPARATOR.to_string())).await);
            }
        }
        eventually(DEADLINE, "the application is asked", || application.count() == 1 + round).await;
        answer.send(reply).unwrap();
        let said = client.receive().await;
        assert_eq!(said.kind, SocketPacket::CONNECT, "{said:?}");
        assert_eq!(client.expect("connected").await["socketId"], said.data["sid"]);
        client.expect("system:welcome").await;
        let registered = client.emit_and_expect("register:ack", "register", json!({"userId": "bob"})).await;
        assert_eq!(registered, json!({"success": true, "userId": "bob"}));
        eventually(DEADLINE, "one session", || hub.connections() == 1).await;
        client.send("41").await;
        eventually(DEADLINE, "no session", || hub.connections() == 0).await;
    }
}

#[tokio::test]
async fn an_event_behind_a_connect_waits_for_its_outcome() {
    let hub = Hub::start();
    for transport in Transport::BOTH {
        let mut client = Sio::open(&hub, transport).await;
        let connect = packet('C', "/", &json!({"token": token("alice")}));
        let packets = [connect.clone(), "420[\"ping\"]".to_owned(), connect, "421[\"ping\"]".to_owned()];
        say_at_once(&mut client, transport, &packets).await;
        let mut said = Vec::new();
        while said.last().is_none_or(|said: &SocketPacket| said.id != Some(1)) {
            said.push(client.receive().await);
        }
        let acks: Vec<_> = said.iter().filter(|said| said.kind == SocketPacket::ACK).map(|said| said.id).collect();
        let (sids, greetings) = summary(&said, "/");
        assert_eq!((acks, sids.len(), greetings), (vec![Some(0), Some(1)], 2, 1), "{said:?}");
        assert!(sids.iter().all(|sid| *sid == sids[0]), "{sids:?}");
        // One whose CONNECT is refused has nothing to say.
        let mut refused = Sio::open(&hub, Transport::WebSocket).await;
        let packets = [packet('C', "/", &json!({"token": "nonsense"})), "420[\"ping\"]".to_owned()];
        say_at_once(&mut refused, Transport::WebSocket, &packets).await;
        assert!(matches!(refused.packet().await, Some(EnginePacket::Text(text)) if text.starts_with("44")));
        assert_eq!(refused.read_to_end().await, (vec![], SessionEnd::Closed(Some(1002))));
    }
}
