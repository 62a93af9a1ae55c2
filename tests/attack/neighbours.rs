//! What a client that is logged in can do to the others: take all rooms, ask for much, read slowly, make chats, and have
//! large ones deleted.

use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

use crate::support::chat_client::{ChatClient, ChatPacket, ChatTransport};
use crate::support::token::token;
use crate::support::wire::{Frame, opcode};
use crate::support::{Client, DEADLINE, Hub, Sio, Wire, eventually};

/// Where the hub counts the clients that it closed for not reading.
const CUT: &str = r#"hubbub_sessions_closed_total{reason="slow_consumer"}"#;

const UNLIMITED: &str = "[limits.http]\nrequests_per_minute = 0\n[limits.raw]\nmessages_per_minute = 0\n\
    [limits.chat]\nconnection_attempts = 0\nmessages_per_minute = 0\nrequests_per_minute = 0\n";

/// The topics that are denied, with code and limit.
async fn denied(client: &mut Client, topics: &[String]) -> Vec<Value> {
    let subscribe = json!({"type": "Subscribe", "data": {"topics": topics}});
    let mut status = client.ask(subscribe, "Status").await;
    serde_json::from_value(status["data"]["details"]["denied"].take()).unwrap()
}

fn topics(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

#[tokio::test]
async fn one_user_takes_no_more_rooms_than_a_user_may_on_any_number_of_connections() {
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
    // Who joins what is there makes nothing.
    assert_eq!(denied(&mut late, &topics("fresh", 100)).await, [] as [Value; 0]);

    drop(greedy);
    eventually(DEADLINE, "the rooms are given back", || hub.metric("hubbub_rooms") == 100.0).await;
    assert_eq!(denied(&mut late, &topics("late", 50)).await, [] as [Value; 0]);
}

/// Says so much in the chat `general` that a page of it fills a quarter of an outbox.
async fn fill_general(hub: &Hub) {
    let mut author = ChatClient::of(hub, ChatTransport::Raw, "author").await;
    author.join("general").await;
    for _ in 0..60 {
        let said = json!({"chatId": "general", "content": "é".repeat(10_000)});
        let number = author.send_request("message:send", said).await;
        assert_eq!(author.reply(number).await["success"], true);
    }
}

#[tokio::test]
async fn large_answers_that_are_asked_for_at_once_reach_a_client_that_reads() {
    const ASKED: usize = 12;
    let hub = Hub::with(UNLIMITED);
    fill_general(&hub).await;
    for way in [ChatTransport::Raw, ChatTransport::WebSocket, ChatTransport::Polling] {
        let mut client = ChatClient::of(&hub, way, "reader").await;
        client.join("general").await;
        let mut asked = Vec::new();
        for _ in 0..ASKED {
            asked.push(client.send_request("message:history", json!({"chatId": "general", "limit": 50})).await);
        }
        let mut bytes = 0;
        for number in asked {
            let answer = client.reply(number).await;
            assert_eq!(answer["success"], true, "{way:?}");
            bytes += answer.to_string().len();
        }
        assert!(bytes > 2 * 1_048_576, "{way:?}: {bytes} bytes are no test");
    }
    assert_eq!(hub.metric(CUT), 0.0);
}

/// Publishes so much to `room` that more than half of an outbox waits for a member that does not read.
async fn publish_much(hub: &Hub) -> usize {
    const MESSAGES: usize = 44;
    let mut sender = Client::of(hub, "sender").await;
    for number in 0..MESSAGES {
        sender.broadcast("room", json!({"n": number, "text": "x".repeat(20_000)})).await;
    }
    MESSAGES
}

const HASTY: &str =
    "[server]\nheartbeat_interval_secs = 1\nclient_timeout_secs = 2\n[limits.raw]\nmessages_per_minute = 0";

async fn narrow_member(hub: &Hub) -> Wire {
    let mut wire = Wire::with_small_buffer(hub, "slow").await;
    wire.message().await;
    wire.send_text(&json!({"type": "Subscribe", "data": {"topics": ["room"]}}).to_string()).await;
    while wire.message().await["type"] != "Status" {}
    wire
}

#[tokio::test]
async fn a_slow_reader_that_reads_is_not_cut_and_is_answered_when_it_has_room() {
    let hub = Hub::with(HASTY);
    let mut slow = narrow_member(&hub).await;
    let messages = publish_much(&hub).await;
    slow.send_text(&json!({"type": "Ping", "data": {"timestamp": 7}}).to_string()).await;
    let (mut next, mut pongs) = (0, 0);
    while pongs == 0 {
        let Some(frame) = slow.frame().await else { panic!("it was cut behind {next} messages") };
        match frame.opcode {
            opcode::PING => slow.send_frame(&Frame::new(opcode::PONG, frame.payload)).await,
            opcode::TEXT => {
                let message: Value = serde_json::from_slice(&frame.payload).unwrap();
                if message["type"] == "Broadcast" {
                    assert_eq!(message["data"]["payload"]["n"], next);
                    next += 1;
                    // All of it takes three times as long as a client may be silent.
                    sleep(Duration::from_millis(140)).await;
                } else {
                    pongs += usize::from(message["type"] == "Pong");
                }
            }
            other => panic!("a frame of kind {other}"),
        }
    }
    assert!(next > messages / 3, "it is not asked before there is room for an answer");
    while next < messages {
        let message = slow.message().await;
        next += usize::from(message["type"] == "Broadcast");
    }
    assert_eq!(hub.metric(CUT), 0.0);
}

#[tokio::test]
async fn a_slow_reader_on_socketio_that_reads_is_not_cut() {
    let hub = Hub::with(&format!("{HASTY}\n[socketio]\nping_interval_ms = 1000\nping_timeout_ms = 1000"));
    let mut slow = Sio::open_with_small_buffers(&hub).await;
    slow.connect("/", &json!({"token": token("slow")})).await.unwrap();
    for greeting in ["connected", "system:welcome"] {
        slow.expect(greeting).await;
    }
    slow.join("room").await;
    for number in 0..publish_much(&hub).await {
        assert_eq!(slow.expect("Broadcast").await["payload"]["n"], number);
        sleep(Duration::from_millis(140)).await;
    }
    assert_eq!(slow.request("ping", json!({})).await, json!([]));
    assert_eq!(hub.metric(CUT), 0.0);
}

#[tokio::test]
async fn a_client_that_asks_and_does_not_read_is_held_back_and_closed_as_a_slow_consumer() {
    let hub = Hub::with(HASTY);
    let mut wire = narrow_member(&hub).await;
    let ping = Frame::text(json!({"type": "Ping", "data": {"timestamp": 7}}).to_string()).encode();
    let many = ping.repeat(1_000);
    let before = hub.metric("hubbub_messages_received_total");
    // As far as the hub takes it.
    while wire.push(&many, Duration::from_millis(300)).await {}
    let answered = hub.metric("hubbub_messages_received_total") - before;
    // Half of what may wait, and what is in the kernel.
    assert!(answered < 16_384.0, "{answered} requests were taken");
    eventually(DEADLINE, "it is closed", || hub.metric(CUT) == 1.0).await;
}

#[tokio::test]
async fn a_user_makes_no_more_chats_by_joining_them_than_a_user_may_over_a_restart() {
    let hub = Hub::with(&format!("[chat]\nauto_create = true\n{UNLIMITED}[limits]\nchats_per_user = 3"));
    let join = async |hub: &Hub, way, user: &str, chat: &str| {
        let mut member = ChatClient::of(hub, way, user).await;
        let number = member.send_request("join:chat", json!({ "chatId": chat })).await;
        let mut answer = member.reply(number).await;
        (answer["success"].take(), answer["code"].take(), answer["details"].take())
    };
    let done = (json!(true), Value::Null, Value::Null);
    let refused = (json!(false), json!("LIMIT_REACHED"), json!({"limit": "limits.chats_per_user"}));
    for (chat, way) in [("a", ChatTransport::WebSocket), ("b", ChatTransport::Polling), ("c", ChatTransport::WebSocket)]
    {
        assert_eq!(join(&hub, way, "greedy", chat).await, done);
    }
    assert_eq!(join(&hub, ChatTransport::WebSocket, "greedy", "d").await, refused);
    let hub = hub.restart();
    assert_eq!(join(&hub, ChatTransport::Polling, "greedy", "d").await, refused);
    assert_eq!(join(&hub, ChatTransport::WebSocket, "fresh", "d").await, done);
    assert_eq!(hub.http().request("DELETE", "/api/chats/a").key().send().status, 200);
    assert_eq!(join(&hub, ChatTransport::WebSocket, "greedy", "e").await, done);
    assert_eq!(join(&hub, ChatTransport::WebSocket, "greedy", "f").await, refused);
}

#[tokio::test]
async fn a_chat_that_is_deleted_and_made_again_is_empty_and_its_rows_go_behind_it() {
    let hub = Hub::with(UNLIMITED);
    fill_general(&hub).await;
    let mut reader = ChatClient::of(&hub, ChatTransport::WebSocket, "reader").await;
    reader.join("general").await;
    let http = hub.http();
    assert_eq!(http.request("DELETE", "/api/chats/general").key().send().status, 200);
    let made = http.request("PUT", "/api/chats/general").key().json(&json!({"public": true})).send();
    assert_eq!(made.status, 201, "{made:?}");
    let left =
        async { while !matches!(reader.receive().await, Some(ChatPacket::Event(event)) if event[0] == "room:left") {} };
    left.await;
    reader.join("general").await;
    let history = reader.request("message:history", json!({"chatId": "general"})).await;
    assert_eq!((&history["messages"], &history["hasMore"]), (&json!([]), &json!(false)));
    let sent = reader.request("message:send", json!({"chatId": "general", "content": "new"})).await;
    assert_eq!(sent["success"], true, "{sent}");
    // 60 messages, and the word that there are none left.
    eventually(DEADLINE, "the rows are removed", || hub.metric("hubbub_store_purged_rows_total") == 61.0).await;
    let history = reader.request("message:history", json!({"chatId": "general"})).await;
    assert_eq!(history["messages"].as_array().unwrap().len(), 1, "{history}");
}
