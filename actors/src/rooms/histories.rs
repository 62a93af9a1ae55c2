//! The histories of all rooms, and which of them is evicted when all exceed their bound in bytes. Pure. It
//! knows only whether a room has members, not which members.
//!
//! A history exists while its room has a member or a message, and then for the longer of its rule's age and the recovery
//! window: a client that comes back to a quiet room must find the epoch that it knows. Beyond the bound, the oldest of
//! these kept positions goes first. Then the least recently used history is evicted whole: a part of a history does not help
//! a client that was away for long. A room with members keeps its epoch and offsets.

mod positions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::AHashMap;

use self::positions::KeptPositions;
use super::counts::RoomCounts;
use super::history::{HISTORY_BYTES, SavedHistory, TopicHistory};
use super::rules::{HistoryRule, Rules};
use crate::model::ids::{Epoch, RoomName, UserId};
use crate::publication::Publication;
use crate::runtime::shrink::shrink;

/// Histories that one sweep visits; the rest waits for the next sweep.
const SWEEP_SLICE: usize = 64;

#[derive(Debug)]
struct HistoryEntry {
    history: TopicHistory,
    has_members: bool,
    /// The user that created the room, since its members left.
    creator: Option<UserId>,
    /// Its key in `kept`, while it has neither a message nor members.
    kept_key: Option<u64>,
    /// The number of the last use.
    used: u64,
    /// Its key in `by_use`, while it has a message.
    use_key: Option<u64>,
    /// Its key in `by_expiry`, while it has a message that expires or its position is kept.
    expiry_key: Option<i64>,
}

impl HistoryEntry {
    fn new(history: TopicHistory) -> Self {
        Self { history, has_members: false, creator: None, kept_key: None, used: 0, use_key: None, expiry_key: None }
    }
}

/// The histories.
#[derive(Debug)]
pub(crate) struct Histories {
    /// The bound of all histories in bytes.
    most: usize,
    /// The time for which a position is kept, ms, unless the age of its rule is longer.
    window_ms: i64,
    counts: Arc<RoomCounts>,
    bytes: usize,
    evicted: u64,
    /// Counts uses.
    uses: u64,
    entries: AHashMap<RoomName, HistoryEntry>,
    /// Histories with messages, by their last use or an earlier one: an eviction checks the entry again.
    by_use: BTreeMap<u64, RoomName>,
    /// Histories with messages that expire, by the expiry of the oldest message or earlier; and those without messages
    /// and members, by the end of their position.
    by_expiry: BTreeSet<(i64, RoomName)>,
    kept: KeptPositions,
}

impl Histories {
    /// No histories, with a bound of `most` bytes. A room that falls empty keeps its position for `window_ms` or longer.
    /// `counts` bounds the kept positions together with the rooms.
    pub(crate) fn new(most: usize, window_ms: i64, counts: Arc<RoomCounts>) -> Self {
        Self {
            most,
            window_ms,
            counts,
            bytes: 0,
            evicted: 0,
            uses: 0,
            entries: AHashMap::new(),
            by_use: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            kept: KeptPositions::default(),
        }
    }

    /// The size of all histories in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Evicted histories since the last call.
    pub(crate) fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Whether `room` has a history.
    pub(crate) fn contains(&self, room: &RoomName) -> bool {
        self.entries.contains_key(room)
    }

    /// Creates the history of `room` if there is none.
    pub(crate) fn open(&mut self, room: &RoomName, rule: HistoryRule) {
        let entry = self.entries.entry(room.clone());
        entry.or_insert_with(|| HistoryEntry::new(TopicHistory::new(rule, Epoch::random())));
    }

    /// Creates the history of a room that has members, if a rule requires one; whether it does.
    pub(crate) fn open_for_members(&mut self, rules: &Rules, room: &RoomName) -> bool {
        let rule = rules.history(room);
        if let Some(rule) = rule {
            self.open(room, rule);
            self.unkeep(room);
            if let Some(entry) = self.entries.get_mut(room) {
                (entry.has_members, entry.creator) = (true, None);
            }
        }
        rule.is_some()
    }

    /// The room that `creator` created has no members any more.
    pub(crate) fn leave(&mut self, room: &RoomName, creator: Option<UserId>, elapsed: i64) {
        if let Some(entry) = self.entries.get_mut(room) {
            (entry.has_members, entry.creator) = (false, creator);
            self.reindex(room, elapsed);
            self.evict(elapsed);
        }
    }

    /// Forgets the oldest kept positions that exceed the limits of rooms: those of the hub and those of `user`.
    pub(crate) fn fit_rooms(&mut self, user: Option<&UserId>) {
        while let Some(user) = user
            && let Some(room) = self.kept.oldest_of(user)
            && self.kept.of_user(user) > self.counts.free_for(user)
        {
            self.remove(&room.clone());
        }
        while let Some(room) = self.kept.oldest()
            && self.kept.len() > self.counts.free()
        {
            self.remove(&room.clone());
        }
    }

    /// Changes the rule of the history of `room`, if there is one.
    pub(crate) fn set_rule(&mut self, room: &RoomName, rule: HistoryRule, elapsed: i64) {
        let Some(HistoryEntry { history, .. }) = self.entries.get_mut(room) else { return };
        if history.rule() == rule {
            return;
        }
        let before = history.bytes();
        history.set_rule(rule, elapsed);
        self.bytes = self.bytes - before + history.bytes();
        // Its messages may expire now, or earlier than before.
        if !self.is_kept(room) {
            self.clear_expiry(room);
        }
        self.reindex(room, elapsed);
    }

    /// Removes the history of `room` with its epoch and offsets.
    pub(crate) fn remove(&mut self, room: &RoomName) {
        self.unkeep(room);
        self.clear_expiry(room);
        let Some(entry) = self.entries.remove(room) else { return };
        self.bytes -= entry.history.bytes();
        if let Some(key) = entry.use_key {
            self.by_use.remove(&key);
        }
        shrink(&mut self.entries);
    }

    /// Changes the bound in bytes, and applies a changed `limits.rooms`. A changed limit of a user applies to the positions
    /// of that user with the next room.
    pub(crate) fn set_most(&mut self, most: usize, elapsed: i64) {
        self.most = most;
        self.evict(elapsed);
        self.fit_rooms(None);
    }

    /// Restores the history of `room`. `now` is in ms since the epoch; `elapsed`, here and below, in ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`].
    pub(crate) fn restore(&mut self, room: RoomName, rule: HistoryRule, saved: SavedHistory, now: i64, elapsed: i64) {
        let history = TopicHistory::restored(rule, saved, self.most, now, elapsed);
        self.bytes += history.bytes();
        self.entries.insert(room.clone(), HistoryEntry::new(history));
        self.note_use(&room, elapsed);
        self.evict(elapsed);
    }

    /// The histories at `elapsed`, to be saved. Those without messages come first, and of them those without members,
    /// the oldest first; those that do not fit into the bound are left out.
    pub(crate) fn saved(&mut self, elapsed: i64) -> Vec<(RoomName, SavedHistory)> {
        while self.sweep(elapsed) {}
        let kept = self.kept.rooms().filter_map(|room| self.entries.get_key_value(room));
        let with_members = self.entries.iter().filter(|(_, entry)| entry.history.is_empty() && entry.has_members);
        let mut saved: Vec<_> = kept.chain(with_members).collect();
        let bytes_of_messages = self.bytes - self.kept.len() * HISTORY_BYTES;
        let fitting = self.most.saturating_sub(bytes_of_messages) / HISTORY_BYTES;
        saved.drain(..saved.len().saturating_sub(fitting));
        saved.extend(self.entries.iter().filter(|(_, entry)| !entry.history.is_empty()));
        saved.into_iter().map(|(room, entry)| (room.clone(), entry.history.saved())).collect()
    }

    /// Gives a publication its offset in the history of `room`, and stores it; returns the publication to deliver.
    pub(crate) fn store(&mut self, room: &RoomName, publication: Publication, elapsed: i64) -> Publication {
        self.unkeep(room);
        let Some(HistoryEntry { history, .. }) = self.entries.get_mut(room) else { return publication };
        let before = history.bytes();
        let publication = publication.with_offset(history.next());
        history.push(Arc::new(publication.detached()), elapsed, self.most);
        self.bytes = self.bytes - before + history.bytes();
        self.note_use(room, elapsed);
        self.evict(elapsed);
        publication
    }

    /// The history of `room` at `elapsed`. Counts as a use.
    pub(crate) fn read(&mut self, room: &RoomName, elapsed: i64) -> Option<&TopicHistory> {
        self.expire(room, elapsed);
        self.note_use(room, elapsed);
        self.entries.get(room).map(|entry| &entry.history)
    }

    /// The time of the next expiry, or earlier.
    pub(crate) fn due(&self) -> Option<i64> {
        self.by_expiry.first().map(|&(due, _)| due)
    }

    /// Removes messages that are expired at `elapsed`, and positions that ended; whether more of them are left.
    pub(crate) fn sweep(&mut self, elapsed: i64) -> bool {
        for _ in 0..SWEEP_SLICE {
            let Some((_, room)) = self.by_expiry.first().filter(|&&(due, _)| due <= elapsed).cloned() else {
                return false;
            };
            if self.is_kept(&room) {
                self.remove(&room);
            } else {
                self.expire(&room, elapsed);
                self.clear_expiry(&room);
                self.reindex(&room, elapsed);
            }
        }
        true
    }

    fn expire(&mut self, room: &RoomName, elapsed: i64) {
        let Some(HistoryEntry { history, .. }) = self.entries.get_mut(room) else { return };
        let before = history.bytes();
        history.expire(elapsed);
        self.bytes = self.bytes - before + history.bytes();
    }

    fn note_use(&mut self, room: &RoomName, elapsed: i64) {
        self.uses += 1;
        if let Some(entry) = self.entries.get_mut(room) {
            entry.used = self.uses;
            self.reindex(room, elapsed);
        }
    }

    /// Updates the indexes after a change of a history. A history without messages and members becomes a kept position.
    fn reindex(&mut self, room: &RoomName, elapsed: i64) {
        let Some(entry) = self.entries.get_mut(room) else { return };
        if entry.kept_key.is_some() {
            return;
        }
        if entry.history.is_empty() {
            if let Some(key) = entry.use_key.take() {
                self.by_use.remove(&key);
            }
            let is_unused = !entry.has_members;
            self.clear_expiry(room);
            if is_unused {
                self.keep(room, elapsed);
            }
            return;
        }
        if entry.use_key.is_none() {
            entry.use_key = Some(entry.used);
            self.by_use.insert(entry.used, room.clone());
        }
        if entry.expiry_key.is_none()
            && let Some(due) = entry.history.due()
        {
            entry.expiry_key = Some(due);
            self.by_expiry.insert((due, room.clone()));
        }
    }

    fn is_kept(&self, room: &RoomName) -> bool {
        self.entries.get(room).is_some_and(|entry| entry.kept_key.is_some())
    }

    /// Keeps the position of a history without messages and members for its time.
    fn keep(&mut self, room: &RoomName, elapsed: i64) {
        let Some(entry) = self.entries.get_mut(room) else { return };
        let kept_ms = self.window_ms.max(entry.history.rule().age_ms.unwrap_or(0));
        if kept_ms <= 0 {
            return self.remove(room);
        }
        let (until, creator) = (elapsed.saturating_add(kept_ms), entry.creator.clone());
        entry.kept_key = Some(self.kept.add(room.clone(), creator.as_ref()));
        entry.expiry_key = Some(until);
        self.by_expiry.insert((until, room.clone()));
        self.bytes += HISTORY_BYTES;
        self.fit_rooms(creator.as_ref());
    }

    /// Ends the kept position of `room`, if there is one; epoch and offsets stay.
    fn unkeep(&mut self, room: &RoomName) {
        let Some(entry) = self.entries.get_mut(room) else { return };
        if let Some(key) = entry.kept_key.take() {
            self.kept.remove(key, entry.creator.as_ref());
            self.bytes -= HISTORY_BYTES;
            self.clear_expiry(room);
        }
    }

    fn clear_expiry(&mut self, room: &RoomName) {
        let key = self.entries.get_mut(room).and_then(|entry| entry.expiry_key.take());
        if let Some(due) = key {
            self.by_expiry.remove(&(due, room.clone()));
        }
    }

    /// Forgets kept positions, then evicts histories, until the others fit into the bound.
    fn evict(&mut self, elapsed: i64) {
        while self.bytes > self.most {
            if let Some(room) = self.kept.oldest() {
                self.remove(&room.clone());
                continue;
            }
            let Some((_, room)) = self.by_use.pop_first() else { return };
            let Some(entry) = self.entries.get_mut(&room) else { continue };
            if entry.use_key.take() == Some(entry.used) {
                self.bytes -= entry.history.bytes();
                self.evicted += 1;
                entry.history.clear();
            }
            self.reindex(&room, elapsed);
        }
    }
}

#[cfg(test)]
mod tests;
