//! Live sessions and a change of the settings.

use serde_json::json;

use super::*;
use crate::hub::Part;
use crate::rooms::history::HistoryPage;
use crate::rooms::rules::HistoryRule;

fn room(name: &str) -> RoomName {
    RoomName::parse(name, "room").unwrap()
}

/// Restricts subscriptions to topics that begin with `secret`.
fn close_secrets(settings: &mut Settings, subscribe: AccessRule) {
    let closed = TopicRule {
        pattern: Pattern::new("secret*"),
        subscribe: vec![subscribe],
        publish: vec![AccessRule::Anyone],
        history: None,
    };
    settings.rules.0.insert(0, closed);
}

/// Sets the length of the history of every topic.
fn set_history(settings: &mut Settings, messages: usize) {
    settings.rules.0[0].history = (messages > 0).then_some(HistoryRule { messages, age_ms: None });
}

#[actix::test]
async fn a_session_leaves_topics_that_are_closed_to_it_and_gets_a_notice() {
    let hub = TestHub::with(GRACE_MS, None, |settings| settings.rooms_per_session = 10);
    let (raw, root) = (hub.client(Surface::Raw, "alice").await, hub.client(Surface::Root, "bob").await);
    raw.ask("Subscribe", r#"{"topics": ["news", "secret", "secret.too"]}"#, None).await;
    raw.receive::<1>().await;
    for room in ["news", "secret"] {
        root.ask("room:join", &json!({ "room": room }).to_string(), None).await;
        root.receive::<1>().await;
    }
    hub.reload(|settings| close_secrets(settings, AccessRule::Role("editor".into()))).await;
    let [notice] = raw.receive().await;
    let notice: serde_json::Value = serde_json::from_str(notice.strip_prefix("Status ").unwrap()).unwrap();
    let mut topics: Vec<_> = notice["details"]["topics"].as_array().unwrap().iter().map(|it| it.as_str()).collect();
    topics.sort_unstable();
    assert_eq!(topics, [Some("secret"), Some("secret.too")]);
    assert_eq!((&notice["status"], &notice["details"]["code"]), (&json!("unsubscribed"), &json!("FORBIDDEN")));
    assert_eq!(root.receive().await, [r#"room:leave:ack {"success":true,"room":"secret","code":"FORBIDDEN"}"#]);
    assert_eq!(hub.publish(PublishTarget::Room(room("secret")), "x").await, 0);
    assert_eq!(hub.publish(PublishTarget::Room(room("news")), "x").await, 2);
    assert_eq!((raw.receive().await, root.receive().await), (["x 1".to_owned()], ["x 1".to_owned()]));

    // After another change, the topic can be joined again.
    hub.reload(|settings| drop(settings.rules.0.remove(0))).await;
    raw.ask("Subscribe", r#"{"topics": ["secret"]}"#, None).await;
    assert!(raw.receive::<1>().await[0].contains(r#""topics":["secret"],"denied":[]"#));
}

#[actix::test]
async fn a_session_in_very_many_topics_leaves_all_that_are_closed() {
    const TOPICS: usize = 1_230;
    let hub = TestHub::with(GRACE_MS, None, |settings| {
        (settings.rooms, settings.rooms_per_user, settings.rooms_per_session) = (2_000, 2_000, 2_000);
        (settings.topics_per_request, settings.mailbox) = (2_000, 2_000);
        settings.outbox = OutboxCapacity { bytes: 1 << 20, entries: 100 };
    });
    let alice = hub.client(Surface::Raw, "alice").await;
    let topics: Vec<_> = (0..TOPICS).map(|number| format!("secret.{number}")).chain(["open".to_owned()]).collect();
    alice.ask("Subscribe", &json!({ "topics": topics }).to_string(), None).await;
    alice.receive::<1>().await;
    hub.reload(|settings| close_secrets(settings, AccessRule::Server)).await;
    let (mut left, mut reads) = (Vec::new(), 0);
    while left.len() < TOPICS {
        reads += 1;
        assert!(reads < 5_000, "only {} topics were left", left.len());
        let lines = alice.take();
        for line in &lines {
            let status: serde_json::Value = serde_json::from_str(line.strip_prefix("Status ").unwrap()).unwrap();
            let topics = status["details"]["topics"].as_array().unwrap();
            assert!(topics.len() <= 100);
            left.extend(topics.iter().map(|topic| topic.as_str().unwrap().to_owned()));
        }
        sleep(Duration::from_millis(1)).await;
    }
    left.sort_unstable();
    left.dedup();
    assert_eq!((left.len(), alice.handle.closed()), (TOPICS, None));
    assert_eq!(hub.publish(PublishTarget::Room(room("open")), "x").await, 1);
}

#[actix::test]
async fn a_session_waiting_for_its_token_reviews_its_rooms_later() {
    let hub = TestHub::start(GRACE_MS);
    let (waiting, other) = (hub.client(Surface::Raw, "alice").await, hub.client(Surface::Raw, "bob").await);
    for client in [&waiting, &other] {
        client.ask("Subscribe", r#"{"topics": ["secret"]}"#, None).await;
        client.receive::<1>().await;
    }
    let release = hub.delay_token("alice");
    waiting.ask("Authenticate", r#"{"token": "alice"}"#, None).await;
    hub.reload(|settings| close_secrets(settings, AccessRule::Server)).await;
    assert!(other.receive::<1>().await[0].contains("FORBIDDEN"));
    release.send(()).unwrap();
    let lines = waiting.receive::<1>().await;
    assert!(lines[0].contains("authenticated") || lines[0].contains("FORBIDDEN"), "{lines:?}");
    assert_eq!(hub.publish(PublishTarget::Room(room("secret")), "x").await, 0);
}

#[actix::test]
async fn changed_limits_apply_to_live_sessions_immediately() {
    let hub = TestHub::start(GRACE_MS);
    let alice = hub.client(Surface::Root, "alice").await;
    let ask = async |room: &str| {
        alice.ask("room:join", &json!({ "room": room }).to_string(), None).await;
        let [line] = alice.receive().await;
        line
    };
    // Four messages a minute, and two rooms.
    assert!(ask("a").await.contains(r#""success":true"#) && ask("b").await.contains(r#""success":true"#));
    assert!(ask("c").await.contains("LIMIT_REACHED"));
    hub.reload(|settings| settings.rooms_per_session = 3).await;
    assert!(ask("c").await.contains(r#""success":true"#));
    assert!(ask("c").await.contains("RATE_LIMITED"));
    hub.reload(|settings| settings.messages_per_minute.push = 6).await;
    assert!(!ask("c").await.contains("RATE_LIMITED"));
    hub.reload(|settings| settings.messages_per_minute.push = 1).await;
    assert!(ask("c").await.contains("RATE_LIMITED"));
    assert_eq!(alice.handle.closed(), None, "earlier requests are no flood");
    hub.reload(|settings| settings.messages_per_minute.push = 0).await;
    assert!(!ask("c").await.contains("RATE_LIMITED"));
}

#[actix::test]
async fn a_room_keeps_history_by_the_current_rule() {
    let hub = TestHub::start(GRACE_MS);
    let alice = hub.client(Surface::Raw, "alice").await;
    alice.ask("Subscribe", r#"{"topics": ["news"]}"#, None).await;
    alice.receive::<1>().await;
    let publish = async |rooms: &[&str]| {
        for name in rooms {
            hub.publish(PublishTarget::Room(room(name)), "x").await;
        }
    };
    let stored = async |name: &str| {
        let page: Option<HistoryPage> = hub.history(&room(name), Part::Newest, 10).await.unwrap();
        page.map(|page| (page.messages.len(), page.epoch.to_string()))
    };
    publish(&["news", "empty"]).await;
    assert_eq!((stored("news").await, stored("empty").await), (None, None));
    hub.reload(|settings| set_history(settings, 2)).await;
    publish(&["news", "empty", "news", "news"]).await;
    let (count, epoch) = stored("news").await.unwrap();
    assert_eq!((count, stored("empty").await.map(|(count, _)| count)), (2, Some(1)));
    assert_eq!(alice.receive().await, ["x 1", "1: x 1", "2: x 1", "3: x 1"]);
    hub.reload(|settings| set_history(settings, 5)).await;
    publish(&["news"]).await;
    assert_eq!(stored("news").await, Some((3, epoch.clone())), "the epoch stays");
    hub.reload(|settings| set_history(settings, 0)).await;
    assert_eq!((stored("news").await, stored("empty").await), (None, None));
    publish(&["news"]).await;
    assert_eq!(alice.receive().await, ["4: x 1", "x 1"]);
    hub.reload(|settings| set_history(settings, 1)).await;
    publish(&["news"]).await;
    let (count, next) = stored("news").await.unwrap();
    assert_eq!(count, 1);
    assert_ne!(next, epoch, "the epoch is new");
}
