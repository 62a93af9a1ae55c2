//! Session handles with an encoder that writes the data unchanged.

use std::sync::Arc;

use bytes::Bytes;

use super::outbox::OutboxCapacity;
use super::*;
use crate::model::close::Close;
use crate::model::ids::RoomName;
use crate::model::surface::Surface;
use crate::publication::{Correlation, Event, EventError, Format};
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;

#[derive(Debug)]
struct PlainEncoder;

impl Encoder for PlainEncoder {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn surface(&self) -> Option<Surface> {
        None
    }

    fn event(&self, event: &Event, _: u64) -> Bytes {
        event.data.clone()
    }

    fn answer(&self, _: &str, data: &[u8], _: &Correlation, _: i64) -> Bytes {
        Bytes::copy_from_slice(data)
    }

    fn acknowledgement(&self, _: Option<&[u8]>, correlation: &Bytes, _: i64) -> Bytes {
        correlation.clone()
    }

    fn refusal(&self, refusal: &EventError<'_>, _: i64) -> Option<Bytes> {
        Some(Bytes::from(refusal.fault.code.as_str()))
    }
}

pub(super) fn spec() -> SessionSpec {
    SessionSpec {
        session: SessionId::random(),
        encoder: &PlainEncoder,
        bound: OutboxCapacity { bytes: 100, frames: 100 },
        heartbeat: Some(Heartbeat { interval_ms: 30, timeout_ms: 60, ping_frame: b"?" }),
        multiplexed: false,
        expiry: Expiry::new(Some(1_000), 0, 0),
        elapsed: 0,
    }
}

pub(super) fn handle(session_table: &SessionTable) -> Rc<SessionHandle> {
    session_table.insert(spec())
}

pub(super) fn written(handle: &SessionHandle) -> String {
    handle.with_outbox(|outbox| {
        outbox.slices().map(|slice| String::from_utf8_lossy(slice).into_owned()).collect::<Vec<_>>().join("|")
    })
}

pub(super) fn session_table() -> SessionTable {
    SessionTable::new(0, 1_000_000, Arc::new(Stats::default()), Clock::manual(0))
}

#[test]
fn replies_leave_in_the_order_of_the_requests() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let (first, second) = (handle.reserve(1), handle.reserve(1));
    handle.send(Bytes::from("3"));
    handle.fulfil(second, Some(Bytes::from("2")));
    assert_eq!(written(&handle), "");
    handle.fulfil(first, Some(Bytes::from("1")));
    assert_eq!(written(&handle), "1|2|3");
}

#[test]
fn a_reply_without_a_frame_releases_the_next() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let (first, second) = (handle.reserve(1), handle.reserve(1));
    handle.fulfil(second, Some(Bytes::from("2")));
    handle.fulfil(first, None);
    assert_eq!((written(&handle).as_str(), handle.has_pending_replies()), ("2", false));
}

#[test]
fn a_session_without_a_heartbeat_ends_only_at_its_expiry() {
    let session_table = session_table();
    let handle = session_table.insert(SessionSpec { heartbeat: None, ..spec() });
    handle.check_liveness(999, 999);
    assert_eq!(handle.closed(), None);
    handle.check_liveness(1_000, 1_000);
    assert_eq!(handle.closed(), Some(Close::TokenExpired));
}

#[test]
fn messages_of_a_joined_room_wait_for_the_join_reply() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let (old, new) = (RoomName::parse("old", "room").unwrap(), RoomName::parse("new", "room").unwrap());
    let leave = handle.reserve(1);
    let join = handle.reserve(1);
    handle.defer([new.clone()], join);
    handle.deliver(&new, Rc::new(Bytes::from("new")));
    handle.deliver(&old, Rc::new(Bytes::from("old")));
    handle.fulfil(join, Some(Bytes::from("joined")));
    assert_eq!(written(&handle), "old");
    handle.fulfil(leave, Some(Bytes::from("left")));
    assert_eq!(written(&handle), "old|left|joined|new");
    handle.deliver(&new, Rc::new(Bytes::from("newer")));
    assert_eq!(written(&handle), "old|left|joined|new|newer");
}

#[test]
fn a_session_with_too_many_pending_replies_is_busy() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let large = handle.reserve(PENDING_REPLY_BYTES_MAX);
    assert!(handle.is_busy());
    handle.fulfil(large, Some(Bytes::from("x")));
    assert!(!handle.is_busy());
    for _ in 0..PENDING_REPLIES_MAX {
        handle.reserve(1);
    }
    assert!(handle.is_busy());
}

#[test]
fn an_unordered_reply_delays_only_the_close() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let slow = handle.reserve_unordered(1);
    let quick = handle.reserve(1);
    handle.send(Bytes::from("2"));
    handle.fulfil(quick, Some(Bytes::from("1")));
    assert_eq!((written(&handle).as_str(), handle.has_pending_replies(), handle.is_busy()), ("1|2", false, false));
    handle.close_after_replies(Close::GoingAway);
    assert_eq!(handle.closed(), None);
    handle.fulfil_unordered(slow, Some(Bytes::from("3")));
    assert_eq!((written(&handle).as_str(), handle.closed()), ("1|2|3", Some(Close::GoingAway)));
}

#[test]
fn unordered_replies_are_bounded_in_number_and_bytes() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let mut reply_slot: Vec<_> = (0..UNORDERED_REPLIES_MAX).map(|_| handle.reserve_unordered(1)).collect();
    assert!(!handle.may_reserve_unordered());
    assert!(!handle.is_busy(), "it takes other requests");
    handle.fulfil_unordered(reply_slot.pop().unwrap(), None);
    assert!(handle.may_reserve_unordered());
    let large = handle.reserve_unordered(PENDING_REPLY_BYTES_MAX);
    handle.fulfil_unordered(reply_slot.pop().unwrap(), None);
    assert!(!handle.may_reserve_unordered());
    handle.fulfil_unordered(large, None);
    assert!(handle.may_reserve_unordered());
}

#[test]
fn a_close_after_replies_follows_the_last_reply() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let reply_slot = handle.reserve(1);
    handle.close_after_replies(Close::GoingAway);
    assert_eq!(handle.closed(), None);
    handle.fulfil(reply_slot, Some(Bytes::from("ack")));
    assert_eq!(handle.closed(), Some(Close::GoingAway));
    assert_eq!(written(&handle), "ack");
}

#[test]
fn silence_and_expiry_end_a_session_with_the_first_reason() {
    let session_table = session_table();
    let silent = handle(&session_table);
    assert_eq!(silent.check_liveness(20, 20), 30);
    assert_eq!(silent.check_liveness(30, 30), 60);
    assert_eq!(written(&silent), "?");
    assert_eq!(silent.closed(), None);
    silent.check_liveness(60, 60);
    assert_eq!(silent.closed(), Some(Close::NoHeartbeat));
    silent.close(Close::DisconnectedByBackend);
    assert_eq!(silent.closed(), Some(Close::NoHeartbeat));

    let expired = handle(&session_table);
    let _ = expired.note_pong(999);
    assert_eq!(expired.check_liveness(999, 999), 1_000);
    assert_eq!(expired.closed(), None);
    expired.check_liveness(1_000, 1_000);
    assert_eq!(expired.closed(), Some(Close::TokenExpired));
    assert_eq!(written(&expired), "TOKEN_EXPIRED");
}

#[test]
fn a_released_slot_does_not_reach_the_next_session() {
    let session_table = session_table();
    let first = handle(&session_table).addr().slot;
    session_table.release(first);
    let second = handle(&session_table).addr().slot;
    assert!(session_table.get(first).is_none());
    assert!(session_table.get(second).is_some());
}

#[test]
fn messages_behind_a_join_reply_are_dropped_when_the_session_ends_first() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let room = RoomName::parse("room", "room").unwrap();
    let reply_slot = handle.reserve(1);
    handle.defer([room.clone()], reply_slot);
    handle.deliver(&room, Rc::new(Bytes::from_static(b"early")));
    handle.send(Bytes::from_static(b"notice"));
    handle.close(Close::NoHeartbeat);
    assert_eq!(written(&handle), "");
    handle.fulfil(reply_slot, Some(Bytes::from_static(b"answer")));
    assert_eq!(written(&handle), "");
}

#[test]
fn no_request_is_read_behind_a_large_reply_or_a_full_outbox() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let large = handle.reserve_large(1);
    let small = handle.reserve(1);
    assert!(!handle.takes_requests() && !handle.is_busy());
    handle.fulfil(large, Some(Bytes::from("a".repeat(40))));
    assert!(handle.takes_requests(), "40 of 100 bytes wait");
    handle.send(Bytes::from("b".repeat(20)));
    assert!(!handle.takes_requests(), "20 more bytes wait for the pending reply");
    handle.fulfil(small, None);
    assert!(!handle.takes_requests(), "60 wait to be written");
    handle.with_outbox(|outbox| outbox.advance(40));
    assert!(handle.takes_requests());

    // An outbox below half of its capacity takes one frame of any size.
    let large = handle.reserve_large(1);
    handle.fulfil(large, Some(Bytes::from("c".repeat(500))));
    assert_eq!((handle.closed(), handle.takes_requests()), (None, false));
}

#[test]
fn a_physical_connection_takes_requests_with_a_full_outbox() {
    let session_table = session_table();
    let physical = session_table.insert(SessionSpec { multiplexed: true, ..spec() });
    physical.send_ahead(Rc::new(Bytes::from("x".repeat(90))));
    assert!(physical.takes_requests() && !physical.is_under_half());
    physical.pause(true);
    assert!(!physical.takes_requests());
}
