//! The checks of sessions and connections, and their times.

use std::rc::Rc;

use super::super::idle::IDLE_MS;
use super::super::tests::{PlainEncoder, connection_spec, handle, session_table, sole, text, write, written};
use super::*;
use crate::connection::ConnectionSpec;

/// Sweeps at each of `times`. Returns whether a session or a connection was due.
fn due(session_table: &SessionTable, times: &[i64]) -> Vec<bool> {
    let common = &session_table.common;
    let sweep = |&time| {
        let due = [&common.session_checks, &common.connection_checks].map(|due| due.due(0, time).is_some());
        session_table.sweep(time, time);
        due.contains(&true)
    };
    times.iter().map(sweep).collect()
}

/// A session without an expiry, on a connection without a heartbeat.
fn lasting(session_table: &SessionTable) -> Rc<SessionHandle> {
    sole(session_table, &PlainEncoder, ConnectionSpec { heartbeat: None, ..connection_spec() })
}

#[test]
fn a_connection_is_checked_when_it_is_due() {
    let session_table = session_table();
    let handle = handle(&session_table);
    // The first check is due at once, the second with the ping.
    assert_eq!(due(&session_table, &[1, 2, 29, 30]), [true, false, false, true]);
    write(&handle, 1);
    handle.connection().unwrap().note_pong(31);
    assert_eq!(due(&session_table, &[31, 59, 60]), [false, false, true]);
    assert_eq!((due(&session_table, &[61]), written(&handle).as_str()), (vec![true], "?"));
}

#[test]
fn queues_keep_their_memory_while_they_are_used_every_second() {
    let session_table = session_table();
    let handle = lasting(&session_table);
    assert_eq!(due(&session_table, &[0, 1]), [true, false]);
    handle.send(text("abc"));
    assert_eq!(due(&session_table, &[1, 2, IDLE_MS, IDLE_MS + 1]), [true, false, false, true]);
    // The entry is not written yet, so the checks continue.
    assert_eq!(due(&session_table, &[2 * IDLE_MS, 2 * IDLE_MS + 1]), [false, true]);
    write(&handle, 1);
    assert_eq!(due(&session_table, &[3 * IDLE_MS + 1, i64::MAX - 1]), [true, false]);
}

#[test]
fn a_ping_keeps_no_memory() {
    let session_table = session_table();
    let connection = session_table.connect(connection_spec());
    let sweep = |time| session_table.sweep(time, time);
    let heartbeat = connection_spec().heartbeat.unwrap();
    sweep(0);
    sweep(heartbeat.interval_ms);
    connection.with_outbox(|outbox| outbox.advance(1, 0));
    connection.note_pong(heartbeat.interval_ms + 1_000_000);
    sweep(heartbeat.interval_ms + IDLE_MS);
    sweep(heartbeat.interval_ms + 2 * IDLE_MS);
    assert_eq!(connection.queue_memory.check(|| false), None, "it is released");
}

#[test]
fn a_pending_reply_needs_no_check_and_releases_its_memory_once_it_is_fulfilled() {
    let session_table = session_table();
    let handle = lasting(&session_table);
    let reply_slot = handle.reserve(1);
    assert_eq!(due(&session_table, &[0, 10 * IDLE_MS]), [true, false]);
    assert!(handle.output.borrow().replies.capacity() > 0);
    handle.fulfil(reply_slot, None);
    assert_eq!(due(&session_table, &[11 * IDLE_MS, 12 * IDLE_MS, 13 * IDLE_MS]), [true, true, false]);
    assert_eq!(handle.output.borrow().replies.capacity(), 0);
}

#[test]
fn an_earlier_expiry_is_checked_in_time() {
    let session_table = session_table();
    let handle = handle(&session_table);
    assert_eq!(due(&session_table, &[1, 2]), [true, false]);
    handle.expire_at(Expiry::new(Some(3), 2, 2));
    assert_eq!(due(&session_table, &[2, 3]), [true, true]);
    assert_eq!(handle.closed(), Some(Close::TokenExpired));
    // The checks of the connection continue until the refusal is written.
    assert_eq!(due(&session_table, &[3 + IDLE_MS, 3 + 2 * IDLE_MS]), [true, true]);
    write(&handle, 1);
    assert_eq!(due(&session_table, &[3 + 3 * IDLE_MS, i64::MAX - 1]), [true, false]);
}

#[test]
fn a_clock_set_forward_expires_sessions() {
    let session_table = session_table();
    let handle = lasting(&session_table);
    handle.expire_at(Expiry::new(Some(1_000_000), 0, 0));
    session_table.sweep(0, 0);
    session_table.sweep(2_000_000, EXPIRY_CHECK_MAX);
    assert_eq!(handle.closed(), Some(Close::TokenExpired));
}

#[test]
fn a_clock_set_back_by_an_hour_does_not_extend_a_session() {
    const HOUR: i64 = 3_600_000;
    let session_table = session_table();
    let handle = lasting(&session_table);
    handle.expire_at(Expiry::new(Some(HOUR + 60_000), HOUR, 0));
    // The expiry is checked every 30 s, and at the end by the elapsed time.
    assert_eq!((handle.check_expiry(0, 1), handle.closed()), (1 + EXPIRY_CHECK_MAX, None));
    assert_eq!((handle.check_expiry(59_999, 59_999), handle.closed()), (60_000, None));
    assert_eq!((handle.check_expiry(60_000, 60_000), handle.closed()), (i64::MAX, Some(Close::TokenExpired)));
}

#[test]
fn a_session_in_a_reused_slot_is_checked() {
    let session_table = session_table();
    let first = handle(&session_table).addr().slot;
    assert_eq!(due(&session_table, &[1]), [true]);
    session_table.release(first);
    handle(&session_table);
    assert_eq!(due(&session_table, &[2, 3]), [true, false]);
}
