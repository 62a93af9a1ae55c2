//! Attacks of a signed-in client on others: it takes all rooms, requests large replies, reads slowly, creates chats and
//! has a large chat deleted.

use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

use crate::support::chat_client::{ChatClient, ChatPacket, ChatTransport};
use crate::support::token::token;
use crate::support::wire::{RawFrame, opcode};
use crate::support::{Client, DEADLINE, Hub, Sio, Wire, eventually};

/// The hub's count of clients closed because they read too slowly.
const SLOW_CONSUMERS: &str = r#"hubbub_sessions_closed_total{reason="slow_consumer"}"#;

const UNLIMITED: &str = "[limits.http]\nrequests_per_minute = 0\n[limits.raw]\nmessages_per_minute = 0\n\
    [limits.chat]\nconnection_attempts = 0\nmessages_per_minute = 0\nrequests_per_minute = 0\n";

/// Subscribes. Returns the denied topics, with code and limit.
async fn denied(client: &mut Client, topics: &[String]) -> Vec<Value> {
    let subscribe = json!({"type": "Subscribe", "data": {"topics": topics}});
    let mut status = client.ask(subscribe, "Status").await;
    serde_json::from_value(status["data"]["details"]["denied"].take()).unwrap()
}

fn topics(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

#[tokio::test]
async fn the_room_limit_of_a_user_holds_over_its_connections() {
    let hub = Hub::with("[server]\nworkers = 3\n[limits]\nrooms = 300\nrooms_per_user = 200\nrooms_per_session = 150");
    let (mut greedy, mut refused) = (Vec::new(), 0);
    for number in 0..4 {
        let mut client = Client::of(&hub, "greedy").await;
        refused += denied(&mut client, &topics(&format!("greedy{number}"), 90)).await.len();
        greedy.push(client);
    }
    assert_eq!((refused, hub.metric("hubbub_rooms")), (160, 200.0));
    let last = denied(&mut greedy[3], &topics("more", 1)).await;
    let limit = json!({"topic": "more-0", "code": "LIMIT_REACHED", "details": {"limit": "limits.rooms_per_user"}});
    assert_eq!(last, [limit]);

    let mut fresh = Client::of(&hub, "fresh").await;
    assert_eq!(denied(&mut fresh, &topics("fresh", 100)).await, [] as [Value; 0]);
    let mut late = Client::of(&hub, "late").await;
    let limit = json!({"topic": "late-0", "code": "LIMIT_REACHED", "details": {"limit": "limits.rooms"}});
    assert_eq!(denied(&mut late, &topics("late", 1)).await, [limit]);
    // A join of an existing room creates none.
    assert_eq!(denied(&mut late, &topics("fresh", 100)).await, [] as [Value; 0]);

    drop(greedy);
    eventually(DEADLINE, "the rooms are released", || hub.metric("hubbub_rooms") == 100.0).await;
    assert_eq!(denied(&mut late, &topics("late", 50)).await, [] as [Value; 0]);
}

/// Sends messages to the chat `general` until a page of its history fills a quarter of an outbox.
async fn fill_general(hub: &Hub) {
    let mut author = ChatClient::of(hub, ChatTransport::Raw, "author").await;
    author.join("general").await;
    for _ in 0..60 {
        let message = json!({"chatId": "general", "content": "é".repeat(10_000)});
        let number = author.send_request("message:send", message).await;
        assert_eq!(author.reply(number).await["success"], true);
    }
}

#[tokio::test]
async fn large_replies_requested_at_once_reach_a_client_that_reads() {
    const REQUESTS: usize = 12;
    let hub = Hub::with(UNLIMITED);
    fill_general(&hub).await;
    for surface in [ChatTransport::Raw, ChatTransport::WebSocket, ChatTransport::Polling] {
        let mut client = ChatClient::of(&hub, surface, "reader").await;
        client.join("general").await;
        let mut numbers = Vec::new();
        for _ in 0..REQUESTS {
            numbers.push(client.send_request("message:history", json!({"chatId": "general", "limit": 50})).await);
        }
        let mut bytes = 0;
        for number in numbers {
            let answer = client.reply(number).await;
            assert_eq!(answer["success"], true, "{surface:?}");
            bytes += answer.to_string().len();
        }
        assert!(bytes > 2 * 1_048_576, "{surface:?}: {bytes} bytes are too few for this test");
    }
    assert_eq!(hub.metric(SLOW_CONSUMERS), 0.0);
}

/// Publishes to `room` until more than half of an outbox waits for a member that does not read. Returns the number of
/// messages.
async fn fill_half_an_outbox(hub: &Hub) -> usize {
    const MESSAGES: usize = 44;
    let mut sender = Client::of(hub, "sender").await;
    for number in 0..MESSAGES {
        sender.broadcast("room", json!({"n": number, "text": "x".repeat(20_000)})).await;
    }
    MESSAGES
}

const SHORT_TIMEOUTS: &str =
    "[server]\nheartbeat_interval_secs = 1\nclient_timeout_secs = 2\n[limits.raw]\nmessages_per_minute = 0";

/// A raw member of `room` with a receive buffer of a few KiB.
async fn slow_member(hub: &Hub) -> Wire {
    let mut wire = Wire::with_small_buffer(hub, "slow").await;
    wire.message().await;
    wire.send_text(&json!({"type": "Subscribe", "data": {"topics": ["room"]}}).to_string()).await;
    while wire.message().await["type"] != "Status" {}
    wire
}

#[tokio::test]
async fn a_slow_reader_stays_connected_and_gets_its_reply_when_its_outbox_has_space() {
    let hub = Hub::with(SHORT_TIMEOUTS);
    let mut slow = slow_member(&hub).await;
    let messages = fill_half_an_outbox(&hub).await;
    slow.send_text(&json!({"type": "Ping", "data": {"timestamp": 7}}).to_string()).await;
    let (mut next, mut pongs) = (0, 0);
    while pongs == 0 {
        let Some(frame) = slow.frame().await else { panic!("the connection was cut after {next} messages") };
        match frame.opcode {
            opcode::PING => slow.send_frame(&RawFrame::new(opcode::PONG, frame.payload)).await,
            opcode::TEXT => {
                let message: Value = serde_json::from_slice(&frame.payload).unwrap();
                if message["type"] == "Broadcast" {
                    assert_eq!(message["data"]["payload"]["n"], next);
                    next += 1;
                    // All messages together take three times the client timeout.
                    sleep(Duration::from_millis(140)).await;
                } else {
                    pongs += usize::from(message["type"] == "Pong");
                }
            }
            other => panic!("a frame of kind {other}"),
        }
    }
    assert!(next > messages / 3, "the hub handles the request when the outbox has space for the reply");
    while next < messages {
        let message = slow.message().await;
        next += usize::from(message["type"] == "Broadcast");
    }
    assert_eq!(hub.metric(SLOW_CONSUMERS), 0.0);
}

#[tokio::test]
async fn a_slow_reader_on_socketio_stays_connected() {
    let hub = Hub::with(&format!("{SHORT_TIMEOUTS}\n[socketio]\nping_interval_ms = 1000\nping_timeout_ms = 1000"));
    let mut slow = Sio::open_with_small_buffers(&hub).await;
    slow.connect("/", &json!({"token": token("slow")})).await.unwrap();
    for greeting in ["connected", "system:welcome"] {
        slow.expect(greeting).await;
    }
    slow.join("room").await;
    for number in 0..fill_half_an_outbox(&hub).await {
        assert_eq!(slow.expect("Broadcast").await["payload"]["n"], number);
        sleep(Duration::from_millis(140)).await;
    }
    assert_eq!(slow.request("ping", json!({})).await, json!([]));
    assert_eq!(hub.metric(SLOW_CONSUMERS), 0.0);
}

#[tokio::test]
async fn a_client_that_sends_and_never_reads_is_paused_and_disconnected() {
    let hub = Hub::with(SHORT_TIMEOUTS);
    let mut wire = slow_member(&hub).await;
    let ping = RawFrame::text(json!({"type": "Ping", "data": {"timestamp": 7}}).to_string()).encode();
    let many = ping.repeat(1_000);
    let before = hub.metric("hubbub_messages_received_total");
    // The hub stops reading, and later closes the connection, which fails the write.
    while wire.push(&many, DEADLINE).await {}
    let received = hub.metric("hubbub_messages_received_total") - before;
    // The replies fill half of the outbox and the kernel's buffers.
    assert!(received < 16_384.0, "{received} requests were received");
    // The hub closes the session as a slow consumer, if `TCP_USER_TIMEOUT` does not end the connection before.
    eventually(DEADLINE, "the client is disconnected", || hub.connections() == 0).await;
    assert!(hub.metric(SLOW_CONSUMERS) <= 1.0);
}

#[tokio::test]
async fn the_limit_of_auto_created_chats_of_a_user_holds_over_a_restart() {
    let hub = Hub::with(&format!("[chat]\nauto_create = true\n{UNLIMITED}[limits]\nchats_per_user = 3"));
    let join = async |hub: &Hub, surface, user: &str, chat: &str| {
        let mut member = ChatClient::of(hub, surface, user).await;
        let number = member.send_request("join:chat", json!({ "chatId": chat })).await;
        let mut answer = member.reply(number).await;
        (answer["success"].take(), answer["code"].take(), answer["details"].take())
    };
    let created = (json!(true), Value::Null, Value::Null);
    let refused = (json!(false), json!("LIMIT_REACHED"), json!({"limit": "limits.chats_per_user"}));
    for (chat, surface) in
        [("a", ChatTransport::WebSocket), ("b", ChatTransport::Polling), ("c", ChatTransport::WebSocket)]
    {
        assert_eq!(join(&hub, surface, "greedy", chat).await, created);
    }
    assert_eq!(join(&hub, ChatTransport::WebSocket, "greedy", "d").await, refused);
    let hub = hub.restart();
    assert_eq!(join(&hub, ChatTransport::Polling, "greedy", "d").await, refused);
    assert_eq!(join(&hub, ChatTransport::WebSocket, "fresh", "d").await, created);
    assert_eq!(hub.http().request("DELETE", "/api/chats/a").key().send().status, 200);
    assert_eq!(join(&hub, ChatTransport::WebSocket, "greedy", "e").await, created);
    assert_eq!(join(&hub, ChatTransport::WebSocket, "greedy", "f").await, refused);
}

#[tokio::test]
async fn a_recreated_chat_is_empty_and_its_old_rows_are_purged() {
    let hub = Hub::with(UNLIMITED);
    fill_general(&hub).await;
    let mut reader = ChatClient::of(&hub, ChatTransport::WebSocket, "reader").await;
    reader.join("general").await;
    let http = hub.http();
    assert_eq!(http.request("DELETE", "/api/chats/general").key().send().status, 200);
    let created = http.request("PUT", "/api/chats/general").key().json(&json!({"public": true})).send();
    assert_eq!(created.status, 201, "{created:?}");
    let left =
        async { while !matches!(reader.receive().await, Some(ChatPacket::Event(event)) if event[0] == "room:left") {} };
    left.await;
    reader.join("general").await;
    let history = reader.request("message:history", json!({"chatId": "general"})).await;
    assert_eq!((&history["messages"], &history["hasMore"]), (&json!([]), &json!(false)));
    let sent = reader.request("message:send", json!({"chatId": "general", "content": "new"})).await;
    assert_eq!(sent["success"], true, "{sent}");
    // 60 messages, and one row that marks the history as deleted.
    eventually(DEADLINE, "the rows are purged", || hub.metric("hubbub_store_purged_rows_total") == 61.0).await;
    let history = reader.request("message:history", json!({"chatId": "general"})).await;
    assert_eq!(history["messages"].as_array().unwrap().len(), 1, "{history}");
}
