//! How a fan-out closes the sessions of its worker.

use std::rc::Rc;
use std::sync::Arc;

use actix::Actor;
use bytes::Bytes;

use super::*;
use crate::connection::outbox::OutboxCapacity;
use crate::connection::tests::{sole, text, written};
use crate::connection::{ConnectionSpec, SessionTable};
use crate::publication::{Correlation, Event, EventError, Format, Offset};
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::{Mailbox, ReplyReceiver};
use crate::shutdown::schedule::DrainRate;

/// Encodes a reply as its time, name and data, for a surface.
#[derive(Debug)]
struct TextEncoder(Surface);

static RAW: TextEncoder = TextEncoder(Surface::Raw);
static CHAT: TextEncoder = TextEncoder(Surface::Chat);

impl Encoder for TextEncoder {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn surface(&self) -> Surface {
        self.0
    }

    fn event(&self, _: &Event, _: Offset) -> Payload {
        text("")
    }

    fn answer(&self, name: &str, data: &[u8], _: &Correlation, at: i64) -> Payload {
        text(&format!("{at} {name} {}", String::from_utf8_lossy(data)))
    }

    fn acknowledgement(&self, _: Option<&[u8]>, _: &Bytes, _: i64) -> Payload {
        text("")
    }

    fn refusal(&self, _: &EventError<'_>, _: i64) -> Option<Payload> {
        None
    }
}

fn handle(session_table: &SessionTable, encoder: &'static TextEncoder) -> Rc<SessionHandle> {
    let bound = OutboxCapacity { bytes: 1_000, entries: 4 };
    sole(session_table, encoder, ConnectionSpec { bound, heartbeat: None, elapsed: 0 })
}

/// Drains four sessions at this rate; resolves when the last one is closed.
fn drain(session_table: Rc<SessionTable>, rate: DrainRate, clock: &Clock) -> ReplyReceiver<()> {
    let schedule = DrainSchedule::of(4, rate);
    let fanout = Mailbox::new("fanout", Fanout::new(session_table).start(), 1);
    fanout.ask(|reply| Drain { schedule, workers: 1, clock: clock.clone(), reply }).unwrap()
}

async fn wait_until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(actix_rt::time::timeout(Duration::from_secs(10), holds).await.is_ok());
}

#[actix::test]
async fn sessions_get_the_notice_at_once_and_are_closed_on_schedule() {
    let session_table = Rc::new(SessionTable::new(0, Arc::default(), Clock::manual(0)));
    let clock = Clock::manual(5);
    let all: Vec<_> = (0..4).map(|_| handle(&session_table, &RAW)).collect();
    let drained = drain(session_table, DrainRate { per_sec: 2, within: Duration::from_secs(60) }, &clock);
    wait_until(|| all.iter().all(|handle| !written(handle).is_empty())).await;
    let closed = || all.iter().filter(|handle| handle.closed().is_some()).count();
    assert_eq!(closed(), 0);
    for (passed, many) in [(250, 1), (500, 2), (500, 3), (500, 4)] {
        clock.advance(passed);
        wait_until(|| closed() >= many).await;
        assert_eq!(closed(), many);
    }
    drained.await.unwrap();
    assert!(all.iter().all(|handle| handle.closed() == Some(Close::GoingAway)));
    for handle in &all {
        let output = written(handle);
        let after = output.strip_prefix(r#"5 Status {"status":"draining","details":{"reconnect_after_ms":"#);
        let after: u64 =
            after.and_then(|after| after.strip_suffix("}}")?.parse().ok()).unwrap_or_else(|| panic!("{output}"));
        assert!(after <= 2_000, "{after}");
    }
}

#[actix::test]
async fn the_notice_has_the_form_of_the_surface_and_is_left_out_for_a_full_outbox() {
    let session_table = Rc::new(SessionTable::new(0, Arc::default(), Clock::manual(0)));
    let raw = handle(&session_table, &RAW);
    let chat = handle(&session_table, &CHAT);
    let behind = handle(&session_table, &RAW);
    behind.send(text("1"));
    behind.send(text("2"));
    let busy = handle(&session_table, &RAW);
    let reply_slot = busy.reserve(1);
    let drained = drain(session_table, DrainRate { per_sec: 0, within: Duration::ZERO }, &Clock::manual(5));
    drained.await.unwrap();
    assert!(written(&raw).starts_with(r#"5 Status {"status":"draining","details":{"#), "{}", written(&raw));
    assert!(written(&chat).starts_with(r#"5 system:draining {"reconnect_after_ms":"#), "{}", written(&chat));
    assert!(written(&chat).ends_with(r#","timestamp":"1970-01-01T00:00:00.005Z"}"#), "{}", written(&chat));
    assert_eq!(written(&behind), "1|2");
    assert!([&raw, &chat, &behind].iter().all(|handle| handle.closed() == Some(Close::GoingAway)));
    assert!(written(&busy).starts_with("5 Status "), "{}", written(&busy));
    assert_eq!(busy.closed(), None, "it has a pending reply");
    busy.fulfil(reply_slot, Some(text("answer")));
    assert!(written(&busy).ends_with("answer"), "{}", written(&busy));
    assert_eq!(busy.closed(), Some(Close::GoingAway));
}
