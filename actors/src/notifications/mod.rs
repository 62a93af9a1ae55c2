//! Notifications: messages that a user also receives after an absence. A notification is stored and delivered at once.
//! A new session receives each missed notification once.
//!
//! # Guarantees
//!
//! * **Stored.** When the hub has confirmed a notification, it is on the disk.
//! * **At once.** Live sessions do not wait for the disk. They may receive a notification that is then lost by a crash
//!   or a failed write. The hub has not confirmed such a notification; its backend may send it again with the same id.
//! * **Each once.** A session receives a notification when it is sent, or as unread after its connect, but not both. It
//!   receives the notification again when the backend sends the id again. A read notification is not sent after a
//!   connect.
//!
//! # Order
//!
//! The room actor numbers a user's notifications, and passes each to the store's writer and to the
//! members. A session that joins receives the number of the last notification before the join. Up to that number, it
//! reads unread notifications from the store, and unwritten ones from [`Notifications`]. Later notifications come through
//! the room, and replace older states from the store: [`crate::connection::noted`] remembers them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use ahash::RandomState;
use bytes::{BufMut as _, Bytes, BytesMut};
use dashmap::DashMap;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::events::json;
use crate::model::fault::{Code, Fault};
use crate::model::ids::{IdText, NotificationId, UserId};
use crate::publication::Offset;
use crate::store::{NotificationOutcome, ReadNotification, Store, StoredNotification};

/// A notification of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// Its data, JSON text: an object with the id as `id`.
    pub data: Bytes,
}

/// The `id` of an object, of any type.
#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

/// Keeps `null` as a value.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Notification {
    /// Reads a notification from its `data`, at most `most` bytes (`limits.notification_bytes`). A notification without
    /// an id gets one. An empty array counts as an empty object, as PHP writes it. The result is a copy: it does not
    /// hold the buffer that `data` is a slice of. The store keeps at most twice [`crate::store::KEPT_MAX`]
    /// notifications of a user.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`], naming the field, for data that is no object or has an invalid id;
    /// [`Code::PayloadTooLarge`] beyond `most`, naming the limit.
    pub fn parse(data: &[u8], most: usize) -> Result<Self, Fault> {
        if data.len() > most {
            return Err(too_large(data.len(), most));
        }
        let data = json::object(data);
        let id = json::parse::<Identified<'_>>(data)?.id;
        let (id, data) = match id.map(RawValue::get) {
            None => {
                let id = NotificationId::random();
                let data = with_id(data, &id);
                (id, data)
            }
            Some(null @ "null") => {
                let id = NotificationId::random();
                let at = null.as_ptr() as usize - data.as_ptr() as usize;
                let data = [&data[..at], &json::encode(&id), &data[at + null.len()..]].concat();
                (id, data.into())
            }
            Some(text) => {
                let id = serde_json::from_str::<IdText>(text);
                let id = id.map_err(|_| Fault::field("data.id", "`data.id`: expected a string or an integer"))?;
                (NotificationId::parse(&id.0, "data.id")?, Bytes::copy_from_slice(data))
            }
        };
        Ok(Self { id, data })
    }

    /// The id as it is written in its data: a number stays one.
    pub fn written_id(&self) -> Box<RawValue> {
        written_id(&self.data).unwrap_or_else(|| RawValue::NULL.to_owned())
    }
}

/// The data of a notification has more than `most` bytes.
fn too_large(bytes: usize, most: usize) -> Fault {
    let words = format!("`data` may have at most {most} bytes of JSON and has {bytes}");
    let limit = Some("limits.notification_bytes");
    Fault { limit, ..Fault::new(Code::PayloadTooLarge, words).in_field("data") }
}

/// The `id` of a notification's data, as it is written there.
pub(crate) fn written_id(data: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice::<Identified<'_>>(data).ok()?.id.map(ToOwned::to_owned)
}

/// The object `data`, which has no `id`, with one. Everything else is left as it was written.
fn with_id(data: &[u8], id: &NotificationId) -> Bytes {
    let state = data.trim_ascii().get(1..).unwrap_or_default();
    let is_empty = state.trim_ascii_start().starts_with(b"}");
    let mut with = BytesMut::with_capacity(data.len() + 64);
    with.put_slice(b"{\"id\":");
    with.put_slice(&json::encode(id));
    with.put_slice(if is_empty { b"" } else { b"," });
    with.put_slice(state);
    with.freeze()
}

/// The number of the last notification before a session joined the room of its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(crate) struct LastNotification(i64);

/// The unread notifications of a session: what it delivers, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// The last one of them. Later ones are publications.
    since: LastNotification,
    /// The last one that the client has.
    received: i64,
    /// The last publication before them; `None` until they are sent.
    written_at: Option<u64>,
}

impl Backlog {
    /// All unread notifications up to `since`.
    pub(crate) fn new(since: LastNotification) -> Self {
        Self { since, received: 0, written_at: None }
    }

    /// They are sent after the publication `number`.
    pub(crate) fn written_at(self, number: u64) -> Self {
        Self { written_at: Some(number), ..self }
    }

    /// What a client that names the offset `last` still needs.
    pub(crate) fn after(self, last: Option<Offset>) -> Self {
        let received = last.and_then(|last| last.notice).map_or(0, |notice| notice.min(self.since.0));
        let written_at = self.written_at.filter(|&at| last.is_some_and(|last| last.number > at));
        Self { received: self.received.max(received), written_at, ..self }
    }

    /// Whether they are still to be sent.
    pub(crate) fn is_unsent(self) -> bool {
        self.written_at.is_none()
    }
}

/// Resolves when a notification is on the disk, or cannot be stored.
pub(crate) struct NotificationWrite(Pin<Box<dyn Future<Output = Result<NotificationOutcome, Fault>> + Send>>);

impl fmt::Debug for NotificationWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotificationWrite").finish_non_exhaustive()
    }
}

impl Future for NotificationWrite {
    type Output = Result<NotificationOutcome, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// The notifications of all users.
#[derive(Debug, Clone)]
pub(crate) struct Notifications(Arc<NotificationState>);

#[derive(Debug)]
struct NotificationState {
    store: Store,
    last: Arc<AtomicI64>,
    /// Notifications that are not on the disk yet; bounded by the queue of the store's writer.
    pending: DashMap<UserId, Vec<StoredNotification>, RandomState>,
}

/// A notification in `pending`. Dropping it, after the write has succeeded or failed, removes it from `pending`.
struct PendingNotification {
    state: Arc<NotificationState>,
    user: UserId,
    number: i64,
}

impl Drop for PendingNotification {
    fn drop(&mut self) {
        self.state.pending.remove_if_mut(&self.user, |_, notices| {
            notices.retain(|notice| notice.number != self.number);
            notices.is_empty()
        });
    }
}

impl Notifications {
    pub(crate) fn new(store: Store) -> Self {
        let last = store.last_notification();
        Self(Arc::new(NotificationState { store, last, pending: DashMap::default() }))
    }

    /// The last notification. Only for the room actor, which knows the order of notifications and joins.
    pub(crate) fn last(&self) -> LastNotification {
        LastNotification(self.0.last.load(Ordering::Relaxed))
    }

    /// Numbers a notification and stores it; the result resolves when it is on the disk. Only for the room actor.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`], [`Code::Overloaded`]: nothing was done.
    pub(crate) fn store(&self, user: UserId, notification: Notification, now: i64) -> Result<NotificationWrite, Fault> {
        let number = self.0.last.fetch_add(1, Ordering::Relaxed) + 1;
        let notice = StoredNotification { number, id: notification.id, data: notification.data, sent_at: now };
        self.0.pending.entry(user.clone()).or_default().push(notice.clone());
        let pending = PendingNotification { state: self.0.clone(), user: user.clone(), number };
        let stored = self.0.store.keep_notification(user, notice, pending)?;
        Ok(NotificationWrite(Box::pin(async move { stored.await.map(|(stored, _pending)| stored) })))
    }

    /// The unread notifications of `user` in `backlog`, oldest first: the newest ones, with `bytes` of data in all, or one
    /// more.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`], [`Code::Overloaded`].
    pub(crate) async fn unread(
        &self,
        user: UserId,
        backlog: Backlog,
        bytes: usize,
        now: i64,
    ) -> Result<Vec<StoredNotification>, Fault> {
        // Read before the store: a notification that leaves `pending` meanwhile is in the store.
        let pending = self.0.pending.get(&user).map(|notices| notices.clone()).unwrap_or_default();
        let last = backlog.since.0;
        let pending = pending.into_iter().filter(|notice| notice.number <= last).collect();
        let mut unread = self.0.store.unread_notifications(user, last, pending, bytes, now).await?;
        unread.retain(|notice| notice.number > backlog.received);
        Ok(unread)
    }

    /// Marks the notification `id` of `user` as read, on the disk or not written yet.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::StoreUnavailable`], [`Code::Overloaded`].
    pub(crate) async fn read(&self, user: UserId, id: NotificationId, now: i64) -> Result<ReadNotification, Fault> {
        let read = self.0.store.read_notification(user, id, now).await?;
        read.ok_or_else(|| Fault::new(Code::NotFound, "There is no such notification"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::Role;

    /// The bound of the data in these tests, in bytes.
    const MOST: usize = 1_000;

    fn parse(data: &'static str) -> Result<Notification, Fault> {
        Notification::parse(data.as_bytes(), MOST)
    }

    #[test]
    fn an_id_and_the_data_stay_as_they_are_written() {
        for (data, id, written) in [
            (r#"{ "id": "notif_1", "a":1.0}"#, "notif_1", r#""notif_1""#),
            (r#"{"a":{"id":1},"id":42}"#, "42", "42"),
            (r#"{"id":"\u0034\u0032"}"#, "42", r#""\u0034\u0032""#),
        ] {
            let notification = parse(data).unwrap();
            assert_eq!((notification.id.as_str(), notification.written_id().get()), (id, written));
            assert_eq!(notification.data, data);
        }
    }

    #[test]
    fn data_without_an_id_gets_one_and_keeps_the_rest_as_written() {
        for (data, rest) in [
            ("{}", "}"),
            ("[]", "}"),
            (" { } ", " }"),
            (r#"{"a": 1.0}"#, r#","a": 1.0}"#),
            (r#"{"id":null,"a":1}"#, r#","a":1}"#),
        ] {
            let notification = parse(data).unwrap();
            let id = &notification.id;
            assert!(id.as_str().starts_with("notif_"), "{id}");
            let data = std::str::from_utf8(json::object(data.as_bytes())).unwrap();
            let mut expected: serde_json::Value = serde_json::from_str(data).unwrap();
            expected["id"] = id.as_str().into();
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&notification.data).unwrap(), expected);
            assert_eq!(notification.data, format!("{{\"id\":\"{id}\"{rest}"));
            assert_eq!(Notification::parse(&notification.data, MOST).unwrap(), notification);
        }
        assert_ne!(parse("{}").unwrap().id, parse("{}").unwrap().id);
    }

    #[test]
    fn invalid_data_is_refused() {
        for (data, field) in [
            ("5", "data"),
            ("[1]", "data"),
            (r#"{"id":""}"#, "data.id"),
            (r#"{"id":1.5}"#, "data.id"),
            (r#"{"id":true}"#, "data.id"),
            (r#"{"id":"a\nb"}"#, "data.id"),
        ] {
            let fault = parse(data).unwrap_err();
            assert_eq!((fault.code, fault.field.as_deref()), (Code::InvalidRequest, Some(field)), "{data}");
        }
        let of = |size: usize| Notification::parse(format!("{{\"a\":\"{}\"}}", "x".repeat(size - 8)).as_bytes(), MOST);
        assert!(of(MOST).is_ok());
        let fault = of(MOST + 1).unwrap_err();
        assert_eq!((fault.code, fault.limit), (Code::PayloadTooLarge, Some("limits.notification_bytes")));
        assert_eq!(fault.message, "`data` may have at most 1000 bytes of JSON and has 1001");
    }

    #[tokio::test]
    async fn a_pending_notification_is_unread_only_up_to_the_last_number() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let notifications = Notifications::new(store);
        let alice = UserId::parse("alice", "user").unwrap();
        let unread = async |last| {
            let unread = notifications.unread(alice.clone(), Backlog::new(last), MOST, 2).await.unwrap();
            unread.into_iter().map(|notice| notice.id.to_string()).collect::<Vec<_>>()
        };
        let before = notifications.last();
        let first = notifications.store(alice.clone(), parse(r#"{"id":1}"#).unwrap(), 1).unwrap();
        let between = notifications.last();
        let second = notifications.store(alice.clone(), parse(r#"{"id":2}"#).unwrap(), 1).unwrap();
        let after = notifications.last();
        assert_eq!(
            (unread(before).await.len(), unread(between).await, unread(after).await.len()),
            (0, vec!["1".into()], 2)
        );
        assert!(first.await.is_ok() && second.await.is_ok());
        assert!(notifications.0.pending.is_empty());
        assert_eq!((unread(between).await.len(), unread(after).await), (1, vec!["1".to_owned(), "2".to_owned()]));
        let id = NotificationId::parse("1", "id").unwrap();
        assert_eq!(notifications.read(alice.clone(), id.clone(), 3).await.unwrap().at, 3);
        assert_eq!(unread(after).await, ["2"]);
        let other = UserId::parse("bob", "user").unwrap();
        assert_eq!(notifications.read(other, id, 3).await.unwrap_err().code, Code::NotFound);
    }
}
