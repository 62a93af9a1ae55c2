//! The end of a hub: accepted messages are delivered first, within a time; signals; exit statuses.

use serde_json::{Value, json};
use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::support::client::{is_draining, small_buffer_stream};
use crate::support::run::hubbub;
use crate::support::token::token;
use crate::support::{Client, DEADLINE, Hub, Wire, eventually};

/// Publishes without pause until the hub closes the connection; the ids of the acknowledged messages, and the close
/// code.
async fn publish(mut client: Client) -> (Vec<Value>, Option<u16>) {
    let mut acknowledged = Vec::new();
    loop {
        let data = json!({"topic": "room", "payload": acknowledged.len()});
        if !client.try_send(json!({"type": "Broadcast", "data": data})).await {
            break;
        }
        match client.try_answer().await {
            Ok(answer) if answer["type"] == "Ack" => {
                acknowledged.push(answer["data"]["message_id"].clone());
            }
            // The hub refuses publications from here on.
            Ok(answer) => assert_eq!(answer["data"]["code"], "SHUTTING_DOWN", "{answer}"),
            Err(code) => return (acknowledged, code),
        }
    }
    let (_, code) = client.until_closed().await;
    (acknowledged, code)
}

/// Reads to the end: the ids in order, and the close code.
async fn listen(mut client: Client) -> (Vec<Value>, Option<u16>) {
    let (messages, code) = client.until_closed().await;
    let broadcasts = messages.into_iter().filter(|message| message["type"] == "Broadcast");
    (broadcasts.map(|mut message| message["data"]["message_id"].take()).collect(), code)
}

#[tokio::test]
async fn acknowledged_messages_are_delivered_before_the_end() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 10\n[limits.raw]\nmessages_per_minute = 0");
    let mut members = Vec::new();
    for n in 0..10 {
        let mut member = Client::of(&hub, &format!("member-{n}")).await;
        member.subscribe(&["room"]).await;
        members.push(tokio::spawn(listen(member)));
    }
    let mut publishers = Vec::new();
    for n in 0..4 {
        let client = Client::of(&hub, &format!("publisher-{n}")).await;
        publishers.push(tokio::spawn(publish(client)));
    }
    eventually(DEADLINE, "there is some load", || hub.counters()["messages_sent"].as_u64().unwrap() > 2_000).await;

    hub.signal("TERM");
    eventually(DEADLINE, "/health/ready fails", || {
        // A refused connection is an answer too.
        hub.http().request("GET", "/health/ready").try_send().is_none_or(|answer| answer.status != 200)
    })
    .await;
    let mut acknowledged = HashSet::new();
    for publisher in publishers {
        let (ids, code) = publisher.await.unwrap();
        assert_eq!(code, Some(1001), "a publisher");
        acknowledged.extend(ids.iter().map(ToString::to_string));
    }
    assert!(acknowledged.len() > 100, "{} are no load", acknowledged.len());
    let mut first: Option<Vec<Value>> = None;
    for member in members {
        let (received, code) = member.await.unwrap();
        assert_eq!(code, Some(1001), "a member");
        let ids: HashSet<_> = received.iter().map(ToString::to_string).collect();
        assert_eq!(ids.len(), received.len(), "a message was delivered twice");
        let missed = acknowledged.difference(&ids).count();
        assert_eq!(missed, 0, "of {} that were acknowledged", acknowledged.len());
        let order = first.get_or_insert_with(|| received.clone());
        let shorter = order.len().min(received.len());
        assert_eq!(order[..shorter], received[..shorter], "two members received different orders");
    }
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn an_idle_client_is_closed_with_1001_at_the_end() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 600");
    let mut idle = Wire::of(&hub, "idle").await;
    assert_eq!(idle.message().await["type"], "Status");
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
    assert_eq!(idle.close_code().await, Some(1001));
}

/// A member that reads nothing. 2,000 KB are published to it, and all are acknowledged.
async fn unread_member(hub: &Hub) -> Client {
    let mut member = Client::over(small_buffer_stream(hub), hub, &token("member")).await;
    member.subscribe(&["room"]).await;
    let mut sender = Client::of(hub, "sender").await;
    for n in 0..200 {
        sender.broadcast("room", json!({"n": n, "text": "x".repeat(10_000)})).await;
    }
    sender.close().await;
    member
}

#[tokio::test]
async fn a_hub_that_waits_for_a_reader_is_not_ready_and_refuses_new_connections() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 30\n[limits]\noutbox_bytes = 8000000");
    let mut member = unread_member(&hub).await;
    hub.signal("TERM");
    eventually(DEADLINE, "/health/ready fails", || hub.get("/health/ready").status == 503).await;
    let health = hub.get("/health");
    assert_eq!((health.status, &health.json()["status"]), (503, &json!("unhealthy")), "{health:?}");
    assert!(health.json()["reason"].is_string(), "{health:?}");
    assert_eq!(hub.get("/health/live").status, 200, "it is alive until it has ended");
    let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token("late")), &[]).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["error"]["code"], "SHUTTING_DOWN", "{answer:?}");

    let (mut messages, code) = member.until_closed().await;
    assert!(messages.pop().is_some_and(|last| is_draining(&last)));
    let numbers: Vec<_> = messages.iter().map(|message| message["data"]["payload"]["n"].clone()).collect();
    assert_eq!(numbers, (0..200).map(Value::from).collect::<Vec<_>>());
    assert_eq!(code, Some(1001));
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn a_client_that_reads_nothing_delays_the_end_no_longer_than_configured() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 3\n[limits]\noutbox_bytes = 8000000");
    let _member = unread_member(&hub).await;
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
    // It waited for the time that `shutdown_secs` leaves for sessions.
    assert!(hub.output().contains("1 connections did not read all messages within 1 s"), "{}", hub.output());
}

#[tokio::test]
async fn a_second_signal_ends_the_hub_at_once_with_its_own_status() {
    for (second, status) in [("TERM", 143), ("INT", 130)] {
        let mut hub = Hub::with("[server]\nshutdown_secs = 600\n[limits]\noutbox_bytes = 8000000");
        let _member = unread_member(&hub).await;
        hub.signal("TERM");
        eventually(DEADLINE, "the shutdown has begun", || hub.get("/health/ready").status == 503).await;
        assert!(hub.running());
        hub.signal(second);
        assert_eq!(hub.exit_status(DEADLINE), Some(status), "{}", hub.output());
        assert!(hub.output().contains("second stop signal; ending at once"), "{}", hub.output());
    }
}

#[tokio::test]
async fn idempotency_keys_are_stored_after_a_second_signal_too() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 600\n[limits]\noutbox_bytes = 8000000");
    let push = |hub: &Hub| {
        let body = json!({"userId": "nobody", "event": "e", "data": {}});
        hub.http().request("POST", "/api/push").key().header("Idempotency-Key", "named").json(&body).send()
    };
    assert_eq!(push(&hub).header("idempotency-replayed"), None);
    let _member = unread_member(&hub).await;
    hub.signal("TERM");
    eventually(DEADLINE, "the shutdown has begun", || hub.get("/health/ready").status == 503).await;
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(143), "{}", hub.output());
    let hub = hub.restart();
    assert_eq!(push(&hub).header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn other_signals_do_not_end_the_hub() {
    let mut hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    client.subscribe(&["room"]).await;
    for signal in ["USR2", "PIPE", "USR1", "HUP"] {
        hub.signal(signal);
    }
    eventually(DEADLINE, "the metrics are logged", || hub.output().contains(" metrics ")).await;
    let output = hub.output();
    let line = output.lines().find(|line| line.contains(" metrics ")).unwrap();
    for value in ["connections=1", "sessions=1", "users=1", "rooms=1", "ready=true", "memoryBytes="] {
        assert!(line.contains(value), "{value} in {line}");
    }
    client.expect_silence().await;
    assert!(hub.running());
    hub.signal("TERM");
    assert_eq!(client.close_code().await, Some(1001));
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[test]
fn a_sighup_before_the_hub_serves_is_a_reload_and_the_environment_still_overrides_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.toml");
    fs::write(&config, "[server]\nport = 0\n[limits]\nrooms = 8\n").unwrap();
    let mut hub = hubbub(dir.path()).env("HUBBUB_LIMITS__ROOMS", "7").stderr(Stdio::piped()).spawn().unwrap();
    let pid = hub.id().to_string();
    let signal = |name: &str| Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
    let mut lines = BufReader::new(hub.stderr.take().unwrap()).lines().map(Result::unwrap);
    // Secrets are made before the hub listens.
    assert!(lines.next().unwrap().contains("created a random JWT secret"));
    fs::write(&config, "[server]\nport = 0\n[limits]\nrooms = 9\nrooms_per_session = 9\n").unwrap();
    assert!(signal("HUP").success());
    let reloaded = lines.find(|line| line.contains("reloaded")).unwrap();
    assert!(reloaded.contains("limits.rooms_per_session") && !reloaded.contains("rooms,"), "{reloaded}");
    assert!(signal("TERM").success());
    let rest: Vec<_> = lines.collect();
    assert_eq!(hub.wait().unwrap().code(), Some(0), "{rest:?}");
}

#[tokio::test]
async fn a_sighup_during_the_shutdown_is_ignored() {
    let mut hub = Hub::with("[server]\nshutdown_secs = 3\n[limits]\noutbox_bytes = 8000000");
    let _member = unread_member(&hub).await;
    hub.signal("TERM");
    eventually(DEADLINE, "the shutdown has begun", || hub.get("/health/ready").status == 503).await;
    hub.signal("HUP");
    eventually(DEADLINE, "the log says it", || hub.output().contains("SIGHUP is ignored")).await;
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn sigint_ends_the_hub_in_order() {
    let mut hub = Hub::start();
    let mut client = Client::of(&hub, "alice").await;
    hub.signal("INT");
    assert_eq!(client.close_code().await, Some(1001));
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}
