//! Sessions that were cut off, over the end of the hub in order and its next start; after a crash they are gone.

use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;

use super::{
    RecoveryClient, SavedSession, hub, many_to_room, to_all, to_room, to_user, wait_until_empty, wait_until_suspended,
};
use crate::support::chat_client::{ChatClient, ChatTransport};
use crate::support::token::token;
use crate::support::{Hub, Transport};

/// Ends the hub in order, and starts it again on its data.
async fn again(hub: Hub) -> Hub {
    tokio::task::spawn_blocking(|| hub.restart_gracefully()).await.unwrap()
}

async fn crashed(hub: Hub) -> Hub {
    tokio::task::spawn_blocking(|| hub.restart()).await.unwrap()
}

fn to_each(hub: &Hub, n: usize) -> Vec<Value> {
    vec![to_room(hub, "one", n), to_user(hub, "alice", n), to_room(hub, "other", n), to_all(hub, n)]
}

#[tokio::test]
async fn what_was_missed_before_the_end_and_after_the_start_comes_once_and_in_order() {
    let mut hub = hub("");
    let mut alice = RecoveryClient::of(&hub, Transport::WebSocket, "alice").await;
    for room in ["one", "other"] {
        alice.sio.join(room).await;
    }
    for (round, transport) in [(1, Transport::WebSocket), (2, Transport::Polling), (3, Transport::WebSocket)] {
        let received = to_each(&hub, 10 * round);
        alice.expect_exactly(&received).await;
        let mut saved = alice.suspend(&hub, if round == 3 { Transport::Polling } else { Transport::WebSocket }).await;
        let mut missed = to_each(&hub, 10 * round + 1);
        for start in 2..4 {
            hub = again(hub).await;
            assert_eq!(hub.metric("hubbub_parked_sessions"), 1.0);
            missed.extend(to_each(&hub, 10 * round + start));
        }
        // Its user may have another token by now.
        saved.token = Some(token("alice"));
        alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&missed).await;
    }
    let live = to_each(&hub, 100);
    alice.expect_exactly(&live).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn those_who_are_connected_as_the_hub_ends_go_on_too() {
    let hub = hub("server.shutdown_secs = 10");
    let mut clients = Vec::new();
    for (n, transport) in [Transport::WebSocket, Transport::Polling, Transport::WebSocket].into_iter().enumerate() {
        let mut client = RecoveryClient::of(&hub, transport, &format!("user-{n}")).await;
        client.sio.join("one").await;
        clients.push((client, transport));
    }
    let sent = to_room(&hub, "one", 0);
    for (client, _) in &mut clients {
        client.expect_exactly(std::slice::from_ref(&sent)).await;
    }
    let ending = tokio::spawn(again(hub));
    for (client, _) in &mut clients {
        let (told, _) = client.sio.read_to_end().await;
        let names: Vec<_> = told.iter().filter_map(|said| said.event()).collect();
        assert_eq!(names, ["system:draining", "disconnected"], "{told:?}");
    }
    let hub = ending.await.unwrap();
    wait_until_suspended(&hub, 3.0).await;
    let missed = to_room(&hub, "one", 1);
    for (client, transport) in clients {
        let mut client = client.saved.resume(&hub, transport).await;
        client.expect_exactly(std::slice::from_ref(&missed)).await;
        client.disconnect().await;
    }
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn one_that_came_without_a_token_is_who_it_was_over_a_restart() {
    let hub = hub("");
    let mut alice = SavedSession::new("alice", None).connect(&hub, Transport::WebSocket, &Value::Null).await;
    alice.next_events(2).await;
    alice.sio.emit_and_expect("authenticated", "authenticate", json!({"token": token("alice")})).await;
    alice.sio.join("one").await;
    let saved = alice.suspend(&hub, Transport::WebSocket).await;
    let before = to_room(&hub, "one", 1);
    let hub = again(hub).await;
    let after = to_room(&hub, "one", 2);
    let mut alice = saved.resume(&hub, Transport::WebSocket).await;
    alice.expect_exactly(&[before, after]).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn attempts_and_what_was_too_much_are_remembered_over_a_restart() {
    let hub = hub("recovery.queue = 5");
    let mut saved_sessions = Vec::new();
    for (user, room) in [("alice", "one"), ("bob", "two")] {
        let mut client = RecoveryClient::of(&hub, Transport::WebSocket, user).await;
        client.sio.join(room).await;
        saved_sessions.push(client.suspend(&hub, Transport::WebSocket).await);
    }
    let theirs = SavedSession { user: "eve".to_owned(), token: Some(token("eve")), ..saved_sessions[0].clone() };
    theirs.fail_to_resume(&hub, Transport::WebSocket).await.disconnect().await;
    let mut missed = many_to_room(&hub, "one", 0..3, "");
    many_to_room(&hub, "two", 0..3, "");
    let hub = again(hub).await;
    missed.extend(many_to_room(&hub, "one", 3..5, ""));
    many_to_room(&hub, "two", 3..6, "");
    let mut alice = saved_sessions[0].resume_at_attempt(&hub, Transport::WebSocket, 2).await;
    alice.expect_exactly(&missed).await;
    let bob = saved_sessions[1].fail_to_resume(&hub, Transport::WebSocket).await;
    for client in [alice, bob] {
        client.disconnect().await;
    }
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn a_session_of_a_chat_keeps_its_queue_over_a_restart() {
    let hub = hub("");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join("general").await;
    let mut tokens = Vec::new();
    for (user, way) in [("alice", ChatTransport::WebSocket), ("carol", ChatTransport::Raw)] {
        let mut member = ChatClient::of(&hub, way, user).await;
        member.join("general").await;
        tokens.push((user, way, member.recovery_token().await));
        member.reset();
        wait_until_suspended(&hub, tokens.len() as f64).await;
    }
    for content in ["one", "two"] {
        bob.send_message("general", content).await;
    }
    bob.disconnect().await;
    let hub = again(hub).await;
    assert_eq!(hub.metric("hubbub_parked_sessions"), 2.0);
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join("general").await;
    bob.send_message("general", "three").await;
    for (user, way, token) in tokens {
        let mut member = ChatClient::of(&hub, way, user).await;
        let answer = member.request_ok("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(answer["session"]["rooms"], json!(["general"]), "{answer}");
        let received = member.take_events();
        let queued = received.iter().find(|event| event[0] == "connection:queued-messages").unwrap();
        let messages = queued[1]["messages"].as_array().unwrap();
        let contents: Vec<_> = messages.iter().map(|message| message["content"].as_str().unwrap()).collect();
        assert_eq!(contents, ["one", "two", "three"], "{user}");
        let again = member.request("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(again["message"], "Invalid recovery token");
    }
}

#[tokio::test]
async fn after_a_crash_or_too_long_a_time_nothing_comes_back() {
    let mut hub = hub("recovery.window_secs = 1");
    for is_crash in [false, true] {
        let mut alice = RecoveryClient::of(&hub, Transport::WebSocket, "alice").await;
        alice.sio.join("one").await;
        let saved = alice.cut(Transport::WebSocket).await;
        to_room(&hub, "one", 1);
        hub = if is_crash { crashed(hub).await } else { again(hub).await };
        wait_until_empty(&hub).await;
        let mut alice = saved.fail_to_resume(&hub, Transport::WebSocket).await;
        alice.sio.expect_silence().await;
        alice.disconnect().await;
    }
}

#[tokio::test]
async fn after_a_crash_clients_are_told() {
    let hub = hub("");
    let mut alice = RecoveryClient::of(&hub, Transport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    let saved = alice.suspend(&hub, Transport::WebSocket).await;
    to_room(&hub, "one", 1);
    // What was stored for one start is gone by the next.
    let hub = again(hub).await;
    wait_until_suspended(&hub, 1.0).await;
    let hub = crashed(hub).await;
    let alice = saved.fail_to_resume(&hub, Transport::WebSocket).await;
    alice.disconnect().await;
    wait_until_empty(&hub).await;
}

#[tokio::test]
async fn no_token_is_on_the_disk() {
    let mut hub = hub("");
    let mut alice = RecoveryClient::of(&hub, Transport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    let saved = alice.suspend(&hub, Transport::WebSocket).await;
    let mut carol = ChatClient::of(&hub, ChatTransport::WebSocket, "carol").await;
    carol.join("general").await;
    let recovery_token = carol.recovery_token().await;
    carol.reset();
    wait_until_suspended(&hub, 2.0).await;
    to_room(&hub, "one", 1);
    hub.signal("TERM");
    assert_eq!(hub.exit_status(super::DEADLINE * 2), Some(0), "{}", hub.output());
    let secrets = [saved.pid.clone(), recovery_token, saved.token.clone().unwrap()];
    let mut rows = 0;
    for entry in fs::read_dir(hub.data()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "a token is in {}", path.display());
        }
        if bytes.starts_with(b"SQLite format 3") {
            let store = Connection::open(&path).unwrap();
            rows +=
                store.query_row("SELECT count(*) FROM wait_until_suspended", (), |row| row.get::<_, i64>(0)).unwrap();
        }
    }
    assert_eq!(rows, 2, "both are there");
}

#[tokio::test]
async fn many_with_much_come_back_over_a_restart() {
    const SESSIONS: usize = 60;
    let hub = hub("");
    let mut saved_sessions = Vec::new();
    for n in 0..SESSIONS {
        let transport = if n % 5 == 0 { Transport::Polling } else { Transport::WebSocket };
        let mut client = RecoveryClient::of(&hub, transport, &format!("user-{n}")).await;
        client.sio.join("all").await;
        client.sio.join(&format!("room-{}", n % 7)).await;
        saved_sessions.push(client.suspend(&hub, transport).await);
    }
    let text = "x".repeat(1_000);
    let mut all = many_to_room(&hub, "all", 0..100, &text);
    let own: Vec<_> = (0..7).map(|n| to_room(&hub, &format!("room-{n}"), n)).collect();
    // There may be fewer workers then, or more.
    let with_workers = |hub: &Hub, from: u32, to: u32| {
        let config = hub.dir().join("config.toml");
        let told = fs::read_to_string(&config).unwrap();
        let (from, to) = (format!("workers = {from}\n"), format!("workers = {to}\n"));
        assert!(told.contains(&from), "{told}");
        fs::write(&config, told.replace(&from, &to)).unwrap();
    };
    with_workers(&hub, 2, 1);
    let hub = again(hub).await;
    with_workers(&hub, 1, 3);
    let hub = again(hub).await;
    all.extend(many_to_room(&hub, "all", 100..200, &text));
    for (n, saved) in saved_sessions.iter().enumerate() {
        let mut client = saved.resume(&hub, Transport::WebSocket).await;
        client.expect(&all[..100]).await;
        client.expect(std::slice::from_ref(&own[n % 7])).await;
        client.expect_exactly(&all[100..]).await;
        client.disconnect().await;
    }
    wait_until_empty(&hub).await;
}
