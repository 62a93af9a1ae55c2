//! A seat, with a wire whose frames are what was said.

use super::*;
use crate::delivery::{Correlation, Event};

#[derive(Debug)]
struct Plain;

impl Wire for Plain {
    fn slot(&self) -> usize {
        0
    }

    fn speaks(&self) -> Option<Surface> {
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

    fn refusal(&self, refusal: &Refusal<'_>, _: i64) -> Option<Bytes> {
        Some(Bytes::from(refusal.fault.code.as_str()))
    }
}

pub(super) fn seating() -> Seating {
    Seating {
        session: SessionId::random(),
        wire: &Plain,
        bound: Bound { bytes: 100, frames: 100 },
        heartbeat: Some(Heartbeat { interval_ms: 30, timeout_ms: 60, question: b"?" }),
        carrier: false,
        expiry: Expiry::new(Some(1_000), 0, 0),
        elapsed: 0,
    }
}

pub(super) fn seat(seats: &Seats) -> Rc<Seat> {
    seats.seat(seating())
}

pub(super) fn written(seat: &Seat) -> String {
    seat.with_outbox(|outbox| {
        outbox.slices().map(|slice| String::from_utf8_lossy(slice).into_owned()).collect::<Vec<_>>().join("|")
    })
}

pub(super) fn seats() -> Seats {
    Seats::new(0, 1_000_000, Arc::new(Stats::default()), Clock::manual(0))
}

#[test]
fn answers_leave_in_the_order_of_the_requests() {
    let seats = seats();
    let seat = seat(&seats);
    let (first, second) = (seat.owe(1), seat.owe(1));
    seat.answer(Bytes::from("3"));
    seat.settle(second, Some(Bytes::from("2")));
    assert_eq!(written(&seat), "");
    seat.settle(first, Some(Bytes::from("1")));
    assert_eq!(written(&seat), "1|2|3");
}

#[test]
fn a_promise_is_kept_by_silence_too() {
    let seats = seats();
    let seat = seat(&seats);
    let (first, second) = (seat.owe(1), seat.owe(1));
    seat.settle(second, Some(Bytes::from("2")));
    seat.settle(first, None);
    assert_eq!((written(&seat).as_str(), seat.owes()), ("2", false));
}

#[test]
fn a_session_without_a_heartbeat_may_be_silent_but_not_expired() {
    let seats = seats();
    let seat = seats.seat(Seating { heartbeat: None, ..seating() });
    seat.judge(999, 999);
    assert_eq!(seat.closed(), None);
    seat.judge(1_000, 1_000);
    assert_eq!(seat.closed(), Some(Close::TokenExpired));
}

#[test]
fn messages_of_a_room_wait_for_the_answer_to_its_join_and_those_of_others_do_not() {
    let seats = seats();
    let seat = seat(&seats);
    let (old, new) = (RoomName::parse("old", "room").unwrap(), RoomName::parse("new", "room").unwrap());
    let leave = seat.owe(1);
    let join = seat.owe(1);
    seat.hold([new.clone()], join);
    seat.deliver(&new, Rc::new(Bytes::from("new")));
    seat.deliver(&old, Rc::new(Bytes::from("old")));
    seat.settle(join, Some(Bytes::from("joined")));
    assert_eq!(written(&seat), "old");
    seat.settle(leave, Some(Bytes::from("left")));
    assert_eq!(written(&seat), "old|left|joined|new");
    seat.deliver(&new, Rc::new(Bytes::from("newer")));
    assert_eq!(written(&seat), "old|left|joined|new|newer");
}

#[test]
fn a_session_that_owes_too_much_is_asked_nothing_more() {
    let seats = seats();
    let seat = seat(&seats);
    let large = seat.owe(OWED_BYTES_MAX);
    assert!(seat.is_busy());
    seat.settle(large, Some(Bytes::from("x")));
    assert!(!seat.is_busy());
    for _ in 0..OWED_MAX {
        seat.owe(1);
    }
    assert!(seat.is_busy());
}

#[test]
fn an_answer_owed_aside_holds_nothing_back_but_the_close() {
    let seats = seats();
    let seat = seat(&seats);
    let slow = seat.owe_aside(1);
    let quick = seat.owe(1);
    seat.answer(Bytes::from("2"));
    seat.settle(quick, Some(Bytes::from("1")));
    assert_eq!((written(&seat).as_str(), seat.owes(), seat.is_busy()), ("1|2", false, false));
    seat.close_when_settled(Close::GoingAway);
    assert_eq!(seat.closed(), None);
    seat.settle_aside(slow, Some(Bytes::from("3")));
    assert_eq!((written(&seat).as_str(), seat.closed()), ("1|2|3", Some(Close::GoingAway)));
}

#[test]
fn only_so_many_answers_and_bytes_are_owed_aside() {
    let seats = seats();
    let seat = seat(&seats);
    let mut owed: Vec<_> = (0..ASIDE_MAX).map(|_| seat.owe_aside(1)).collect();
    assert!(!seat.may_owe_aside());
    assert!(!seat.is_busy(), "it can be asked other things");
    seat.settle_aside(owed.pop().unwrap(), None);
    assert!(seat.may_owe_aside());
    let large = seat.owe_aside(OWED_BYTES_MAX);
    seat.settle_aside(owed.pop().unwrap(), None);
    assert!(!seat.may_owe_aside());
    seat.settle_aside(large, None);
    assert!(seat.may_owe_aside());
}

#[test]
fn a_close_that_waits_for_the_answers_comes_after_them() {
    let seats = seats();
    let seat = seat(&seats);
    let owed = seat.owe(1);
    seat.close_when_settled(Close::GoingAway);
    assert_eq!(seat.closed(), None);
    seat.settle(owed, Some(Bytes::from("ack")));
    assert_eq!(seat.closed(), Some(Close::GoingAway));
    assert_eq!(written(&seat), "ack");
}

#[test]
fn silence_and_expiry_end_a_session_and_the_first_reason_stands() {
    let seats = seats();
    let silent = seat(&seats);
    assert_eq!(silent.judge(20, 20), 30);
    assert_eq!(silent.judge(30, 30), 60);
    assert_eq!(written(&silent), "?");
    assert_eq!(silent.closed(), None);
    silent.judge(60, 60);
    assert_eq!(silent.closed(), Some(Close::NoHeartbeat));
    silent.close(Close::Kicked);
    assert_eq!(silent.closed(), Some(Close::NoHeartbeat));

    let expired = seat(&seats);
    let _ = expired.answered(999);
    assert_eq!(expired.judge(999, 999), 1_000);
    assert_eq!(expired.closed(), None);
    expired.judge(1_000, 1_000);
    assert_eq!(expired.closed(), Some(Close::TokenExpired));
    assert_eq!(written(&expired), "TOKEN_EXPIRED");
}

#[test]
fn a_freed_seat_is_not_mistaken_for_the_next_one() {
    let seats = seats();
    let first = seat(&seats).place().seat;
    seats.vacate(first);
    let second = seat(&seats).place().seat;
    assert!(seats.get(first).is_none());
    assert!(seats.get(second).is_some());
}

#[test]
fn what_waits_for_the_answer_to_a_join_is_not_written_when_the_session_ends_without_it() {
    let seats = seats();
    let seat = seat(&seats);
    let room = RoomName::parse("room", "room").unwrap();
    let owed = seat.owe(1);
    seat.hold([room.clone()], owed);
    seat.deliver(&room, Rc::new(Bytes::from_static(b"early")));
    seat.answer(Bytes::from_static(b"notice"));
    seat.close(Close::NoHeartbeat);
    assert_eq!(written(&seat), "");
    seat.settle(owed, Some(Bytes::from_static(b"answer")));
    assert_eq!(written(&seat), "");
}

#[test]
fn behind_a_large_answer_and_a_full_outbox_no_request_is_taken() {
    let seats = seats();
    let seat = seat(&seats);
    let large = seat.owe_large(1);
    let small = seat.owe(1);
    assert!(!seat.takes_requests() && !seat.is_busy());
    seat.settle(large, Some(Bytes::from("a".repeat(40))));
    assert!(seat.takes_requests(), "40 of 100 bytes wait");
    seat.answer(Bytes::from("b".repeat(20)));
    assert!(!seat.takes_requests(), "20 more wait for the answer that was promised before");
    seat.settle(small, None);
    assert!(!seat.takes_requests(), "60 wait to be written");
    seat.with_outbox(|outbox| outbox.advance(40));
    assert!(seat.takes_requests());

    // One that is less than half full takes the answer, however large.
    let large = seat.owe_large(1);
    seat.settle(large, Some(Bytes::from("c".repeat(500))));
    assert_eq!((seat.closed(), seat.takes_requests()), (None, false));
}

#[test]
fn a_carrier_takes_what_its_sessions_are_to_look_at() {
    let seats = seats();
    let carrier = seats.seat(Seating { carrier: true, ..seating() });
    carrier.interject(Rc::new(Bytes::from("x".repeat(90))));
    assert!(carrier.takes_requests() && !carrier.is_under_half());
    carrier.pause(true);
    assert!(!carrier.takes_requests());
}
