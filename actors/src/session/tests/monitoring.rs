//! The events that sessions report to the monitor, and the replies of the monitor to its clients.

use serde_json::{Value, json};

use super::*;
use crate::application::{ApplicationFailure, ApplicationReply, ApplicationRequest};
use crate::events::chat::monitoring::{AskEvents, ConnectionEvent};
use crate::events::json as parsing;
use crate::limits::fixed_window::WINDOW_MS;
use crate::model::identity::Identity;
use crate::monitor::FindEvents;
use crate::monitor::event_log::Viewer;
use crate::refusal_log::counts::RefusedAt;

/// A query of an admin, and the receiver of its reply.
fn admin_query(ask: &str) -> (FindEvents, oneshot::Receiver<Vec<ConnectionEvent>>) {
    let admin = Identity { roles: vec!["admin".into()], ..identity("admin") };
    let ask: AskEvents = parsing::parse(ask.as_bytes()).unwrap();
    let (reply, events) = oneshot::channel();
    (FindEvents { ask, viewer: Viewer::new(&admin), reply }, events)
}

/// The events of one kind in the event log, oldest first: the user and the details.
async fn logged(hub: &TestHub, kind: &str) -> Vec<Value> {
    let (ask, events) = admin_query(&json!({"type": kind, "limit": 100}).to_string());
    hub.monitor().post(ask).unwrap();
    let event = |event: &ConnectionEvent| json!([event.user_id, event.details]);
    events.await.unwrap().iter().rev().map(event).collect()
}

/// As [`logged`], once there are at least `count` events.
async fn logged_at_least(hub: &TestHub, kind: &str, count: usize) -> Vec<Value> {
    let enough = async {
        loop {
            let events = logged(hub, kind).await;
            if events.len() >= count {
                return events;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, enough).await.unwrap()
}

#[actix::test]
async fn the_end_of_a_session_is_logged_with_its_reason_and_a_fault_also_as_an_error() {
    let hub = TestHub::start(GRACE_MS);
    let mut disconnects = Vec::new();
    for (close, end, reason) in [
        (Some(Close::SlowConsumer), None, "slow consumer"),
        (Some(Close::DisconnectedByBackend), Some(Close::Left), "disconnected by the application"),
        (None, Some(Close::Malformed), "malformed packet"),
        (None, Some(Close::Left), "client left"),
        (None, None, "connection lost"),
    ] {
        let client = hub.client(Surface::Raw, "alice").await;
        hub.clock().advance(250);
        if let Some(end) = end {
            client.handle.note_end(end);
        }
        if let Some(close) = close {
            client.handle.close(close);
        }
        drop(client);
        disconnects.push(json!(["alice", {"surface": "raw", "reason": reason, "duration": 250}]));
        assert_eq!(logged_at_least(&hub, "disconnect", disconnects.len()).await, disconnects);
    }
    let faults = ["slow consumer", "malformed packet"];
    assert_eq!(
        logged(&hub, "error").await,
        faults.map(|reason| json!(["alice", {"surface": "raw", "reason": reason}]))
    );
    assert_eq!(logged(&hub, "connect").await, vec![json!(["alice", {"surface": "raw"}]); 5]);
}

#[actix::test]
async fn a_suspended_session_is_logged_as_disconnected() {
    let hub = TestHub::start(GRACE_MS);
    let client = hub.client(Surface::Raw, "alice").await;
    client.ask("connection:create-session", "{}", None).await;
    assert_eq!(client.receive::<1>().await.len(), 1);
    client.requests.send(Inbound::Closing).await.unwrap();
    drop(client);
    let ended = json!(["alice", {"surface": "raw", "reason": "connection lost", "duration": 0}]);
    assert_eq!(logged_at_least(&hub, "disconnect", 1).await, [ended]);
    assert_eq!(hub.stats().suspended.get(), 1);
}

/// An application that panics on each request.
struct Defect;

impl Application for Defect {
    fn ask(
        &self,
        _: ApplicationRequest,
    ) -> Pin<Box<dyn Future<Output = Result<ApplicationReply, ApplicationFailure>>>> {
        panic!("on purpose");
    }
}

#[actix::test]
async fn a_session_that_panics_is_logged_as_an_error() {
    let hub = TestHub::with_application(Arc::new(Defect));
    let client = hub.client(Surface::Raw, "alice").await;
    client.ask("client:message", r#"{"content":"hi"}"#, None).await;
    let details = json!({"surface": "raw", "reason": "internal error"});
    assert_eq!(logged_at_least(&hub, "error", 1).await, [json!(["alice", details])]);
    let details = json!({"surface": "raw", "reason": "internal error", "duration": 0});
    assert_eq!(logged_at_least(&hub, "disconnect", 1).await, [json!(["alice", details])]);
}

#[actix::test]
async fn repeated_refusals_of_a_session_are_logged_once_a_minute() {
    let hub = TestHub::start(GRACE_MS);
    let client = hub.client(Surface::Chat, "alice").await;
    let ask = async || {
        for _ in 0..9 {
            client.ask("room:leave", r#"{"room":"lobby"}"#, Some("1")).await;
        }
        let refused = client.receive::<9>().await.iter().filter(|line| line.contains("RATE_LIMITED")).count();
        assert_eq!(refused, 6);
    };
    let limited = json!(["alice", {"surface": "/chat", "code": "RATE_LIMITED"}]);
    ask().await;
    assert_eq!(logged(&hub, "rate_limit").await, std::slice::from_ref(&limited));
    hub.clock().advance(WINDOW_MS);
    ask().await;
    assert_eq!(logged(&hub, "rate_limit").await, [limited.clone(), limited]);
}

#[actix::test]
async fn denied_joins_are_logged_once_a_minute_with_their_room() {
    let hub = TestHub::start(GRACE_MS);
    let client = hub.client(Surface::Chat, "alice").await;
    let ask = async |event, data| {
        client.ask(event, data, Some("1")).await;
        client.receive::<1>().await
    };
    let denied = |room| {
        let details = json!({"surface": "/chat", "reason": "join denied", "code": "NOT_FOUND", "room": room});
        json!(["alice", details])
    };
    // A query about an unknown chat is no join.
    ask("room:info", r#"{"chatId":"none"}"#).await;
    assert_eq!(logged(&hub, "auth_failure").await, [] as [Value; 0]);
    ask("join:chat", r#"{"chatId":"none"}"#).await;
    ask("join:chat", r#"{"chatId":"other"}"#).await;
    assert_eq!(logged(&hub, "auth_failure").await, [denied("chat:none")]);
    hub.clock().advance(WINDOW_MS);
    let mut room_join = json!(["alice", {"surface": "/chat", "reason": "join denied", "code": "FORBIDDEN"}]);
    room_join[1]["room"] = "user:bob".into();
    ask("room:join", r#"{"room":"user:bob"}"#).await;
    assert_eq!(logged(&hub, "auth_failure").await, [denied("chat:none"), room_join]);
}

#[actix::test]
async fn a_guests_events_have_a_user_once_there_is_one() {
    let hub = TestHub::start(GRACE_MS);
    let guest = hub.guest().await;
    guest.ask("authenticate", r#"{"token":"bad"}"#, None).await;
    guest.receive::<1>().await;
    guest.ask("authenticate", r#"{"token":"alice"}"#, None).await;
    guest.receive::<1>().await;
    drop(guest);
    let ended = json!(["alice", {"surface": "/", "reason": "connection lost", "duration": 0}]);
    assert_eq!(logged_at_least(&hub, "disconnect", 1).await, [ended]);
    assert_eq!(logged(&hub, "connect").await, [json!([null, {"surface": "/"}])]);
    let refused = json!([null, {"surface": "/", "code": "INVALID_TOKEN"}]);
    assert_eq!(logged(&hub, "auth_failure").await, [refused]);
}

#[actix::test]
async fn a_session_that_fails_to_open_is_not_logged() {
    let hub = TestHub::start(GRACE_MS);
    let alice = identity("alice");
    hub.revoke(&Revocation::of_user(&alice.user, 2_000, 2_000)).await;
    let refused = hub.open(Surface::Raw, AuthState::Known(Arc::new(alice))).await.err().unwrap();
    assert_eq!(refused.code, Code::TokenRevoked);
    assert_eq!((logged(&hub, "connect").await, logged(&hub, "disconnect").await), (vec![], vec![]));
}

#[actix::test]
async fn reports_to_a_busy_monitor_are_counted_and_delay_no_session() {
    let hub = TestHub::start(GRACE_MS);
    let client = hub.client(Surface::Chat, "alice").await;
    assert_eq!(logged(&hub, "connect").await.len(), 1);
    let busy: Vec<_> = std::iter::from_fn(|| {
        let (ask, events) = admin_query("{}");
        hub.monitor().post(ask).ok().map(|()| events)
    })
    .collect();
    assert_eq!(busy.len(), hub.settings().mailbox);
    hub.note_refused(RefusedAt::Raw, &Peer::default(), &Fault::new(Code::InvalidToken, ""));
    let stats = hub.stats();
    assert_eq!((stats.connections_refused.get(), stats.observations_dropped.get()), (1, 1));
    let health = crate::monitor::health::check(&hub.health_inputs(Default::default()));
    assert_eq!(health.issues, ["The mailbox of monitor is 100% full"]);
    for events in busy {
        events.await.unwrap();
    }
    client.ask("monitoring:metrics", "{}", Some("1")).await;
    let metrics = r#""totalConnections":1,"activeConnections":1,"failedConnections":1,"averageConnectionDuration":0,"peakConnections":1,"connectionsPerMinute":1,"lastReset":"1970-01-01T00:16:40.000Z""#;
    assert_eq!(client.receive().await, [format!(r#"#1: {{"success":true,"metrics":{{{metrics}}}}}"#)]);
}

#[actix::test]
async fn the_error_rate_counts_the_requests_before_this_one() {
    let hub = TestHub::start(GRACE_MS);
    let client = hub.client(Surface::Raw, "alice").await;
    for event in ["Ping", "nonsense", "Subscribe"] {
        client.ask(event, "{}", None).await;
    }
    assert!(client.receive::<3>().await.iter().all(|line| line.starts_with("refused ")));
    client.ask("monitoring:stats", "{}", Some("1")).await;
    let [line] = client.receive().await;
    let stats: Value = serde_json::from_str(line.strip_prefix("#1: ").unwrap()).unwrap();
    assert_eq!(stats["stats"]["errorRate"], 0.75, "{stats}");
}
