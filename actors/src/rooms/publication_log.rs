//! The publication log: what was published to rooms, for sessions that recover. Pure. Time is an argument.
//!
//! A room is watched while a session that can be recovered, or the record of a suspended one, is in it. The log keeps
//! publications of watched rooms only. A room has at most `publications` entries and `room_bytes` bytes, so a busy
//! room does not evict the entries of other rooms. Beyond `bytes`, the oldest entries of the hub are evicted. Each
//! room remembers the sequence of its last evicted entry: a session recovers what is after its cursor in each of its
//! rooms when nothing of that was evicted.
//!
//! It does not know sessions, the store or the clock, and does not decide what is appended.

mod chains;
mod replay;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::chains::{Chains, Room};
use crate::model::ids::{RoomName, SessionId};
use crate::publication::Publication;

/// The memory counted for an entry besides its publication's data and encoded forms, in bytes.
const ENTRY_OVERHEAD: usize = 512;

/// Entries that one append evicts, at most, beyond the ones that make room for its own.
const EXTRA_EVICTIONS: usize = 64;

/// The bounds of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// Publications of one room, at most (`recovery.queue`).
    pub publications: usize,
    /// Bytes of data of one room, at most (half of `limits.outbox_bytes`).
    pub room_bytes: usize,
    /// Bytes of all rooms, at most (`recovery.bytes`). An entry counts 512 bytes and twice the length of its
    /// data: for the data, and for the one form that a replay encodes, that of sessions on `/` with recovery.
    pub bytes: usize,
    /// How long a publication is kept, ms (`recovery.window_secs`).
    pub window_ms: i64,
}

/// What watches a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watcher {
    /// A live session that may be recovered.
    Session,
    /// The record of a suspended session.
    Record,
}

/// What an entry is, for a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// An event. A replay has all of them.
    Event,
    /// A state, such as typing. In a replay, the newest one of its room, event name and publishing session replaces
    /// earlier ones.
    State,
    /// A message of a chat. The messages of a room are counted.
    Message,
}

/// What is appended to the log.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Its room.
    pub room: RoomName,
    /// The publication. Its number is its sequence. It is a copy: its data is no slice of a larger buffer, and it is
    /// encoded for no member.
    pub publication: Arc<Publication>,
    /// The session that does not receive it, because it published it.
    pub except: Option<SessionId>,
    /// What it is, for a replay.
    pub kind: EntryKind,
}

/// An entry of the log, for the store.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Its room.
    pub room: &'a RoomName,
    /// The publication.
    pub publication: &'a Arc<Publication>,
    /// The session that does not receive it.
    pub except: Option<SessionId>,
    /// What it is, for a replay.
    pub kind: EntryKind,
    /// When it was appended, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    pub elapsed: i64,
}

/// A position in one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomCursor {
    /// The room.
    pub room: RoomName,
    /// The last publication before the ones to replay.
    pub sequence: u64,
    /// Messages of the chat up to it, as [`PublicationLog::message_count`] counts.
    pub messages: u64,
}

/// Some of the missed publications are not in the log any more, or there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

/// The publications of watched rooms.
#[derive(Debug)]
pub struct PublicationLog {
    limits: LogLimits,
    chains: Chains,
    /// The counted size of all entries.
    bytes: usize,
    /// The sequence up to which all workers have read, as last reported.
    read: u64,
    /// Entries that a bound evicted.
    evicted: u64,
    /// Messages among the entries that a record may miss.
    queued: u64,
}

impl PublicationLog {
    /// An empty log.
    pub fn new(limits: LogLimits) -> Self {
        Self { limits, chains: Chains::new(), bytes: 0, read: 0, evicted: 0, queued: 0 }
    }

    /// Changes the bounds. A sweep applies `window_ms` and `bytes`. An append applies `bytes`, and the bounds of its
    /// room.
    pub fn set_limits(&mut self, limits: LogLimits) {
        self.limits = limits;
    }

    /// Adds a watcher. The log of a room that was not watched begins after the sequence `head`.
    pub fn watch(&mut self, room: &RoomName, watcher: Watcher, head: u64) {
        let room = self.chains.room_or_insert(room, || Room::new(head, 0));
        let queued = room.queued();
        if watcher == Watcher::Record {
            room.received = 0;
        }
        *watchers(room, watcher) += 1;
        self.queued = self.queued + room.queued() - queued;
    }

    /// Removes a watcher. The last one frees all entries of the room in this call, read by all workers or not.
    pub fn unwatch(&mut self, room: &RoomName, watcher: Watcher) {
        let Some((index, room)) = self.chains.room_mut(room) else { return };
        let queued = room.queued();
        let count = watchers(room, watcher);
        *count = count.saturating_sub(1);
        self.queued = self.queued + room.queued() - queued;
        if !room.is_watched() {
            self.remove_room(index);
        }
    }

    /// A session that watches the room is suspended: its record watches the room instead. The entries stay. The record
    /// misses the messages of the room after the first `received` ones.
    pub fn suspend(&mut self, room: &RoomName, received: u64) {
        let Some((_, room)) = self.chains.room_mut(room) else { return };
        let Some(sessions) = room.sessions.checked_sub(1) else { return };
        let queued = room.queued();
        room.received = if room.records == 0 { received } else { room.received.min(received) };
        (room.sessions, room.records) = (sessions, room.records + 1);
        self.queued = self.queued + room.queued() - queued;
    }

    /// A session recovers what a record of the room misses, and watches the room instead of the record. The entries
    /// stay.
    pub fn recover(&mut self, room: &RoomName) {
        let Some((_, room)) = self.chains.room_mut(room) else { return };
        let Some(records) = room.records.checked_sub(1) else { return };
        let queued = room.queued();
        (room.sessions, room.records) = (room.sessions + 1, records);
        self.queued = self.queued + room.queued() - queued;
    }

    /// The kept messages of all rooms that records watch: of each room, the ones that some record misses or missed since
    /// the room has records.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Whether the room is watched. Without any watched room, it hashes nothing.
    pub fn is_watched(&self, room: &RoomName) -> bool {
        self.watched(room).is_some()
    }

    /// Whether the record of a suspended session watches the room.
    pub fn has_records(&self, room: &RoomName) -> bool {
        self.watched(room).is_some_and(|(_, room)| room.records > 0)
    }

    /// The number of the next [`EntryKind::Message`] of the room; 0 when it is not watched.
    pub fn next_message(&self, room: &RoomName) -> u64 {
        self.watched(room).map_or(0, |(_, room)| room.messages + 1)
    }

    /// The messages of the room up to and including `sequence`, since the log of the room began; 0 when the room is
    /// not watched. For a sequence before the last evicted one, evicted messages after it count, too. It reads the
    /// entries of the room that are newer than `sequence`.
    pub fn message_count(&self, room: &RoomName, sequence: u64) -> u64 {
        let Some((index, room)) = self.watched(room) else { return 0 };
        let newer = self.chains.newest_first_of(index).take_while(|entry| entry.sequence > sequence);
        newer.filter(|entry| entry.kind == EntryKind::Message).last().map_or(room.messages, |next| next.message - 1)
    }

    /// Appends a publication, unless its room is not watched. Sequences increase strictly.
    ///
    /// Evicts the room's oldest entries beyond `publications` and `room_bytes`, then the hub's oldest beyond `bytes`.
    /// A publication that exceeds a bound alone is evicted, too, after all older ones. `read` is the sequence up to
    /// which all workers have read: later entries are not evicted. One call evicts as many entries and bytes as it
    /// adds, and 64 entries more. Later appends evict the rest.
    pub fn append(&mut self, appended: Appended, elapsed: i64, read: u64) {
        self.read = read;
        let Some((index, room)) = self.chains.room_mut(&appended.room) else { return };
        if !room.is_watched() {
            // It was restored. Without this publication, it cannot be replayed.
            self.remove_room(index);
            return;
        }
        let message = if appended.kind == EntryKind::Message { room.messages + 1 } else { 0 };
        self.push(index, appended, message, elapsed, read);
    }

    /// Adds an entry and evicts what is beyond the bounds, up to `read`.
    fn push(&mut self, room: usize, appended: Appended, message: u64, elapsed: i64, read: u64) {
        let added = appended.publication.data().len();
        self.bytes += weight(1, added);
        let queued = self.chains.room_at(room).queued();
        self.chains.push(room, appended, message, elapsed);
        self.queued += self.chains.room_at(room).queued() - queued;
        let mut extra = EXTRA_EVICTIONS;
        let (mut entries, mut bytes) = (0, 0);
        while self.is_over(room)
            && let Some(oldest) = self.chains.oldest_of(room).filter(|&at| self.is_read(at, read))
            && spend(&mut extra, entries > 0 && bytes >= added)
        {
            entries += 1;
            bytes += self.evict(oldest);
        }
        let mut freed = weight(entries, bytes);
        while let Some(oldest) = self.oldest_beyond_bytes(read)
            && spend(&mut extra, freed >= weight(1, added))
        {
            freed += weight(1, self.evict(oldest));
        }
    }

    /// Whether the room exceeds its own bounds.
    fn is_over(&self, room: usize) -> bool {
        let room = self.chains.room_at(room);
        room.len > self.limits.publications || room.bytes > self.limits.room_bytes
    }

    fn is_read(&self, at: u32, read: u64) -> bool {
        self.chains.entry(at).sequence <= read
    }

    /// The hub's oldest entry, if the log exceeds `bytes` and all workers have read it.
    fn oldest_beyond_bytes(&self, read: u64) -> Option<u32> {
        let is_over = self.bytes > self.limits.bytes;
        self.chains.oldest().filter(|&oldest| is_over && self.is_read(oldest, read))
    }

    /// Removes the entry at `at` because of a bound, and returns the bytes of its data.
    fn evict(&mut self, at: u32) -> usize {
        self.evicted += 1;
        self.remove(at)
    }

    /// Removes the oldest entry of a room, and returns the bytes of its data.
    fn remove(&mut self, at: u32) -> usize {
        let room = self.chains.room_index_of(at);
        let queued = self.chains.room_at(room).queued();
        let data_len = self.chains.remove_oldest(at).data_len();
        self.queued -= queued - self.chains.room_at(room).queued();
        self.bytes -= weight(1, data_len);
        data_len
    }

    fn remove_room(&mut self, index: usize) {
        let (entries, bytes) = self.chains.remove_room(index);
        self.bytes -= weight(entries, bytes);
    }

    /// Removes entries that are at least `window_ms` old at `elapsed`, and the oldest ones beyond `bytes` that all
    /// workers had read at the last append: at most `most` entries. `true` when there are more.
    pub fn sweep(&mut self, elapsed: i64, most: usize) -> bool {
        for _ in 0..most {
            if let Some(expired) = self.oldest_expired(elapsed) {
                self.remove(expired);
            } else if let Some(oldest) = self.oldest_beyond_bytes(self.read) {
                self.evict(oldest);
            } else {
                return false;
            }
        }
        self.oldest_expired(elapsed).or_else(|| self.oldest_beyond_bytes(self.read)).is_some()
    }

    fn oldest_expired(&self, elapsed: i64) -> Option<u32> {
        self.chains.oldest().filter(|_| self.next_due().is_some_and(|due| due <= elapsed))
    }

    /// When the oldest entry expires, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    pub fn next_due(&self) -> Option<i64> {
        let oldest = self.chains.entry(self.chains.oldest()?);
        Some(oldest.elapsed.saturating_add(self.limits.window_ms))
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.chains.len()
    }

    /// Whether the log has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The counted size of all entries, bytes: see [`LogLimits::bytes`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries that a bound evicted since the last call. Expired entries and entries of rooms without watchers are
    /// not counted.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// The entries of all rooms that a record watches, the newest first, each with its number among the messages of
    /// its room, or 0. For the store.
    pub fn kept_for_records(&self) -> impl Iterator<Item = (u64, Kept<'_>)> {
        self.chains.newest_first().filter_map(|entry| {
            let (name, room) = self.chains.room_of(entry)?;
            let kept = Kept {
                room: name,
                publication: &entry.publication,
                except: entry.except,
                kind: entry.kind,
                elapsed: entry.elapsed,
            };
            (room.records > 0).then_some((entry.message, kept))
        })
    }

    /// Each room that a record watches, with the sequence of its last evicted entry and the number of its last
    /// message. For the store.
    pub fn rooms_with_records(&self) -> impl Iterator<Item = (&RoomName, u64, u64)> {
        let rooms = self.chains.rooms().filter(|(_, room)| room.records > 0);
        rooms.map(|(name, room)| (name, room.evicted, room.messages))
    }

    /// Restores a room of the previous run, before any append: the sequence of its last evicted entry and the number
    /// of its last message. Its entries and its watchers follow. It counts as not watched until then.
    pub fn restore_room(&mut self, room: RoomName, evicted: u64, messages: u64) {
        self.chains.room_or_insert(&room, || Room::new(evicted, messages));
    }

    /// Restores an entry of a restored room, with its number among the messages of the room, or 0. Entries come in
    /// the order of their sequences, before any append. `elapsed` is when the entry was appended, by the clock of
    /// this run; it can be negative. The bounds apply as if all workers had read it.
    pub fn restore(&mut self, appended: Appended, message: u64, elapsed: i64) {
        if let Some((index, _)) = self.chains.room(&appended.room) {
            self.push(index, appended, message, elapsed, u64::MAX);
        }
    }

    /// Frees the restored rooms that nothing watches.
    pub fn drop_unwatched(&mut self) {
        for index in (0..self.chains.room_count()).rev() {
            if !self.chains.room_at(index).is_watched() {
                self.remove_room(index);
            }
        }
    }

    /// A room, if it is watched.
    fn watched(&self, room: &RoomName) -> Option<(usize, &Room)> {
        self.chains.room(room).filter(|(_, room)| room.is_watched())
    }
}

/// The number of a room's watchers of one kind.
fn watchers(room: &mut Room, watcher: Watcher) -> &mut u32 {
    match watcher {
        Watcher::Session => &mut room.sessions,
        Watcher::Record => &mut room.records,
    }
}

/// The counted size of entries with `bytes` bytes of data: see [`LogLimits::bytes`].
fn weight(entries: usize, bytes: usize) -> usize {
    entries * ENTRY_OVERHEAD + 2 * bytes
}

/// Whether one eviction more is allowed. One that is not needed for the new entry takes one of `extra`.
fn spend(extra: &mut usize, is_extra: bool) -> bool {
    let is_allowed = !is_extra || *extra > 0;
    *extra -= usize::from(is_extra && is_allowed);
    is_allowed
}

#[cfg(test)]
mod tests;
