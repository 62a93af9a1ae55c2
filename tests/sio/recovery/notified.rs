//! Notifications of a session that goes on: what is unread is not lost, and what the client has does not come again.

use serde_json::{Value, json};

use super::{RecoveryClient, hub, post, wait_until_empty, wait_until_suspended};
use crate::support::{DEADLINE, Hub, Transport, eventually};

/// Sends a notification; the event as the user's sessions hear it.
#[track_caller]
fn notify(hub: &Hub, id: &str) -> Value {
    let data = json!({"id": id, "title": "news"});
    post(hub, "/api/push", &json!({"userId": "alice", "event": "notification", "data": data}));
    json!(["notification", data])
}

#[tokio::test]
async fn what_it_missed_comes_once() {
    let hub = hub("");
    for transport in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        let notify = |id: &str| notify(&hub, &format!("{id}-{transport:?}"));
        let live = notify("live");
        alice.expect_exactly(&[live]).await;
        let saved = alice.suspend(&hub, transport).await;
        let missed = [notify("first"), notify("second")];
        let mut alice = saved.resume(&hub, transport).await;
        // What is unread may come behind that, as its client is not known to have received the greeting.
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
async fn what_was_unread_as_it_came_is_not_repeated_once_its_client_has_it() {
    let hub = hub("socketio.ping_interval_ms = 50\nsocketio.ping_timeout_ms = 15000");
    for transport in Transport::BOTH {
        let notify = |id: &str| notify(&hub, &format!("{id}-{transport:?}"));
        let unread = notify("unread");
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        alice.expect(std::slice::from_ref(&unread)).await;
        // Pings go by until the hub knows that it was read: a room's event is not kept any more.
        alice.sio.join("one").await;
        let sent = super::to_room(&hub, "one", 1);
        alice.expect_exactly(&[sent]).await;
        let began = std::time::Instant::now();
        while hub.metric("hubbub_recovery_bytes") > 0.0 {
            assert!(began.elapsed() < DEADLINE, "it is kept still");
            alice.sio.expect_silence().await;
        }
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
async fn what_was_unread_and_lost_with_the_connection_comes_again() {
    let hub = hub("");
    let unread = notify(&hub, "unread");
    for transport in Transport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        // It is on its way; its client does not read it.
        eventually(DEADLINE, "it is sent", || hub.metric("hubbub_notifications_redelivered_total") >= 1.0).await;
        alice = alice.suspend(&hub, transport).await.resume(&hub, transport).await;
        alice.expect(std::slice::from_ref(&unread)).await;
        wait_until_suspended(&hub, 0.0).await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}
