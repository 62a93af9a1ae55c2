//! What a seat keeps for a session that may come back. One with a token for its chats: their messages, from when it is cut
//! off, and before that those that are not written yet. One whose client says what it got: all that was sent to it last.

use std::collections::VecDeque;
use std::rc::Rc;

use super::{Link, Seat, SeatKey, Seats};
use crate::close::Close;
use crate::copies::Copies;
use crate::delivery::Delivery;
use crate::handed::{Handed, TakenBack};
use crate::ids::RoomName;
use crate::kept::Kept;
use crate::outbox::Bound;
use crate::retained::{Brought, Ledger, Retained};
use crate::tail::Tail;

/// What is kept.
#[derive(Debug)]
pub(super) enum Memory {
    /// What is to keep the deliveries of one event once the session is cut off, and what notes until then those that were
    /// handed to its connection.
    Provided(&'static str, Kept, Handed),
    /// It was cut off: what came since, of that event.
    Kept(&'static str, Kept),
    /// What was sent to it last; or, where it was cut off, would have been.
    Tail(Tail, bool),
}

/// What a seat kept for a session that comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Remains {
    /// The messages of its chats since it was cut off, and how many there were more.
    Messages(Vec<Brought>, u64),
    /// What was sent to it last, the last before that, and whether its client is known to have what it was told first.
    Tail {
        /// In their order.
        deliveries: Vec<Brought>,
        /// The last delivery that is not kept.
        left: Option<u64>,
        /// See [`Tail::is_confirmed`].
        is_confirmed: bool,
    },
}

impl Memory {
    fn len(&self) -> usize {
        match self {
            Self::Kept(_, kept) => kept.len(),
            Self::Tail(tail, true) => tail.len(),
            Self::Provided(..) | Self::Tail(..) => 0,
        }
    }

    fn give_up(&mut self) {
        match self {
            Self::Provided(_, _, handed) => handed.give_up(),
            Self::Kept(_, kept) => kept.give_up(),
            Self::Tail(tail, _) => tail.give_up(),
        }
    }
}

impl Seat {
    /// Sets what is to keep the deliveries of the event `only` that come once the session is cut off, for it may come back
    /// for them; and what is to note those that are handed to its connection until then.
    pub fn provide(&self, only: &'static str, kept: Kept, handed: Handed) {
        // What is kept already goes on; there is no second time.
        self.memory.borrow_mut().get_or_insert_with(|| Box::new(Memory::Provided(only, kept, handed)));
    }

    /// Has all that is sent to it from here on kept in `tail`.
    pub fn remember(&self, tail: Tail) {
        *self.memory.borrow_mut() = Some(Box::new(Memory::Tail(tail, false)));
    }

    /// Its client gets those `brought` now: they come before all that came since it began.
    pub fn catch_up(&self, brought: Vec<Brought>, ledger: &Rc<Ledger>) {
        if let Some(Memory::Tail(tail, is_cut)) = self.memory.borrow_mut().as_deref_mut() {
            let before = tail.len();
            tail.resume(brought.into_iter().map(|delivery| ledger.keep(delivery)));
            if *is_cut {
                self.stats.parked_messages.add(tail.len() as u64);
                self.stats.parked_messages.sub(before as u64);
            }
        }
    }

    /// Its client answered a ping.
    pub fn confirm(&self) {
        if let Some(Memory::Tail(tail, false)) = self.memory.borrow_mut().as_deref_mut() {
            tail.confirm();
        }
    }

    /// Keeps deliveries from here on instead of sending them, where that was provided for and unless it was closed for good.
    /// The session need not know yet that it ends: what comes until it does must not get lost.
    pub(super) fn keep(&self) {
        let closed = self.closed();
        let mut memory = self.memory.borrow_mut();
        let (only, mut kept, handed) = match memory.take().map(|memory| *memory) {
            None => return,
            Some(Memory::Tail(mut tail, was_cut)) => {
                tail.release_all();
                let is_cut = was_cut || closed.is_none_or(|close| close.may_be_caught_up());
                if is_cut && !was_cut {
                    self.stats.parked_messages.add(tail.len() as u64);
                }
                *memory = Some(Box::new(Memory::Tail(tail, is_cut)));
                return;
            }
            Some(Memory::Provided(only, kept, handed)) if closed.is_none_or(Close::may_be_recovered) => {
                (only, kept, handed)
            }
            other @ Some(Memory::Provided(..) | Memory::Kept(..)) => {
                *memory = other.map(Box::new);
                return;
            }
        };
        drop(memory);
        // What nobody will read is not written; the rest goes first.
        if closed.is_none_or(Close::leaves_no_reader) {
            let link = self.link.borrow().clone();
            let TakenBack { deliveries, dropped } = handed.take_back(|wants| {
                self.with_outbox(|outbox| outbox.recall(wants));
                if let Some(link) = link {
                    Link::recall(&*link, wants);
                }
            });
            kept.miss(dropped);
            deliveries.into_iter().for_each(|delivery| kept.add(delivery));
            self.stats.parked_messages.add(kept.len() as u64);
        }
        *self.memory.borrow_mut() = Some(Box::new(Memory::Kept(only, kept)));
    }

    /// The session will not come back: what was kept for it is given up.
    pub fn forgo(&self) {
        drop(self.take_memory());
    }

    fn take_memory(&self) -> Option<Box<Memory>> {
        let memory = self.memory.borrow_mut().take();
        self.stats.parked_messages.sub(memory.as_ref().map_or(0, |memory| memory.len() as u64));
        memory
    }

    /// Takes what was kept.
    pub fn remains(&self) -> Option<Remains> {
        let brought = |kept: VecDeque<Rc<Retained>>| kept.iter().map(|retained| Brought::of(retained)).collect();
        match *self.take_memory()? {
            Memory::Provided(..) => None,
            Memory::Kept(_, kept) => {
                let (deliveries, dropped) = kept.into_parts();
                Some(Remains::Messages(brought(deliveries), dropped))
            }
            Memory::Tail(tail, _) => {
                let is_confirmed = tail.is_confirmed();
                let (left, deliveries) = tail.into_parts();
                Some(Remains::Tail { deliveries: brought(deliveries), left, is_confirmed })
            }
        }
    }

    /// Keeps what the seat of a session kept before the start, and what comes for it: of `only`, or of everything, up to
    /// `bound`.
    pub(crate) fn restore(&self, remains: Remains, only: &'static str, bound: Bound, ledger: &Rc<Ledger>) {
        let memory = match remains {
            Remains::Messages(deliveries, dropped) => {
                let mut kept = Kept::new(bound);
                kept.miss(dropped);
                deliveries.into_iter().for_each(|delivery| kept.add(ledger.keep(delivery)));
                Memory::Kept(only, kept)
            }
            Remains::Tail { deliveries, left, is_confirmed } => {
                let mut tail = Tail::of(left, is_confirmed, bound.frames);
                tail.resume(deliveries.into_iter().map(|delivery| ledger.keep(delivery)));
                Memory::Tail(tail, true)
            }
        };
        self.stats.parked_messages.add(memory.len() as u64);
        *self.memory.borrow_mut() = Some(Box::new(memory));
    }

    /// Whether deliveries are kept instead of sent.
    pub fn is_kept(&self) -> bool {
        matches!(self.memory.borrow().as_deref(), Some(Memory::Kept(..) | Memory::Tail(_, true)))
    }

    /// Whether all that was sent to it last is kept.
    pub fn has_tail(&self) -> bool {
        matches!(self.memory.borrow().as_deref(), Some(Memory::Tail(..)))
    }

    /// What it keeps, cut off, is given up for want of room; whether there was anything.
    pub(super) fn give_up(&self) -> bool {
        let mut memory = self.memory.borrow_mut();
        let Some(memory) = memory.as_deref_mut().filter(|memory| memory.len() > 0) else { return false };
        self.stats.parked_messages.sub(memory.len() as u64);
        memory.give_up();
        if let Memory::Tail(tail, true) = memory {
            // Something is lacking for good.
            tail.keep_nothing();
        }
        true
    }

    /// Offers a delivery of `room`, unless it is kept for when the session comes back. Where there is no room to keep what
    /// was sent, that is given up.
    pub fn hand_over(&self, room: &RoomName, delivery: &Delivery, copies: &mut Copies<'_>) {
        if let Some(memory) = self.memory.borrow_mut().as_deref_mut() {
            let before = memory.len();
            let is_over = copies.is_over();
            if is_over {
                memory.give_up();
            }
            let is_kept = match memory {
                Memory::Provided(only, _, handed) => {
                    if delivery.name().as_str() == *only
                        && let Some(frame) = copies.frame(self.wire)
                    {
                        handed.add(&frame, copies.data());
                    }
                    false
                }
                Memory::Kept(only, kept) => {
                    if delivery.name().as_str() == *only {
                        kept.add(copies.data());
                    }
                    true
                }
                Memory::Tail(tail, is_cut) => {
                    let behind = self.behind(room);
                    if is_over && behind.is_none() {
                        tail.pass(delivery.number());
                    } else if let Some(framed) = copies.framed(self.wire) {
                        tail.add(framed, behind);
                    }
                    *is_cut
                }
            };
            if is_kept {
                self.stats.parked_messages.add(memory.len() as u64);
                self.stats.parked_messages.sub(before as u64);
                return;
            }
        }
        if let Some(frame) = copies.frame(self.wire) {
            self.deliver(room, frame);
        }
        if let Some(id) = delivery.notification() {
            self.noted().add(id);
        }
    }

    /// What waited for the answer of this number is written.
    pub(super) fn released(&self, answer: u64) {
        if let Some(Memory::Tail(tail, _)) = self.memory.borrow_mut().as_deref_mut() {
            tail.release(answer);
        }
    }
}

impl Seats {
    /// Notes that a seat keeps what comes.
    pub(crate) fn note_parked(&self, seat: SeatKey) {
        let mut parked = self.parked.borrow_mut();
        while parked.front().is_some_and(|&first| self.get(first).is_none()) {
            parked.pop_front();
        }
        parked.push_back(seat);
    }

    /// While more is kept than may be, those give up theirs who were cut off first.
    pub(crate) fn relieve(&self) {
        if !self.ledger.is_over() {
            return;
        }
        let mut parked = self.parked.borrow_mut();
        let mut place = 0;
        while self.ledger.is_over()
            && let Some(&oldest) = parked.get(place)
        {
            match self.get(oldest).filter(|seat| seat.is_kept()) {
                // It stays in its place: what has nothing to give up now may have something later.
                Some(seat) => {
                    if seat.give_up() {
                        self.stats.parked_evicted.add(1);
                    }
                    place += 1;
                }
                None => drop(parked.remove(place)),
            }
        }
    }
}
