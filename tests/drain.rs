//! A hub that goes away does not send everybody off in one moment, nor has them all back in one: each session is told
//! when to come back, and they are closed at a rate.

use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::support::client::is_draining;
use crate::support::token::token;
use crate::support::{Client, DEADLINE, Hub, Sio, Transport, Wire};

/// So many raw sessions.
async fn crowd(hub: &Hub, many: usize) -> Vec<Client> {
    let mut crowd = Vec::new();
    for n in 0..many {
        crowd.push(Client::of(hub, &format!("user-{n}")).await);
    }
    crowd
}

/// Reads to the end: what came, users' coming included, the close code, and when it ended.
async fn listen(mut client: Client) -> (Vec<Value>, Option<u16>, Instant) {
    let (messages, code) = client.until_closed().await;
    (messages, code, Instant::now())
}

/// In how many ms a session is to come back, to which nothing else was said.
#[track_caller]
fn told(messages: &[Value]) -> u64 {
    let [notice] = messages else { panic!("was told {messages:?}") };
    assert!(notice["timestamp"].is_number(), "{notice}");
    let after = notice["data"]["details"]["reconnect_after_ms"].as_u64().unwrap_or_else(|| panic!("{notice}"));
    let expected = json!({"status": "draining", "details": {"reconnect_after_ms": after}});
    assert_eq!((&notice["type"], &notice["data"]), (&json!("Status"), &expected), "{notice}");
    after
}

#[tokio::test]
async fn sessions_are_told_when_to_come_back_and_closed_so_many_a_second() {
    let mut hub = Hub::with("[server]\ndrain_per_sec = 20\n[presence]\naudience = \"off\"");
    let crowd: Vec<_> = crowd(&hub, 40).await.into_iter().map(|client| tokio::spawn(listen(client))).collect();
    hub.signal("TERM");
    let (mut delays, mut ends) = (HashSet::new(), Vec::new());
    for client in crowd {
        let (messages, code, at) = client.await.unwrap();
        assert_eq!(code, Some(1001));
        let after = told(&messages);
        assert!(after <= 2_000, "to come back after {after} ms");
        delays.insert(after);
        ends.push(at);
    }
    assert!(delays.len() > 10, "{delays:?}");
    let (first, last) = (ends.iter().min().unwrap(), ends.iter().max().unwrap());
    // By the plan it is two seconds, but for half a session at both ends.
    assert!(last.duration_since(*first) > Duration::from_secs(1), "{:?}", last.duration_since(*first));
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn with_no_rate_they_are_closed_at_once_and_come_back_over_a_second() {
    let mut hub = Hub::with("[server]\ndrain_per_sec = 0\n[presence]\naudience = \"off\"");
    let crowd: Vec<_> = crowd(&hub, 40).await.into_iter().map(|client| tokio::spawn(listen(client))).collect();
    hub.signal("TERM");
    let mut delays = HashSet::new();
    for client in crowd {
        let (messages, code, _) = client.await.unwrap();
        let after = told(&messages);
        assert!((code, after <= 1_000) == (Some(1001), true), "{code:?}, to come back after {after} ms");
        delays.insert(after);
    }
    assert!(delays.len() > 10, "{delays:?}");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn where_the_time_is_too_short_for_the_rate_they_are_closed_in_time() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 4\ndrain_per_sec = 1\n[presence]\naudience = \"off\"");
    let crowd: Vec<_> = crowd(&hub, 40).await.into_iter().map(|client| tokio::spawn(listen(client))).collect();
    let asked = Instant::now();
    hub.signal("TERM");
    let mut last = 0;
    for client in crowd {
        let (messages, code, _) = client.await.unwrap();
        assert_eq!(code, Some(1001));
        last = last.max(told(&messages));
    }
    assert!((1_001..=40_000).contains(&last), "the last one is to come back after {last} ms");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
    assert!(asked.elapsed() < Duration::from_secs(6), "took {:?}", asked.elapsed());
    assert!(hub.output().contains("they are closed faster"), "{}", hub.output());
    assert!(!hub.output().contains("had not read all"), "{}", hub.output());
}

/// One a second, and more time than the test takes: who is not closed early stays.
const SLOWLY: &str = "
    server.shutdown_secs = 300
    server.drain_per_sec = 1
    server.workers = 1
    presence.linger_ms = 0
";

#[tokio::test]
async fn while_sessions_wait_for_their_end_nothing_is_lost_and_nothing_new_is_taken() {
    let hub = Hub::with(SLOWLY);
    let (mut first, mut sender) = (Client::of(&hub, "first").await, Client::of(&hub, "sender").await);
    let mut others = crowd(&hub, 20).await;
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
    assert!((hub.metric("hubbub_ready"), hub.metric("websocket_connections_active") > 10.0) == (0.0, true));
    let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token("late")), &[]).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("SHUTTING_DOWN")), "{answer:?}");

    let last = others.last_mut().unwrap();
    assert!(is_draining(&last.next().await));
    let publish = json!({"type": "Broadcast", "data": {"topic": "room", "payload": "refused"}, "id": 1});
    let refused = last.ask(publish, "Error").await;
    assert_eq!((&refused["id"], &refused["data"]["code"]), (&json!(1), &json!("SHUTTING_DOWN")), "{refused}");
    assert_eq!(member.expect("Broadcast").await["data"]["payload"], "accepted");
    assert!(is_draining(&member.next().await));

    assert_eq!(first.close_code().await, Some(1001));
    assert_eq!(sender.close_code().await, Some(1001));
    // Those who are still there do not hear that the others went: the answer is the next that comes.
    member.send(json!({"type": "Ping", "data": {"timestamp": 1}, "id": 2})).await;
    let next = member.next_with_presence().await;
    assert_eq!((&next["id"], &next["data"]["code"]), (&json!(2), &json!("SHUTTING_DOWN")), "{next}");
}

#[tokio::test]
async fn all_that_a_connection_carries_ends_together() {
    for transport in [Transport::WebSocket, Transport::Polling] {
        let hub = Hub::with(SLOWLY);
        let mut both = Sio::of(&hub, transport, "alice").await;
        let _others = crowd(&hub, 20).await;
        both.connect("/chat", &json!({"token": token("alice")})).await.unwrap();
        // Its session on `/` is the first, and that on `/chat` the last.
        hub.signal("TERM");
        let (said, _) = both.read_to_end().await;
        let events: Vec<_> = said.iter().map(|said| (said.namespace.as_str(), said.event().unwrap())).collect();
        assert_eq!(events, [("/", "system:draining"), ("/chat", "system:draining"), ("/", "disconnected")]);
        assert!(hub.connections() > 10, "{} are left", hub.connections());
    }
}

#[tokio::test]
async fn connections_without_a_session_do_not_wait_for_those_with_one() {
    let hub = Hub::with(SLOWLY);
    let _others = crowd(&hub, 20).await;
    let mut idle = [Sio::open(&hub, Transport::WebSocket).await, Sio::open(&hub, Transport::Polling).await];
    idle[1].start_poll().await;
    // The poll came before this answer.
    assert_eq!(hub.connections(), 20);
    hub.signal("TERM");
    for client in &mut idle {
        assert!(client.read_to_end().await.0.is_empty());
    }
    assert!(hub.connections() > 10, "{} are left", hub.connections());
}
