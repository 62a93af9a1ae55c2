//! Sessions over a restart of the hub. More cases are in [`cases`](super::cases).

use rusqlite::Connection;
use serde_json::json;
use std::fs;

use super::{RecoveryClient, hub, many_to_room, restart, to_room, wait_until_empty, wait_until_suspended};
use crate::support::chat_client::{ChatClient, ChatTransport};
use crate::support::{DEADLINE, Hub, SioTransport};

#[tokio::test]
async fn clients_that_are_connected_when_the_hub_stops_resume_after_its_start() {
    let hub = hub("server.shutdown_secs = 10");
    let mut clients = Vec::new();
    for (n, transport) in
        [SioTransport::WebSocket, SioTransport::Polling, SioTransport::WebSocket].into_iter().enumerate()
    {
        let mut client = RecoveryClient::of(&hub, transport, &format!("user-{n}")).await;
        client.sio.join("one").await;
        clients.push((client, transport));
    }
    let sent = to_room(&hub, "one", 0);
    for (client, _) in &mut clients {
        client.expect_exactly(std::slice::from_ref(&sent)).await;
    }
    let restarting = tokio::spawn(restart(hub));
    for (client, _) in &mut clients {
        let (received, _) = client.sio.read_to_end().await;
        let names: Vec<_> = received.iter().filter_map(|packet| packet.event()).collect();
        assert_eq!(names, ["system:draining", "disconnected"], "{received:?}");
    }
    let hub = restarting.await.unwrap();
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
async fn the_queue_of_a_suspended_chat_session_survives_a_restart() {
    let hub = hub("");
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join("general").await;
    let mut tokens = Vec::new();
    for (user, transport) in [("alice", ChatTransport::WebSocket), ("carol", ChatTransport::Raw)] {
        let mut client = ChatClient::of(&hub, transport, user).await;
        client.join("general").await;
        tokens.push((user, transport, client.recovery_token().await));
        client.reset();
        wait_until_suspended(&hub, tokens.len() as f64).await;
    }
    for content in ["one", "two"] {
        bob.send_message("general", content).await;
    }
    bob.disconnect().await;
    let hub = restart(hub).await;
    assert_eq!(hub.metric("hubbub_suspended_sessions"), 2.0);
    let mut bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
    bob.join("general").await;
    bob.send_message("general", "three").await;
    for (user, transport, token) in tokens {
        let mut client = ChatClient::of(&hub, transport, user).await;
        let reply = client.request_ok("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(reply["session"]["rooms"], json!(["general"]), "{reply}");
        let received = client.take_events();
        let queued = received.iter().find(|event| event[0] == "connection:queued-messages").unwrap();
        let messages = queued[1]["messages"].as_array().unwrap();
        let contents: Vec<_> = messages.iter().map(|message| message["content"].as_str().unwrap()).collect();
        assert_eq!(contents, ["one", "two", "three"], "{user}");
        let again = client.request("connection:recover", json!({ "recoveryToken": token })).await;
        assert_eq!(again["message"], "Invalid recovery token");
    }
}

#[tokio::test]
async fn a_suspended_session_is_stored_without_its_tokens() {
    let mut hub = hub("");
    let mut alice = RecoveryClient::of(&hub, SioTransport::WebSocket, "alice").await;
    alice.sio.join("one").await;
    let saved = alice.suspend(&hub, SioTransport::WebSocket).await;
    let mut carol = ChatClient::of(&hub, ChatTransport::WebSocket, "carol").await;
    carol.join("general").await;
    let recovery_token = carol.recovery_token().await;
    carol.reset();
    wait_until_suspended(&hub, 2.0).await;
    to_room(&hub, "one", 1);
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE * 2), Some(0), "{}", hub.output());
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
            rows += store.query_row("SELECT count(*) FROM suspended_sessions", (), |row| row.get::<_, i64>(0)).unwrap();
        }
    }
    assert_eq!(rows, 2, "both sessions are stored");
}

#[tokio::test]
async fn sixty_sessions_with_many_missed_events_survive_two_restarts_with_other_numbers_of_workers() {
    const SESSIONS: usize = 60;
    let hub = hub("");
    let mut saved_sessions = Vec::new();
    for n in 0..SESSIONS {
        let transport = if n % 5 == 0 { SioTransport::Polling } else { SioTransport::WebSocket };
        let mut client = RecoveryClient::of(&hub, transport, &format!("user-{n}")).await;
        client.sio.join("all").await;
        client.sio.join(&format!("room-{}", n % 7)).await;
        saved_sessions.push(client.suspend(&hub, transport).await);
    }
    let text = "x".repeat(1_000);
    let mut all = many_to_room(&hub, "all", 0..100, &text);
    let own: Vec<_> = (0..7).map(|n| to_room(&hub, &format!("room-{n}"), n)).collect();
    let change_workers = |hub: &Hub, from: u32, to: u32| {
        let config = hub.dir().join("config.toml");
        let old = fs::read_to_string(&config).unwrap();
        let (from, to) = (format!("workers = {from}\n"), format!("workers = {to}\n"));
        assert!(old.contains(&from), "{old}");
        fs::write(&config, old.replace(&from, &to)).unwrap();
    };
    change_workers(&hub, 2, 1);
    let hub = restart(hub).await;
    change_workers(&hub, 1, 3);
    let hub = restart(hub).await;
    all.extend(many_to_room(&hub, "all", 100..200, &text));
    for (n, saved) in saved_sessions.iter().enumerate() {
        let mut client = saved.resume(&hub, SioTransport::WebSocket).await;
        client.expect(&all[..100]).await;
        client.expect(std::slice::from_ref(&own[n % 7])).await;
        client.expect_exactly(&all[100..]).await;
        client.disconnect().await;
    }
    wait_until_empty(&hub).await;
}
