//! The order of publications on `/` with offsets, beside the replies of the session.

use bytes::Bytes;

use super::*;
use crate::publication::{Correlation, Offset};

/// As [`LineEncoder`], with ` @` and the number after each publication that has one.
#[derive(Debug)]
struct NumberedEncoder;

impl Encoder for NumberedEncoder {
    fn format(&self) -> Format {
        Format::RootNumbered
    }

    fn surface(&self) -> Surface {
        Surface::Root
    }

    fn is_numbered(&self) -> bool {
        true
    }

    fn event(&self, event: &Event, Offset { number, .. }: Offset) -> Payload {
        if number == 0 {
            return LineEncoder.event(event, Offset::NONE);
        }
        Payload::text([format!("{} {} @{number}\n", event.name, String::from_utf8_lossy(&event.data)).as_bytes()])
    }

    fn answer(&self, name: &str, data: &[u8], correlation: &Correlation, now: i64) -> Payload {
        LineEncoder.answer(name, data, correlation, now)
    }

    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, now: i64) -> Payload {
        LineEncoder.acknowledgement(data, correlation, now)
    }

    fn refusal(&self, refusal: &EventError<'_>, now: i64) -> Option<Payload> {
        LineEncoder.refusal(refusal, now)
    }
}

pub(super) fn start_hub() -> TestHub {
    start_hub_with(|_| {})
}

/// A hub without limits of messages.
pub(super) fn start_hub_with(change: impl FnOnce(&mut Settings)) -> TestHub {
    TestHub::with(GRACE_MS, None, |settings| {
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.notifications_per_minute = 0;
        settings.outbox = OutboxCapacity { bytes: 1 << 20, entries: 10_000 };
        change(settings);
    })
}

/// A session of alice on `/` with offsets, which recovers another one.
pub(super) async fn open_with(hub: &TestHub, recovery: Option<RecoveryRequest>) -> Session {
    let known = AuthState::Known(Arc::new(identity("alice")));
    let start = session_start(&hub.worker, Surface::Root, known);
    Session::open(&hub.worker, SessionStart { encoder: &NumberedEncoder, recovery, ..start }).await.unwrap()
}

/// A session of alice on `/` with offsets. Its greeting is read.
pub(super) async fn open(hub: &TestHub) -> TestClient {
    let client = TestClient::run(open_with(hub, None).await);
    client.receive_greeting(Surface::Root).await;
    client
}

pub(super) fn joined_room() -> RoomName {
    RoomName::parse("lobby", "room").unwrap()
}

pub(super) fn own_room() -> RoomName {
    RoomName::of_user(&UserId::parse("alice", "user").unwrap())
}

/// Publishes to `room` without a wait.
pub(super) fn publish(hub: &Hub, room: RoomName, name: &'static str) {
    let data = Bytes::from_static(b"1");
    let event = Event { name: EventName::of_hub(name), topic: None, data, timestamp: 0, offset: None };
    drop(hub.rooms().publish(room, event, None));
}

/// The numbers of the publications in `lines`.
pub(super) fn numbers(lines: &[String]) -> Vec<u64> {
    lines.iter().filter_map(|line| line.split_once(" @")?.1.parse().ok()).collect()
}

/// The names of the events and replies in `lines`.
pub(super) fn names(lines: &[String]) -> String {
    lines.iter().filter_map(|line| line.split(' ').next()).collect::<Vec<_>>().join(" ")
}

#[actix::test]
async fn publications_of_all_rooms_wait_behind_those_of_a_room_that_is_joined() {
    let hub = start_hub();
    let alice = open(&hub).await;
    // A reply to an earlier request, which delays the reply to the join.
    let earlier = alice.handle.reserve(0);
    publish(&hub, own_room(), "before");
    alice.ask("room:join", r#"{"room":"lobby"}"#, None).await;
    while hub.publish(PublishTarget::Room(joined_room()), "first").await == 0 {}
    for (room, name) in [(own_room(), "second"), (RoomName::everybody(), "third"), (joined_room(), "fourth")] {
        publish(&hub, room, name);
    }
    hub.inner.rooms().flush().await;
    let before = alice.take();
    assert_eq!(names(&before), "before");
    alice.handle.fulfil(earlier, None);
    let lines = alice.receive_until(|line| line.starts_with("fourth")).await;
    assert_eq!(names(&lines), "room:join:ack first second third fourth");
    let numbers = numbers(&[before, lines].concat());
    assert!(numbers.len() == 5 && numbers.is_sorted(), "{numbers:?}");
}

/// A public chat `c`.
async fn make_chat(hub: &TestHub) -> RoomName {
    let id = ChatId::parse("c", "id").unwrap();
    let chat = Chat { public: true, ..Chat::new(id.clone(), String::new(), String::new(), 0).unwrap() };
    hub.put_chat(chat).await.unwrap();
    RoomName::of_chat(&id)
}

/// Joins the chat `c` by the session of another user, and leaves it.
async fn join_and_leave(other: &TestClient) {
    for event in ["join:chat", "leave:chat"] {
        other.ask(event, r#"{"chatId":"c"}"#, Some("1")).await;
        other.receive_until(|line| line.starts_with("#1")).await;
    }
}

#[actix::test]
async fn events_about_the_members_of_a_chat_have_no_number() {
    let hub = start_hub();
    let chat = make_chat(&hub).await;
    let (alice, bob) = (open(&hub).await, hub.client(Surface::Chat, "bob").await);
    alice.ask("room:join", r#"{"room":"chat:c"}"#, Some("1")).await;
    alice.receive_until(|line| line.starts_with("room:online-update")).await;
    publish(&hub, chat.clone(), "before");
    join_and_leave(&bob).await;
    publish(&hub, chat, "after");
    let lines = alice.receive_until(|line| line.starts_with("after")).await;
    let members = "user:joined room:online-update user:left room:online-update";
    assert_eq!(names(&lines), format!("before {members} after"));
    let numbers = numbers(&lines);
    assert_eq!((numbers.len(), numbers[1] - numbers[0]), (2, 1), "{lines:?}");
}

#[actix::test]
async fn a_recovered_session_misses_no_publication_and_gets_no_event_about_past_members() {
    let hub = start_hub();
    let chat = make_chat(&hub).await;
    let session = open_with(&hub, None).await;
    let pid = session.pid().cloned().unwrap();
    let alice = TestClient::run(session);
    let bob = hub.client(Surface::Chat, "bob").await;
    // It stays in the chat, so that the recovered session is not the first one of its user.
    let phone = hub.client(Surface::Root, "alice").await;
    for client in [&phone, &alice] {
        client.ask("room:join", r#"{"room":"chat:c"}"#, Some("1")).await;
        client.receive_until(|line| line.starts_with("#1")).await;
    }
    publish(&hub, chat.clone(), "received");
    let last = numbers(&[alice.line_with("received").await]).pop().map(Offset::of);
    hub.clock().advance(1_000);
    drop(alice);
    wait_until(|| hub.stats().suspended.get() > 0).await;
    publish(&hub, chat.clone(), "first");
    join_and_leave(&bob).await;
    publish(&hub, chat, "second");
    let back = open_with(&hub, Some(RecoveryRequest { pid, last })).await;
    assert!(back.is_recovered());
    let back = TestClient::run(back);
    let lines = back.receive_until(|line| line.starts_with("second")).await;
    assert!(!lines.iter().any(|line| line.starts_with("user:")), "{lines:?}");
    let publications: Vec<_> = lines.into_iter().filter(|line| line.contains(" @")).collect();
    assert_eq!(names(&publications), "first second");
}

#[actix::test]
async fn a_session_that_was_cut_before_the_reply_to_a_join_is_recovered() {
    let hub = start_hub();
    let session = open_with(&hub, None).await;
    let pid = session.pid().cloned().unwrap();
    let alice = TestClient::run(session);
    publish(&hub, own_room(), "received");
    let last = numbers(&[alice.line_with("received").await]).pop().map(Offset::of);
    // The session asks for the join at one number, and joins at a later one.
    alice.ask("room:join", r#"{"room":"lobby"}"#, None).await;
    (0..3).for_each(|_| publish(&hub, RoomName::parse("elsewhere", "room").unwrap(), "unheard"));
    hub.clock().advance(1_000);
    drop(alice);
    wait_until(|| hub.stats().suspended.get() > 0).await;
    publish(&hub, own_room(), "first");
    publish(&hub, joined_room(), "second");
    let back = open_with(&hub, Some(RecoveryRequest { pid, last })).await;
    assert!(back.is_recovered());
    let lines = TestClient::run(back).receive_until(|line| line.starts_with("second")).await;
    let publications: Vec<_> = lines.into_iter().filter(|line| line.contains(" @")).collect();
    assert_eq!(names(&publications), "first second");
}
