//! Older or damaged store files: a hub starts with them or reports an error. It sends nothing that a client cannot read.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hubbub::codec::namespace;
use hubbub_actors::hub::{Hub, Part, PublishTarget, Settings};
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::{EventName, RecoveryToken, RoomName, UserId};
use hubbub_actors::model::surface::Surface;
use hubbub_actors::model::topic_pattern::Pattern;
use hubbub_actors::publication::Offset;
use hubbub_actors::revocations::Revoked;
use hubbub_actors::rooms::rules::{AccessRule, HistoryRule, Rules, TopicRule};
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::session::{AuthState, RecoveryRequest};
use hubbub_actors::store::{FILE, Role, Store};
use hubbub_actors::worker::Worker;
use rusqlite::Connection;
use rusqlite::types::Value;
use sha2::{Digest as _, Sha256};

use super::in_process::{self, FuzzClient, NamedTokens};

/// The time of the start, ms since the epoch.
const NOW: i64 = 10_000_000;

/// The maximum number of rows in an input.
const ROWS_MAX: usize = 40;

/// The type of a column.
#[derive(Debug, Clone, Copy)]
enum Cell {
    Integer,
    Text,
    Bytes,
    /// The SHA-256 of the text.
    Hash,
}

/// The tables, by the first letter of a row.
const TABLES: [(u8, &str, &[Cell]); 10] = {
    use Cell::{Bytes, Hash, Integer, Text};
    [
        (b'H', "histories (room, epoch, last)", &[Text, Text, Integer]),
        (
            b'M',
            "history_messages (history, name, tells_topic, data, created_at)",
            &[Integer, Text, Integer, Bytes, Integer],
        ),
        (b'P', "suspended_sessions (token, until, record)", &[Hash, Integer, Text]),
        (b'L', "log_head (id, head, stopped_at)", &[Integer, Integer, Integer]),
        (b'O', "log_rooms (room, evicted, messages)", &[Text, Integer, Integer]),
        (b'G', "log_segments (is_last, entries)", &[Integer, Bytes]),
        (b'N', "notifications (user_id, id, data, created_at)", &[Text, Text, Text, Integer]),
        (
            b'C',
            "chats (id, name, description, is_public, created_at, changed_at)",
            &[Text, Text, Text, Integer, Integer, Integer],
        ),
        (
            b'S',
            "messages (id, chat_id, user_id, username, kind, content, created_at)",
            &[Text, Text, Text, Text, Text, Text, Integer],
        ),
        (
            b'R',
            "revocations (mark, subject, user_id, before, until, made_at)",
            &[Text, Text, Text, Integer, Integer, Integer],
        ),
    ]
};

/// Rows of the hub's tables, one on each line: the letter of the table, and the cells separated by tabs.
pub(crate) fn stored_records(bytes: &[u8]) {
    in_process::run(async {
        let directory = in_process::directory();
        let store = Store::open(directory.path(), Role::Hub, Clock::manual(NOW)).expect("a store");
        let rows: Vec<_> = bytes.split(|&byte| byte == b'\n').take(ROWS_MAX).collect();
        write(directory.path(), &rows);
        start(&store, &rows).await;
        store.close().await;
    });
}

fn write(directory: &Path, rows: &[&[u8]]) {
    let connection = Connection::open(directory.join(FILE)).expect("the store's file");
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; BEGIN").expect("settings");
    for row in rows {
        let mut cells = row.split(|&byte| byte == b'\t');
        let letter = cells.next().and_then(|letter| letter.first());
        let Some((_, table, columns)) = TABLES.iter().find(|(of, ..)| Some(of) == letter) else { continue };
        let placeholders: Vec<_> =
            columns.iter().map(|cell| if matches!(cell, Cell::Text) { "CAST(? AS TEXT)" } else { "?" }).collect();
        let values = columns.iter().map(|column| value(*column, cells.next().unwrap_or_default()));
        let sql = format!("INSERT OR IGNORE INTO {table} VALUES ({})", placeholders.join(", "));
        // A row that the schema refuses cannot be in a file.
        let _ = connection.execute(&sql, rusqlite::params_from_iter(values));
    }
    connection.execute_batch("COMMIT").expect("written");
}

fn value(column: Cell, cell: &[u8]) -> Value {
    if cell == b"NULL" {
        return Value::Null;
    }
    let text = String::from_utf8_lossy(cell);
    match column {
        Cell::Integer => Value::Integer(text.parse().unwrap_or(0)),
        Cell::Text | Cell::Bytes => Value::Blob(cell.to_vec()),
        Cell::Hash => Value::Blob(Sha256::digest(cell).to_vec()),
    }
}

fn settings() -> Settings {
    let history = |pattern, age_ms| TopicRule {
        pattern: Pattern::new(pattern),
        subscribe: vec![AccessRule::Anyone],
        publish: vec![AccessRule::Anyone],
        history: Some(HistoryRule { messages: 5, age_ms }),
    };
    Settings {
        rules: Rules(vec![history("aging*", Some(1_000)), history("*", None)]),
        clock: Clock::manual(NOW),
        ..super::settings::settings()
    }
}

async fn start(store: &Store, rows: &[&[u8]]) {
    let names = NamedTokens(|_| Err(hubbub_actors::model::fault::Fault::unauthenticated()));
    let hub = Hub::start(settings(), Arc::new(names), None, store.clone(), Revoked::new(0));
    // A hub that cannot read the revocations or the chats does not start.
    if hub.catch_up().await.is_err() || hub.open_chats(Vec::new()).await.is_err() {
        return;
    }
    hub.open_histories().await.expect("unreadable rows are skipped");
    hub.open_sessions().await.expect("unreadable rows are skipped");
    let worker = Worker::start(&hub).expect("a worker");
    for row in rows {
        let cells: Vec<_> = row.split(|&byte| byte == b'\t').collect();
        match cells[..] {
            [b"H", room, ..] => histories(&hub, room).await,
            [b"P", token, ..] => recover(&worker, token).await,
            [b"N", user, ..] => unread(&worker, user).await,
            [b"S", _, chat, user, ..] => chats(&worker, chat, user).await,
            _ => {}
        }
        assert_eq!(hub.find_dead(), None, "an actor died");
    }
}

/// The history of a room has consecutive offsets, continues with the next one, and is JSON.
async fn histories(hub: &Arc<Hub>, room: &[u8]) {
    let Ok(room) = RoomName::parse(&String::from_utf8_lossy(room), "room") else { return };
    let Some(page) = hub.history(&room, Part::Newest, 100).await.expect("nothing is full") else { return };
    let offsets: Vec<_> = page.messages.iter().map(|message| message.offset().expect("a number")).collect();
    assert!(offsets.len() <= 5 && offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{offsets:?}");
    for message in &page.messages {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(message.data()).is_ok(), "a client cannot read it");
    }
    if let [first, .., last] = offsets[..] {
        let count =
            async |part| hub.history(&room, part, 100).await.ok().flatten().map_or(0, |page| page.messages.len());
        assert_eq!(count(Part::Before(last)).await, offsets.len() - 1);
        assert_eq!(count(Part::After(first)).await, offsets.len() - 1);
        assert_eq!(count(Part::After(u64::MAX)).await, 0);
    }
    let published =
        hub.publish(PublishTarget::Room(room.clone()), EventName::of_hub("pushed"), Bytes::from_static(b"1")).await;
    published.expect("nothing is full");
    let newest = hub.history(&room, Part::Newest, 1).await.expect("nothing is full").expect("a history");
    assert_eq!(newest.epoch, page.epoch, "the offsets continue");
    let offset = newest.messages.first().and_then(|message| message.offset());
    assert!(offset.is_some_and(|offset| offsets.last().is_none_or(|last| offset == last + 1)));
}

fn known(user: &[u8]) -> Option<AuthState> {
    let user = UserId::parse(&String::from_utf8_lossy(user), "user").ok()?;
    Some(AuthState::Known(Arc::new(Identity { issued_at: Some(NOW), ..Identity::of(user) })))
}

/// A stored session is recovered, or its client receives the failure.
async fn recover(worker: &Worker, token: &[u8]) {
    let notice = Offset { number: 50, notice: Some(7) };
    for last in [None, Some(Offset::of(50)), Some(notice), Some(namespace::NO_OFFSET)] {
        let pid = RecoveryToken::read(&String::from_utf8_lossy(token));
        let auth_state = known(b"u1").expect("a user");
        let Ok(mut client) =
            FuzzClient::open(worker, Surface::Root, auth_state, Some(RecoveryRequest { pid, last })).await
        else {
            continue;
        };
        let events = client.take();
        let received = |name: &str| events.iter().any(|event| event.name == name);
        assert!(received("system:state_recovered") != received("system:state_recovery_failed"), "{events:?}");
    }
}

/// A user receives its unread notifications. `FuzzClient` checks that each is JSON.
async fn unread(worker: &Worker, user: &[u8]) {
    let Some(auth_state) = known(user) else { return };
    let Ok(mut client) = FuzzClient::open(worker, Surface::Raw, auth_state, None).await else { return };
    client.ask("Ping", r#"{"timestamp":1}"#);
    client.until_replied().await;
}

/// The messages of a chat can be requested.
async fn chats(worker: &Worker, chat: &[u8], user: &[u8]) {
    let Some(auth_state) = known(user) else { return };
    let Ok(mut client) = FuzzClient::open(worker, Surface::Raw, auth_state, None).await else { return };
    let chat = serde_json::to_string(&String::from_utf8_lossy(chat)).expect("a text");
    for event in ["join:chat", "message:history", "room:info", "room:list", "message:stats"] {
        client.ask(event, &format!("{{\"chatId\":{chat}}}"));
        client.until_replied().await;
    }
}
