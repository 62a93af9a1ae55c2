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
mod tests;
