//! Many clients chat for a while, and every message is accounted for. Every member receives each message once, live or
//! queued, in one order. Acknowledged messages are stored. After all clients have left, the hub keeps nothing of them.
//!
//! `HUBBUB_SOAK_SECONDS` sets the duration, 8 seconds by default. The actions follow from a printed seed, and `HUBBUB_SEED`
//! repeats them; their timing depends on the machine. The pauses between actions control the load:
//!
//! ```text
//! HUBBUB_SOAK_SECONDS=120 HUBBUB_SEED=7 cargo test --test hub chat::soak -- --nocapture
//! ```

mod audit;
mod client;
mod records;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

use self::audit::ChatAudit;
use self::client::{SoakClient, chat_id};
use self::records::{ClientRecord, Receipts, SentMessage, StoredChats};
use super::{put, put_private, sessions, unlimited};
use crate::support::chat_client::{ChatClient, ChatTransport};
use crate::support::rng::{Rng, from_env, seed};
use crate::support::{DEADLINE, Hub, eventually};

const CLIENTS: usize = 200;
/// Fewer than clients, so some users have two sessions.
const USERS: usize = 170;
const CHATS: usize = 10;
/// The number of private chats.
const PRIVATE: usize = 3;

/// How long a suspended session can be recovered.
const WINDOW: Duration = Duration::from_secs(6);

/// File descriptors that the hub may open for its store meanwhile. The hundreds of its clients must be closed.
const OWN_FDS: usize = 4;

/// The last message of each chat.
const END: &str = "end of chat";

fn user(number: usize) -> String {
    format!("user-{}", number % USERS)
}

/// Most clients use Socket.IO by WebSocket, many the raw WebSocket, and some polling.
fn transport(number: usize) -> ChatTransport {
    match number % 20 {
        0 | 10 => ChatTransport::Polling,
        1..=7 => ChatTransport::Raw,
        _ => ChatTransport::WebSocket,
    }
}

/// Runs `act` for all items at once, and waits for all results.
async fn together<T, U, F>(items: Vec<T>, act: impl Fn(T) -> F) -> Vec<U>
where
    U: Send + 'static,
    F: Future<Output = U> + Send + 'static,
{
    let mut running = JoinSet::new();
    for item in items {
        running.spawn(act(item));
    }
    let mut done = Vec::new();
    while let Some(result) = running.join_next().await {
        done.push(result.unwrap());
    }
    done
}

/// The whole history of a chat, oldest first, as id and content.
async fn history(reader: &mut ChatClient, chat: &str) -> Vec<(String, String)> {
    let (mut all, mut before) = (Vec::new(), Value::Null);
    loop {
        let page = reader.request_ok("message:history", json!({"chatId": chat, "before": before, "limit": 100})).await;
        reader.take_events();
        let text = |message: &Value, field: &str| message[field].as_str().unwrap().to_owned();
        let messages = page["messages"].as_array().unwrap().iter();
        all.splice(0..0, messages.map(|message| (text(message, "id"), text(message, "content"))));
        if page["hasMore"] == false {
            return all;
        }
        before = json!(all[0].0);
    }
}

/// The hub's stored messages and receipts.
async fn read_store(reader: &mut ChatClient) -> StoredChats {
    let mut stored = StoredChats::default();
    for chat in 0..CHATS {
        stored.chats.push(history(reader, &chat_id(chat)).await);
    }
    let ids: Vec<_> = stored.chats.iter().flatten().map(|(id, _)| id.clone()).collect();
    for some in ids.chunks(32) {
        let mut numbers = Vec::new();
        for id in some {
            numbers.push(reader.send_request("message:delivery-status", json!({ "messageId": id })).await);
        }
        for (id, number) in some.iter().zip(numbers) {
            let answer = reader.reply(number).await;
            let users = |list: &str| -> BTreeSet<String> {
                let users = answer["status"][list].as_array().unwrap_or_else(|| panic!("{answer}"));
                users.iter().map(|user| user.as_str().unwrap().to_owned()).collect()
            };
            let receipts = Receipts { delivered: users("deliveredTo"), read: users("readBy") };
            stored.receipts.insert(id.clone(), receipts);
        }
    }
    stored
}

/// Fails unless the hub's answers agree with these members of each chat, and no user is typing.
async fn assert_members(hub: &Hub, reader: &mut ChatClient, clients: &[(String, Vec<usize>)]) {
    for chat in 0..CHATS {
        let id = json!({"chatId": chat_id(chat)});
        let mut expected: BTreeMap<&str, u64> = BTreeMap::from([("reader", 1)]);
        for (user, _) in clients.iter().filter(|(_, chats)| chats.contains(&chat)) {
            *expected.entry(user).or_default() += 1;
        }
        assert_eq!(sessions(hub, &chat_id(chat)), json!(expected));
        let online = reader.request_ok("room:online", id.clone()).await;
        let online: BTreeSet<_> =
            online["onlineUsers"].as_array().unwrap().iter().map(|user| user["userId"].as_str().unwrap()).collect();
        assert_eq!(online, expected.keys().copied().collect());
        let info = reader.request_ok("room:info", id.clone()).await;
        let count = json!(expected.len());
        assert_eq!((&info["roomInfo"]["participantCount"], &info["roomInfo"]["onlineCount"]), (&count, &count));
        let typing = reader.request_ok("message:typing-users", id).await;
        assert_eq!(typing["typingUsers"], json!([]), "{}", chat_id(chat));
    }
    assert_eq!(hub.metric("hubbub_chat_typists"), 0.0);
}

/// Fails unless `message:stats` agrees with the stored messages and receipts.
async fn assert_stats(reader: &mut ChatClient, stored: &StoredChats) {
    let stats = reader.request_ok("message:stats", json!({})).await;
    let sum = |of: fn(&Receipts) -> usize| stored.receipts.values().map(of).sum::<usize>();
    let messages: usize = stored.chats.iter().map(Vec::len).sum();
    let expected = json!({
        "activeTypingUsers": 0,
        "trackedMessages": messages,
        "totalDelivered": sum(|receipts| receipts.delivered.len()),
        "totalRead": sum(|receipts| receipts.read.len()),
    });
    assert_eq!(stats["stats"], expected);
}

fn print(audit: &ChatAudit<'_>) {
    for (name, count) in &audit.counts.0 {
        eprintln!("{count:>10}  {name}");
    }
    for fault in audit.faults.iter().take(30) {
        eprintln!("     FAULT  {fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_receive_every_message_once_and_in_order() {
    let seed = seed();
    let seconds = from_env("HUBBUB_SOAK_SECONDS").unwrap_or(8);
    eprintln!("HUBBUB_SEED={seed} HUBBUB_SOAK_SECONDS={seconds}");
    let window = format!("[server]\nworkers = 2\n[recovery]\nwindow_secs = {}\nqueue = 5000\n", WINDOW.as_secs());
    let hub = Arc::new(Hub::with(&unlimited(&window)));
    let before = hub.open_fds();
    let everybody: Vec<_> = (0..USERS).map(user).chain(["reader".into()]).collect();
    let everybody: Vec<_> = everybody.iter().map(String::as_str).collect();
    for chat in 0..CHATS {
        match chat < PRIVATE {
            true => put_private(&hub, &chat_id(chat), &everybody),
            false => put(&hub, &chat_id(chat), &json!({"public": true})),
        }
    }

    let numbers = (0..CLIENTS).collect();
    let clients = together(numbers, |number| {
        SoakClient::start(hub.clone(), number, user(number), transport(number), Rng::new(seed, number))
    })
    .await;
    let end = Instant::now() + Duration::from_secs(seconds);
    let clients = together(clients, |client| client.act_until(end)).await;

    // All actions are done: the hub and the clients must agree on the members of each chat.
    let mut reader = ChatClient::of(&hub, ChatTransport::WebSocket, "reader").await;
    for chat in 0..CHATS {
        reader.join(&chat_id(chat)).await;
    }
    let members: Vec<_> = clients.iter().map(|client| (client.record.user.clone(), client.chats().collect())).collect();
    assert_members(&hub, &mut reader, &members).await;
    let mut last = Vec::new();
    let mut own = ClientRecord { user: "reader".into(), ..ClientRecord::default() };
    for chat in 0..CHATS {
        let at = Instant::now();
        last.push(reader.send_message(&chat_id(chat), END).await);
        let answered = Some((last[chat].clone(), Instant::now()));
        own.sent.push(SentMessage { chat, content: END.into(), at, answered });
    }
    let last = Arc::new(last);
    let clients = together(clients, |client| client.receive_until(last.clone())).await;
    let stored = read_store(&mut reader).await;
    assert_stats(&mut reader, &stored).await;
    let rss = hub.rss_kib();

    // The hub keeps nothing of the clients after they have left.
    let mut records = together(clients, SoakClient::finish).await;
    records.push(own);
    drop(reader);
    let suspended = hub.metric("hubbub_suspended_sessions");
    let left = Instant::now();
    let names = ["suspended_sessions", "buffered_messages", "rooms", "users", "chat_typists"];
    eventually(WINDOW + DEADLINE, "nothing is left", || {
        hub.connections() == 0 && names.iter().all(|name| hub.metric(&format!("hubbub_{name}")) == 0.0)
    })
    .await;
    eprintln!("{suspended} sessions were suspended at the end; nothing is left {:?} later", left.elapsed());
    eventually(DEADLINE, "no descriptor is left", || hub.open_fds() <= before + OWN_FDS).await;
    let http = hub.http();
    let rooms = http.request("GET", "/api/rooms").key().send().json();
    assert_eq!(rooms["total"], 0, "{rooms}");

    let audit = ChatAudit::of(&stored, &records);
    print(&audit);
    eprintln!("{rss} KiB were resident with all clients, {} KiB without", hub.rss_kib());
    assert_eq!(audit.faults.len(), 0, "see above; HUBBUB_SEED={seed}");
    for name in ["received live", "received queued", "recovered", "receipts stored: read"] {
        assert!(audit.counts.of(name) > 50, "{name}: {} are too few", audit.counts.of(name));
    }
}
