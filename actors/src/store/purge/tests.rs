//! A deleted chat disappears at once, and its rows are deleted in slices.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use super::*;
use crate::model::fault::Code;
use crate::model::ids::{ChatMessageId, UserId};
use crate::model::message::{ChatMessage, Content, ContentType, Receipt};
use crate::runtime::clock::Clock;
use crate::store::{Chat, Role};

fn open(directory: &Path) -> Store {
    Store::open(directory, Role::Hub, Clock::System).unwrap()
}

/// A store that deletes no rows in the background, on a hub's file.
async fn open_for_command(directory: &Path) -> Store {
    open(directory).close().await;
    Store::open(directory, Role::Command, Clock::System).unwrap()
}

fn id(text: &str) -> ChatId {
    ChatId::parse(text, "id").unwrap()
}

fn user(text: &str) -> UserId {
    UserId::parse(text, "user").unwrap()
}

fn message(text: &str) -> ChatMessage {
    ChatMessage {
        id: ChatMessageId::parse(text, "id").unwrap(),
        content: Content(text.into()),
        content_type: ContentType("text".into()),
        chat: id("c"),
        author: user("alice"),
        created_at: 7,
        username: "Alice".into(),
    }
}

async fn make(store: &Store, at: i64) -> bool {
    let chat = Chat::new(id("c"), String::new(), String::new(), at).unwrap();
    let chat = chat.with_participants(vec![user("alice")]).unwrap();
    store.put_chat(chat).await.unwrap().1
}

/// Fills the chat `c` with `messages` messages, each with `receipts` receipts.
async fn fill(store: &Store, messages: i64, receipts: i64) {
    let fill = move |conn: &Connection| {
        let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
        let add_messages = format!(
            "{numbers} INSERT INTO messages (id, chat_id, user_id, username, kind, content, created_at)
             SELECT 'm' || i, 'c', 'alice', 'Alice', 'text', 'hello', i FROM n"
        );
        conn.execute(&add_messages, [messages])?;
        let add_receipts =
            format!("{numbers} INSERT INTO receipts SELECT seq, 'u' || i, 1, 2 FROM messages, n WHERE i <= ?1");
        Ok(conn.execute(&add_receipts, [receipts])?)
    };
    store.write(fill).await.unwrap();
}

/// Number of messages and receipts in the file, and of chats.
fn rows(conn: &Connection) -> Result<(i64, i64), rusqlite::Error> {
    let sql = "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM receipts), count(*) FROM chats";
    conn.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Waits until no rows are left.
async fn assert_all_deleted(store: &Store) {
    store.purged().await;
    assert_eq!(store.read(|conn| Ok(rows(conn)?)).await, Ok((0, 0)));
    assert_eq!(store.message_counts().await, Ok((0, 0, 0)));
}

#[tokio::test]
async fn slices_are_bounded_and_delete_all_rows_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_for_command(directory.path()).await;
    make(&store, 1).await;
    fill(&store, 250, 9).await;
    let slices = store.write(|conn| {
        mark(conn, &id("c"))?;
        let mut slices = Vec::new();
        let (mut before, _) = rows(conn)?;
        while let Some(reported) = slice(conn)? {
            let (after, _) = rows(conn)?;
            slices.push((before - after) as usize);
            assert!(reported == slices[slices.len() - 1] || after == 0, "the number of deleted rows");
            before = after;
        }
        Ok(slices)
    });
    let slices = slices.await.unwrap();
    assert_eq!((slices.iter().sum::<usize>(), slices.iter().max()), (2_500, Some(&SLICE_ROWS)));
    assert_all_deleted(&store).await;

    make(&store, 1).await;
    fill(&store, 250, 0).await;
    let first = store.write(|conn| {
        mark(conn, &id("c"))?;
        Ok(slice(conn)?)
    });
    assert_eq!(first.await, Ok(Some(SLICE_MESSAGES)), "a slice has fewer messages than rows");
}

#[tokio::test]
async fn queued_writes_run_between_two_slices() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    make(&store, 1).await;
    fill(&store, 500, 20).await;
    // The number of rows left at each later write. Each write lets the next begin before it ends.
    let left = Arc::new(Mutex::new(Vec::new()));
    let (begin, begun) = mpsc::channel::<()>();
    let (start, started) = tokio::sync::oneshot::channel();
    let own = store.clone();
    let first = tokio::spawn(async move {
        own.write(move |_| {
            let _ = start.send(());
            let _ = begun.recv();
            Ok(())
        })
        .await
    });
    // The writer has taken this write alone, so the next one waits in the queue.
    started.await.unwrap();
    let deleting = tokio::spawn({
        let store = store.clone();
        async move { store.delete_chat(id("c")).await }
    });
    while store.0.writes.depth() < 1 {
        tokio::task::yield_now().await;
    }
    drop(begin);
    first.await.unwrap().unwrap();
    assert_eq!(deleting.await.unwrap(), Ok(true));
    loop {
        let (own, left) = (store.clone(), left.clone());
        let look = own.write(move |conn| {
            let (rows, _) = rows(conn)?;
            left.lock().unwrap().push(rows);
            Ok(rows)
        });
        if look.await.unwrap() == 0 {
            break;
        }
    }
    let left = left.lock().unwrap().clone();
    let deleted = |pair: &[i64]| pair[0] - pair[1];
    assert!(
        left.windows(2).all(|pair| deleted(pair) <= 3 * SLICE_ROWS as i64),
        "other writes run between slices: {left:?}"
    );
    assert!(left.len() >= 4 && left[0] >= 10_500 - 3 * SLICE_ROWS as i64, "{left:?}");
    assert_all_deleted(&store).await;
    assert_eq!(store.counts().purged, 10_501, "and the chat's own row");
}

#[tokio::test]
async fn a_new_chat_with_the_id_of_a_deleted_chat_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_for_command(directory.path()).await;
    make(&store, 1).await;
    fill(&store, 30, 2).await;
    // A command's store deletes nothing in the background.
    store.write(|conn| mark(conn, &id("c"))).await.unwrap();
    assert_eq!(store.delete_chat(id("c")).await, Ok(false));
    let deleted = async |state: &str| {
        assert_eq!(store.history(id("c"), None, 50, 10_000).await.unwrap().0, [], "{state}");
        let old = ChatMessageId::parse("m7", "id").unwrap();
        let before = store.history(id("c"), Some(old.clone()), 50, 10_000).await;
        assert_eq!(before.unwrap_err().code, Code::NotFound, "{state}");
        assert_eq!(store.delivery_status(old.clone()).await, Ok(None), "{state}");
        let confirmed = store.confirm(id("c"), old, user("bob"), Receipt::Read, 9).await;
        assert_eq!(confirmed.unwrap_err().code, Code::NotFound, "{state}");
        assert_eq!(store.last_message_at(id("c")).await, Ok(None), "{state}");
    };
    deleted("deleted").await;
    assert_eq!(store.chat(id("c")).await, Ok(None));
    assert_eq!((store.chat_access().await.unwrap(), store.chats_of(user("alice"), 9).await.unwrap()), (vec![], vec![]));
    let late = store.keep_message(message("late"), ()).unwrap().await;
    assert_eq!(late.unwrap_err().code, Code::NotFound, "a message behind the deletion");

    assert!(make(&store, 5).await, "it is new, not replaced");
    assert_eq!(store.chat(id("c")).await.unwrap().unwrap().created_at, 5);
    deleted("made again").await;
    store.keep_message(message("new"), ()).unwrap().await.unwrap();
    let count = |conn: &Connection| Ok(conn.query_row("SELECT messages FROM chats", (), |row| row.get::<_, i64>(0))?);
    assert_eq!(store.read(count).await, Ok(1));

    // The next start deletes the old rows and keeps the new chat.
    store.close().await;
    let store = open(directory.path());
    store.purged().await;
    assert_eq!(store.message_counts().await, Ok((1, 0, 0)));
    assert_eq!(store.history(id("c"), None, 50, 10_000).await.unwrap().0, [message("new")]);
    assert_eq!(store.read(count).await, Ok(1));
    assert_eq!(store.delete_chat(id("c")).await, Ok(true));
    assert_all_deleted(&store).await;
}

#[tokio::test]
async fn a_start_continues_a_deletion() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_for_command(directory.path()).await;
    make(&store, 1).await;
    fill(&store, 300, 5).await;
    let half = store.write(|conn| {
        mark(conn, &id("c"))?;
        Ok(slice(conn)?)
    });
    assert!(half.await.unwrap().is_some());
    store.close().await;
    assert_all_deleted(&open(directory.path())).await;
}
