//! When a seat is looked at, and what ends its session.

use super::super::tests::{handle, session_table, spec, written};
use super::*;
use crate::connection::SessionSpec;

/// What is due at each of `moments`, one after the other.
fn due(session_table: &SessionTable, moments: &[i64]) -> Vec<bool> {
    let beat = |&moment| {
        let due = session_table.common.due_times.due(0, moment).is_some();
        session_table.sweep(moment, moment);
        due
    };
    moments.iter().map(beat).collect()
}

#[test]
fn a_session_is_checked_when_it_is_due() {
    let session_table = session_table();
    let handle = handle(&session_table);
    // At first, and when its ping is due; that it answered only now does not show before.
    assert_eq!(due(&session_table, &[1, 2, 29, 30]), [true, false, false, true]);
    handle.with_outbox(|outbox| outbox.advance(1));
    let _ = handle.note_pong(31);
    assert_eq!(due(&session_table, &[31, 59, 60]), [false, false, true]);
    assert_eq!((due(&session_table, &[61]), written(&handle).as_str()), (vec![true], "?"));
}

#[test]
fn the_memory_of_queues_is_kept_while_something_stirs_every_second() {
    let session_table = session_table();
    let handle = session_table.insert(SessionSpec { heartbeat: None, expiry: Expiry::NEVER, ..spec() });
    assert_eq!(due(&session_table, &[0, 1]), [true, false]);
    handle.send(Bytes::from("abc"));
    assert_eq!(due(&session_table, &[1, 2, IDLE_MS, IDLE_MS + 1]), [true, false, false, true]);
    // Not written yet: it is looked at as often.
    assert_eq!(due(&session_table, &[2 * IDLE_MS, 2 * IDLE_MS + 1]), [false, true]);
    handle.with_outbox(|outbox| outbox.advance(3));
    assert_eq!(due(&session_table, &[3 * IDLE_MS + 1, i64::MAX - 1]), [true, false]);
}

#[test]
fn a_promise_is_waited_for_without_a_look_and_its_memory_goes_once_it_is_kept() {
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
fn an_expiry_that_is_brought_forward_is_met() {
    let session_table = session_table();
    let handle = handle(&session_table);
    assert_eq!(due(&session_table, &[1, 2]), [true, false]);
    handle.expire_at(Expiry::new(Some(3), 2, 2));
    assert_eq!(due(&session_table, &[2, 3]), [true, true]);
    assert_eq!(handle.closed(), Some(Close::TokenExpired));
    // Until the refusal is written.
    handle.with_outbox(|outbox| outbox.advance(usize::MAX));
    assert_eq!(due(&session_table, &[3 + IDLE_MS, 3 + 2 * IDLE_MS, i64::MAX - 1]), [true, true, false]);
}

#[test]
fn silence_without_a_ping_ends_no_session() {
    let session_table = session_table();
    let hasty = Heartbeat { interval_ms: 30, timeout_ms: 40, ping_frame: b"?" };
    let handle = session_table.insert(SessionSpec { heartbeat: Some(hasty), ..spec() });
    // Looked at too late for both: it is asked, and has half of the time to answer.
    assert_eq!((handle.check_liveness(50, 50), handle.closed(), written(&handle).as_str()), (55, None, "?"));
    let _ = handle.note_pong(50);
    // A ping that is a little late puts nothing off.
    assert_eq!((handle.check_liveness(82, 82), handle.closed()), (90, None));
    assert_eq!((handle.check_liveness(89, 89), handle.closed()), (90, None));
    assert_eq!((handle.check_liveness(90, 90), handle.closed()), (i64::MAX, Some(Close::NoHeartbeat)));
}

#[test]
fn a_slow_reader_that_is_not_read_lives_while_it_reads_and_is_a_slow_consumer_when_it_does_not() {
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
    let (reads, does_not, is_free) = (slow(), slow(), slow());
    reads.note_output_taken();
    is_free.with_outbox(|outbox| outbox.advance(45));
    for handle in [&reads, &does_not, &is_free] {
        let _ = handle.check_liveness(90, 90);
    }
    let closed = [&reads, &does_not, &is_free].map(|handle| handle.closed());
    assert_eq!(closed, [None, Some(Close::SlowConsumer), None]);
    assert_eq!(session_table.common.stats.slow_consumers.get(), 1);
    // It took nothing since.
    let _ = (reads.check_liveness(120, 120), reads.check_liveness(200, 200));
    assert_eq!(reads.closed(), Some(Close::SlowConsumer));

    // What it took before it was asked says nothing of now; nor that it polls, while its pongs are read.
    let early = slow();
    early.set_reads_paused(false, || 31);
    early.note_output_taken();
    let _ = early.check_liveness(60, 60);
    early.note_polled();
    let _ = early.check_liveness(120, 120);
    assert_eq!(early.closed(), Some(Close::NoHeartbeat));
    let polls = slow();
    polls.note_polled();
    let _ = polls.check_liveness(90, 90);
    assert_eq!(polls.closed(), None);

    // Once it is read again, it has the whole time to give a sign.
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
fn a_clock_that_is_set_back_by_an_hour_keeps_nobody_beyond_the_expiry() {
    const HOUR: i64 = 3_600_000;
    let session_table = session_table();
    let expiry = Expiry::new(Some(HOUR + 60_000), HOUR, 0);
    let handle = session_table.insert(SessionSpec { heartbeat: None, expiry, ..spec() });
    // Looked at every 30 s, and at the end by the time that passed.
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
