//! Notifications of a session that resumes: an unread one is not lost, and a delivered one is not repeated.

use serde_json::{Value, json};

use super::{RecoveryClient, hub, post, wait_until_empty, wait_until_suspended};
use crate::support::{DEADLINE, Hub, SioTransport, eventually};

/// Sends a notification to alice. The result is the event as she receives it.
#[track_caller]
fn notify(hub: &Hub, id: &str) -> Value {
    let data = json!({"id": id, "title": "news"});
    post(hub, "/api/push", &json!({"userId": "alice", "event": "notification", "data": data}));
    json!(["notification", data])
}

#[tokio::test]
async fn a_missed_notification_is_delivered_once() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        let notify = |id: &str| notify(&hub, &format!("{id}-{transport:?}"));
        let live = notify("live");
        alice.expect_exactly(&[live]).await;
        let saved = alice.suspend(&hub, transport).await;
        let missed = [notify("first"), notify("second")];
        let mut alice = saved.resume(&hub, transport).await;
        // The backlog of unread notifications may follow, because the hub does not know that the client read the first one.
        alice.expect(&missed).await;
        for id in ["live", "first", "second"] {
            let id = format!("{id}-{transport:?}");
            alice.sio.emit("notification_read", json!({ "notification_id": id })).await;
            loop {
                let event = alice.event().await;
                if event[0] == "notification_updated" {
                    assert_eq!(event[1]["notification_id"], id, "{event}");
                    break;
                }
                assert_eq!(event[0], "notification", "{event}");
            }
        }
        let saved = alice.suspend(&hub, transport).await;
        let mut alice = saved.resume(&hub, transport).await;
        alice.sio.expect_silence().await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn the_backlog_is_not_repeated_once_the_client_has_confirmed_it() {
    let hub = hub("socketio.ping_interval_ms = 50\nsocketio.ping_timeout_ms = 15000");
    for transport in SioTransport::BOTH {
        let notify = |id: &str| notify(&hub, &format!("{id}-{transport:?}"));
        let unread = notify("unread");
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.expect(std::slice::from_ref(&unread)).await;
        // Pings confirm the backlog. After that, the hub does not store an event of a room either.
        alice.sio.join("one").await;
        let sent = super::to_room(&hub, "one", 1);
        alice.expect_exactly(&[sent]).await;
        alice.answer_pings_until_confirmed(&hub).await;
        let saved = alice.suspend(&hub, transport).await;
        let missed = notify("missed");
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect(&[missed]).await;
        for id in ["unread", "missed"] {
            let id = format!("{id}-{transport:?}");
            alice.sio.emit("notification_read", json!({ "notification_id": id })).await;
            let event = alice.event().await;
            assert_eq!((&event[0], &event[1]["notification_id"]), (&json!("notification_updated"), &json!(id)));
        }
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn a_notification_that_was_lost_with_the_connection_is_delivered_again() {
    let hub = hub("");
    let unread = notify(&hub, "unread");
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        // The client does not read it.
        eventually(DEADLINE, "the backlog is sent", || hub.metric("hubbub_notifications_redelivered_total") >= 1.0)
            .await;
        alice = alice.suspend(&hub, transport).await.resume(&hub, transport).await;
        alice.expect(std::slice::from_ref(&unread)).await;
        wait_until_suspended(&hub, 0.0).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}
