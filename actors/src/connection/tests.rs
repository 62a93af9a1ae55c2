//! Session handles with an encoder that writes the data unchanged.

mod numbered;

use std::sync::Arc;

use bytes::Bytes;

use super::outbox::{Content, OutboxCapacity};
use super::*;
use crate::model::close::Close;
use crate::model::ids::RoomName;
use crate::model::surface::Surface;
use crate::publication::{Correlation, Event, EventError, Format, MessageKind, Offset, Payload};
use crate::runtime::clock::Clock;
use crate::runtime::counters::Stats;

#[derive(Debug)]
pub(super) struct PlainEncoder;

impl Encoder for PlainEncoder {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn surface(&self) -> Surface {
        Surface::Raw
    }

    fn event(&self, event: &Event, _: Offset) -> Payload {
        Payload::text([&event.data[..]])
    }

    fn answer(&self, _: &str, data: &[u8], _: &Correlation, _: i64) -> Payload {
        Payload::text([data])
    }

    fn acknowledgement(&self, _: Option<&[u8]>, correlation: &Bytes, _: i64) -> Payload {
        Payload::text([&correlation[..]])
    }

    fn refusal(&self, refusal: &EventError<'_>, _: i64) -> Option<Payload> {
        Some(text(refusal.fault.code.as_str()))
    }
}

pub(crate) fn text(text: &str) -> Payload {
    Payload::text([text.as_bytes()])
}

/// A connection of 100 bytes, and its heartbeat.
pub(crate) fn connection_spec() -> ConnectionSpec {
    let ping = (MessageKind::Text, "?");
    let heartbeat = Heartbeat { interval_ms: 30, timeout_ms: 60, ping, proof: ProofOfLife::AnyFrame };
    let bound = OutboxCapacity { bytes: 100, entries: 100 };
    ConnectionSpec { bound, heartbeat: Some(Arc::new(heartbeat)), elapsed: 0 }
}

/// A session of `connection` that has not started.
pub(super) fn session(session_table: &SessionTable, connection: &Rc<Connection>) -> Rc<SessionHandle> {
    session_table.insert(SessionSpec {
        session: SessionId::random(),
        encoder: &PlainEncoder,
        connection: connection.clone(),
        expiry: Expiry::new(Some(1_000), 0, 0),
    })
}

/// Closes the connection with its only session.
struct SoleTransport(Rc<Connection>);

impl SessionTransport for SoleTransport {
    fn closed(self: Rc<Self>, close: Close) {
        self.0.close(close);
    }

    fn resume(self: Rc<Self>) {}
}

/// The only session of a connection, without an expiry.
pub(crate) fn sole(
    session_table: &SessionTable,
    encoder: &'static dyn Encoder,
    spec: ConnectionSpec,
) -> Rc<SessionHandle> {
    let connection = session_table.connect(spec);
    let (session, expiry) = (SessionId::random(), Expiry::NEVER);
    let handle = session_table.insert(SessionSpec { session, encoder, connection: connection.clone(), expiry });
    handle.attach(Rc::new(SoleTransport(connection)));
    handle
}

pub(super) fn handle(session_table: &SessionTable) -> Rc<SessionHandle> {
    let handle = sole(session_table, &PlainEncoder, connection_spec());
    handle.expire_at(Expiry::new(Some(1_000), 0, 0));
    handle
}

/// The messages to write.
pub(crate) fn waiting(connection: &Connection) -> String {
    connection.with_outbox(|outbox| {
        outbox.messages().map(|(_, text)| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>().join("|")
    })
}

pub(crate) fn written(handle: &SessionHandle) -> String {
    handle.connection().map(|connection| waiting(&connection)).unwrap_or_default()
}

/// Writes so many messages.
pub(crate) fn write(handle: &SessionHandle, messages: usize) {
    handle.connection().unwrap().with_outbox(|outbox| outbox.advance(messages, 0));
}

pub(super) fn session_table() -> SessionTable {
    SessionTable::new(0, Arc::new(Stats::default()), Clock::manual(0))
}

#[test]
fn replies_leave_in_the_order_of_the_requests() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let (first, second) = (handle.reserve(1), handle.reserve(1));
    handle.send(text("3"));
    handle.fulfil(second, Some(text("2")));
    assert_eq!(written(&handle), "");
    handle.fulfil(first, Some(text("1")));
    assert_eq!(written(&handle), "1|2|3");
}

#[test]
fn a_reply_without_a_payload_releases_the_next() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let (first, second) = (handle.reserve(1), handle.reserve(1));
    handle.fulfil(second, Some(text("2")));
    handle.fulfil(first, None);
    assert_eq!((written(&handle).as_str(), handle.has_pending_replies()), ("2", false));
}

#[test]
fn messages_of_a_joined_room_wait_for_the_join_reply() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let (old, new) = (RoomName::parse("old", "room").unwrap(), RoomName::parse("new", "room").unwrap());
    let leave = handle.reserve(1);
    let join = handle.reserve(1);
    handle.defer([new.clone()], join);
    handle.deliver(&new, Content::of(text("new")));
    handle.deliver(&old, Content::of(text("old")));
    handle.fulfil(join, Some(text("joined")));
    assert_eq!(written(&handle), "old");
    handle.fulfil(leave, Some(text("left")));
    assert_eq!(written(&handle), "old|left|joined|new");
    handle.deliver(&new, Content::of(text("newer")));
    assert_eq!(written(&handle), "old|left|joined|new|newer");
}

#[test]
fn a_session_with_too_many_pending_replies_is_busy() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let large = handle.reserve(PENDING_REPLY_BYTES_MAX);
    assert!(handle.is_busy());
    handle.fulfil(large, Some(text("x")));
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
    handle.send(text("2"));
    handle.fulfil(quick, Some(text("1")));
    assert_eq!((written(&handle).as_str(), handle.has_pending_replies(), handle.is_busy()), ("1|2", false, false));
    handle.close_after_replies(Close::GoingAway);
    assert_eq!(handle.closed(), None);
    handle.fulfil_unordered(slow, Some(text("3")));
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
    handle.fulfil(reply_slot, Some(text("ack")));
    assert_eq!(handle.closed(), Some(Close::GoingAway));
    assert_eq!(written(&handle), "ack");
}

#[test]
fn silence_ends_a_connection_and_an_expired_token_a_session() {
    let session_table = session_table();
    let silent = handle(&session_table);
    let connection = silent.connection().unwrap();
    assert_eq!((connection.check_heartbeat(20), connection.check_heartbeat(30)), (30, 60));
    assert_eq!((written(&silent).as_str(), silent.closed()), ("?", None));
    connection.check_heartbeat(60);
    assert_eq!((connection.closed(), silent.closed()), (Some(Close::NoHeartbeat), Some(Close::NoHeartbeat)));
    silent.close(Close::DisconnectedByBackend);
    assert_eq!(silent.closed(), Some(Close::NoHeartbeat));

    let expired = handle(&session_table);
    assert_eq!((expired.check_expiry(999, 999), expired.closed()), (1_000, None));
    expired.check_expiry(1_000, 1_000);
    assert_eq!((expired.closed(), written(&expired).as_str()), (Some(Close::TokenExpired), "TOKEN_EXPIRED"));
    assert_eq!(expired.connection().unwrap().closed(), Some(Close::TokenExpired));
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
    handle.deliver(&room, Content::of(text("early")));
    handle.send(text("notice"));
    handle.close(Close::NoHeartbeat);
    assert_eq!(written(&handle), "");
    handle.fulfil(reply_slot, Some(text("answer")));
    assert_eq!(written(&handle), "");
}

#[test]
fn no_request_is_read_behind_a_large_reply_or_a_full_outbox() {
    let session_table = session_table();
    let handle = handle(&session_table);
    let large = handle.reserve_large(1);
    let small = handle.reserve(1);
    assert!(!handle.takes_requests() && !handle.is_busy());
    handle.fulfil(large, Some(text(&"a".repeat(40))));
    assert!(handle.takes_requests(), "40 of 100 bytes wait");
    handle.send(text(&"b".repeat(20)));
    assert!(!handle.takes_requests(), "20 more bytes wait for the pending reply");
    handle.fulfil(small, None);
    assert!(!handle.takes_requests(), "60 wait to be written");
    write(&handle, 1);
    assert!(handle.takes_requests());

    // An outbox below half of its capacity takes one entry of any size.
    let large = handle.reserve_large(1);
    handle.fulfil(large, Some(text(&"c".repeat(500))));
    assert_eq!((handle.closed(), handle.takes_requests()), (None, false));
}
