//! The order of publications on `/` with offsets, beside the replies of the session.

use bytes::Bytes;

use super::*;
use crate::publication::Correlation;

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

    fn event(&self, event: &Event, number: u64) -> Payload {
        if number == 0 {
            return LineEncoder.event(event, 0);
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
    TestHub::with(GRACE_MS, None, |settings| {
        settings.messages_per_minute = MessagesPerMinute::default();
        settings.notifications_per_minute = 0;
        settings.outbox = OutboxCapacity { bytes: 1 << 20, entries: 10_000 };
    })
}

/// A session of alice on `/` with offsets.
pub(super) async fn open(hub: &TestHub) -> TestClient {
    let known = AuthState::Known(Arc::new(identity("alice")));
    let start = SessionStart { encoder: &NumberedEncoder, ..session_start(&hub.worker, Surface::Root, known) };
    let client = TestClient::run(Session::open(&hub.worker, start).await.unwrap());
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
