//! The checks of sessions: their times, and the reasons to close.

use super::super::tests::{handle, session_table, spec, written};
use super::*;
use crate::connection::SessionSpec;

/// Sweeps at each of `times`. Returns whether a session was due.
fn due(session_table: &SessionTable, times: &[i64]) -> Vec<bool> {
    let sweep = |&time| {
        let due = session_table.common.due_times.due(0, time).is_some();
        session_table.sweep(time, time);
        due
    };
    times.iter().map(sweep).collect()
}

#[test]
fn a_session_is_checked_when_it_is_due() {
    let session_table = session_table();
    let handle = handle(&session_table);
    // The first check is due at once, the second with the ping.
    assert_eq!(due(&session_table, &[1, 2, 29, 30]), [true, false, false, true]);
    handle.with_outbox(|outbox| outbox.advance(1));
    let _ = handle.note_pong(31);
    assert_eq!(due(&session_table, &[31, 59, 60]), [false, false, true]);
    assert_eq!((due(&session_table, &[61]), written(&handle).as_str()), (vec![true], "?"));
}

#[test]
fn queues_keep_their_memory_while_they_are_used_every_second() {
    let session_table = session_table();
    let handle = session_table.insert(SessionSpec { heartbeat: None, expiry: Expiry::NEVER, ..spec() });
    assert_eq!(due(&session_table, &[0, 1]), [true, false]);
    handle.send(Bytes::from("abc"));
    assert_eq!(due(&session_table, &[1, 2, IDLE_MS, IDLE_MS + 1]), [true, false, false, true]);
    // The frame is not written yet, so the checks continue.
    assert_eq!(due(&session_table, &[2 * IDLE_MS, 2 * IDLE_MS + 1]), [false, true]);
    handle.with_outbox(|outbox| outbox.advance(3));
    assert_eq!(due(&session_table, &[3 * IDLE_MS + 1, i64::MAX - 1]), [true, false]);
}

#[test]
fn a_pending_reply_needs_no_check_and_releases_its_memory_once_it_is_fulfilled() {
    let session_table = session_table();
    let handle = session_table.insert(SessionSpec { heartbeat: None, expiry: Expiry::NEVER, ..spec() });
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
    // The checks continue until the refusal is written.
    handle.with_outbox(|outbox| outbox.advance(usize::MAX));
    assert_eq!(due(&session_table, &[3 + IDLE_MS, 3 + 2 * IDLE_MS, i64::MAX - 1]), [true, true, false]);
}

#[test]
fn silence_without_a_ping_ends_no_session() {
    let session_table = session_table();
    let hasty = Heartbeat { interval_ms: 30, timeout_ms: 40, ping_frame: b"?" };
    let handle = session_table.insert(SessionSpec { heartbeat: Some(hasty), ..spec() });
    // The check is too late for both: the ping is sent, and the client has half of the time to answer.
    assert_eq!((handle.check_liveness(50, 50), handle.closed(), written(&handle).as_str()), (55, None, "?"));
    let _ = handle.note_pong(50);
    // A ping that is slightly late extends no deadline.
    assert_eq!((handle.check_liveness(82, 82), handle.closed()), (90, None));
    assert_eq!((handle.check_liveness(89, 89), handle.closed()), (90, None));
    assert_eq!((handle.check_liveness(90, 90), handle.closed()), (i64::MAX, Some(Close::NoHeartbeat)));
}

#[test]
fn a_paused_session_with_a_full_outbox_stays_open_only_while_its_client_reads() {
    let session_table = session_table();
    let slow = || {
        let handle = handle(&session_table);
        for _ in 0..4 {
            handle.send(Bytes::from("x".repeat(15)));
        }
        assert!(!handle.takes_requests(), "more than half of 100 bytes waits");
        handle.set_reads_paused(true, || 0);
        let _ = handle.check_liveness(30, 30);
        handle
    };
    let (reading, stuck, free) = (slow(), slow(), slow());
    reading.note_output_read();
    free.with_outbox(|outbox| outbox.advance(45));
    for handle in [&reading, &stuck, &free] {
        let _ = handle.check_liveness(90, 90);
    }
    let closed = [&reading, &stuck, &free].map(|handle| handle.closed());
    assert_eq!(closed, [None, Some(Close::SlowConsumer), None]);
    assert_eq!(session_table.common.stats.slow_consumers.get(), 1);
    // The client read nothing since.
    let _ = (reading.check_liveness(120, 120), reading.check_liveness(200, 200));
    assert_eq!(reading.closed(), Some(Close::SlowConsumer));

    // Output that was read before the ping does not count. Polling does not count while pongs are read.
    let early = slow();
    early.set_reads_paused(false, || 31);
    early.note_output_read();
    let _ = early.check_liveness(60, 60);
    early.note_polled();
    let _ = early.check_liveness(120, 120);
    assert_eq!(early.closed(), Some(Close::NoHeartbeat));
    let polling = slow();
    polling.note_polled();
    let _ = polling.check_liveness(90, 90);
    assert_eq!(polling.closed(), None);

    // After the pause, the client has the whole timeout.
    let again = slow();
    again.with_outbox(|outbox| outbox.advance(60));
    again.set_reads_paused(false, || 89);
    let _ = (again.check_liveness(90, 90), again.check_liveness(120, 120));
    assert_eq!(again.closed(), None);
    let _ = (again.check_liveness(149, 149), again.check_liveness(150, 150));
    assert_eq!(again.closed(), Some(Close::NoHeartbeat));
}

#[test]
fn a_clock_set_forward_expires_sessions() {
    let session_table = session_table();
    let handle =
        session_table.insert(SessionSpec { heartbeat: None, expiry: Expiry::new(Some(1_000_000), 0, 0), ..spec() });
    session_table.sweep(0, 0);
    session_table.sweep(2_000_000, EXPIRY_CHECK_MAX);
    assert_eq!(handle.closed(), Some(Close::TokenExpired));
}

#[test]
fn a_clock_set_back_by_an_hour_does_not_extend_a_session() {
    const HOUR: i64 = 3_600_000;
    let session_table = session_table();
    let expiry = Expiry::new(Some(HOUR + 60_000), HOUR, 0);
    let handle = session_table.insert(SessionSpec { heartbeat: None, expiry, ..spec() });
    // The expiry is checked every 30 s, and at the end by the elapsed time.
    assert_eq!((handle.check_liveness(0, 1), handle.closed()), (1 + EXPIRY_CHECK_MAX, None));
    assert_eq!((handle.check_liveness(59_999, 59_999), handle.closed()), (60_000, None));
    assert_eq!((handle.check_liveness(60_000, 60_000), handle.closed()), (i64::MAX, Some(Close::TokenExpired)));
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
