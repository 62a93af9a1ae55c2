//! Tests of stored messages and receipts: eviction and counts.

use super::*;
use crate::runtime::clock::Clock;
use crate::store::{Chat, FILE, Role, schema};

fn chat(text: &str) -> ChatId {
    ChatId::parse(text, "id").unwrap()
}

fn user(text: &str) -> UserId {
    UserId::parse(text, "id").unwrap()
}

fn id(text: &str) -> ChatMessageId {
    ChatMessageId::parse(text, "id").unwrap()
}

/// A message of `alice` in the chat `c`.
fn text_message(text: &str, at: i64) -> ChatMessage {
    text_message_in("c", text, at)
}

fn text_message_in(room: &str, text: &str, at: i64) -> ChatMessage {
    ChatMessage {
        id: id(text),
        content: Content(format!("{text}!\n\t🌍")),
        content_type: ContentType("text".into()),
        chat: chat(room),
        author: user("alice"),
        created_at: at,
        username: "Alice".into(),
    }
}

fn ids(messages: &[ChatMessage]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

struct ChatStore {
    store: Store,
    directory: tempfile::TempDir,
}

impl ChatStore {
    /// A store with the chats `c` and `d`.
    async fn new() -> Self {
        let chats = Self::at(tempfile::tempdir().unwrap());
        for id in ["c", "d"] {
            let made = Chat::new(chat(id), String::new(), String::new(), 1).unwrap();
            chats.store.put_chat(made).await.unwrap();
        }
        chats
    }

    fn at(directory: tempfile::TempDir) -> Self {
        Self { store: Store::open(directory.path(), Role::Hub, Clock::System).unwrap(), directory }
    }

    async fn reopened(self) -> Self {
        self.store.close().await;
        Self::at(self.directory)
    }

    async fn keep(&self, message: ChatMessage) -> Result<(), Fault> {
        self.store.keep_message(message, ()).unwrap().await
    }

    async fn confirm(&self, message: &str, name: &str, receipt: Receipt, now: i64) -> Result<bool, Fault> {
        let confirmed = self.store.confirm(chat("c"), id(message), user(name), receipt, now).await?;
        assert_eq!(confirmed.author, user("alice"));
        Ok(confirmed.changed)
    }

    async fn history(&self, before: Option<&str>, limit: u32, bytes: usize) -> Result<(Vec<String>, bool), Fault> {
        let (messages, has_more) = self.store.history(chat("c"), before.map(id), limit, bytes).await?;
        Ok((messages.iter().map(|message| message.id.to_string()).collect(), has_more))
    }

    async fn status(&self, message: &str) -> DeliveryStatus {
        self.store.delivery_status(id(message)).await.unwrap().unwrap().1
    }

    async fn sql(&self, text: &'static str) {
        self.store.write(move |conn| Ok(conn.execute_batch(text)?)).await.unwrap();
    }

    /// The counts, checked against the rows.
    async fn counts(&self) -> [u64; 3] {
        let counted = |conn: &Connection| {
            let sql = "SELECT (SELECT count(*) FROM messages), count(*), count(read_at),
                       (SELECT count(*) FROM chats WHERE messages <>
                        (SELECT count(*) FROM messages WHERE chat_id = chats.id)) FROM receipts";
            Ok(conn.query_row(sql, (), |row| {
                let count = |at| row.get::<_, i64>(at).map(|count| count as u64);
                assert_eq!(count(3)?, 0, "chats with a wrong count");
                Ok([count(0)?, count(1)?, count(2)?])
            })?)
        };
        let (messages, delivered, read) = self.store.message_counts().await.unwrap();
        let counts = [messages, delivered, read];
        assert_eq!(counts, self.store.read(counted).await.unwrap());
        counts
    }
}

fn page(expected: &[&str], has_more: bool) -> Result<(Vec<String>, bool), Fault> {
    Ok((expected.iter().map(|id| (*id).to_owned()).collect(), has_more))
}

#[tokio::test]
async fn messages_and_receipts_survive_a_restart() {
    let chats = ChatStore::new().await;
    let picture = ChatMessage { content_type: ContentType("image".into()), ..text_message("two", 20) };
    chats.keep(text_message("one", 10)).await.unwrap();
    chats.keep(picture.clone()).await.unwrap();
    assert_eq!(chats.confirm("two", "bob", Receipt::Read, 30).await, Ok(true));
    let chats = chats.reopened().await;
    assert_eq!(
        chats.store.history(chat("c"), None, 50, 1_000).await,
        Ok((vec![text_message("one", 10), picture], false))
    );
    let status = chats.status("two").await;
    assert_eq!((status.delivered_to, status.read_by), (vec![user("bob")], vec![user("bob")]));
    assert_eq!(chats.store.last_message_at(chat("c")).await, Ok(Some(20)));
    assert_eq!(chats.store.last_message_at(chat("d")).await, Ok(None));
    assert_eq!(chats.counts().await, [2, 1, 1]);
    chats.keep(text_message("three", 5)).await.unwrap();
    assert_eq!(chats.history(None, 50, 1_000).await, page(&["one", "two", "three"], false));
}

#[tokio::test]
async fn a_message_to_a_missing_chat_is_refused_and_is_no_failure_of_the_store() {
    let chats = ChatStore::new().await;
    chats.keep(text_message("one", 10)).await.unwrap();
    let gone = chats.store.keep_message(text_message_in("nowhere", "two", 20), "passenger").unwrap();
    let beside = chats.store.keep_message(text_message("three", 30), "passenger").unwrap();
    assert_eq!(gone.await, Err(Fault::new(Code::NotFound, "Chat not found or access denied")));
    assert_eq!(beside.await, Ok("passenger"));
    assert_eq!((chats.store.failing(), chats.store.counts().failures), (None, 0));
    assert_eq!(chats.counts().await, [2, 0, 0]);
}

#[tokio::test]
async fn a_queued_message_can_be_confirmed_and_found() {
    let chats = ChatStore::new().await;
    let kept = chats.store.keep_message(text_message("one", 10), ()).unwrap();
    assert_eq!(chats.confirm("one", "bob", Receipt::Delivered, 20).await, Ok(true));
    let more = chats.store.keep_message(text_message("two", 30), ()).unwrap();
    assert_eq!(chats.status("two").await.sent_at, 30);
    let last = chats.store.keep_message(text_message("three", 40), ()).unwrap();
    assert_eq!(chats.history(Some("three"), 50, 1_000).await, page(&["one", "two"], false));
    let end = chats.store.keep_message(text_message("four", 50), ()).unwrap();
    assert_eq!(chats.history(None, 50, 1_000).await, page(&["one", "two", "three", "four"], false));
    for kept in [kept.await, more.await, last.await, end.await] {
        assert_eq!(kept, Ok(()));
    }
}

#[tokio::test]
async fn history_is_readable_while_the_store_cannot_write() {
    let chats = ChatStore::new().await;
    chats.keep(text_message("one", 10)).await.unwrap();
    let other = Connection::open(chats.store.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(chats.keep(text_message("two", 20)).await, Err(Fault::store_unavailable()));
    assert_eq!(chats.store.keep_message(text_message("two", 20), ()).err(), Some(Fault::store_unavailable()));
    assert_eq!(chats.history(None, 50, 1_000).await, page(&["one"], false));
}

#[tokio::test]
async fn a_repeated_receipt_changes_nothing_and_a_read_receipt_includes_delivery() {
    let chats = ChatStore::new().await;
    chats.keep(text_message("one", 10)).await.unwrap();
    let mut seen = Vec::new();
    for (name, receipt, now) in [
        ("bob", Receipt::Delivered, 20),
        ("bob", Receipt::Delivered, 21),
        ("bob", Receipt::Read, 40),
        ("bob", Receipt::Read, 41),
        ("carol", Receipt::Read, 30),
        ("carol", Receipt::Delivered, 50),
    ] {
        seen.push(chats.confirm("one", name, receipt, now).await.unwrap());
    }
    assert_eq!(seen, [true, false, true, false, true, false]);
    assert_eq!(chats.counts().await, [1, 2, 2]);
    let (room, status) = chats.store.delivery_status(id("one")).await.unwrap().unwrap();
    let expected = DeliveryStatus {
        message: id("one"),
        delivered_to: vec![user("bob"), user("carol")],
        read_by: vec![user("carol"), user("bob")],
        sent_at: 10,
        last_update: 40,
        delivered_count: None,
        read_count: None,
    };
    assert_eq!((room, status), (chat("c"), expected));
}

#[tokio::test]
async fn a_message_is_confirmed_only_in_its_own_chat() {
    let chats = ChatStore::new().await;
    chats.keep(text_message("one", 10)).await.unwrap();
    let missing = Fault::new(Code::NotFound, "Message not found");
    let confirm = |room, message| chats.store.confirm(chat(room), id(message), user("bob"), Receipt::Read, 20);
    assert_eq!(confirm("c", "two").await, Err(missing.clone()));
    assert_eq!(confirm("d", "one").await, Err(missing.clone()));
    assert_eq!(chats.store.delivery_status(id("two")).await, Ok(None));
    assert_eq!(chats.counts().await, [1, 0, 0]);
    let status = chats.status("one").await;
    assert_eq!((status.delivered_to, status.read_by, status.last_update), (vec![], vec![], 10));
}

#[tokio::test]
async fn the_first_1000_receipts_are_listed_and_all_are_counted() {
    let chats = ChatStore::new().await;
    chats.keep(text_message("one", 10)).await.unwrap();
    // User 0 received the message last and read it first.
    chats
        .sql(
            "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n LIMIT 1001)
             INSERT INTO receipts SELECT 1, n, 5000 - n, CASE WHEN n < 1000 THEN 6000 + n END FROM n",
        )
        .await;
    let status = chats.status("one").await;
    assert_eq!((status.delivered_count, status.read_count), (Some(1_001), None));
    assert_eq!((status.delivered_to.len(), status.read_by.len()), (RECEIPTS_NAMED_MAX, RECEIPTS_NAMED_MAX));
    assert_eq!((&status.delivered_to[0], &status.read_by[0]), (&user("1000"), &user("0")));
    assert_eq!(status.last_update, 6_999);
    assert_eq!(chats.counts().await, [1, 1_001, 1_000]);
    assert_eq!(chats.confirm("one", "1000", Receipt::Read, 7_000).await, Ok(true));
    assert_eq!(chats.status("one").await.read_count, Some(1_001));
}

#[tokio::test]
async fn history_pages_backwards_within_its_bounds() {
    let chats = ChatStore::new().await;
    for (at, text) in ["a1", "a2", "a3", "a4"].into_iter().enumerate() {
        chats.keep(text_message_in("d", &format!("d{at}"), 1)).await.unwrap();
        chats.keep(text_message(text, 10)).await.unwrap();
    }
    assert_eq!(chats.history(None, 2, 1_000).await, page(&["a3", "a4"], true));
    assert_eq!(chats.history(Some("a3"), 2, 1_000).await, page(&["a1", "a2"], false));
    assert_eq!(chats.history(Some("a1"), 2, 1_000).await, page(&[], false));
    let each = text_message("a1", 0).content.0.len();
    assert_eq!(chats.history(None, 4, 3 * each).await, page(&["a2", "a3", "a4"], true));
    assert_eq!(chats.history(None, 4, 3 * each - 1).await, page(&["a3", "a4"], true));
    assert_eq!(chats.history(None, 4, 0).await, page(&["a4"], true));
    let missing = Fault::new(Code::NotFound, "Message not found");
    assert_eq!(chats.history(Some("d1"), 2, 1_000).await, Err(missing.clone()));
    assert_eq!(chats.history(Some("unknown"), 2, 1_000).await, Err(missing));
    assert_eq!(chats.store.history(chat("nowhere"), None, 2, 1_000).await, Ok((vec![], false)));
}

#[tokio::test]
async fn a_chat_keeps_its_newest_messages_and_evicts_the_oldest_with_their_receipts() {
    let chats = ChatStore::new().await;
    chats.keep(text_message_in("d", "other", 1)).await.unwrap();
    chats
        .sql(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 10000)
             INSERT INTO messages (id, chat_id, user_id, username, kind, content, created_at)
             SELECT n, 'c', 'alice', 'Alice', 'text', 'x', n FROM n;
             INSERT INTO receipts SELECT seq, 'bob', 1, NULL FROM messages WHERE seq < 5",
        )
        .await;
    assert_eq!(chats.counts().await, [10_001, 4, 0]);
    chats.keep(text_message("new", 20_000)).await.unwrap();
    chats.keep(text_message("newer", 20_001)).await.unwrap();
    assert_eq!(chats.counts().await, [10_001, 2, 0]);
    assert_eq!(chats.history(Some("4"), 10, 1_000).await, page(&["3"], false));
    let (last, _) = chats.store.history(chat("c"), None, 2, 1_000).await.unwrap();
    assert_eq!(ids(&last), ["new", "newer"]);
    // Only another program can exceed the bound by so many; they are deleted in several steps.
    chats
        .sql(
            "INSERT INTO messages (id, chat_id, user_id, username, kind, content, created_at)
             SELECT 'more' || seq, 'c', 'alice', 'Alice', 'text', 'x', 1 FROM messages LIMIT 100",
        )
        .await;
    for (text, left) in [("a", 10_000 + 101 - 64), ("b", 10_000), ("c", 10_000)] {
        chats.keep(text_message(text, 1)).await.unwrap();
        assert_eq!(chats.counts().await[0], left + 1);
    }
}

#[tokio::test]
async fn deleting_a_chat_removes_its_messages_and_receipts_from_the_counts() {
    let chats = ChatStore::new().await;
    chats.keep(text_message_in("d", "other", 1)).await.unwrap();
    for text in ["one", "two"] {
        chats.keep(text_message(text, 10)).await.unwrap();
        chats.confirm(text, "bob", Receipt::Delivered, 20).await.unwrap();
        chats.confirm(text, "carol", Receipt::Read, 20).await.unwrap();
    }
    assert_eq!(chats.counts().await, [3, 4, 2]);
    assert_eq!(chats.store.delete_chat(chat("c")).await, Ok(true));
    chats.store.purged().await;
    assert_eq!(chats.counts().await, [1, 0, 0]);
    let late = chats.keep(text_message("late", 30)).await.unwrap_err();
    assert_eq!((late.code, chats.counts().await), (Code::NotFound, [1, 0, 0]));
}

#[tokio::test]
async fn a_file_of_version_1_is_migrated_with_its_messages_and_receipts() {
    let directory = tempfile::tempdir().unwrap();
    let old = Connection::open(directory.path().join(FILE)).unwrap();
    schema::make(&old, 1);
    old.execute_batch(
        "INSERT INTO chats VALUES ('c', 'C', '', 0, 1, 1), ('d', 'D', '', 1, 1, 1);
         INSERT INTO chat_participants VALUES ('c', 'bob');
         INSERT INTO messages VALUES (7, 'one', 'c', 'alice', 'Alice', 'text', 'one!', 10),
                                     (9, 'two', 'c', 'alice', 'Alice', 'text', 'two!', 20);
         INSERT INTO receipts VALUES (7, 'bob', 11, 12), (9, 'bob', 21, NULL)",
    )
    .unwrap();
    drop(old);
    let chats = ChatStore::at(directory);
    assert_eq!(chats.counts().await, [2, 2, 1]);
    assert_eq!(chats.status("one").await.last_update, 12);
    chats.keep(text_message("three", 30)).await.unwrap();
    assert_eq!(chats.confirm("two", "bob", Receipt::Read, 31).await, Ok(true));
    assert_eq!(chats.history(None, 50, 1_000).await, page(&["one", "two", "three"], false));
    let chats = chats.reopened().await;
    assert_eq!(chats.counts().await, [3, 2, 2]);
}
