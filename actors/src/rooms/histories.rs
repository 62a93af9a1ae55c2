//! The histories of one shard's rooms, pure: which there are, and which goes when all of them are larger than they may
//! be. Knows no messages of actors, and of members only whether a room has any.
//!
//! A history is there while its room has a member or a message. The one that was not touched for longest goes whole, for
//! what is left of a history with its oldest messages gone helps nobody who was away for long; a room with members keeps
//! its numbering.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::AHashMap;

use super::history::{History, Saved};
use super::rules::HistoryRule;
use crate::model::ids::{Epoch, RoomName};
use crate::publication::Publication;

#[derive(Debug)]
struct Shelved {
    history: History,
    /// The room has members.
    is_inhabited: bool,
    /// When it was last of use.
    touched: u64,
    /// Where it is in `untouched`, while it has a message.
    listed: Option<u64>,
    /// Where it is in `aging`, while it has a message that ages.
    watched: Option<i64>,
}

impl Shelved {
    fn new(history: History) -> Self {
        Self { history, is_inhabited: false, touched: 0, listed: None, watched: None }
    }
}

/// The histories.
#[derive(Debug)]
pub(crate) struct Archive {
    /// Bytes that all of them may have.
    most: usize,
    bytes: usize,
    evicted: u64,
    /// Counts what touches them.
    touches: u64,
    histories: AHashMap<RoomName, Shelved>,
    /// Those with messages, by when they were touched or earlier: it is looked again before one goes.
    untouched: BTreeMap<u64, RoomName>,
    /// Those with messages that age, by when the oldest is too old or earlier.
    aging: BTreeSet<(i64, RoomName)>,
}

impl Archive {
    /// No histories yet; all of them may have `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            bytes: 0,
            evicted: 0,
            touches: 0,
            histories: AHashMap::new(),
            untouched: BTreeMap::new(),
            aging: BTreeSet::new(),
        }
    }

    /// What all of them are counted as, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Histories that gave way to others since this was last asked.
    pub(crate) fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }

    /// Whether there is one of `room`.
    pub(crate) fn holds(&self, room: &RoomName) -> bool {
        self.histories.contains_key(room)
    }

    /// Makes one of `room` where there is none.
    pub(crate) fn open(&mut self, room: &RoomName, rule: HistoryRule) {
        let histories = &mut self.histories;
        histories.entry(room.clone()).or_insert_with(|| Shelved::new(History::new(rule, Epoch::random())));
    }

    /// Has the history of `room`, where there is one, keep by another rule.
    pub(crate) fn set_rule(&mut self, room: &RoomName, rule: HistoryRule, elapsed: i64) {
        let Some(Shelved { history, .. }) = self.histories.get_mut(room) else { return };
        if history.rule() == rule {
            return;
        }
        let before = history.bytes();
        history.set_rule(rule, elapsed);
        self.bytes = self.bytes - before + history.bytes();
        // Its messages may age by now, or earlier than before.
        self.unwatch(room);
        self.settle(room);
    }

    /// Forgets the history of `room`, its numbering too.
    pub(crate) fn remove(&mut self, room: &RoomName) {
        let Some(shelved) = self.histories.get_mut(room) else { return };
        self.bytes -= shelved.history.bytes();
        shelved.history.forget();
        shelved.is_inhabited = false;
        self.settle(room);
    }

    /// Sets the bytes that all of them may have from now on.
    pub(crate) fn set_most(&mut self, most: usize) {
        self.most = most;
        self.make_room();
    }

    /// Puts back what was saved of `room`; `now` is in ms since the epoch, `elapsed` ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`], here and below.
    pub(crate) fn restore(&mut self, room: RoomName, rule: HistoryRule, saved: Saved, now: i64, elapsed: i64) {
        let history = History::restored(rule, saved, self.most, now, elapsed);
        self.bytes += history.bytes();
        self.histories.insert(room.clone(), Shelved::new(history));
        self.touch(&room);
        self.make_room();
    }

    /// What is to be saved, each with its room: those that have a message at `elapsed`.
    pub(crate) fn saved(&mut self, elapsed: i64) -> Vec<(RoomName, Saved)> {
        self.sweep(elapsed);
        let with_messages = self.histories.iter().filter(|(_, shelved)| !shelved.history.is_empty());
        with_messages.map(|(room, shelved)| (room.clone(), shelved.history.saved())).collect()
    }

    /// The first member of `room` came.
    pub(crate) fn inhabit(&mut self, room: &RoomName) {
        if let Some(shelved) = self.histories.get_mut(room) {
            shelved.is_inhabited = true;
        }
    }

    /// The last member of `room` went.
    pub(crate) fn desert(&mut self, room: &RoomName) {
        if let Some(shelved) = self.histories.get_mut(room) {
            shelved.is_inhabited = false;
            self.settle(room);
        }
    }

    /// Gives a message its number in the history of `room`, and keeps it; what is to be delivered.
    pub(crate) fn keep(&mut self, room: &RoomName, delivery: Publication, elapsed: i64) -> Publication {
        let Some(Shelved { history, .. }) = self.histories.get_mut(room) else { return delivery };
        let before = history.bytes();
        let delivery = delivery.with_offset(history.next());
        history.keep(Arc::new(delivery.detached()), elapsed, self.most);
        self.bytes = self.bytes - before + history.bytes();
        self.touch(room);
        self.make_room();
        delivery
    }

    /// The history of `room` as it is at `elapsed`, for somebody who wants it.
    pub(crate) fn look(&mut self, room: &RoomName, elapsed: i64) -> Option<&History> {
        self.expire(room, elapsed);
        self.touch(room);
        self.histories.get(room).map(|shelved| &shelved.history)
    }

    /// When something will be too old, or earlier.
    pub(crate) fn due(&self) -> Option<i64> {
        self.aging.first().map(|&(due, _)| due)
    }

    /// Forgets what is too old at `elapsed`.
    pub(crate) fn sweep(&mut self, elapsed: i64) {
        while let Some((_, room)) = self.aging.first().filter(|&&(due, _)| due <= elapsed).cloned() {
            self.expire(&room, elapsed);
            self.unwatch(&room);
            self.settle(&room);
        }
    }

    fn expire(&mut self, room: &RoomName, elapsed: i64) {
        let Some(Shelved { history, .. }) = self.histories.get_mut(room) else { return };
        let before = history.bytes();
        history.expire(elapsed);
        self.bytes = self.bytes - before + history.bytes();
    }

    fn touch(&mut self, room: &RoomName) {
        self.touches += 1;
        if let Some(shelved) = self.histories.get_mut(room) {
            shelved.touched = self.touches;
            self.settle(room);
        }
    }

    /// Puts a history that may be other than before where it belongs.
    fn settle(&mut self, room: &RoomName) {
        let Some(shelved) = self.histories.get_mut(room) else { return };
        if shelved.history.is_empty() {
            if let Some(listed) = shelved.listed.take() {
                self.untouched.remove(&listed);
            }
            let is_over = !shelved.is_inhabited;
            self.unwatch(room);
            if is_over {
                self.histories.remove(room);
                super::shrink(&mut self.histories);
            }
            return;
        }
        if shelved.listed.is_none() {
            shelved.listed = Some(shelved.touched);
            self.untouched.insert(shelved.touched, room.clone());
        }
        if shelved.watched.is_none()
            && let Some(due) = shelved.history.due()
        {
            shelved.watched = Some(due);
            self.aging.insert((due, room.clone()));
        }
    }

    fn unwatch(&mut self, room: &RoomName) {
        let watched = self.histories.get_mut(room).and_then(|shelved| shelved.watched.take());
        if let Some(due) = watched {
            self.aging.remove(&(due, room.clone()));
        }
    }

    /// Has histories go until the others have room.
    fn make_room(&mut self) {
        while self.bytes > self.most {
            let Some((_, room)) = self.untouched.pop_first() else { return };
            let Some(shelved) = self.histories.get_mut(&room) else { continue };
            if shelved.listed.take() == Some(shelved.touched) {
                self.bytes -= shelved.history.bytes();
                self.evicted += 1;
                shelved.history.forget();
            }
            self.settle(&room);
        }
    }
}

#[cfg(test)]
mod tests;
