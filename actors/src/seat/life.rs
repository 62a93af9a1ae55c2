//! Whether a session lives: its signs of life, the pings that ask for them, its token's expiry; and when a worker has to
//! look at which of its seats, so that one that is idle costs nothing between two pings.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;

use super::{Seat, SeatKey, Seats};
use crate::clock::Expiry;
use crate::close::Close;
use crate::delivery::Refusal;
use crate::fault::{Code, Fault};

/// How often a sign of life is asked for, and how long silence may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// Between two pings, ms.
    pub interval_ms: i64,
    /// Silence that ends the session, ms.
    pub timeout_ms: i64,
    /// The frame that asks for a sign of life.
    pub question: &'static [u8],
}

/// The longest time until one that can expire is judged again, ms: an expiry is by a clock that can be set.
const UNJUDGED_MAX: i64 = 30_000;

/// For how long nothing stirs before the memory of empty queues is given back, ms: who gets something every second keeps it.
const REST_MS: i64 = 1_000;

/// What is known of a session's life.
#[derive(Debug)]
pub(super) struct Life {
    heartbeat: Option<Heartbeat>,
    heard_at: Cell<i64>,
    pinged_at: Cell<i64>,
    /// When the first ping since the last sign of life was sent; before that, where none was.
    asked_at: Cell<i64>,
    /// Pings that were not answered yet.
    pings: Cell<u32>,
    expiry: Cell<Expiry>,
    rest: Cell<Rest>,
    /// The transport does not read what the client sends, its signs of life among it.
    unread: Cell<bool>,
    /// The client took something of what it had left waiting, since it was asked for a sign of life.
    taken: Cell<bool>,
}

/// Whether a seat holds memory that it does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Something was offered or a promise kept since it was last looked at.
    Stirred,
    /// Nothing was since then, and something was before.
    Quiet,
    /// It holds none.
    Asleep,
}

impl Life {
    pub(super) fn new(heartbeat: Option<Heartbeat>, elapsed: i64, expiry: Expiry) -> Self {
        Self {
            heartbeat,
            heard_at: Cell::new(elapsed),
            pinged_at: Cell::new(elapsed),
            asked_at: Cell::new(i64::MIN),
            pings: Cell::new(0),
            expiry: Cell::new(expiry),
            rest: Cell::new(Rest::Asleep),
            unread: Cell::new(false),
            taken: Cell::new(false),
        }
    }

    /// When silence ends the session. Not before it was asked for a sign of life, and where that was late, it has half of
    /// the time to give one at least.
    fn silence(&self, heartbeat: Heartbeat) -> i64 {
        let (heard, asked) = (self.heard_at.get(), self.asked_at.get());
        if asked < heard {
            return i64::MAX;
        }
        let to_answer = heartbeat.timeout_ms - heartbeat.interval_ms;
        (heard + heartbeat.timeout_ms).max(asked + (to_answer + 1) / 2)
    }

    /// When the next ping is due.
    fn ping(&self, heartbeat: Heartbeat) -> i64 {
        self.pinged_at.get() + heartbeat.interval_ms
    }

    fn pinged(&self, elapsed: i64) {
        self.pinged_at.set(elapsed);
        self.pings.set(self.pings.get().saturating_add(1));
        if self.asked_at.get() < self.heard_at.get() {
            self.asked_at.set(elapsed);
            self.taken.set(false);
        }
    }
}

impl Seat {
    /// Notes a sign of life at `elapsed`, ms by [`crate::clock::Clock::elapsed_ms`]. Of a carrier's client nothing counts
    /// but its answers to pings.
    pub fn heard(&self, elapsed: i64) {
        if !self.carrier {
            self.life.heard_at.set(elapsed);
        }
    }

    /// Notes the answer to a ping: the next is asked an interval from now (Engine.IO v4, "Heartbeat"). Whether none is
    /// under way: one that is may have been asked long before what was written last.
    pub fn answered(&self, elapsed: i64) -> bool {
        let life = &self.life;
        life.heard_at.set(elapsed);
        life.pinged_at.set(elapsed);
        life.pings.set(life.pings.get().saturating_sub(1));
        life.pings.get() == 0
    }

    /// Ends the connection because it sent more frames or bytes than one may.
    pub fn exceed_budget(&self) {
        if self.closed().is_none() {
            self.common.stats.closed_over_budget.add(1);
            self.close(Close::Limit);
        }
    }

    /// Notes whether the transport leaves unread what the client sends, signs of life among it, because it may ask nothing
    /// more for now. Its silence counts from the end of that on.
    pub fn leave_unread(&self, unread: bool, elapsed: impl FnOnce() -> i64) {
        if self.life.unread.replace(unread) && !unread {
            self.life.heard_at.set(elapsed());
        }
    }

    /// The client took some of what it had left waiting in a transport that was full.
    pub fn note_taken(&self) {
        self.life.taken.set(true);
    }

    /// The client was given all that waited for it. That is a sign of life only while those that it sends are unread.
    pub fn note_polled(&self) {
        if self.life.unread.get() {
            self.note_taken();
        }
    }

    /// Why a silence of too long ends the session; `None` where it does not. That its client took since it was asked what it
    /// had left waiting is a sign of life: the question may be behind that. One that is not read because it takes nothing is
    /// a slow consumer; that it is not read for any other reason is the hub's doing.
    fn end_of_silence(&self) -> Option<Close> {
        match (self.life.taken.replace(false), self.life.unread.get()) {
            (true, _) => None,
            (false, false) => Some(Close::NoHeartbeat),
            (false, true) => (!self.is_under_half()).then_some(Close::SlowConsumer),
        }
    }

    /// Sets when the session's token ends it.
    pub fn expire_at(&self, expiry: Expiry) {
        self.life.expiry.set(expiry);
        self.common.dues.now(self.place.seat);
    }

    /// When the session's token ends it.
    pub fn expiry(&self) -> Expiry {
        self.life.expiry.get()
    }

    /// Something was offered, or a promise kept: the memory for it can be given back once it is gone.
    pub(super) fn stir(&self) {
        if self.life.rest.replace(Rest::Stirred) == Rest::Asleep {
            self.common.dues.now(self.place.seat);
        }
    }

    /// Gives the memory of empty queues back, where nothing stirred since the last time.
    fn rest(&self) {
        let rest = match self.life.rest.get() {
            Rest::Stirred => Rest::Quiet,
            Rest::Quiet if self.desk.borrow_mut().rest() => Rest::Asleep,
            as_it_is => as_it_is,
        };
        self.life.rest.set(rest);
    }

    /// Judges the session at `now`, ms since the epoch, and `elapsed`, ms by [`crate::clock::Clock::elapsed_ms`]: expiry by
    /// whichever of the two ends it first, silence and ping by `elapsed`. Says when there will be something to judge again, by `elapsed`.
    pub fn judge(&self, now: i64, elapsed: i64) -> i64 {
        let life = &self.life;
        if self.closed().is_some() {
            return i64::MAX;
        }
        if life.expiry.get().is_over(now, elapsed) {
            let fault = Fault::new(Code::TokenExpired, "The token has expired");
            self.refuse(&Refusal::of(&fault, &None), now);
            self.close(Close::TokenExpired);
            return i64::MAX;
        }
        let left = life.expiry.get().left(now, elapsed);
        let expiry = left.map_or(i64::MAX, |left| elapsed + left.min(UNJUDGED_MAX));
        let Some(heartbeat) = life.heartbeat else { return expiry };
        if elapsed >= life.silence(heartbeat) {
            match self.end_of_silence() {
                None => life.heard_at.set(elapsed),
                Some(Close::SlowConsumer) => {
                    let offer = self.with_outbox(|outbox| outbox.overflow());
                    self.after(offer, 0);
                    return i64::MAX;
                }
                Some(close) => {
                    self.common.stats.heartbeat_timeouts.add(1);
                    self.close(close);
                    return i64::MAX;
                }
            }
        }
        if elapsed >= life.ping(heartbeat) {
            life.pinged(elapsed);
            self.interject(Rc::new(Bytes::from_static(heartbeat.question)));
        }
        life.silence(heartbeat).min(life.ping(heartbeat)).min(expiry)
    }
}

impl Seats {
    /// Judges those seats that are due, as [`Seat::judge`] does; and has those rest that can.
    pub fn beat(&self, now: i64, elapsed: i64) {
        let mut next = 0;
        while let Some(index) = self.common.dues.due(next, elapsed) {
            next = index + 1;
            let seat = self.slab.borrow().get(index).cloned();
            let due = seat.map_or(i64::MAX, |seat| {
                seat.rest();
                let due = seat.judge(now, elapsed);
                if seat.life.rest.get() == Rest::Asleep { due } else { due.min(elapsed + REST_MS) }
            });
            self.common.dues.set(index, due);
        }
    }
}

/// When each seat of a worker is to be looked at next, by its index: all that a sweep reads of those that are not due.
#[derive(Debug, Default)]
pub(super) struct Dues(RefCell<Vec<i64>>);

impl Dues {
    fn set(&self, index: usize, at: i64) {
        let mut dues = self.0.borrow_mut();
        if index >= dues.len() {
            dues.resize(index + 1, i64::MAX);
        }
        if let Some(due) = dues.get_mut(index) {
            *due = at;
        }
    }

    /// Has a seat looked at in the next sweep.
    pub(super) fn now(&self, seat: SeatKey) {
        self.set(seat.index as usize, i64::MIN);
    }

    /// The first seat from `next` on that is due.
    fn due(&self, next: usize, elapsed: i64) -> Option<usize> {
        let dues = self.0.borrow();
        Some(next + dues.get(next..)?.iter().position(|&due| due <= elapsed)?)
    }
}

#[cfg(test)]
mod tests {
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
}
