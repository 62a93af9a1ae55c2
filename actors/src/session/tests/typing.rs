//! Typing in threads, and the events that the other members receive.

use super::*;

/// The configured typing timeout, ms of the manual clock.
const SILENCE: i64 = 40;

fn start_hub(change: impl FnOnce(&mut Settings)) -> TestHub {
    TestHub::with(GRACE_MS, None, |settings| {
        settings.typing_ms = SILENCE;
        settings.typing_per_minute = 0;
        settings.messages_per_minute = MessagesPerMinute::default();
        change(settings);
    })
}

fn typing(user: &str, thread: &str, typing: bool) -> String {
    format!(
        r#"user_typing {{"user_id":{user},"name":"{}","thread_id":{thread},"typing":{typing}}}"#,
        user.trim_matches('"')
    )
}

impl TestClient {
    /// Sends a request, and waits for its acknowledgement.
    async fn done(&self, event: &str, data: &str) {
        self.ask(event, data, Some("1")).await;
        self.receive_until(|line| line.starts_with("#1: ")).await;
    }

    async fn start(&self, thread: &str) {
        self.done("typing_start", &format!(r#"{{"thread_id":{thread}}}"#)).await;
    }

    async fn stop(&self, thread: &str) {
        self.done("typing_stop", &format!(r#"{{"thread_id":{thread}}}"#)).await;
    }

    async fn join_thread(&self) {
        self.done("room:join", r#"{"room":"thread:456"}"#).await;
    }
}

#[actix::test]
async fn members_of_a_thread_receive_typing_events_and_typing_joins_the_thread() {
    let hub = start_hub(|_| {});
    let (alice, bob) = (hub.client(Surface::Root, "1").await, hub.client(Surface::Raw, "bob").await);
    let elsewhere = hub.client(Surface::Root, "3").await;
    bob.join_thread().await;
    alice.start("456").await;
    alice.start("456").await;
    assert_eq!(bob.receive().await, [typing("1", "456", true)]);
    alice.stop("456").await;
    alice.stop("456").await;
    assert_eq!(bob.receive().await, [typing("1", "456", false)]);
    bob.start("\"456\"").await;
    assert_eq!(alice.receive().await, [typing("\"bob\"", "\"456\"", true)]);
    assert_eq!((bob.take(), elsewhere.take()), (vec![], vec![]));
}

#[actix::test]
async fn a_silent_typist_stops_once_and_an_active_one_is_announced_again() {
    let hub = start_hub(|_| {});
    let (alice, bob) = (hub.client(Surface::Root, "1").await, hub.client(Surface::Root, "2").await);
    bob.join_thread().await;
    alice.start("456").await;
    hub.clock().advance(SILENCE / 2 - 1);
    alice.start("456").await;
    hub.clock().advance(SILENCE / 2);
    alice.start("456").await;
    hub.clock().advance(SILENCE - 1);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(bob.receive().await, [typing("1", "456", true), typing("1", "456", true)]);
    hub.clock().advance(1);
    assert_eq!(bob.receive().await, [typing("1", "456", false)]);
    hub.clock().advance(10 * SILENCE);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(bob.take(), Vec::<String>::new());
}

#[actix::test]
async fn leaving_or_ending_stops_typing() {
    let hub = start_hub(|_| {});
    let (alice, bob) = (hub.client(Surface::Root, "1").await, hub.client(Surface::Root, "2").await);
    bob.join_thread().await;
    alice.start("456").await;
    alice.done("room:leave", r#"{"room":"thread:456"}"#).await;
    assert_eq!(bob.receive().await, [typing("1", "456", true), typing("1", "456", false)]);
    alice.start("456").await;
    drop(alice);
    assert_eq!(bob.receive().await, [typing("1", "456", true), typing("1", "456", false)]);
}

#[actix::test]
async fn a_session_types_in_a_bounded_number_of_threads() {
    let hub = start_hub(|settings| settings.rooms_per_session = 100);
    let (alice, bob) = (hub.client(Surface::Root, "1").await, hub.client(Surface::Root, "2").await);
    bob.join_thread().await;
    alice.start("456").await;
    hub.clock().advance(1);
    for thread in 0..crate::session::events::community::typing::THREADS_MAX {
        assert_eq!(bob.take().len(), usize::from(thread == 0));
        alice.start(&thread.to_string()).await;
    }
    assert_eq!(bob.receive().await, [typing("1", "456", false)]);
}

#[actix::test]
async fn invalid_threads_and_excess_typing_are_refused() {
    let hub = start_hub(|settings| settings.typing_per_minute = 7);
    let client = hub.client(Surface::Root, "1").await;
    for thread in ["", "1.5", "null", "[]", "\"\""] {
        let data = if thread.is_empty() { "{}".to_owned() } else { format!(r#"{{"thread_id":{thread}}}"#) };
        client.ask("typing_start", &data, None).await;
    }
    assert_eq!(client.receive().await, ["refused typing_start: INVALID_REQUEST"; 5]);
    client.start("1").await;
    client.ask("typing_start", r#"{"thread_id":2}"#, Some("2")).await;
    client.ask("typing_stop", r#"{"thread_id":2}"#, None).await;
    client.ask("ping", "{}", Some("3")).await;
    assert_eq!(client.receive().await, ["#2: done", "refused typing_stop: RATE_LIMITED", "#3: done"]);
    client.ask("room:join", r#"{"room":"a"}"#, None).await;
    assert_eq!(client.receive().await, ["refused a: LIMIT_REACHED"], "a thread is one of its rooms");
}
