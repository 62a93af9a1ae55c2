//! When a seat is looked at, and what ends its session.

use super::super::tests::{seat, seating, seats, written};
use super::*;
use crate::seat::Seating;

/// What is due at each of `moments`, one after the other.
fn due(seats: &Seats, moments: &[i64]) -> Vec<bool> {
    let beat = |&moment| {
        let due = seats.common.dues.due(0, moment).is_some();
        seats.beat(moment, moment);
        due
    };
    moments.iter().map(beat).collect()
}

#[test]
fn a_seat_is_looked_at_when_it_is_due() {
    let seats = seats();
    let seat = seat(&seats);
    // At first, and when its ping is due; that it answered only now does not show before.
    assert_eq!(due(&seats, &[1, 2, 29, 30]), [true, false, false, true]);
    seat.with_outbox(|outbox| outbox.advance(1));
    let _ = seat.answered(31);
    assert_eq!(due(&seats, &[31, 59, 60]), [false, false, true]);
    assert_eq!((due(&seats, &[61]), written(&seat).as_str()), (vec![true], "?"));
}

#[test]
fn the_memory_of_queues_is_kept_while_something_stirs_every_second() {
    let seats = seats();
    let seat = seats.seat(Seating { heartbeat: None, expiry: Expiry::NEVER, ..seating() });
    assert_eq!(due(&seats, &[0, 1]), [true, false]);
    seat.answer(Bytes::from("abc"));
    assert_eq!(due(&seats, &[1, 2, REST_MS, REST_MS + 1]), [true, false, false, true]);
    // Not written yet: it is looked at as often.
    assert_eq!(due(&seats, &[2 * REST_MS, 2 * REST_MS + 1]), [false, true]);
    seat.with_outbox(|outbox| outbox.advance(3));
    assert_eq!(due(&seats, &[3 * REST_MS + 1, i64::MAX - 1]), [true, false]);
}

#[test]
fn a_promise_is_waited_for_without_a_look_and_its_memory_goes_once_it_is_kept() {
    let seats = seats();
    let seat = seats.seat(Seating { heartbeat: None, expiry: Expiry::NEVER, ..seating() });
    let owed = seat.owe(1);
    assert_eq!(due(&seats, &[0, 10 * REST_MS]), [true, false]);
    assert!(seat.desk.borrow().promises.capacity() > 0);
    seat.settle(owed, None);
    assert_eq!(due(&seats, &[11 * REST_MS, 12 * REST_MS, 13 * REST_MS]), [true, true, false]);
    assert_eq!(seat.desk.borrow().promises.capacity(), 0);
}

#[test]
fn an_expiry_that_is_brought_forward_is_met() {
    let seats = seats();
    let seat = seat(&seats);
    assert_eq!(due(&seats, &[1, 2]), [true, false]);
    seat.expire_at(Expiry::new(Some(3), 2, 2));
    assert_eq!(due(&seats, &[2, 3]), [true, true]);
    assert_eq!(seat.closed(), Some(Close::TokenExpired));
    // Until the refusal is written.
    seat.with_outbox(|outbox| outbox.advance(usize::MAX));
    assert_eq!(due(&seats, &[3 + REST_MS, 3 + 2 * REST_MS, i64::MAX - 1]), [true, true, false]);
}

#[test]
fn nobody_is_ended_for_silence_who_was_not_asked_for_a_sign_of_life() {
    let seats = seats();
    let hasty = Heartbeat { interval_ms: 30, timeout_ms: 40, question: b"?" };
    let seat = seats.seat(Seating { heartbeat: Some(hasty), ..seating() });
    // Looked at too late for both: it is asked, and has half of the time to answer.
    assert_eq!((seat.judge(50, 50), seat.closed(), written(&seat).as_str()), (55, None, "?"));
    let _ = seat.answered(50);
    // A ping that is a little late puts nothing off.
    assert_eq!((seat.judge(82, 82), seat.closed()), (90, None));
    assert_eq!((seat.judge(89, 89), seat.closed()), (90, None));
    assert_eq!((seat.judge(90, 90), seat.closed()), (i64::MAX, Some(Close::NoHeartbeat)));
}

#[test]
fn a_slow_reader_that_is_not_read_lives_while_it_reads_and_is_a_slow_consumer_when_it_does_not() {
    let seats = seats();
    let slow = || {
        let seat = seat(&seats);
        for _ in 0..4 {
            seat.answer(Bytes::from("x".repeat(15)));
        }
        assert!(!seat.takes_requests(), "more than half of 100 bytes waits");
        seat.leave_unread(true, || 0);
        let _ = seat.judge(30, 30);
        seat
    };
    let (reads, does_not, is_free) = (slow(), slow(), slow());
    reads.note_taken();
    is_free.with_outbox(|outbox| outbox.advance(45));
    for seat in [&reads, &does_not, &is_free] {
        let _ = seat.judge(90, 90);
    }
    let closed = [&reads, &does_not, &is_free].map(|seat| seat.closed());
    assert_eq!(closed, [None, Some(Close::SlowConsumer), None]);
    assert_eq!(seats.common.stats.slow_consumers.get(), 1);
    // It took nothing since.
    let _ = (reads.judge(120, 120), reads.judge(200, 200));
    assert_eq!(reads.closed(), Some(Close::SlowConsumer));

    // What it took before it was asked says nothing of now; nor that it polls, while its pongs are read.
    let early = slow();
    early.leave_unread(false, || 31);
    early.note_taken();
    let _ = early.judge(60, 60);
    early.note_polled();
    let _ = early.judge(120, 120);
    assert_eq!(early.closed(), Some(Close::NoHeartbeat));
    let polls = slow();
    polls.note_polled();
    let _ = polls.judge(90, 90);
    assert_eq!(polls.closed(), None);

    // Once it is read again, it has the whole time to give a sign.
    let again = slow();
    again.with_outbox(|outbox| outbox.advance(60));
    again.leave_unread(false, || 89);
    let _ = (again.judge(90, 90), again.judge(120, 120));
    assert_eq!(again.closed(), None);
    let _ = (again.judge(149, 149), again.judge(150, 150));
    assert_eq!(again.closed(), Some(Close::NoHeartbeat));
}

#[test]
fn a_clock_that_is_set_forward_ends_who_expires_by_it() {
    let seats = seats();
    let seat = seats.seat(Seating { heartbeat: None, expiry: Expiry::new(Some(1_000_000), 0, 0), ..seating() });
    seats.beat(0, 0);
    seats.beat(2_000_000, UNJUDGED_MAX);
    assert_eq!(seat.closed(), Some(Close::TokenExpired));
}

#[test]
fn a_clock_that_is_set_back_by_an_hour_keeps_nobody_beyond_the_expiry() {
    const HOUR: i64 = 3_600_000;
    let seats = seats();
    let expiry = Expiry::new(Some(HOUR + 60_000), HOUR, 0);
    let seat = seats.seat(Seating { heartbeat: None, expiry, ..seating() });
    // Looked at every 30 s, and at the end by the time that passed.
    assert_eq!((seat.judge(0, 1), seat.closed()), (1 + UNJUDGED_MAX, None));
    assert_eq!((seat.judge(59_999, 59_999), seat.closed()), (60_000, None));
    assert_eq!((seat.judge(60_000, 60_000), seat.closed()), (i64::MAX, Some(Close::TokenExpired)));
}

#[test]
fn who_sits_where_another_sat_is_looked_at() {
    let seats = seats();
    let first = seat(&seats).place().seat;
    assert_eq!(due(&seats, &[1]), [true]);
    seats.vacate(first);
    seat(&seats);
    assert_eq!(due(&seats, &[2, 3]), [true, false]);
}
