use std::sync::atomic::Ordering;

use super::*;
use crate::runtime::clock::Clock;
use crate::store::Role;

const ALL: i64 = i64::MAX;

fn user(id: &str) -> UserId {
    UserId::parse(id, "user").unwrap()
}

fn id(text: &str) -> NotificationId {
    NotificationId::parse(text, "id").unwrap()
}

fn notice(number: i64, text: &str, sent_at: i64) -> StoredNotification {
    StoredNotification { number, id: id(text), data: Bytes::from(format!("{{\"n\":{number}}}")), sent_at }
}

struct NotificationStore {
    store: Store,
    directory: tempfile::TempDir,
}

impl NotificationStore {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { store: Store::open(directory.path(), Role::Hub, Clock::System).unwrap(), directory }
    }

    async fn keep(&self, notice: StoredNotification) -> NotificationOutcome {
        self.store.keep_notification(user("a"), notice, ()).unwrap().await.unwrap().0
    }

    async fn read(&self, text: &str, now: i64) -> Option<i64> {
        self.store.read_notification(user("a"), id(text), now).await.unwrap().map(|read| read.at)
    }

    async fn unread(&self, owner: &str, last: i64, pending: Vec<StoredNotification>, now: i64) -> Vec<(i64, String)> {
        let unread = self.store.unread_notifications(user(owner), last, pending, 1_000_000, now).await.unwrap();
        unread.into_iter().map(|notice| (notice.number, notice.id.to_string())).collect()
    }
}

fn seen(notices: &[(i64, &str)]) -> Vec<(i64, String)> {
    notices.iter().map(|&(number, id)| (number, id.to_owned())).collect()
}

#[tokio::test]
async fn an_unreadable_notification_is_skipped() {
    let stored = NotificationStore::new();
    for (number, text) in [(1, "name"), (2, "utf8"), (3, "json"), (4, "good")] {
        stored.keep(notice(number, text, 5)).await;
    }
    let file = Connection::open(stored.store.path()).unwrap();
    file.execute("UPDATE notifications SET id = '' WHERE id = 'name'", ()).unwrap();
    file.execute("UPDATE notifications SET data = CAST(x'22ff22' AS TEXT) WHERE id = 'utf8'", ()).unwrap();
    file.execute("UPDATE notifications SET data = '{' WHERE id = 'json'", ()).unwrap();
    assert_eq!(stored.unread("a", ALL, vec![], 6).await, seen(&[(4, "good")]));
}

#[tokio::test]
async fn half_a_surrogate_pair_stored_by_an_earlier_version_is_replaced() {
    let stored = NotificationStore::new();
    stored.keep(notice(1, "old", 5)).await;
    let file = Connection::open(stored.store.path()).unwrap();
    file.execute(r#"UPDATE notifications SET data = '{"id":"old","a":"caf\u00e9 \ud83d"}'"#, ()).unwrap();
    let unread = stored.store.unread_notifications(user("a"), ALL, vec![], 1_000_000, 6).await.unwrap();
    assert_eq!(unread[0].data, "{\"id\":\"old\",\"a\":\"café \u{fffd}\"}");
}

#[tokio::test]
async fn a_notification_is_unread_until_its_user_reads_it_and_the_first_read_time_stays() {
    let stored = NotificationStore::new();
    for (number, text) in [(1, "x"), (2, "y"), (3, "z")] {
        assert_eq!(stored.keep(notice(number, text, 5)).await, NotificationOutcome { was_read: false, pruned: 0 });
    }
    assert_eq!(stored.unread("a", ALL, vec![], 6).await, seen(&[(1, "x"), (2, "y"), (3, "z")]));
    assert_eq!(stored.unread("a", 2, vec![], 6).await, seen(&[(1, "x"), (2, "y")]));
    assert_eq!(stored.unread("b", ALL, vec![], 6).await, seen(&[]));
    assert_eq!((stored.read("y", 7).await, stored.read("y", 9).await), (Some(7), Some(7)));
    assert_eq!(stored.read("other", 7).await, None);
    assert_eq!(stored.store.read_notification(user("b"), id("x"), 7).await, Ok(None));
    assert_eq!(stored.unread("a", ALL, vec![], 6).await, seen(&[(1, "x"), (3, "z")]));
    assert_eq!(stored.store.last_notification().load(Ordering::Relaxed), 0);
    stored.store.close().await;
    let again = Store::open(stored.directory.path(), Role::Hub, Clock::System).unwrap();
    assert_eq!(again.last_notification().load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_repeated_notification_replaces_the_unread_one_and_not_a_read_one() {
    let stored = NotificationStore::new();
    stored.keep(notice(1, "x", 5)).await;
    stored.keep(notice(2, "y", 5)).await;
    stored.keep(notice(3, "x", 5)).await;
    assert_eq!(stored.unread("a", ALL, vec![], 6).await, seen(&[(2, "y"), (3, "x")]));
    assert_eq!(stored.read("x", 7).await, Some(7));
    assert_eq!(stored.keep(notice(4, "x", 8)).await, NotificationOutcome { was_read: true, pruned: 0 });
    assert_eq!(stored.unread("a", ALL, vec![notice(4, "x", 8)], 6).await, seen(&[(2, "y")]));
    assert_eq!(stored.read("x", 9).await, Some(7));
}

#[tokio::test]
async fn a_pending_notification_replaces_the_stored_one_with_its_id() {
    let stored = NotificationStore::new();
    stored.keep(notice(1, "x", 5)).await;
    stored.keep(notice(2, "y", 5)).await;
    let pending = vec![notice(2, "y", 5), notice(3, "x", 5), notice(4, "x", 5)];
    assert_eq!(stored.unread("a", ALL, pending, 6).await, seen(&[(2, "y"), (4, "x")]));
}

#[tokio::test]
async fn the_newest_notifications_are_stored_until_they_expire() {
    let stored = NotificationStore::new();
    let most = KEPT_MAX as i64;
    for number in 1..=most {
        assert_eq!(stored.keep(notice(number, &number.to_string(), 5)).await.pruned, 0);
    }
    assert_eq!(stored.keep(notice(most + 1, "more", 6)).await.pruned, 1);
    let unread = stored.unread("a", ALL, vec![], 6).await;
    assert_eq!((unread.len(), unread[0].0), (KEPT_MAX, 2));
    // Read notifications have their own bound.
    assert_eq!(stored.read("2", 6).await, Some(6));
    assert_eq!(stored.keep(notice(most + 2, "and more", 6)).await.pruned, 0);
    for number in 3..=most {
        stored.read(&number.to_string(), 6).await.unwrap();
    }
    stored.read("more", 6).await.unwrap();
    assert_eq!((stored.read("2", 8).await, stored.read("3", 8).await), (Some(6), Some(6)));
    stored.read("and more", 7).await.unwrap();
    assert_eq!((stored.read("2", 8).await, stored.read("3", 8).await), (None, Some(6)));

    assert_eq!(stored.unread("a", ALL, vec![], 6).await, seen(&[]));
    stored.keep(notice(most + 3, "young", 6)).await;
    assert_eq!(stored.unread("a", ALL, vec![], 5 + KEPT_MS).await, seen(&[(most + 3, "young")]));
    assert_eq!(stored.unread("a", ALL, vec![], 6 + KEPT_MS).await, seen(&[]));
    assert_eq!(stored.read("young", 6 + KEPT_MS).await, None);
    // The next write of any user deletes some of the expired notifications.
    let swept = stored.store.keep_notification(user("b"), notice(most + 4, "b", 6 + KEPT_MS), ()).unwrap();
    assert_eq!(swept.await.unwrap().0.pruned, SWEPT_MAX as usize);
}

#[test]
fn unread_notifications_are_bounded_in_bytes_but_at_least_one_is_returned() {
    let of = |bytes| newest(vec![notice(1, "x", 5), notice(3, "z", 5), notice(2, "y", 5)], bytes);
    let numbers = |bytes| of(bytes).into_iter().map(|notice| notice.number).collect::<Vec<_>>();
    assert_eq!(numbers(21), [1, 2, 3]);
    assert_eq!(numbers(20), [2, 3]);
    assert_eq!(numbers(0), [3]);
}
