//! A slow store and a slow token check delay no publication on `/`.

use super::publication_order::{joined_room, names, numbers, open, own_room, publish, start_hub};
use super::*;
use crate::events::table::CLIENT;
use crate::notifications::Notification;
use crate::store::tests::stall;

/// Stores a notification of alice with this id.
async fn store_notification(hub: &TestHub, id: u32) {
    let notification = Notification::parse(format!("{{\"id\":{id}}}").as_bytes(), 65_536).unwrap();
    let notified = hub.inner.notify(UserId::parse("alice", "user").unwrap(), notification).await;
    notified.unwrap().1.await.unwrap();
}

/// Waits until alice is in the lobby.
async fn wait_for_join(hub: &TestHub) {
    while hub.publish(PublishTarget::Room(joined_room()), "first").await == 0 {}
}

#[actix::test]
async fn publications_do_not_wait_for_the_store() {
    let hub = start_hub();
    let alice = open(&hub).await;
    store_notification(&hub, 7).await;
    alice.line_with("notification").await;
    let stalled = stall(hub.store()).await;
    alice.ask("notification_read", r#"{"notification_id":7}"#, Some("read")).await;
    alice.ask("room:join", r#"{"room":"lobby"}"#, None).await;
    wait_for_join(&hub).await;
    for (room, name) in [(own_room(), "second"), (joined_room(), "third"), (RoomName::everybody(), "fourth")] {
        publish(&hub, room, name);
    }
    let lines = alice.receive_until(|line| line.starts_with("fourth")).await;
    assert_eq!(names(&lines), "room:join:ack first second third fourth");
    assert!(numbers(&lines).is_sorted(), "{lines:?}");
    drop(stalled);
    let late = alice.receive_until(|line| line.starts_with("#read")).await;
    assert_eq!(names(&late), "notification_updated #read:");
    assert!(numbers(&[lines, late].concat()).is_sorted());
}

#[actix::test]
async fn no_ordered_reply_on_the_main_namespace_waits_for_the_store() {
    let hub = start_hub();
    let stalled = stall(hub.store()).await;
    for row in CLIENT.iter().filter(|row| row.on.contains(&Surface::Root)) {
        let alice = open(&hub).await;
        let data = match row.name {
            "notification_read" => r#"{"notification_id":7}"#,
            "authenticate" => r#"{"token":"alice"}"#,
            "register" => r#"{"userId":"alice"}"#,
            "room:join" | "room:leave" => r#"{"room":"lobby"}"#,
            "debug_mode" => r#"{"enabled":false}"#,
            name => publishing::data(name),
        };
        alice.ask(row.name, data, None).await;
        alice.ask("ping", "{}", Some("after")).await;
        let lines = alice.receive_until(|line| line.starts_with("#after")).await;
        assert!(!lines.iter().any(|line| line.contains("INVALID_REQUEST")), "{}: {lines:?}", row.name);
    }
    drop(stalled);
}

#[actix::test]
async fn replies_on_other_surfaces_keep_the_order_of_the_requests() {
    let hub = start_hub();
    let alice = hub.client(Surface::Raw, "alice").await;
    let stalled = stall(hub.store()).await;
    alice.ask("notification_read", r#"{"notification_id":7}"#, Some("1")).await;
    alice.ask("ping", "{}", Some("2")).await;
    wait_until(|| alice.handle.has_pending_replies()).await;
    hub.rooms().flush().await;
    assert_eq!(alice.take(), [""; 0]);
    drop(stalled);
    assert_eq!(alice.receive().await, ["refused notification_read: NOT_FOUND #1", "#2: done"]);
}

#[actix::test]
async fn notifications_are_marked_as_read_in_the_order_of_the_requests() {
    let hub = start_hub();
    let alice = open(&hub).await;
    for id in 1..=3 {
        store_notification(&hub, id).await;
        alice.line_with("notification").await;
    }
    let stalled = stall(hub.store()).await;
    for (id, correlation) in [(3, "3"), (1, "1"), (2, "2")] {
        alice.ask("notification_read", &format!("{{\"notification_id\":{id}}}"), Some(correlation)).await;
    }
    alice.ask("ping", "{}", Some("after")).await;
    assert_eq!(alice.receive().await, ["#after: done"]);
    drop(stalled);
    let lines: [String; 6] = alice.receive().await;
    let updated: Vec<_> = lines.iter().filter(|line| line.starts_with("notification_updated")).collect();
    let ids: Vec<_> = updated.iter().filter_map(|line| line.split(['{', ',']).nth(1)).collect();
    assert_eq!(ids, [3, 1, 2].map(|id| format!("\"notification_id\":{id}")));
}

#[actix::test]
async fn replies_that_wait_for_the_store_are_bounded() {
    let hub = start_hub();
    let alice = open(&hub).await;
    let stalled = stall(hub.store()).await;
    for _ in 0..=crate::connection::UNORDERED_REPLIES_MAX {
        alice.ask("notification_read", r#"{"notification_id":7}"#, None).await;
    }
    assert_eq!(alice.receive().await, ["refused notification_read: OVERLOADED"]);
    drop(stalled);
    assert_eq!(alice.receive().await, ["refused notification_read: NOT_FOUND"; 32]);
}

#[actix::test]
async fn publications_do_not_wait_for_the_check_of_a_new_token() {
    let hub = start_hub();
    let alice = open(&hub).await;
    let release = hub.delay_token("alice");
    alice.ask("room:join", r#"{"room":"lobby"}"#, None).await;
    alice.ask("authenticate", r#"{"token":"alice"}"#, None).await;
    alice.ask("ping", "{}", Some("after")).await;
    wait_for_join(&hub).await;
    publish(&hub, own_room(), "second");
    let lines = alice.receive_until(|line| line.starts_with("second")).await;
    assert_eq!(names(&lines), "room:join:ack first second");
    assert!(numbers(&lines).is_sorted(), "{lines:?}");
    release.send(()).unwrap();
    assert_eq!(names(&alice.receive::<2>().await), "authenticated #after:");
}

#[actix::test]
async fn a_request_after_a_new_token_has_the_permissions_of_that_token() {
    let hub = start_hub();
    let alice = open(&hub).await;
    for (token, reply) in [("bad", "refused"), ("bob", "refused"), ("alice", "authenticated")] {
        let release = hub.delay_token(token);
        alice.ask("authenticate", &format!("{{\"token\":\"{token}\"}}"), None).await;
        alice.ask("ping", "{}", Some("after")).await;
        // Its end waits for the check, too.
        wait_until(|| alice.handle.has_pending_replies()).await;
        publish(&hub, own_room(), "meanwhile");
        assert_eq!(names(&alice.receive::<1>().await), "meanwhile");
        release.send(()).unwrap();
        assert_eq!(names(&alice.receive::<2>().await), format!("{reply} #after:"));
    }
}
