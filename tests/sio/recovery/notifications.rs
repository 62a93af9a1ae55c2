//! Notifications of a session that resumes: an unread one is not lost, and none comes twice. A client that has the `k`-th
//! unread notification names the offset `n.k`; a later publication has a plain offset.

use serde_json::{Value, json};

use super::{RecoveryClient, hub, post, to_all, to_room, wait_until_empty};
use crate::support::{DEADLINE, Hub, SioTransport, eventually};

/// Sends a notification to `user`. The result is the event as the user receives it.
#[track_caller]
fn notify(hub: &Hub, user: &str, id: &str) -> Value {
    let data = json!({"id": id, "title": "news"});
    post(hub, "/api/push", &json!({"userId": user, "event": "notification", "data": data}));
    json!(["notification", data])
}

/// Sends this many notifications to `user`.
#[track_caller]
fn notify_often(hub: &Hub, user: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| notify(hub, user, &format!("{user}-{n}"))).collect()
}

/// A user for each case, because unread notifications stay.
fn user_of(transport: SioTransport, case: usize) -> String {
    format!("user-{transport:?}-{case}")
}

/// Marks a notification as read, and asserts that nothing else arrives.
async fn read(client: &mut RecoveryClient, notification: &Value) {
    let id = &notification[1]["id"];
    client.sio.emit("notification_read", json!({ "notification_id": id })).await;
    let event = client.event().await;
    assert_eq!((&event[0], &event[1]["notification_id"]), (&json!("notification_updated"), id), "{event}");
}

/// Asserts that these events come next, and nothing after them. The order is kept among notifications, and among others.
async fn expect_all(client: &mut RecoveryClient, notifications: &[Value], others: &[Value]) {
    let mut received = Vec::new();
    while received.len() < notifications.len() + others.len() {
        received.push(client.event().await);
    }
    let (first, second): (Vec<_>, Vec<_>) = received.into_iter().partition(|event| event[0] == "notification");
    assert_eq!((&first[..], &second[..]), (notifications, others));
    client.sio.expect_silence().await;
}

#[tokio::test]
async fn a_missed_notification_is_delivered_once() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let mut alice = RecoveryClient::of(&hub, transport, "alice").await;
        let notify = |id: &str| notify(&hub, "alice", &format!("{id}-{transport:?}"));
        let live = notify("live");
        alice.expect_exactly(std::slice::from_ref(&live)).await;
        let saved = alice.suspend(&hub, transport).await;
        let missed = [notify("first"), notify("second")];
        let mut alice = saved.resume(&hub, transport).await;
        alice.expect_exactly(&missed).await;
        for notification in [&live, &missed[0], &missed[1]] {
            read(&mut alice, notification).await;
        }
        let saved = alice.suspend(&hub, transport).await;
        let mut alice = saved.resume(&hub, transport).await;
        alice.sio.expect_silence().await;
        alice.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn unread_notifications_that_the_client_has_do_not_come_again() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        // With a publication after them, the client names a plain offset.
        for has_publication in [false, true] {
            let user = &user_of(transport, has_publication.into());
            let unread = notify_often(&hub, user, 2);
            let mut client = RecoveryClient::of(&hub, transport, user).await;
            client.expect_exactly(&unread).await;
            client.sio.join("one").await;
            if has_publication {
                let sent = to_room(&hub, "one", 1);
                client.expect_exactly(&[sent]).await;
            }
            let offset = client.saved.offset.clone().unwrap();
            assert_eq!(offset.contains('.'), !has_publication, "{offset}");
            for round in 0..2 {
                let saved = client.suspend(&hub, transport).await;
                let missed = notify(&hub, user, &format!("{user}-missed-{round}"));
                client = saved.resume(&hub, transport).await;
                client.expect_exactly(&[missed]).await;
            }
            read(&mut client, &unread[0]).await;
            client.disconnect().await;
            wait_until_empty(&hub).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_is_cut_within_its_unread_notifications_gets_the_others_once() {
    const UNREAD: usize = 4;
    let hub = hub("");
    for transport in SioTransport::BOTH {
        for received in 0..=UNREAD {
            let user = &user_of(transport, received);
            let unread = notify_often(&hub, user, UNREAD);
            let mut client = RecoveryClient::of(&hub, transport, user).await;
            client.expect(&unread[..received]).await;
            let offset = client.saved.offset.clone();
            assert_eq!(offset.as_ref().is_some_and(|offset| offset.contains('.')), received > 0, "{offset:?}");
            let saved = client.suspend(&hub, transport).await;
            let missed = to_all(&hub, 1);
            // A live notification during the cut is a missed publication.
            let live = notify(&hub, user, &format!("{user}-live"));
            let mut client = saved.resume(&hub, transport).await;
            let mut notifications = unread[received..].to_vec();
            notifications.insert(0, live);
            expect_all(&mut client, &notifications, &[missed]).await;
            // All of them were received now.
            let saved = client.suspend(&hub, transport).await;
            let mut client = saved.resume(&hub, transport).await;
            client.sio.expect_silence().await;
            client.disconnect().await;
            wait_until_empty(&hub).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_is_cut_again_within_its_unread_notifications_gets_the_rest_once() {
    const UNREAD: usize = 6;
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let user = &user_of(transport, 0);
        let unread = notify_often(&hub, user, UNREAD);
        let mut client = RecoveryClient::of(&hub, transport, user).await;
        for received in 0..UNREAD {
            client.expect(&unread[received..received + 1]).await;
            let saved = client.suspend(&hub, transport).await;
            client = saved.resume(&hub, transport).await;
        }
        client.sio.expect_silence().await;
        client.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn unread_notifications_that_were_lost_with_the_connection_are_delivered_again() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let user = &user_of(transport, 0);
        let unread = notify_often(&hub, user, 3);
        let delivered = || hub.metric("hubbub_notifications_redelivered_total");
        let before = delivered();
        let mut client = RecoveryClient::of(&hub, transport, user).await;
        for round in 1..=3 {
            // The client does not read them.
            let expected = before + 3.0 * f64::from(round);
            eventually(DEADLINE, "the notifications are sent", || delivered() == expected).await;
            client = client.suspend(&hub, transport).await.resume(&hub, transport).await;
        }
        client.expect_exactly(&unread).await;
        client.disconnect().await;
        wait_until_empty(&hub).await;
    }
}

#[tokio::test]
async fn a_notification_that_was_read_elsewhere_during_the_cut_does_not_come_again() {
    let hub = hub("");
    for transport in SioTransport::BOTH {
        let user = &user_of(transport, 0);
        let unread = notify_often(&hub, user, 3);
        let mut client = RecoveryClient::of(&hub, transport, user).await;
        client.expect(&unread[..1]).await;
        let saved = client.suspend(&hub, transport).await;
        let mut other = RecoveryClient::of(&hub, transport, user).await;
        other.expect_exactly(&unread).await;
        read(&mut other, &unread[1]).await;
        let mut client = saved.resume(&hub, transport).await;
        // The change is a missed publication.
        let updated = json!("notification_updated");
        let [first, second] = [client.event().await, client.event().await];
        assert_eq!((&first[0], &first[1]["notification_id"]), (&updated, &unread[1][1]["id"]), "{first}");
        assert_eq!(second, unread[2]);
        client.sio.expect_silence().await;
        for client in [client, other] {
            client.disconnect().await;
        }
        wait_until_empty(&hub).await;
    }
}
