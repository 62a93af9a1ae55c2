//! The sessions of one worker, as its fan-out lets them go.

use std::sync::Arc;

use actix::Actor;

use super::*;
use crate::connection::outbox::OutboxCapacity;
use crate::connection::{SessionSpec, SessionTable};
use crate::model::ids::SessionId;
use crate::publication::{Correlation, Event, EventError, Format};
use crate::runtime::clock::Expiry;
use crate::runtime::mailbox::Mailbox;
use crate::shutdown::schedule::DrainRate;

/// Says the name and the data of what it is given, as a surface has them.
#[derive(Debug)]
struct Words(Option<Surface>);

static RAW: Words = Words(Some(Surface::Raw));
static CHAT: Words = Words(Some(Surface::Chat));
static BENEATH: Words = Words(None);

impl Encoder for Words {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn surface(&self) -> Option<Surface> {
        self.0
    }

    fn event(&self, _: &Event, _: u64) -> Bytes {
        Bytes::new()
    }

    fn answer(&self, name: &str, data: &[u8], _: &Correlation, at: i64) -> Bytes {
        format!("{at} {name} {}", String::from_utf8_lossy(data)).into()
    }

    fn acknowledgement(&self, _: Option<&[u8]>, _: &Bytes, _: i64) -> Bytes {
        Bytes::new()
    }

    fn refusal(&self, _: &EventError<'_>, _: i64) -> Option<Bytes> {
        None
    }
}

fn handle(session_table: &SessionTable, wire: &'static Words, carrier: bool) -> Rc<SessionHandle> {
    session_table.insert(SessionSpec {
        session: SessionId::random(),
        encoder: wire,
        bound: OutboxCapacity { bytes: 1_000, frames: 4 },
        heartbeat: None,
        multiplexed: carrier,
        expiry: Expiry::NEVER,
        elapsed: 0,
    })
}

fn heard(handle: &SessionHandle) -> String {
    let waiting = handle.with_outbox(|outbox| outbox.slices().collect::<Vec<_>>().concat());
    String::from_utf8(waiting).unwrap()
}

/// Has the seats drained at this pace; resolves when the last one was closed.
fn drain(session_table: Rc<SessionTable>, pace: DrainRate, clock: &Clock) -> oneshot::Receiver<()> {
    let plan = DrainSchedule::of(4, pace);
    let (done, gone) = oneshot::channel();
    let fanout = Mailbox::new("fanout", Fanout::new(session_table).start(), 1);
    fanout.post(Drain { plan, workers: 1, clock: clock.clone(), done }).unwrap();
    gone
}

async fn until(what: impl Fn() -> bool) {
    let holds = async {
        while !what() {
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(actix_rt::time::timeout(Duration::from_secs(10), holds).await.is_ok());
}

#[actix::test]
async fn all_are_told_at_once_and_closed_one_after_the_other() {
    let session_table = Rc::new(SessionTable::new(0, 1_000_000, Arc::default(), Clock::manual(0)));
    let clock = Clock::manual(5);
    let all: Vec<_> = (0..4).map(|_| handle(&session_table, &RAW, false)).collect();
    let gone = drain(session_table, DrainRate { per_sec: 2, within: Duration::from_secs(60) }, &clock);
    until(|| all.iter().all(|handle| !heard(handle).is_empty())).await;
    let closed = || all.iter().filter(|handle| handle.closed().is_some()).count();
    assert_eq!(closed(), 0);
    for (passed, many) in [(250, 1), (500, 2), (500, 3), (500, 4)] {
        clock.advance(passed);
        until(|| closed() >= many).await;
        assert_eq!(closed(), many);
    }
    gone.await.unwrap();
    assert!(all.iter().all(|handle| handle.closed() == Some(Close::GoingAway)));
    for handle in &all {
        let told = heard(handle);
        let after = told.strip_prefix(r#"5 Status {"status":"draining","details":{"reconnect_after_ms":"#);
        let after: u64 =
            after.and_then(|after| after.strip_suffix("}}")?.parse().ok()).unwrap_or_else(|| panic!("{told}"));
        assert!(after <= 2_000, "{after}");
    }
}

#[actix::test]
async fn each_is_told_in_the_words_of_its_surface_unless_it_is_far_behind() {
    let session_table = Rc::new(SessionTable::new(0, 1_000_000, Arc::default(), Clock::manual(0)));
    let raw = handle(&session_table, &RAW, false);
    let chat = handle(&session_table, &CHAT, false);
    let behind = handle(&session_table, &RAW, false);
    behind.send(Bytes::from_static(b"1"));
    behind.send(Bytes::from_static(b"2"));
    let busy = handle(&session_table, &RAW, false);
    let reply_slot = busy.reserve(1);
    let carrier = handle(&session_table, &BENEATH, true);
    let gone = drain(session_table, DrainRate { per_sec: 0, within: Duration::ZERO }, &Clock::manual(5));
    gone.await.unwrap();
    assert!(heard(&raw).starts_with(r#"5 Status {"status":"draining","details":{"#), "{}", heard(&raw));
    assert!(heard(&chat).starts_with(r#"5 system:draining {"reconnect_after_ms":"#), "{}", heard(&chat));
    assert!(heard(&chat).ends_with(r#","timestamp":"1970-01-01T00:00:00.005Z"}"#), "{}", heard(&chat));
    assert_eq!(heard(&behind), "12");
    assert!([&raw, &chat, &behind].iter().all(|handle| handle.closed() == Some(Close::GoingAway)));
    assert_eq!((heard(&carrier).as_str(), carrier.closed()), ("", None));
    assert!(heard(&busy).starts_with("5 Status "), "{}", heard(&busy));
    assert_eq!(busy.closed(), None, "it owes an answer");
    busy.fulfil(reply_slot, Some(Bytes::from_static(b"answer")));
    assert!(heard(&busy).ends_with("answer"), "{}", heard(&busy));
    assert_eq!(busy.closed(), Some(Close::GoingAway));
}
