//! The delivery of unread notifications, and `notification_read`.

use super::*;
use crate::model::ids::NotificationId;
use crate::notifications::{Backlog, LastNotification, Notification};
use crate::store::StoredNotification;

impl TestHub {
    /// Sends a notification and waits until it is stored. Returns the number of sessions that received it.
    async fn notify(&self, user: &str, data: &'static str) -> usize {
        let notification = Notification::parse(data.as_bytes(), 65_536).unwrap();
        let notified = self.inner.notify(UserId::parse(user, "user").unwrap(), notification).await;
        let (published, safe) = notified.unwrap();
        safe.await.unwrap();
        published.recipients
    }
}

const READ_7: &str = r#"notification_updated {"notification_id":7,"read":true,"read_at":"1970-01-01T00:16:40.000Z"}"#;

#[actix::test]
async fn unread_notifications_follow_the_greeting_or_the_authentication_reply() {
    let hub = TestHub::start(GRACE_MS);
    let (guest, chat) = (hub.guest().await, hub.client(Surface::Chat, "42").await);
    assert_eq!(hub.notify("42", r#"{"id":7}"#).await, 1);
    assert_eq!(chat.receive().await, [r#"notification {"id":7}"#]);
    let late_chat = hub.client(Surface::Chat, "42").await;
    let raw = hub.client(Surface::Raw, "42").await;
    assert_eq!(raw.receive().await, [r#"notification {"id":7}"#]);
    guest.ask("authenticate", r#"{"token":"bad"}"#, None).await;
    guest.ask("authenticate", r#"{"token":"42"}"#, None).await;
    let [refused, authenticated, notification] = guest.receive().await;
    assert_eq!(refused, "refused authenticate: INVALID_TOKEN");
    assert!(authenticated.starts_with("authenticated "), "{authenticated}");
    assert_eq!(notification, r#"notification {"id":7}"#);

    guest.ask("notification_read", r#"{"notification_id":"7"}"#, Some("1")).await;
    let mut received: [String; 2] = guest.receive().await;
    received.sort_unstable();
    assert_eq!(received, [READ_7.replace("notification_updated", "#1:"), READ_7.to_owned()]);
    for other in [&raw, &chat, &late_chat] {
        assert_eq!(other.receive().await, [READ_7]);
    }
    let again = hub.client(Surface::Root, "42").await;
    again.ask("ping", "{}", Some("1")).await;
    assert_eq!(again.receive().await, ["#1: done"]);
    late_chat.ask("notification_read", r#"{"notification_id":7}"#, Some("1")).await;
    assert_eq!(late_chat.receive().await, ["refused notification_read: INVALID_REQUEST #1"]);
}

#[actix::test]
async fn notification_read_has_a_limit_of_its_own() {
    let hub = TestHub::start(GRACE_MS);
    hub.notify("alice", r#"{"id":7}"#).await;
    let client = hub.client(Surface::Root, "alice").await;
    let [_] = client.receive().await;
    for _ in 0..4 {
        client.ask("notification_read", r#"{"notification_id":7}"#, None).await;
    }
    let lines: [String; 4] = client.receive().await;
    let refused = lines.iter().filter(|line| *line == "refused notification_read: RATE_LIMITED").count();
    assert_eq!((refused, lines.iter().filter(|line| *line == READ_7).count()), (1, 3));
    for _ in 0..4 {
        client.ask("ping", "{}", Some("1")).await;
    }
    assert_eq!(client.receive().await, ["#1: done"; 4]);
}

#[actix::test]
async fn a_notification_that_changed_meanwhile_is_not_delivered_again() {
    let hub = TestHub::start(GRACE_MS);
    let start = session_start(&hub.worker, Surface::Raw, AuthState::Known(Arc::new(identity("alice"))));
    let mut session = Session::open(&hub.worker, start).await.unwrap();
    // It arrives while the store is read. The store still has an older version.
    hub.notify("alice", r#"{"id":7,"n":2}"#).await;
    hub.rooms().flush().await;
    let notice = |number: i64, id: &str| {
        let id = NotificationId::parse(id, "id").unwrap();
        StoredNotification { number, data: format!("{{\"id\":{id},\"n\":1}}").into(), id, sent_at: 1 }
    };
    session.deliver_unread(vec![notice(1, "6"), notice(2, "7")]);
    let (client, _inbound) = TestClient::of(&session);
    let [welcome, live, missed] = client.receive().await;
    assert!(welcome.starts_with("Status "));
    assert_eq!([live, missed], [r#"notification {"id":7,"n":2}"#, r#"notification {"id":6,"n":1}"#]);
}

#[actix::test]
async fn a_session_reads_older_notifications_from_the_store_and_newer_ones_from_its_room() {
    let hub = TestHub::start(GRACE_MS);
    let alice = UserId::parse("alice", "user").unwrap();
    hub.notify("alice", r#"{"id":1}"#).await;
    let start = session_start(&hub.worker, Surface::Raw, AuthState::Known(Arc::new(identity("alice"))));
    let session = Session::open(&hub.worker, start).await.unwrap();
    let backlog = session.backlog.unwrap();
    assert_ne!(backlog, Backlog::new(LastNotification::default()));
    hub.notify("alice", r#"{"id":2}"#).await;
    let unread = hub.notifications().unread(alice, backlog, 1_000, 1_000_000).await.unwrap();
    assert_eq!(unread.iter().map(|notice| notice.id.as_str()).collect::<Vec<_>>(), ["1"]);
}
