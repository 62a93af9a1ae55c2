//! A worker that lags behind the order of the hub: its publishers and its joins are refused, and nothing accepted is
//! lost.

use bytes::Bytes;

use super::*;
use crate::model::ids::NotificationId;
use crate::rooms::replies::{JoinReply, LeaveReply, PublishReply};
use crate::rooms::{Entering, LagLimit, PageRange};

const ANY: usize = 1 << 20;

/// Sets what may wait for a worker, after the clients have connected: a session joins two rooms at its start.
async fn set_lag(hub: &TestHub, entries: usize, bytes: usize) {
    hub.reload(|settings| settings.lag = LagLimit { entries, bytes }).await;
}

fn room_of(user: &str) -> RoomName {
    RoomName::of_user(&UserId::parse(user, "user").unwrap())
}

fn event(name: &'static str) -> Event {
    let data = Bytes::from_static(br#""ten bytes""#);
    Event { name: EventName::of_hub(name), topic: None, data, timestamp: 0, offset: None }
}

/// Publishes to the user's room. The room actor handles all that is published without a pause before the worker handles
/// the first.
fn publish(hub: &TestHub, user: &str) -> PublishReply {
    hub.inner.rooms().publish(room_of(user), event("news"), None).unwrap()
}

fn join(hub: &TestHub, client: &TestClient) -> JoinReply {
    let (identity, addr) = (Arc::new(identity("bob")), client.handle.addr());
    let entering = Entering { identity, connected_at: 0, addr };
    hub.inner.rooms().join(RoomName::parse("lobby", "room").unwrap(), entering, None, None).unwrap()
}

fn leave(hub: &TestHub, client: &TestClient) -> LeaveReply {
    let room = RoomName::parse("lobby", "room").unwrap();
    hub.inner.rooms().leave(room, UserId::parse("bob", "user").unwrap(), client.handle.addr(), false).unwrap()
}

/// The number of rooms with members.
async fn rooms(hub: &TestHub) -> usize {
    hub.inner.rooms().list(PageRange { offset: 0, limit: 9 }).await.unwrap().1
}

/// What publishers learn: `ok` or the code.
async fn outcomes(replies: Vec<PublishReply>) -> Vec<String> {
    let mut outcomes = Vec::new();
    for reply in replies {
        let outcome = reply.await.unwrap();
        outcomes.push(outcome.map_or_else(|fault| fault.code.as_str().to_owned(), |_| "ok".to_owned()));
    }
    outcomes
}

#[actix::test]
async fn publishers_are_refused_while_a_worker_of_the_room_lags_by_publications() {
    let hub = TestHub::start(GRACE_MS);
    let bob = hub.client(Surface::Raw, "bob").await;
    set_lag(&hub, 2, ANY).await;
    let replies = (0..4).map(|_| publish(&hub, "bob")).collect();
    assert_eq!(outcomes(replies).await, ["ok", "ok", "OVERLOADED", "OVERLOADED"]);
    assert_eq!(bob.receive::<2>().await.len(), 2);
    assert_eq!(outcomes(vec![publish(&hub, "bob")]).await, ["ok"], "the worker has caught up");
    assert_eq!(bob.receive::<1>().await.len(), 1);
}

#[actix::test]
async fn publishers_are_refused_while_a_worker_of_the_room_lags_by_bytes() {
    let hub = TestHub::start(GRACE_MS);
    let _bob = hub.client(Surface::Raw, "bob").await;
    set_lag(&hub, ANY, 200).await;
    let replies = (0..3).map(|_| publish(&hub, "bob")).collect();
    // A publication weighs 128 bytes beside its data.
    assert_eq!(outcomes(replies).await, ["ok", "ok", "OVERLOADED"]);
    assert_eq!(hub.inner.lag_bytes(), 0, "the worker has caught up");
}

#[actix::test]
async fn a_room_without_members_on_a_lagging_worker_accepts_publications() {
    let hub = TestHub::start(GRACE_MS);
    let _bob = hub.client(Surface::Raw, "bob").await;
    set_lag(&hub, 1, ANY).await;
    let replies = ["bob", "bob", "nobody"].map(|user| publish(&hub, user)).into();
    assert_eq!(outcomes(replies).await, ["ok", "OVERLOADED", "ok"]);
}

#[actix::test]
async fn a_join_of_a_lagging_worker_is_refused_and_leaves_nothing() {
    let hub = TestHub::start(GRACE_MS);
    let bob = hub.client(Surface::Raw, "bob").await;
    set_lag(&hub, 1, ANY).await;
    let (published, joined) = (publish(&hub, "bob"), join(&hub, &bob));
    assert!(published.await.unwrap().is_ok());
    assert_eq!(joined.await.unwrap().unwrap_err().code, Code::Overloaded);
    // A session leaves a room that refused it.
    assert_eq!(leave(&hub, &bob).await, Ok(0));
    assert_eq!(rooms(&hub).await, 0);
    assert!(join(&hub, &bob).await.unwrap().is_ok());
    assert_eq!(rooms(&hub).await, 1);
    assert_eq!(leave(&hub, &bob).await, Ok(0));
    assert_eq!(rooms(&hub).await, 0);
}

#[actix::test]
async fn the_end_of_something_accepted_is_not_refused() {
    let hub = TestHub::start(GRACE_MS);
    let (alice, bob) = (hub.client(Surface::Raw, "alice").await, hub.client(Surface::Raw, "bob").await);
    set_lag(&hub, 1, ANY).await;
    let replies = vec![publish(&hub, "bob")];
    hub.inner.rooms().publish_end(room_of("bob"), event("end"), alice.handle.sender());
    let update = hub.inner.rooms().publish_update(
        &UserId::parse("bob", "user").unwrap(),
        event("update"),
        NotificationId::parse("7", "id").unwrap(),
    );
    assert_eq!(outcomes(replies).await, ["ok"]);
    assert!(update.unwrap().await.unwrap().is_ok());
    let names = bob.receive::<3>().await.map(|line| line.split(' ').next().unwrap().to_owned());
    assert_eq!(names, ["news", "end", "update"]);
}

#[actix::test]
async fn a_topic_that_a_lagging_worker_refuses_is_denied_and_can_be_joined_later() {
    let hub = TestHub::start(GRACE_MS);
    let bob = hub.client(Surface::Raw, "bob").await;
    set_lag(&hub, 0, ANY).await;
    bob.ask("Subscribe", r#"{"topics":["news"]}"#, None).await;
    let [denied] = bob.receive().await;
    assert!(denied.contains(r#""topics":[],"#) && denied.contains("OVERLOADED"), "{denied}");
    assert_eq!(hub.stats().overloads.get(), 1);
    set_lag(&hub, 1, ANY).await;
    bob.ask("Subscribe", r#"{"topics":["news"]}"#, None).await;
    let [joined] = bob.receive().await;
    assert!(joined.contains(r#""topics":["news"],"denied":[]"#), "{joined}");
}

#[actix::test]
async fn typing_that_a_lagging_worker_refuses_is_not_announced_and_has_no_end() {
    let hub = TestHub::start(GRACE_MS);
    let (alice, bob) = (hub.client(Surface::Root, "1").await, hub.client(Surface::Raw, "bob").await);
    for client in [&alice, &bob] {
        client.ask("room:join", r#"{"room":"thread:456"}"#, Some("1")).await;
        client.receive_until(|line| line.starts_with("#1: ")).await;
    }
    set_lag(&hub, 0, ANY).await;
    alice.ask("typing_start", r#"{"thread_id":456}"#, Some("2")).await;
    assert!(alice.line_with("#2").await.contains("OVERLOADED"));
    set_lag(&hub, 9, ANY).await;
    for event in ["typing_stop", "typing_start"] {
        alice.ask(event, r#"{"thread_id":456}"#, Some("3")).await;
        alice.receive_until(|line| line.starts_with("#3: ")).await;
    }
    let [first] = bob.receive().await;
    assert!(first.contains(r#""typing":true"#), "{first}");
}

#[actix::test]
async fn typing_that_was_announced_ends_even_if_its_next_announcement_was_refused() {
    let hub = TestHub::start(GRACE_MS);
    let (alice, bob) = (hub.client(Surface::Root, "1").await, hub.client(Surface::Raw, "bob").await);
    bob.ask("room:join", r#"{"room":"thread:456"}"#, Some("1")).await;
    bob.receive_until(|line| line.starts_with("#1: ")).await;
    let start = async |id| alice.ask("typing_start", r#"{"thread_id":456}"#, Some(id)).await;
    start("1").await;
    let [started] = bob.receive().await;
    assert!(started.contains(r#""typing":true"#), "{started}");
    hub.clock().advance(hub.inner.settings().typing_ms / 2);
    set_lag(&hub, 0, ANY).await;
    start("2").await;
    assert!(alice.line_with("#2").await.contains("OVERLOADED"));
    alice.ask("typing_stop", r#"{"thread_id":456}"#, Some("3")).await;
    let [ended] = bob.receive().await;
    assert!(ended.contains(r#""typing":false"#), "{ended}");
}
