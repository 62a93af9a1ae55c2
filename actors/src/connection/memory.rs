//! The recovery buffers of a session. A session with a token buffers the messages of its chats from its suspension on,
//! and the unwritten ones before. A session with a private id buffers all that was sent last.

use std::collections::VecDeque;
use std::rc::Rc;

use super::{OutboxSink, SessionHandle, SessionTable, SlotId};
use crate::connection::encoded::EncodedPublication;
use crate::connection::handed::{Handed, TakenBack};
use crate::connection::kept::Kept;
use crate::connection::outbox::OutboxCapacity;
use crate::connection::retained::{Brought, Ledger, Retained};
use crate::connection::tail::Tail;
use crate::model::close::Close;
use crate::model::ids::RoomName;
use crate::publication::{Encoder, Publication};

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
    /// Deliveries that are kept instead of sent.
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

    fn frees(&self) -> bool {
        match self {
            Self::Provided(..) => false,
            Self::Kept(_, kept) => kept.frees(),
            Self::Tail(tail, _) => tail.frees(),
        }
    }

    /// What it would cost to keep a delivery, bytes; nothing where it is not to be kept, or is already.
    fn weight(&self, delivery: &Publication, wire: &dyn Encoder, copies: &mut EncodedPublication<'_>) -> usize {
        match self {
            Self::Provided(only, ..) | Self::Kept(only, _) if delivery.name().as_str() == *only => {
                copies.retained_data_cost()
            }
            Self::Provided(..) | Self::Kept(..) => 0,
            Self::Tail(..) => copies.retained_frame_cost(wire),
        }
    }

    /// Takes note of a delivery that waits for the answer `behind`, if it does; whether it is kept instead of sent.
    fn note(
        &mut self,
        delivery: &Publication,
        behind: Option<u64>,
        wire: &dyn Encoder,
        copies: &mut EncodedPublication<'_>,
    ) -> bool {
        let weight = self.weight(delivery, wire, copies);
        if !copies.has_room(weight) {
            self.give_up();
        }
        // Where that freed too little, nothing more is kept.
        let is_over = !copies.has_room(weight);
        match self {
            Self::Provided(only, _, handed) => {
                if delivery.name().as_str() == *only {
                    let frame = copies.frame(wire);
                    handed.add(&frame, (!is_over).then(|| copies.retained_data()));
                }
                false
            }
            Self::Kept(only, kept) => {
                if delivery.name().as_str() == *only {
                    match is_over {
                        true => kept.miss(1),
                        false => kept.add(copies.retained_data()),
                    }
                }
                true
            }
            Self::Tail(tail, is_cut) => {
                // What waits for an answer is written later than what comes now: it cannot be passed over yet.
                let framed = copies.retained_frame(wire);
                match !is_over || behind.is_some() {
                    true => tail.add(framed, behind),
                    false => tail.pass_over(delivery.number()),
                }
                *is_cut
            }
        }
    }
}

impl SessionHandle {
    /// Changes what is kept, where something is; what is counted as kept instead of sent changes with it.
    fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> Option<T> {
        let mut memory = self.memory.borrow_mut();
        let memory = memory.as_deref_mut()?;
        let before = memory.len() as u64;
        let changed = change(memory);
        let after = memory.len() as u64;
        if after != before {
            self.common.stats.buffered_messages.add(after.saturating_sub(before));
            self.common.stats.buffered_messages.sub(before.saturating_sub(after));
        }
        Some(changed)
    }

    /// Puts something else in the place of what is kept.
    fn replace(&self, memory: Option<Memory>) -> Option<Memory> {
        let len = |memory: Option<&Memory>| memory.map_or(0, Memory::len) as u64;
        self.common.stats.buffered_messages.add(len(memory.as_ref()));
        let before = std::mem::replace(&mut *self.memory.borrow_mut(), memory.map(Box::new)).map(|memory| *memory);
        self.common.stats.buffered_messages.sub(len(before.as_ref()));
        before
    }

    /// Sets what is to keep the deliveries of the event `only` that come once the session is cut off, for it may come back
    /// for them; and what is to note those that are handed to its connection until then.
    pub fn provide(&self, only: &'static str, kept: Kept, handed: Handed) {
        // What is kept already goes on; there is no second time.
        self.memory.borrow_mut().get_or_insert_with(|| Box::new(Memory::Provided(only, kept, handed)));
    }

    /// Has all that is sent to it from here on kept in `tail`.
    pub fn remember(&self, tail: Tail) {
        self.replace(Some(Memory::Tail(tail, false)));
    }

    /// Its client gets those `brought` now: they come before all that came since it began.
    pub fn catch_up(&self, brought: Vec<Brought>, ledger: &Rc<Ledger>) {
        for id in brought.iter().filter_map(|delivery| delivery.about.as_ref()) {
            self.noted().add(id);
        }
        self.change(|memory| {
            if let Memory::Tail(tail, _) = memory {
                tail.resume(brought.into_iter().map(|delivery| ledger.keep(delivery)));
            }
        });
    }

    /// Its client answered a ping.
    pub fn confirm(&self) {
        self.change(|memory| {
            if let Memory::Tail(tail, false) = memory {
                tail.confirm();
            }
        });
    }

    /// Keeps deliveries from here on instead of sending them, where that was provided for and unless it was closed for good.
    /// The session need not know yet that it ends: what comes until it does must not get lost.
    pub(super) fn keep(&self) {
        let closed = self.closed();
        self.change(|memory| {
            if let Memory::Tail(tail, is_cut) = memory {
                tail.release_all();
                *is_cut |= closed.is_none_or(Close::may_be_caught_up);
            }
        });
        let is_provided = matches!(self.memory.borrow().as_deref(), Some(Memory::Provided(..)));
        if !is_provided || !closed.is_none_or(Close::may_be_recovered) {
            return;
        }
        let Some(Memory::Provided(only, mut kept, handed)) = self.replace(None) else { return };
        // What nobody will read is not written, nor what waits for an answer; the rest goes first.
        let nobody_reads = closed.is_none_or(Close::leaves_no_reader);
        let link = self.sink.borrow().clone();
        let TakenBack { deliveries, dropped } = handed.take_back(|wants| {
            if !nobody_reads {
                return self.with_outbox(|outbox| outbox.recall_held(wants));
            }
            self.with_outbox(|outbox| outbox.recall(wants));
            if let Some(link) = link {
                OutboxSink::recall(&*link, wants);
            }
        });
        kept.miss(dropped);
        deliveries.into_iter().for_each(|delivery| kept.add(delivery));
        self.replace(Some(Memory::Kept(only, kept)));
    }

    /// The session will not come back: what was kept for it is given up.
    pub fn forgo(&self) {
        drop(self.replace(None));
    }

    /// Takes what was kept.
    pub fn remains(&self) -> Option<Remains> {
        let brought = |kept: VecDeque<Rc<Retained>>| kept.iter().map(|retained| Brought::of(retained)).collect();
        match self.replace(None)? {
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
    pub(crate) fn restore(&self, remains: Remains, only: &'static str, bound: OutboxCapacity, ledger: &Rc<Ledger>) {
        let memory = match remains {
            Remains::Messages(deliveries, dropped) => {
                let mut kept = Kept::new(bound);
                kept.miss(dropped);
                deliveries.into_iter().for_each(|delivery| kept.add(ledger.keep(delivery)));
                Memory::Kept(only, kept)
            }
            Remains::Tail { deliveries, left, is_confirmed } => {
                let mut tail = Tail::of(left, is_confirmed, bound);
                tail.resume(deliveries.into_iter().map(|delivery| ledger.keep(delivery)));
                Memory::Tail(tail, true)
            }
        };
        self.replace(Some(memory));
    }

    /// Whether deliveries are kept instead of sent.
    pub fn is_kept(&self) -> bool {
        matches!(self.memory.borrow().as_deref(), Some(Memory::Kept(..) | Memory::Tail(_, true)))
    }

    /// Whether all that was sent to it last is kept.
    pub fn has_tail(&self) -> bool {
        matches!(self.memory.borrow().as_deref(), Some(Memory::Tail(..)))
    }

    /// Offers a delivery of `room`, unless it is kept for when the session comes back; says whether it was taken. `relieve`
    /// makes room for so many bytes where there is none to keep it; where that does not help, what was kept is given up.
    /// With `accepted_us`, the frame is marked for measurement.
    pub fn hand_over(
        &self,
        room: &RoomName,
        delivery: &Publication,
        copies: &mut EncodedPublication<'_>,
        accepted_us: Option<u64>,
        relieve: impl FnOnce(usize),
    ) -> bool {
        let weight = self.memory.borrow().as_deref().map_or(0, |memory| memory.weight(delivery, self.encoder, copies));
        if !copies.has_room(weight) {
            relieve(weight);
        }
        let behind = self.behind(room);
        let is_kept = self.change(|memory| memory.note(delivery, behind, self.encoder, copies));
        if is_kept == Some(true) {
            return false;
        }
        if let Some(id) = delivery.notification() {
            self.noted().add(id);
        }
        self.deliver_after(behind, copies.frame(self.encoder), accepted_us)
    }

    /// What waited for the answer of this number is written.
    pub(super) fn released(&self, answer: u64) {
        self.change(|memory| {
            if let Memory::Tail(tail, _) = memory {
                tail.release(answer);
            }
        });
    }
}

/// Buffered publications that one relief inspects, at most.
const LOOKED_AT_MAX: usize = 16_384;

impl SessionTable {
    /// Adds a suspended session to the eviction order.
    pub(crate) fn note_suspended(&self, handle: SlotId) {
        let mut suspended = self.suspended.borrow_mut();
        while suspended.front().is_some_and(|&first| self.get(first).is_none()) {
            suspended.pop_front();
        }
        suspended.push_back(handle);
    }

    /// Evicts the buffers of the longest-suspended sessions until `weight` bytes fit. Buffers that other sessions share
    /// completely are skipped, because evicting them frees nothing.
    pub(crate) fn relieve(&self, weight: usize) {
        let (mut suspended, mut place, mut looked_at) = (self.suspended.borrow_mut(), 0, 0);
        while !self.ledger.has_room(weight)
            && looked_at < LOOKED_AT_MAX
            && let Some(&oldest) = suspended.get(place)
        {
            let Some(handle) = self.get(oldest).filter(|handle| handle.is_kept()) else {
                suspended.remove(place);
                continue;
            };
            place += 1;
            looked_at += handle.change(|memory| self.relieve_by(memory)).unwrap_or(0);
        }
    }

    /// Evicts `memory` if that frees something. Returns the number of inspected publications.
    fn relieve_by(&self, memory: &mut Memory) -> usize {
        let cost = memory.len();
        if memory.frees() {
            memory.give_up();
            self.common.stats.suspended_evicted.add(1);
            if let Memory::Tail(tail, _) = memory {
                // Something is lacking for good: nothing more is kept.
                tail.keep_nothing();
            }
        }
        cost
    }
}
