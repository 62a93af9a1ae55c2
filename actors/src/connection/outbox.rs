//! The payloads that wait to be written to one client, bounded in bytes and number. A connection has one outbox, for all
//! its sessions.
//!
//! Only its own worker's thread uses it, so it needs no lock. It knows no socket and no framing: a WebSocket writer or a
//! poll takes messages from the front. An entry that does not fit closes the connection as a slow consumer.

mod entry;
mod mark;
#[cfg(test)]
mod tests;

use std::collections::{VecDeque, vec_deque};

pub use self::entry::{Content, Entry, Origin, Unwritten};
use self::mark::LatencyMark;
use super::SlotId;
use crate::publication::{MessageKind, Messages};

/// The capacity of an outbox. An outbox below half of it takes one entry of any size, so it holds at most `bytes` and
/// one more entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxCapacity {
    /// Bytes of payloads.
    pub bytes: usize,
    /// Entries.
    pub entries: usize,
}

impl OutboxCapacity {
    /// Half of the capacity.
    #[must_use]
    pub fn half(self) -> Self {
        Self { bytes: self.bytes / 2, entries: self.entries / 2 }
    }
}

/// The result of an offered entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It can be written.
    Ready,
    /// It waits in the outbox, and cannot be written yet.
    Held,
    /// It did not fit. The outbox dropped all unwritten entries and this one, and takes no more.
    Overflowed {
        /// Entries that will not be written.
        dropped: usize,
    },
    /// The outbox is closed.
    Closed,
}

/// What an entry waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The start of its session: its client does not know the session yet.
    Start,
    /// A reply of its session, by its number.
    Reply(u64),
}

/// The publications that [`Outbox::take_back`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeBack {
    /// The held ones: the client still reads what is ready.
    Held,
    /// All unwritten ones.
    Unwritten,
    /// A partly written one, too: its rest is not written any more.
    Incomplete,
}

/// Capacity that an empty queue keeps, in entries.
const IDLE_CAPACITY: usize = 8;

/// How far the first ready entry is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    /// Whole messages.
    messages: u32,
    /// Bytes of the next message, with its header.
    bytes: u32,
}

impl Progress {
    /// A message and its header are smaller than 4 GiB, and so is their number in an entry.
    fn new(messages: usize, bytes: usize) -> Self {
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self { messages: narrow(messages), bytes: narrow(bytes) }
    }

    fn has_begun(self) -> bool {
        self.messages > 0 || self.bytes > 0
    }
}

/// The messages of the ready entries. A flattening iterator of the standard library takes much longer for one message.
#[derive(Clone)]
struct ReadyMessages<'a> {
    messages: Option<Messages<'a>>,
    entries: vec_deque::Iter<'a, Entry>,
}

impl<'a> Iterator for ReadyMessages<'a> {
    type Item = (MessageKind, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(message) = self.messages.as_mut()?.next() {
                return Some(message);
            }
            self.messages = self.entries.next().map(|entry| entry.payload().messages());
        }
    }
}

/// The entries for one client.
#[derive(Debug)]
pub struct Outbox {
    bound: OutboxCapacity,
    /// Ready to be written, in order.
    ready: VecDeque<Entry>,
    progress: Progress,
    /// Not ready yet, in order, each with what it waits for.
    held: Vec<(Hold, Entry)>,
    /// Bytes in `ready` and `held`, with the written part of the first entry.
    bytes: usize,
    /// Measures the wait of one ready entry.
    mark: LatencyMark,
    closed: bool,
    /// A session waits until the outbox is less than half full.
    awaits_room: bool,
}

impl Outbox {
    /// An empty outbox.
    pub fn new(bound: OutboxCapacity) -> Self {
        Self {
            bound,
            ready: VecDeque::new(),
            progress: Progress::default(),
            held: Vec::new(),
            bytes: 0,
            mark: LatencyMark::default(),
            closed: false,
            awaits_room: false,
        }
    }

    /// Offers an entry; with `hold`, it waits for that.
    pub fn offer(&mut self, entry: Entry, hold: Option<Hold>) -> Offer {
        if self.closed {
            return Offer::Closed;
        }
        let waiting = self.ready.len() + self.held.len();
        let has_bytes = self.bytes + entry.len() <= self.bound.bytes || self.bytes < self.bound.half().bytes;
        if waiting > 0 && (!has_bytes || waiting >= self.bound.entries) {
            return Offer::Overflowed { dropped: self.drop_unwritten() + 1 };
        }
        self.bytes += entry.len();
        match hold {
            Some(hold) => {
                self.held.push((hold, entry));
                Offer::Held
            }
            None => {
                self.ready.push_back(entry);
                Offer::Ready
            }
        }
    }

    /// Marks the last ready entry with the time at which its publication was accepted, in µs. Once the entry is written,
    /// [`Outbox::advance`] returns that time. While an entry is marked, this does nothing.
    pub fn mark(&mut self, accepted_us: u64) {
        self.mark.set(self.ready.len(), accepted_us);
    }

    /// Releases the entries of `session` that wait for `hold`: the messages of a joined room follow the join reply. With
    /// `next`, they wait for that now. A closed outbox keeps them held: what they wait for is not written.
    pub fn release_held(&mut self, session: SlotId, hold: Hold, next: Option<Hold>) {
        if self.held.is_empty() || self.closed {
            return;
        }
        let is_released = |(held_for, entry): &(Hold, Entry)| entry.session == session && *held_for == hold;
        let (released, others) = std::mem::take(&mut self.held).into_iter().partition(is_released);
        self.held = others;
        for (_, entry) in released {
            match next {
                Some(next) => self.held.push((next, entry)),
                None => self.ready.push_back(entry),
            }
        }
    }

    /// Whether `entries` more entries of `bytes` bytes leave half of the capacity free.
    pub fn fits_within_half(&self, entries: usize, bytes: usize) -> bool {
        let waiting = self.ready.len() + self.held.len();
        let half = self.bound.half();
        waiting.saturating_add(entries) <= half.entries && self.bytes.saturating_add(bytes) <= half.bytes
    }

    /// Whether it is less than half full. Then it takes one entry of any size.
    pub fn is_under_half(&self) -> bool {
        let (waiting, half) = (self.ready.len() + self.held.len(), self.bound.half());
        waiting == 0 || (waiting < half.entries && self.bytes < half.bytes)
    }

    /// As [`Outbox::is_under_half`]. If it is not, a session waits for that.
    pub fn has_room(&mut self) -> bool {
        let has_room = self.is_under_half();
        self.awaits_room |= !has_room;
        has_room
    }

    /// `true` once, when the outbox is less than half full and a session waited for that.
    pub fn take_room_waiter(&mut self) -> bool {
        let has_room = self.awaits_room && self.is_under_half();
        self.awaits_room &= !has_room;
        has_room
    }

    /// Drops all unwritten entries and closes, as after an overflow.
    pub fn overflow(&mut self) -> Offer {
        Offer::Overflowed { dropped: self.drop_unwritten() }
    }

    /// Frees the memory of empty queues. `true` when both are empty.
    pub fn release_idle_memory(&mut self) -> bool {
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        if self.held.is_empty() {
            self.held = Vec::new();
        }
        self.is_empty() && self.held.is_empty()
    }

    /// Takes no more entries. Ready entries are still written. Held entries can only be taken back.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Adds the last entry regardless of the capacity, and closes.
    pub fn close_with(&mut self, entry: Entry) {
        self.close();
        self.bytes += entry.len();
        self.ready.push_back(entry);
    }

    /// Drops unwritten entries except a partly written one, and closes. Returns the number of dropped entries.
    fn drop_unwritten(&mut self) -> usize {
        let keep = usize::from(self.progress.has_begun());
        let dropped = self.ready.len() - keep + self.held.len();
        self.ready.truncate(keep);
        self.ready.shrink_to(keep);
        self.held = Vec::new();
        self.bytes = self.ready.front().map_or(0, Entry::len);
        self.mark.clear();
        self.closed = true;
        dropped
    }

    /// Drops the unwritten entries of `session`, which its client does not read any more.
    pub fn remove_session(&mut self, session: SlotId) {
        self.remove(|entry, _| entry.session == session);
    }

    /// Drops the entries of `session` that wait for a reply, because no reply follows.
    pub fn remove_behind_replies(&mut self, session: SlotId) {
        self.remove(|entry, hold| matches!(hold, Some(Hold::Reply(_))) && entry.session == session);
    }

    /// Drops the held entries of `session`, which are never released.
    pub fn remove_held(&mut self, session: SlotId) {
        self.remove(|entry, hold| hold.is_some() && entry.session == session);
    }

    /// Removes the chat messages of `session` that are not written. Returns the first of each room: the session can get
    /// it and the later ones from the log.
    pub fn take_back(&mut self, session: SlotId, which: TakeBack) -> Vec<Unwritten> {
        let mut taken: Vec<Unwritten> = Vec::new();
        let mut take = |unwritten: Unwritten| match taken.iter_mut().find(|first| first.room == unwritten.room) {
            Some(first) if first.number > unwritten.number => *first = unwritten,
            Some(_) => {}
            None => taken.push(unwritten),
        };
        let front = self.ready.front().filter(|entry| which == TakeBack::Incomplete && entry.session == session);
        front.and_then(Entry::as_unwritten).into_iter().for_each(&mut take);
        self.remove(|entry, hold| {
            let is_wanted = entry.session == session && (hold.is_some() || which != TakeBack::Held);
            let unwritten = if is_wanted { entry.as_unwritten() } else { None };
            unwritten.map(&mut take).is_some()
        });
        taken
    }

    /// Drops the entries that `wants` selects, except a partly written one. Its second argument: what the entry waits for.
    fn remove(&mut self, mut wants: impl FnMut(&mut Entry, Option<Hold>) -> bool) {
        let mut begun = self.progress.has_begun();
        let mut freed = 0;
        let mut keeps = |entry: &mut Entry, hold: Option<Hold>| {
            let keeps = !wants(entry, hold);
            freed += if keeps { 0 } else { entry.len() };
            keeps
        };
        let before = self.ready.len();
        self.ready.retain_mut(|entry| std::mem::take(&mut begun) || keeps(entry, None));
        self.held.retain_mut(|(hold, entry)| keeps(entry, Some(*hold)));
        self.bytes -= freed;
        if self.ready.len() < before {
            // The marked entry, or an entry before it, may be dropped.
            self.mark.clear();
        }
    }

    /// Drops everything and closes: no transport writes it.
    pub fn discard(&mut self) {
        *self = Self { closed: true, awaits_room: self.awaits_room, ..Self::new(self.bound) };
    }

    /// Whether nothing is ready to be written.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The entries of `session`, ready and held: their number and their bytes.
    pub fn share(&self, session: SlotId) -> OutboxCapacity {
        let all = self.ready.iter().chain(self.held.iter().map(|(_, entry)| entry));
        all.filter(|entry| entry.session == session).fold(OutboxCapacity { bytes: 0, entries: 0 }, |share, entry| {
            OutboxCapacity { bytes: share.bytes + entry.len(), entries: share.entries + 1 }
        })
    }

    fn shrink(&mut self) {
        if self.ready.capacity() > IDLE_CAPACITY {
            self.ready.shrink_to(IDLE_CAPACITY);
        }
    }

    /// The messages to write, in order. The transport may have written a part of the first one: see [`Outbox::begun`].
    pub fn messages(&self) -> impl Iterator<Item = (MessageKind, &[u8])> + Clone {
        let mut entries = self.ready.iter();
        let mut messages = entries.next().map(|entry| entry.payload().messages());
        if let Some(messages) = &mut messages {
            messages.by_ref().take(self.progress.messages as usize).for_each(drop);
        }
        ReadyMessages { messages, entries }
    }

    /// Bytes of the first message that are written, its header included.
    pub fn begun(&self) -> usize {
        self.progress.bytes as usize
    }

    /// Records that the first `messages` messages were written, and `begun` bytes of the next one with its header.
    /// Returns the value of the [mark](Outbox::mark) if its entry is written completely.
    pub fn advance(&mut self, messages: usize, begun: usize) -> Option<u64> {
        let before = self.ready.len();
        let mut messages = self.progress.messages as usize + messages;
        while let Some(front) = self.ready.front() {
            let count = front.payload().message_count();
            if messages < count {
                break;
            }
            messages -= count;
            self.bytes -= front.len();
            self.ready.pop_front();
        }
        self.progress = Progress::new(messages, begun);
        if self.ready.is_empty() {
            self.progress = Progress::default();
            self.shrink();
        }
        self.mark.pass(before - self.ready.len())
    }
}
