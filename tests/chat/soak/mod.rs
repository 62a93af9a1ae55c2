//! Many clients chat for a while, and every message is accounted for: each was heard once by each who was there, live or
//! queued, in one order for all; what was answered is kept; and when all have gone nothing of them is left.
//!
//! `HUBBUB_SOAK_SECONDS` says how long they chat, 8 seconds by default. What they do is by chance, of a seed that is
//! printed, and that `HUBBUB_SEED` repeats; when it happens is the machine's. The pauses between two acts are the load, no
//! waits for anything:
//!
//! ```text
//! HUBBUB_SOAK_SECONDS=120 HUBBUB_SEED=7 cargo test --test hub chat::soak -- --nocapture
//! ```

mod client;
mod ledger;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

use self::client::{Chatter, chat_id};
use self::ledger::{Audit, Kept, Receipts, Record};
use super::{put, put_private, sessions, unlimited};
use crate::support::chance::{Chance, from_env, seed};
use crate::support::member::{Member, Way};
use crate::support::{DEADLINE, Hub, eventually};

const CLIENTS: usize = 200;
/// Fewer than clients: some have two.
const USERS: usize = 170;
const CHATS: usize = 10;
/// Of these so many are private.
const PRIVATE: usize = 3;

/// How long a session that was cut off is kept.
const WINDOW: Duration = Duration::from_secs(6);

/// Descriptors that the hub may have opened for itself meanwhile, for its store; of the clients' hundreds none stays.
const OWN_FDS: usize = 4;

/// What is said in each chat when all are done.
const END: &str = "that is all";

fn user(number: usize) -> String {
    format!("user-{}", number % USERS)
}

/// Most speak Socket.IO by WebSocket, many the raw wire, and some poll.
fn way(number: usize) -> Way {
    match number % 20 {
        0 | 10 => Way::Polling,
        1..=7 => Way::Raw,
        _ => Way::WebSocket,
    }
}

/// Runs all of them at once, and waits for all.
async fn together<T, U, F>(all: Vec<T>, act: impl Fn(T) -> F) -> Vec<U>
where
    U: Send + 'static,
    F: Future<Output = U> + Send + 'static,
{
    let mut running = JoinSet::new();
    for one in all {
        running.spawn(act(one));
    }
    let mut done = Vec::new();
    while let Some(one) = running.join_next().await {
        done.push(one.unwrap());
    }
    done
}

/// A chat's whole history, oldest first, as id and content.
async fn history(reader: &mut Member, chat: &str) -> Vec<(String, String)> {
    let (mut all, mut before) = (Vec::new(), Value::Null);
    loop {
        let page = reader.ask_well("message:history", json!({"chatId": chat, "before": before, "limit": 100})).await;
        reader.take_heard();
        let text = |message: &Value, field: &str| message[field].as_str().unwrap().to_owned();
        let messages = page["messages"].as_array().unwrap().iter();
        all.splice(0..0, messages.map(|message| (text(message, "id"), text(message, "content"))));
        if page["hasMore"] == false {
            return all;
        }
        before = json!(all[0].0);
    }
}

/// All that the hub kept.
async fn kept(reader: &mut Member) -> Kept {
    let mut kept = Kept::default();
    for chat in 0..CHATS {
        kept.chats.push(history(reader, &chat_id(chat)).await);
    }
    let ids: Vec<_> = kept.chats.iter().flatten().map(|(id, _)| id.clone()).collect();
    for some in ids.chunks(32) {
        let mut asked = Vec::new();
        for id in some {
            asked.push(reader.say("message:delivery-status", json!({ "messageId": id })).await);
        }
        for (id, number) in some.iter().zip(asked) {
            let answer = reader.answer(number).await;
            let users = |list: &str| -> BTreeSet<String> {
                let users = answer["status"][list].as_array().unwrap_or_else(|| panic!("{answer}"));
                users.iter().map(|user| user.as_str().unwrap().to_owned()).collect()
            };
            let receipts = Receipts { delivered: users("deliveredTo"), read: users("readBy") };
            kept.receipts.insert(id.clone(), receipts);
        }
    }
    kept
}

/// That the hub says who is in which chat, and that nobody types.
async fn assert_there(hub: &Hub, reader: &mut Member, chatters: &[(String, Vec<usize>)]) {
    for chat in 0..CHATS {
        let id = json!({"chatId": chat_id(chat)});
        let mut expected: BTreeMap<&str, u64> = BTreeMap::from([("reader", 1)]);
        for (user, _) in chatters.iter().filter(|(_, chats)| chats.contains(&chat)) {
            *expected.entry(user).or_default() += 1;
        }
        assert_eq!(sessions(hub, &chat_id(chat)), json!(expected));
        let online = reader.ask_well("room:online", id.clone()).await;
        let online: BTreeSet<_> =
            online["onlineUsers"].as_array().unwrap().iter().map(|user| user["userId"].as_str().unwrap()).collect();
        assert_eq!(online, expected.keys().copied().collect());
        let info = reader.ask_well("room:info", id.clone()).await;
        let count = json!(expected.len());
        assert_eq!((&info["roomInfo"]["participantCount"], &info["roomInfo"]["onlineCount"]), (&count, &count));
        let typing = reader.ask_well("message:typing-users", id).await;
        assert_eq!(typing["typingUsers"], json!([]), "{}", chat_id(chat));
    }
    assert_eq!(hub.metric("hubbub_chat_typists"), 0.0);
}

/// That the figures of all messages agree with them.
async fn assert_figures(reader: &mut Member, kept: &Kept) {
    let stats = reader.ask_well("message:stats", json!({})).await;
    let sum = |of: fn(&Receipts) -> usize| kept.receipts.values().map(of).sum::<usize>();
    let messages: usize = kept.chats.iter().map(Vec::len).sum();
    let expected = json!({
        "activeTypingUsers": 0,
        "trackedMessages": messages,
        "totalDelivered": sum(|receipts| receipts.delivered.len()),
        "totalRead": sum(|receipts| receipts.read.len()),
    });
    assert_eq!(stats["stats"], expected);
}

fn show(audit: &Audit<'_>) {
    eprintln!("the ledger:");
    for (what, count) in &audit.counts.0 {
        eprintln!("{count:>10}  {what}");
    }
    for fault in audit.faults.iter().take(30) {
        eprintln!("     FAULT  {fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_account_for_every_message() {
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
    let chatters = together(numbers, |number| {
        Chatter::enter(hub.clone(), number, user(number), way(number), Chance::of(seed, number))
    })
    .await;
    let end = Instant::now() + Duration::from_secs(seconds);
    let chatters = together(chatters, |chatter| chatter.act_until(end)).await;

    // All are done: the hub has to agree with them on who is where.
    let mut reader = Member::of(&hub, Way::WebSocket, "reader").await;
    for chat in 0..CHATS {
        reader.join(&chat_id(chat)).await;
    }
    let there: Vec<_> =
        chatters.iter().map(|chatter| (chatter.record.user.clone(), chatter.chats().collect())).collect();
    assert_there(&hub, &mut reader, &there).await;
    let mut last = Vec::new();
    let mut own = Record { user: "reader".into(), ..Record::default() };
    for chat in 0..CHATS {
        let at = Instant::now();
        last.push(reader.send(&chat_id(chat), END).await);
        let answered = Some((last[chat].clone(), Instant::now()));
        own.sent.push(ledger::Sent { chat, content: END.into(), at, answered });
    }
    let last = Arc::new(last);
    let chatters = together(chatters, |chatter| chatter.hear_out(last.clone())).await;
    let kept = kept(&mut reader).await;
    assert_figures(&mut reader, &kept).await;
    let rss = hub.rss_kib();

    // And nothing of them is left when they have gone.
    let mut records = together(chatters, Chatter::go).await;
    records.push(own);
    drop(reader);
    let parked = hub.metric("hubbub_parked_sessions");
    let gone = Instant::now();
    let names = ["parked_sessions", "buffered_messages", "rooms", "users", "chat_typists"];
    eventually(WINDOW + DEADLINE, "nothing is left", || {
        hub.connections() == 0 && names.iter().all(|name| hub.metric(&format!("hubbub_{name}")) == 0.0)
    })
    .await;
    eprintln!("{parked} sessions were parked as all had gone, and nothing is left {:?} later", gone.elapsed());
    eventually(DEADLINE, "no descriptor is left", || hub.open_fds() <= before + OWN_FDS).await;
    let http = hub.http();
    let rooms = http.request("GET", "/api/rooms").key().send().json();
    assert_eq!(rooms["total"], 0, "{rooms}");

    let audit = Audit::of(&kept, &records);
    show(&audit);
    eprintln!("{rss} KiB were resident with all there, {} KiB with nobody", hub.rss_kib());
    assert_eq!(audit.faults.len(), 0, "see above; HUBBUB_SEED={seed}");
    for what in ["heard live", "heard queued", "recovered", "receipts kept: read"] {
        assert!(audit.counts.of(what) > 50, "{what}: {} is no load", audit.counts.of(what));
    }
}
