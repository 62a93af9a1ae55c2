//! A shutdown spreads the closing of sessions and their return: each session gets a random time after which to
//! reconnect, and sessions are closed at a rate.

use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use tokio::task::LocalSet;

use crate::support::client::is_draining;
use crate::support::socketio::SocketPacket;
use crate::support::token::token;
use crate::support::{Client, DEADLINE, Hub, Sio, SioTransport, Wire, eventually};

/// Opens so many raw sessions.
async fn open_clients(hub: &Hub, many: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for n in 0..many {
        clients.push(Client::of(hub, &format!("user-{n}")).await);
    }
    clients
}

/// Reads to the end: all messages, and the close code.
async fn listen(mut client: Client) -> (Vec<Value>, Option<u16>) {
    client.until_closed().await
}

/// The time after which a session is to reconnect, ms. The notice of it has to be the only message.
#[track_caller]
fn reconnect_after(messages: &[Value]) -> u64 {
    let [notice] = messages else { panic!("one message, not {messages:?}") };
    assert!(notice["timestamp"].is_number(), "{notice}");
    let after = notice["data"]["details"]["reconnect_after_ms"].as_u64().unwrap_or_else(|| panic!("{notice}"));
    let expected = json!({"status": "draining", "details": {"reconnect_after_ms": after}});
    assert_eq!((&notice["type"], &notice["data"]), (&json!("Status"), &expected), "{notice}");
    after
}

#[tokio::test]
async fn sessions_get_a_time_to_reconnect_and_are_closed_at_the_configured_rate() {
    const SESSIONS: usize = 40;
    let config = "[server]\nworkers = 1\nshutdown_secs = 300\ndrain_per_sec = 20\n[presence]\naudience = \"off\"";
    let mut hub = Hub::with_manual_clock(config);
    let (mut clients, started) = (open_clients(&hub, SESSIONS).await, hub.clock().elapsed_ms());
    hub.signal("TERM");
    let mut delays = HashSet::new();
    for client in &mut clients {
        let after = reconnect_after(&[client.next().await]);
        assert!(after <= 2_000, "to reconnect after {after} ms");
        delays.insert(after);
    }
    assert!(delays.len() > 10, "{delays:?}");
    // From here on, time passes for the drain.
    let (ends, local) = (Rc::new(RefCell::new(Vec::new())), LocalSet::new());
    for client in clients {
        let (ends, clock) = (ends.clone(), hub.clock().clone());
        local.spawn_local(async move {
            assert_eq!(listen(client).await, (vec![], Some(1001)));
            ends.borrow_mut().push(clock.elapsed_ms() - started);
        });
    }
    let steps = async {
        for closed in [10, 20, 30, SESSIONS] {
            hub.advance(500);
            eventually(DEADLINE, "the sessions of half a second are closed", || ends.borrow().len() >= closed).await;
        }
    };
    local.run_until(steps).await;
    let closed_at = |at: i64| ends.borrow().iter().filter(|&&end| end == at).count();
    assert_eq!([500, 1_000, 1_500, 2_000].map(closed_at), [10; 4], "{:?}", ends.borrow());
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
}

#[tokio::test]
async fn without_a_rate_sessions_are_closed_at_once_and_reconnect_over_a_second() {
    let mut hub = Hub::with("[server]\ndrain_per_sec = 0\n[presence]\naudience = \"off\"");
    let clients: Vec<_> = open_clients(&hub, 40).await.into_iter().map(|client| tokio::spawn(listen(client))).collect();
    hub.signal("TERM");
    let mut delays = HashSet::new();
    for client in clients {
        let (messages, code) = client.await.unwrap();
        let after = reconnect_after(&messages);
        assert!((code, after <= 1_000) == (Some(1001), true), "{code:?}, to reconnect after {after} ms");
        delays.insert(after);
    }
    assert!(delays.len() > 10, "{delays:?}");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn sessions_are_closed_faster_than_the_rate_when_the_shutdown_is_too_short_for_it() {
    // At the rate, it would take 40 s, which is longer than the test waits for the end.
    let mut hub = Hub::with("[server]\nshutdown_secs = 4\ndrain_per_sec = 1\n[presence]\naudience = \"off\"");
    let clients: Vec<_> = open_clients(&hub, 40).await.into_iter().map(|client| tokio::spawn(listen(client))).collect();
    hub.signal("TERM");
    let mut last = 0;
    for client in clients {
        let (messages, code) = client.await.unwrap();
        assert_eq!(code, Some(1001));
        last = last.max(reconnect_after(&messages));
    }
    assert!((1_001..=40_000).contains(&last), "the last one is to reconnect after {last} ms");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
    assert!(hub.output().contains("closing faster"), "{}", hub.output());
    assert!(!hub.output().contains("did not read all messages"), "{}", hub.output());
}

/// One session a second, the first after half a second.
const SLOWLY: &str = "
    server.shutdown_secs = 300
    server.drain_per_sec = 1
    server.workers = 1
    presence.linger_ms = 0
";

#[tokio::test]
async fn sessions_that_wait_for_their_close_get_all_messages_and_new_requests_are_refused() {
    let hub = Hub::with_manual_clock(SLOWLY);
    let (mut first, mut sender) = (Client::of(&hub, "first").await, Client::of(&hub, "sender").await);
    let mut others = open_clients(&hub, 20).await;
    let mut member = Client::of(&hub, "member").await;
    member.subscribe(&["room", "$presence"]).await;
    sender.broadcast("room", json!("accepted")).await;
    hub.signal("TERM");
    for client in [&mut first, &mut sender] {
        let notice = client.next().await;
        assert!(is_draining(&notice), "{notice}");
        assert!(notice["data"]["details"]["reconnect_after_ms"].as_u64().unwrap() <= 23_000, "{notice}");
    }
    let health = hub.get("/health/ready");
    assert_eq!((health.status, &health.json()["reason"]), (503, &json!("Draining")), "{health:?}");
    assert!((hub.metric("hubbub_ready"), hub.metric("websocket_connections_active")) == (0.0, 23.0));
    let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token("late")), &[]).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("SHUTTING_DOWN")), "{answer:?}");

    let last = others.last_mut().unwrap();
    assert!(is_draining(&last.next().await));
    let publish = json!({"type": "Broadcast", "data": {"topic": "room", "payload": "refused"}, "id": 1});
    let refused = last.ask(publish, "Error").await;
    assert_eq!((&refused["id"], &refused["data"]["code"]), (&json!(1), &json!("SHUTTING_DOWN")), "{refused}");
    assert_eq!(member.expect("Broadcast").await["data"]["payload"], "accepted");
    assert!(is_draining(&member.next().await));

    hub.advance(2_000);
    assert_eq!(first.close_code().await, Some(1001));
    assert_eq!(sender.close_code().await, Some(1001));
    hub.advance(100);
    // The remaining sessions get no `user_offline`: the reply is the next message.
    member.send(json!({"type": "Ping", "data": {"timestamp": 1}, "id": 2})).await;
    let next = member.next_with_presence().await;
    assert_eq!((&next["id"], &next["data"]["code"]), (&json!(2), &json!("SHUTTING_DOWN")), "{next}");
}

#[tokio::test]
async fn all_sessions_of_a_connection_end_together() {
    for transport in [SioTransport::WebSocket, SioTransport::Polling] {
        let hub = Hub::with_manual_clock(SLOWLY);
        let mut both = Sio::of(&hub, transport, "alice").await;
        let mut others = open_clients(&hub, 20).await;
        both.connect("/chat", &json!({"token": token("alice")})).await.unwrap();
        // Its session on `/` is the first to be closed, its session on `/chat` the last.
        hub.signal("TERM");
        assert!(is_draining(&others[0].next().await));
        hub.advance(1_000);
        let (packets, _) = both.read_to_end().await;
        let events: Vec<_> =
            packets.iter().map(|packet| (packet.namespace.as_str(), packet.event().unwrap())).collect();
        assert_eq!(events, [("/", "system:draining"), ("/chat", "system:draining"), ("/", "disconnected")]);
        assert_eq!(hub.connections(), 20);
    }
}

#[tokio::test]
async fn a_client_that_joins_another_namespace_during_the_drain_still_gets_its_last_events() {
    let hub = Hub::with_manual_clock(SLOWLY);
    let mut alice = Sio::of(&hub, SioTransport::WebSocket, "alice").await;
    let mut others = open_clients(&hub, 20).await;
    hub.signal("TERM");
    assert!(is_draining(&others[0].next().await));
    alice.send(&format!("40/chat,{}", json!({"token": token("alice")}))).await;
    // Its refusal follows the decision on the CONNECT.
    let refused = alice.emit_for_ack("/", "room:leave", json!({"room": "none"})).await;
    let mut packets = Vec::new();
    while packets.last().is_none_or(|packet: &SocketPacket| packet.id != Some(refused)) {
        packets.push(alice.receive_any().await);
    }
    hub.advance(1_000);
    packets.extend(alice.read_to_end().await.0);
    let events = packets.iter().filter_map(SocketPacket::event).filter(|&event| event != "user_online");
    assert_eq!(events.collect::<Vec<_>>(), ["system:draining", "room:leave:ack", "disconnected"]);
    assert!(packets.iter().all(|packet| packet.namespace == "/"), "{packets:?}");
}

#[tokio::test]
async fn connections_without_a_session_are_closed_first() {
    let hub = Hub::with_manual_clock(SLOWLY);
    let _others = open_clients(&hub, 20).await;
    let mut idle = [Sio::open(&hub, SioTransport::WebSocket).await, Sio::open(&hub, SioTransport::Polling).await];
    idle[1].start_poll().await;
    // The hub received the poll before this request.
    assert_eq!(hub.connections(), 20);
    hub.signal("TERM");
    for client in &mut idle {
        assert!(client.read_to_end().await.0.is_empty());
    }
    assert_eq!(hub.connections(), 20);
}
