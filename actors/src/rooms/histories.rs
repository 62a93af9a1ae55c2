//! The histories of one shard's rooms, and which of them is evicted when all exceed their bound in bytes. Pure. It
//! knows only whether a room has members, not which members.
//!
//! A history exists while its room has a member or a message. The least recently used history is evicted whole: a part
//! of a history does not help a client that was away for long. A room with members keeps its epoch and offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::AHashMap;

use super::history::{SavedHistory, TopicHistory};
use super::rules::{HistoryRule, Rules};
use crate::model::ids::{Epoch, RoomName};
use crate::publication::Publication;
use crate::runtime::shrink::shrink;

#[derive(Debug)]
struct HistoryEntry {
    history: TopicHistory,
    has_members: bool,
    /// The number of the last use.
    used: u64,
    /// Its key in `by_use`, while it has a message.
    use_key: Option<u64>,
    /// Its key in `by_expiry`, while it has a message that expires.
    expiry_key: Option<i64>,
}

impl HistoryEntry {
    fn new(history: TopicHistory) -> Self {
        Self { history, has_members: false, used: 0, use_key: None, expiry_key: None }
    }
}

/// The histories.
#[derive(Debug)]
pub(crate) struct Histories {
    /// The bound of all histories in bytes.
    most: usize,
    bytes: usize,
    evicted: u64,
    /// Counts uses.
    uses: u64,
    entries: AHashMap<RoomName, HistoryEntry>,
    /// Histories with messages, by their last use or an earlier one: an eviction checks the entry again.
    by_use: BTreeMap<u64, RoomName>,
    /// Histories with messages that expire, by the expiry of the oldest message or earlier.
    by_expiry: BTreeSet<(i64, RoomName)>,
}

impl Histories {
    /// No histories, with a bound of `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            bytes: 0,
            evicted: 0,
            uses: 0,
            entries: AHashMap::new(),
            by_use: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
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
            self.set_members(room, true);
        }
        rule.is_some()
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
        self.clear_expiry(room);
        self.reindex(room);
    }

    /// Removes the history of `room` with its epoch and offsets.
    pub(crate) fn remove(&mut self, room: &RoomName) {
        let Some(entry) = self.entries.get_mut(room) else { return };
        self.bytes -= entry.history.bytes();
        entry.history.clear();
        entry.has_members = false;
        self.reindex(room);
    }

    /// Changes the bound in bytes.
    pub(crate) fn set_most(&mut self, most: usize) {
        self.most = most;
        self.evict();
    }

    /// Restores the history of `room`. `now` is in ms since the epoch; `elapsed`, here and below, in ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`].
    pub(crate) fn restore(&mut self, room: RoomName, rule: HistoryRule, saved: SavedHistory, now: i64, elapsed: i64) {
        let history = TopicHistory::restored(rule, saved, self.most, now, elapsed);
        self.bytes += history.bytes();
        self.entries.insert(room.clone(), HistoryEntry::new(history));
        self.note_use(&room);
        self.evict();
    }

    /// The histories with a message at `elapsed`, to be saved.
    pub(crate) fn saved(&mut self, elapsed: i64) -> Vec<(RoomName, SavedHistory)> {
        self.sweep(elapsed);
        let with_messages = self.entries.iter().filter(|(_, entry)| !entry.history.is_empty());
        with_messages.map(|(room, entry)| (room.clone(), entry.history.saved())).collect()
    }

    /// Sets whether `room` has members.
    pub(crate) fn set_members(&mut self, room: &RoomName, has_members: bool) {
        if let Some(entry) = self.entries.get_mut(room) {
            entry.has_members = has_members;
            if !has_members {
                self.reindex(room);
            }
        }
    }

    /// Gives a publication its offset in the history of `room`, and stores it; returns the publication to deliver.
    pub(crate) fn store(&mut self, room: &RoomName, publication: Publication, elapsed: i64) -> Publication {
        let Some(HistoryEntry { history, .. }) = self.entries.get_mut(room) else { return publication };
        let before = history.bytes();
        let publication = publication.with_offset(history.next());
        history.push(Arc::new(publication.detached()), elapsed, self.most);
        self.bytes = self.bytes - before + history.bytes();
        self.note_use(room);
        self.evict();
        publication
    }

    /// The history of `room` at `elapsed`. Counts as a use.
    pub(crate) fn read(&mut self, room: &RoomName, elapsed: i64) -> Option<&TopicHistory> {
        self.expire(room, elapsed);
        self.note_use(room);
        self.entries.get(room).map(|entry| &entry.history)
    }

    /// The time of the next expiry, or earlier.
    pub(crate) fn due(&self) -> Option<i64> {
        self.by_expiry.first().map(|&(due, _)| due)
    }

    /// Removes messages that are expired at `elapsed`.
    pub(crate) fn sweep(&mut self, elapsed: i64) {
        while let Some((_, room)) = self.by_expiry.first().filter(|&&(due, _)| due <= elapsed).cloned() {
            self.expire(&room, elapsed);
            self.clear_expiry(&room);
            self.reindex(&room);
        }
    }

    fn expire(&mut self, room: &RoomName, elapsed: i64) {
        let Some(HistoryEntry { history, .. }) = self.entries.get_mut(room) else { return };
        let before = history.bytes();
        history.expire(elapsed);
        self.bytes = self.bytes - before + history.bytes();
    }

    fn note_use(&mut self, room: &RoomName) {
        self.uses += 1;
        if let Some(entry) = self.entries.get_mut(room) {
            entry.used = self.uses;
            self.reindex(room);
        }
    }

    /// Updates the indexes after a change of a history, and removes one without messages and members.
    fn reindex(&mut self, room: &RoomName) {
        let Some(entry) = self.entries.get_mut(room) else { return };
        if entry.history.is_empty() {
            if let Some(key) = entry.use_key.take() {
                self.by_use.remove(&key);
            }
            let is_unused = !entry.has_members;
            self.clear_expiry(room);
            if is_unused {
                self.entries.remove(room);
                shrink(&mut self.entries);
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

    fn clear_expiry(&mut self, room: &RoomName) {
        let key = self.entries.get_mut(room).and_then(|entry| entry.expiry_key.take());
        if let Some(due) = key {
            self.by_expiry.remove(&(due, room.clone()));
        }
    }

    /// Evicts histories until the others fit into the bound.
    fn evict(&mut self) {
        while self.bytes > self.most {
            let Some((_, room)) = self.by_use.pop_first() else { return };
            let Some(entry) = self.entries.get_mut(&room) else { continue };
            if entry.use_key.take() == Some(entry.used) {
                self.bytes -= entry.history.bytes();
                self.evicted += 1;
                entry.history.clear();
            }
            self.reindex(&room);
        }
    }
}

#[cfg(test)]
mod tests;
