//! Acknowledged messages and receipts are stored after a restart or a crash of the hub.

use serde_json::{Value, json};
use std::collections::HashMap;
use tokio::task::JoinSet;

use super::{put, put_private, unlimited};
use crate::support::chat_client::{ChatClient, ChatPacket, ChatTransport};
use crate::support::{DEADLINE, Hub, eventually};

/// The whole history of a chat, oldest first, read in pages of this size.
async fn history(member: &mut ChatClient, chat: &str, page: u32) -> Vec<Value> {
    let (mut all, mut before) = (Vec::new(), Value::Null);
    loop {
        let request = json!({"chatId": chat, "before": before, "limit": page});
        let mut answer = member.request_ok("message:history", request).await;
        let Value::Array(messages) = answer["messages"].take() else { panic!("{answer}") };
        assert!(messages.len() <= page as usize);
        let more = answer["hasMore"] == true;
        assert!(!more || !messages.is_empty(), "hasMore without messages");
        all.splice(0..0, messages);
        if !more {
            return all;
        }
        before = all[0]["id"].clone();
    }
}

async fn status(member: &mut ChatClient, message: &str) -> Value {
    member.request_ok("message:delivery-status", json!({ "messageId": message })).await["status"].take()
}

#[tokio::test]
async fn a_restart_keeps_history_receipts_and_statistics() {
    let mut hub = Hub::with(&unlimited(""));
    put_private(&hub, "team", &["alice", "bob"]);
    let mut alice = ChatClient::of(&hub, ChatTransport::WebSocket, "alice").await;
    let mut bob = ChatClient::of(&hub, ChatTransport::Raw, "bob").await;
    alice.join("team").await;
    bob.join("team").await;
    let mut ids = Vec::new();
    for n in 0..25 {
        let text = format!("{n}: <b>&amp; \u{1f600} \"quoted\"\n\ttab</b>");
        let kind = if n == 7 { "image" } else { "text" };
        let message = json!({"chatId": "team", "content": text, "type": kind});
        let sender = if n % 3 == 0 { &mut bob } else { &mut alice };
        ids.push(sender.request_ok("message:send", message).await["sentMessage"]["id"].as_str().unwrap().to_owned());
    }
    let confirm = |id: &str| json!({"chatId": "team", "messageId": id});
    for (n, id) in ids.iter().enumerate() {
        if n % 2 == 0 {
            bob.request_ok("message:delivered", confirm(id)).await;
        }
        if n % 5 == 0 {
            bob.request_ok("message:read", confirm(id)).await;
        }
        if n % 7 == 0 {
            alice.request_ok("message:read", confirm(id)).await;
        }
    }
    let whole = history(&mut alice, "team", 100).await;
    assert_eq!(whole.iter().map(|message| message["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
    let mut statuses = Vec::new();
    for id in &ids {
        statuses.push(status(&mut bob, id).await);
    }
    let stats = alice.request("message:stats", json!({})).await;
    let expected = json!({"activeTypingUsers": 0, "trackedMessages": 25, "totalDelivered": 19, "totalRead": 9});
    assert_eq!(stats["stats"], expected);
    for end in ["killed", "terminated"] {
        drop((alice, bob));
        hub = if end == "killed" { hub.restart() } else { hub.restart_gracefully() };
        alice = ChatClient::of(&hub, ChatTransport::Polling, "alice").await;
        bob = ChatClient::of(&hub, ChatTransport::WebSocket, "bob").await;
        alice.join("team").await;
        bob.join("team").await;
        for page in [1, 7, 100] {
            assert_eq!(history(&mut bob, "team", page).await, whole, "{end}, by pages of {page}");
        }
        for (id, expected) in ids.iter().zip(&statuses) {
            assert_eq!(status(&mut alice, id).await, *expected, "{end}");
        }
        assert_eq!(bob.request("message:stats", json!({})).await, stats, "{end}");
    }
}

/// The acknowledgements that one client received before the hub was killed.
#[derive(Default)]
struct Acknowledged {
    /// Messages as in the answers, in order.
    sent: Vec<Value>,
    /// Receipts: the message id, and whether it was a read receipt.
    confirmed: Vec<(String, bool)>,
}

/// Sends messages and confirms the messages of others, several at a time, until the hub is killed.
async fn send_and_confirm(mut member: ChatClient, chat: &'static str, name: usize) -> (&'static str, Acknowledged) {
    let (mut acknowledged, mut pending) = (Acknowledged::default(), HashMap::new());
    let mut sent = 0;
    for _ in 0..4 {
        let content = format!("{name}-{sent}");
        pending.insert(member.send_request("message:send", json!({"chatId": chat, "content": content})).await, None);
        sent += 1;
    }
    while let Some(received) = member.receive().await {
        match received {
            ChatPacket::Reply(number, mut answer) => {
                assert_eq!(answer["success"], true, "{answer}");
                match pending.remove(&number).unwrap() {
                    Some(receipt) => acknowledged.confirmed.push(receipt),
                    None => {
                        acknowledged.sent.push(answer["sentMessage"].take());
                        let content = format!("{name}-{sent}");
                        let more = json!({"chatId": chat, "content": content});
                        pending.insert(member.send_request("message:send", more).await, None);
                        sent += 1;
                    }
                }
            }
            ChatPacket::Event(event) if event[0] == "message:new" && event[1]["userId"] != format!("user-{name}") => {
                let id = event[1]["id"].as_str().unwrap().to_owned();
                let read = sent % 2 == 0;
                let confirm = if read { "message:read" } else { "message:delivered" };
                let number = member.send_request(confirm, json!({"chatId": chat, "messageId": id})).await;
                pending.insert(number, Some((id, read)));
            }
            ChatPacket::Event(_) => {}
            ChatPacket::Disconnected => panic!("was put out"),
        }
    }
    (chat, acknowledged)
}

#[tokio::test]
async fn acknowledged_messages_survive_a_kill_in_the_order_of_the_chat() {
    const CHATS: [&str; 2] = ["one", "two"];
    let mut hub = Hub::with(&unlimited("[server]\nworkers = 2"));
    for chat in CHATS {
        put(&hub, chat, &json!({"public": true}));
    }
    for kill in 0..3 {
        let before = hub.metric("hubbub_store_writes_total");
        let mut senders = JoinSet::new();
        for name in 0..6 {
            let transport = if name % 3 == 2 { ChatTransport::Raw } else { ChatTransport::WebSocket };
            let mut member = ChatClient::of(&hub, transport, &format!("user-{name}")).await;
            let chat = CHATS[name % 2];
            member.join(chat).await;
            senders.spawn(send_and_confirm(member, chat, name));
        }
        eventually(DEADLINE, "there is some load", || hub.metric("hubbub_store_writes_total") > before + 400.0).await;
        hub.signal("KILL");
        let mut acknowledged = Vec::new();
        while let Some(ended) = senders.join_next().await {
            acknowledged.push(ended.unwrap());
        }
        hub = hub.restart();
        let mut reader = ChatClient::of(&hub, ChatTransport::WebSocket, "reader").await;
        let (mut sent, mut confirmed) = (0, 0);
        for chat in CHATS {
            reader.join(chat).await;
            let whole = history(&mut reader, chat, 100).await;
            let positions: HashMap<_, _> =
                whole.iter().enumerate().map(|(at, message)| (message["id"].clone(), at)).collect();
            assert_eq!(positions.len(), whole.len(), "a message is stored twice");
            for (_, one) in acknowledged.iter().filter(|(of, _)| *of == chat) {
                let at = |message: &Value| *positions.get(&message["id"]).unwrap_or_else(|| panic!("lost: {message}"));
                assert!(one.sent.iter().map(at).is_sorted(), "stored in another order than acknowledged");
                assert!(one.sent.iter().all(|message| whole[at(message)] == *message));
                sent += one.sent.len();
            }
            for (user, receipts) in receipts(&acknowledged, chat) {
                for (id, read) in receipts {
                    let status = status(&mut reader, id).await;
                    let has = |list: &str| status[list].as_array().unwrap().contains(&json!(user));
                    assert!(has("deliveredTo") && (!read || has("readBy")), "{user} lost a receipt: {status}");
                    confirmed += 1;
                }
            }
        }
        assert!(sent > 50 && confirmed > 50, "{sent} messages and {confirmed} receipts are too few");
        eprintln!("kill {kill}: {sent} messages and {confirmed} receipts were acknowledged and stored");
    }
}

/// The receipts in a chat, by user, for users with a message there.
fn receipts<'a>(acknowledged: &'a [(&str, Acknowledged)], chat: &str) -> HashMap<&'a str, &'a [(String, bool)]> {
    let members = acknowledged.iter().filter(|(of, one)| *of == chat && !one.sent.is_empty());
    members.map(|(_, one)| (one.sent[0]["userId"].as_str().unwrap(), &one.confirmed[..])).collect()
}
