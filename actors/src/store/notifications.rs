//! Stores users' notifications and whether they are read. [`crate::notifications`] delivers them.
//!
//! A user has at most [`KEPT_MAX`] unread and [`KEPT_MAX`] read notifications, each for [`KEPT_DAYS`] days. Every write
//! evicts the notifications of its user beyond these bounds, and some expired notifications of any user.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Store;
use super::health::{StoreError, unless_damaged};
use crate::events::{json, text};
use crate::model::fault::Fault;
use crate::model::ids::{NotificationId, UserId};

/// Most stored unread notifications of a user, and most read ones; the newest are kept.
pub const KEPT_MAX: usize = 100;
/// How long a notification is stored, days.
pub const KEPT_DAYS: i64 = 30;

const KEPT_MS: i64 = KEPT_DAYS * 24 * 60 * 60 * 1_000;

/// Most expired notifications deleted by one write. A write adds only one, so expired notifications do not accumulate.
const SWEPT_MAX: i64 = 100;

/// A notification as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNotification {
    /// The sequence number: a later notification of a user has a larger one.
    pub number: i64,
    /// Its id.
    pub id: NotificationId,
    /// The data, JSON text.
    pub data: Bytes,
    /// Send time, ms since the epoch.
    pub sent_at: i64,
}

/// A notification that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadNotification {
    /// Time of the first read, ms since the epoch.
    pub at: i64,
    /// The data, JSON text.
    pub data: Bytes,
    /// Number of evicted notifications.
    pub pruned: usize,
}

/// The result of storing a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationOutcome {
    /// Whether a notification with this id was already read: then nothing changed.
    pub was_read: bool,
    /// Number of evicted notifications.
    pub pruned: usize,
}

impl Store {
    /// Stores a notification of `user`. It replaces an unread one with the same id. Returns `passenger` when the result
    /// is known. Queues the write before it returns, which fixes the order of writes.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::StoreUnavailable`], [`crate::model::fault::Code::Overloaded`]: the call had no
    /// effect.
    pub(crate) fn keep_notification<T: Send + 'static>(
        &self,
        user: UserId,
        notice: StoredNotification,
        passenger: T,
    ) -> Result<impl Future<Output = Result<(NotificationOutcome, T), Fault>> + Send + use<T>, Fault> {
        self.begin_write(move |conn| Ok((keep(conn, &user, &notice)?, passenger)))
    }

    /// Marks the notification `id` of `user` as read; `None` when no such notification exists.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::StoreUnavailable`], [`crate::model::fault::Code::Overloaded`].
    pub(crate) async fn read_notification(
        &self,
        user: UserId,
        id: NotificationId,
        now: i64,
    ) -> Result<Option<ReadNotification>, Fault> {
        self.write(move |conn| {
            let read: Option<(i64, String)> = conn
                .prepare_cached(
                    "UPDATE notifications SET read_at = coalesce(read_at, ?3)
                     WHERE user_id = ?1 AND id = ?2 AND created_at > ?4 RETURNING read_at, data",
                )?
                .query_row(params![user.as_str(), id.as_str(), now, now - KEPT_MS], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let Some((at, data)) = read else { return Ok(None) };
            let pruned = prune(conn, &user, "read_at IS NOT NULL")?;
            Ok(Some(ReadNotification { at, data: data.into(), pruned }))
        })
        .await
    }

    /// The newest unread notifications of `user` with numbers up to `last`, oldest first, with at most `bytes` of data
    /// in total, but at least one. `pending` are notifications that may not be stored yet.
    ///
    /// # Errors
    /// As [`Store::ping`].
    pub(crate) async fn unread_notifications(
        &self,
        user: UserId,
        last: i64,
        pending: Vec<StoredNotification>,
        bytes: usize,
        now: i64,
    ) -> Result<Vec<StoredNotification>, Fault> {
        self.read(move |conn| {
            let mut notices = unread(conn, &user, last, bytes, now)?;
            for notice in pending {
                if !is_read(conn, &user, &notice.id, now)? {
                    notices.push(notice);
                }
            }
            Ok(newest(notices, bytes))
        })
        .await
    }

    /// The largest number assigned to a notification so far; 0 when there is none. Shared, because a store that opens
    /// late raises it.
    pub(crate) fn last_notification(&self) -> Arc<AtomicI64> {
        self.0.last_notification.clone()
    }
}

pub(super) fn last(conn: &Connection) -> Result<i64, rusqlite::Error> {
    conn.query_row("SELECT coalesce(max(seq), 0) FROM notifications", (), |row| row.get(0))
}

fn keep(conn: &Connection, user: &UserId, notice: &StoredNotification) -> Result<NotificationOutcome, StoreError> {
    let aged = conn
        .prepare_cached(
            "DELETE FROM notifications WHERE seq IN
             (SELECT seq FROM notifications WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2)",
        )?
        .execute(params![notice.sent_at - KEPT_MS, SWEPT_MAX])?;
    // The data is JSON, so it is UTF-8.
    let data = std::str::from_utf8(&notice.data).map_err(|error| Fault::internal().caused_by(error.to_string()))?;
    let kept = conn
        .prepare_cached(
            "INSERT INTO notifications (seq, user_id, id, data, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (user_id, id) DO UPDATE SET seq = ?1, data = ?4, created_at = ?5, read_at = NULL
             WHERE read_at IS NULL OR created_at <= ?6",
        )?
        .execute(params![
            notice.number,
            user.as_str(),
            notice.id.as_str(),
            data,
            notice.sent_at,
            notice.sent_at - KEPT_MS
        ])?;
    let pruned = aged + prune(conn, user, "read_at IS NULL")?;
    Ok(NotificationOutcome { was_read: kept == 0, pruned })
}

/// Deletes a user's oldest notifications in `state`, beyond [`KEPT_MAX`].
fn prune(conn: &Connection, user: &UserId, state: &'static str) -> Result<usize, StoreError> {
    let sql = format!(
        "DELETE FROM notifications WHERE user_id = ?1 AND {state} AND seq <=
         (SELECT seq FROM notifications WHERE user_id = ?1 AND {state} ORDER BY seq DESC LIMIT 1 OFFSET ?2)"
    );
    Ok(conn.prepare_cached(&sql)?.execute(params![user.as_str(), KEPT_MAX as i64])?)
}

/// A user's unread notifications, newest first: at most [`KEPT_MAX`], and at most `bytes` of data and one more.
fn unread(
    conn: &Connection,
    user: &UserId,
    last: i64,
    bytes: usize,
    now: i64,
) -> Result<Vec<StoredNotification>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, id, data, created_at FROM notifications
         WHERE user_id = ?1 AND read_at IS NULL AND seq <= ?2 AND created_at > ?3 ORDER BY seq DESC LIMIT ?4",
    )?;
    let mut rows = statement.query(params![user.as_str(), last, now - KEPT_MS, KEPT_MAX as i64])?;
    let (mut notices, mut total) = (Vec::new(), 0_usize);
    while total <= bytes
        && let Some(row) = rows.next()?
    {
        let notice = unless_damaged(notice_of(row), "a notification")?.flatten();
        total += notice.as_ref().map_or(0, |notice| notice.data.len());
        notices.extend(notice);
    }
    Ok(notices)
}

/// Reads a stored notification; `None`, with a log line, when a client could not parse it.
fn notice_of(row: &Row<'_>) -> rusqlite::Result<Option<StoredNotification>> {
    let (number, id, data): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let Ok(id) = NotificationId::parse(&id, "id") else {
        log::error!("the store holds {id:?} as a notification's id, which is invalid");
        return Ok(None);
    };
    if !json::is_json(data.as_bytes()) {
        log::error!("the store holds a notification {id:?} that is not JSON");
        return Ok(None);
    }
    // An earlier version stored escapes without resolving them.
    Ok(Some(StoredNotification { number, id, data: text::resolve(data.into()), sent_at: row.get(3)? }))
}

fn is_read(conn: &Connection, user: &UserId, id: &NotificationId, now: i64) -> Result<bool, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT 1 FROM notifications WHERE user_id = ?1 AND id = ?2 AND read_at IS NOT NULL AND created_at > ?3",
    )?;
    Ok(statement.exists(params![user.as_str(), id.as_str(), now - KEPT_MS])?)
}

/// The newest of these, oldest first, each id once: at most [`KEPT_MAX`] with at most `bytes` of data, but at least
/// one.
fn newest(mut notices: Vec<StoredNotification>, bytes: usize) -> Vec<StoredNotification> {
    notices.sort_unstable_by_key(|notice| std::cmp::Reverse(notice.number));
    let mut seen = ahash::AHashSet::new();
    notices.retain(|notice| seen.insert(notice.id.clone()));
    notices.truncate(KEPT_MAX);
    let mut total = 0_usize;
    let fitting = notices.iter().take_while(|notice| {
        total += notice.data.len();
        total <= bytes
    });
    let fitting = fitting.count().max(1);
    notices.truncate(fitting);
    notices.reverse();
    notices
}

#[cfg(test)]
mod tests {
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

        async fn unread(
            &self,
            owner: &str,
            last: i64,
            pending: Vec<StoredNotification>,
            now: i64,
        ) -> Vec<(i64, String)> {
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
}
