//! The recovery buffers of a session. A session with a token buffers the messages of its chats after its suspension,
//! and the messages that were not written before it. A session with a private id buffers its last sent publications.
//!
//! | buffer | exists | holds | ends |
//! |---|---|---|---|
//! | [`Memory::Provided`] | a token is issued, and the connection lives | an empty [`Kept`]; the entries of the outbox have copies of `message:new` | at the cut, as `Memory::Kept`; or the session cannot be recovered |
//! | [`Kept`] | in `Memory::Provided` (empty) and `Memory::Kept` | the unwritten `message:new`, and the later ones of the session's chats | its slot is released, or a bound evicts its contents |
//! | [`Tail`] | the session has a private id, before the cut (sent) and after it (`is_cut`: only buffered) | the last publications of all rooms | its slot is released, or a bound evicts its contents |
//! | [`Noted`](super::noted::Noted) | the session waits for its unread notifications | ids of notifications that changed meanwhile | the unread ones are sent |
//! | [`Retained`] | an entry of an outbox, `Kept` or `Tail` refers to it | one publication: its data, or its payload in one format; shared by all buffers of the worker | its last reference is dropped |
//! | [`Ledger`] | as long as the worker | the bytes of all `Retained` of the worker, and their bound | with the worker |
//!
//! [`Remains`] is the contents of `Kept` or `Tail` on the way to another session or to the store.

use std::collections::VecDeque;
use std::rc::Rc;

use super::{SessionHandle, SessionTable, SlotId};
use crate::connection::encoded::EncodedPublication;
use crate::connection::kept::Kept;
use crate::connection::outbox::{Entry, OutboxCapacity, Recoverable, TakeBack};
use crate::connection::retained::{Brought, Ledger, Retained};
use crate::connection::tail::Tail;
use crate::model::close::Close;
use crate::model::ids::RoomName;
use crate::publication::{Encoder, Publication};

/// The buffers of a session.
#[derive(Debug)]
pub(super) enum Memory {
    /// For one event: the queue to use once the connection is cut. Until then the entries of the outbox have copies of
    /// the unwritten publications.
    Provided(&'static str, Kept),
    /// The connection was cut: the publications of that event since then, after the unwritten ones.
    Kept(&'static str, Kept),
    /// The publications that were sent last.
    Tail {
        /// The publications.
        tail: Tail,
        /// Whether later publications are only buffered, not sent: the connection was cut.
        is_cut: bool,
    },
}

/// What happens to a publication of a session.
#[derive(Debug)]
enum Disposition {
    /// It is sent, and may be taken back until it is written.
    Sent(Option<Recoverable>),
    /// It is only buffered.
    Buffered,
}

/// The contents of the buffers of a suspended session.
#[derive(Debug, PartialEq, Eq)]
pub enum Remains {
    /// The messages of its chats since the suspension, and the number of dropped ones.
    Messages(Vec<Brought>, u64),
    /// The publications that were sent last.
    Tail {
        /// The publications, in order.
        deliveries: Vec<Brought>,
        /// The last publication that is no longer buffered.
        left: Option<u64>,
        /// See [`Tail::is_confirmed`].
        is_confirmed: bool,
    },
}

impl Memory {
    /// The number of publications that are buffered instead of sent.
    fn len(&self) -> usize {
        match self {
            Self::Kept(_, kept) => kept.len(),
            Self::Tail { tail, is_cut: true } => tail.len(),
            Self::Provided(..) | Self::Tail { .. } => 0,
        }
    }

    fn give_up(&mut self) {
        match self {
            Self::Provided(..) => {}
            Self::Kept(_, kept) => kept.give_up(),
            Self::Tail { tail, .. } => tail.give_up(),
        }
    }

    fn frees(&self) -> bool {
        match self {
            Self::Provided(..) => false,
            Self::Kept(_, kept) => kept.frees(),
            Self::Tail { tail, .. } => tail.frees(),
        }
    }

    /// The bytes that buffering a publication costs; 0 when it is not buffered here, or is buffered already.
    fn weight(&self, delivery: &Publication, wire: &dyn Encoder, copies: &mut EncodedPublication<'_>) -> usize {
        match self {
            Self::Provided(only, _) | Self::Kept(only, _) if delivery.name().as_str() == *only => {
                copies.retained_data_cost()
            }
            Self::Provided(..) | Self::Kept(..) => 0,
            Self::Tail { .. } => copies.retained_payload_cost(wire),
        }
    }

    /// Buffers a publication. With `behind`, it is sent after that reply.
    fn note(
        &mut self,
        delivery: &Publication,
        behind: Option<u64>,
        wire: &dyn Encoder,
        copies: &mut EncodedPublication<'_>,
    ) -> Disposition {
        // If there is no room, nothing is buffered.
        let weight = self.weight(delivery, wire, copies);
        let is_over = !copies.has_room(weight);
        match self {
            Self::Provided(only, _) => {
                let is_recoverable = delivery.name().as_str() == *only;
                let copy = (is_recoverable && !is_over).then(|| copies.retained_data());
                Disposition::Sent(is_recoverable.then_some(Recoverable { copy }))
            }
            Self::Kept(only, kept) => {
                if delivery.name().as_str() == *only {
                    match is_over {
                        true => kept.miss(1),
                        false => kept.add(copies.retained_data()),
                    }
                }
                Disposition::Buffered
            }
            Self::Tail { tail, is_cut } => {
                // A publication that waits for a reply is written after later publications, so it must stay buffered.
                let payload = copies.retained_payload(wire);
                match !is_over || behind.is_some() {
                    true => tail.add(payload, behind),
                    false => tail.pass_over(delivery.number()),
                }
                if *is_cut { Disposition::Buffered } else { Disposition::Sent(None) }
            }
        }
    }
}

impl SessionHandle {
    /// Changes the buffers, and updates the counter of buffered messages.
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

    /// Replaces the buffers.
    fn replace(&self, memory: Option<Memory>) -> Option<Memory> {
        let len = |memory: Option<&Memory>| memory.map_or(0, Memory::len) as u64;
        self.common.stats.buffered_messages.add(len(memory.as_ref()));
        let before = std::mem::replace(&mut *self.memory.borrow_mut(), memory.map(Box::new)).map(|memory| *memory);
        self.common.stats.buffered_messages.sub(len(before.as_ref()));
        before
    }

    /// Sets the buffer for publications of the event `only`, for the time after the suspension. From here on the entries
    /// of the outbox have copies of them.
    pub fn provide(&self, only: &'static str, kept: Kept) {
        // Existing buffers stay.
        self.memory.borrow_mut().get_or_insert_with(|| Box::new(Memory::Provided(only, kept)));
    }

    /// Buffers all later publications in `tail`.
    pub fn remember(&self, tail: Tail) {
        self.replace(Some(Memory::Tail { tail, is_cut: false }));
    }

    /// Records that the client now receives the restored publications `brought`, before all later ones.
    pub fn catch_up(&self, brought: Vec<Brought>, ledger: &Rc<Ledger>) {
        for id in brought.iter().filter_map(|delivery| delivery.about.as_ref()) {
            self.noted().add(id);
        }
        self.change(|memory| {
            if let Memory::Tail { tail, .. } = memory {
                tail.resume(brought.into_iter().map(|delivery| ledger.keep(delivery)));
            }
        });
    }

    /// Records a pong of the client.
    pub fn confirm(&self) {
        self.change(|memory| {
            if let Memory::Tail { tail, is_cut: false } = memory {
                tail.confirm();
            }
        });
    }

    /// Buffers later publications instead of sending them, if the session can be recovered. This runs before the
    /// session ends, so that no publication is lost meanwhile.
    pub(super) fn keep(&self) {
        let closed = self.closed();
        self.change(|memory| {
            if let Memory::Tail { tail, is_cut } = memory {
                tail.release_all();
                *is_cut |= closed.is_none_or(Close::may_be_caught_up);
            }
        });
        let is_provided = matches!(self.memory.borrow().as_deref(), Some(Memory::Provided(..)));
        if !is_provided || !closed.is_none_or(Close::may_be_recovered) {
            return;
        }
        let Some(Memory::Provided(only, mut kept)) = self.replace(None) else { return };
        let taken_back = self.with_connection(|connection| {
            // With a reader, only those that wait for a reply.
            let which = match closed.is_none_or(Close::leaves_no_reader) {
                false => TakeBack::Held,
                true if connection.is_broken() => TakeBack::Incomplete,
                true => TakeBack::Unwritten,
            };
            connection.with_outbox(|outbox| outbox.take_back(self.slot, which))
        });
        for copy in taken_back.into_iter().flatten() {
            match copy {
                Some(copy) => kept.add(copy),
                None => kept.miss(1),
            }
        }
        self.replace(Some(Memory::Kept(only, kept)));
    }

    /// Drops the buffers: the session cannot be recovered.
    pub fn forgo(&self) {
        drop(self.replace(None));
    }

    /// Takes the contents of the buffers.
    pub fn remains(&self) -> Option<Remains> {
        let brought = |kept: VecDeque<Rc<Retained>>| kept.iter().map(|retained| Brought::of(retained)).collect();
        match self.replace(None)? {
            Memory::Provided(..) => None,
            Memory::Kept(_, kept) => {
                let (deliveries, dropped) = kept.into_parts();
                Some(Remains::Messages(brought(deliveries), dropped))
            }
            Memory::Tail { tail, .. } => {
                let is_confirmed = tail.is_confirmed();
                let (left, deliveries) = tail.into_parts();
                Some(Remains::Tail { deliveries: brought(deliveries), left, is_confirmed })
            }
        }
    }

    /// Restores the buffers of a session that was suspended before the start. They take later publications up to
    /// `bound`: of the event `only`, or all.
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
                Memory::Tail { tail, is_cut: true }
            }
        };
        self.replace(Some(memory));
    }

    /// Whether publications are buffered instead of sent.
    pub fn is_kept(&self) -> bool {
        matches!(self.memory.borrow().as_deref(), Some(Memory::Kept(..) | Memory::Tail { is_cut: true, .. }))
    }

    /// Whether the publications that were sent last are buffered.
    pub fn has_tail(&self) -> bool {
        matches!(self.memory.borrow().as_deref(), Some(Memory::Tail { .. }))
    }

    /// The delivery path: the fan-out calls this for every delivery to every member, also when the session has no
    /// buffers. Offers a publication of `room`, unless it is buffered instead. `true` when the outbox took it. `relieve`
    /// makes room for a number of bytes in the ledger; if that fails, the session's buffers are dropped. With
    /// `accepted_us`, its entry is marked for measurement.
    pub fn hand_over(
        &self,
        room: &RoomName,
        publication: &Publication,
        copies: &mut EncodedPublication<'_>,
        accepted_us: Option<u64>,
        relieve: impl FnOnce(usize),
    ) -> bool {
        let behind = self.behind(room, publication.number());
        let recoverable = match self.buffer(publication, behind, copies, relieve) {
            Some(Disposition::Buffered) => return false,
            Some(Disposition::Sent(recoverable)) => recoverable,
            None => None,
        };
        if let Some(id) = publication.notification() {
            self.noted().add(id);
        }
        let entry = Entry::recoverable(self.slot, copies.content(self.encoder), recoverable);
        self.offer(entry, behind, accepted_us)
    }

    /// Buffers a publication; `None` when the session has no buffers.
    fn buffer(
        &self,
        publication: &Publication,
        behind: Option<u64>,
        copies: &mut EncodedPublication<'_>,
        relieve: impl FnOnce(usize),
    ) -> Option<Disposition> {
        let weight = self.memory.borrow().as_deref()?.weight(publication, self.encoder, copies);
        if !copies.has_room(weight) {
            relieve(weight);
        }
        if !copies.has_room(weight) {
            self.give_up();
        }
        self.change(|memory| memory.note(publication, behind, self.encoder, copies))
    }

    /// Drops the buffered publications to free memory.
    fn give_up(&self) {
        self.change(Memory::give_up);
        if matches!(self.memory.borrow().as_deref(), Some(Memory::Provided(..))) {
            self.with_connection(|connection| connection.with_outbox(|outbox| outbox.free_copies(self.slot)));
        }
    }

    /// Records that the publications behind this reply are written.
    pub(super) fn released(&self, answer: u64) {
        self.change(|memory| {
            if let Memory::Tail { tail, .. } = memory {
                tail.release(answer);
            }
        });
    }
}

/// Buffered publications that one relief inspects, at most.
const INSPECTED_MAX: usize = 16_384;

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
        let (mut suspended, mut index, mut inspected) = (self.suspended.borrow_mut(), 0, 0);
        while !self.ledger.has_room(weight)
            && inspected < INSPECTED_MAX
            && let Some(&oldest) = suspended.get(index)
        {
            let Some(handle) = self.get(oldest).filter(|handle| handle.is_kept()) else {
                suspended.remove(index);
                continue;
            };
            index += 1;
            inspected += handle.change(|memory| self.relieve_by(memory)).unwrap_or(0);
        }
    }

    /// Evicts `memory` if that frees something. Returns the number of inspected publications.
    fn relieve_by(&self, memory: &mut Memory) -> usize {
        let cost = memory.len();
        if memory.frees() {
            memory.give_up();
            self.common.stats.suspended_evicted.add(1);
            if let Memory::Tail { tail, .. } = memory {
                // Publications are missing now, so later ones are of no use.
                tail.keep_nothing();
            }
        }
        cost
    }
}
