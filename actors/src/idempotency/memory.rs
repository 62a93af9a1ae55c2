//! What is remembered of named requests, and in which order it is forgotten. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{Digest, Key};
use crate::model::fault::Fault;

/// How long an answer is remembered, ms.
pub const KEPT_MS: i64 = 5 * 60 * 1000;

/// What an entry counts beside its name and its answer, in bytes.
const ENTRY_BYTES: usize = 256;

/// How much may be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Requests, those under way included.
    pub entries: usize,
    /// Bytes of names and answers.
    pub bytes: usize,
}

/// How much may be remembered of one owner, and in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of one owner.
    pub owner: Bound,
    /// Of all owners.
    pub total: Bound,
}

/// How full a memory is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Requests remembered, those under way included.
    pub entries: usize,
    /// Bytes remembered.
    pub bytes: usize,
    /// Answers forgotten before their time, for want of room.
    pub forgotten_early: u64,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this answer.
    Answered(Bytes),
    /// It was begun, and what came of it is not known.
    Unknown,
}

impl End {
    fn len(&self) -> usize {
        match self {
            Self::Answered(answer) => answer.len(),
            Self::Unknown => 0,
        }
    }
}

/// What is remembered of a request, on its way to the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The request.
    pub key: Key,
    /// What it asked.
    pub digest: Digest,
    /// How it ended.
    pub end: End,
    /// For how long that is remembered still, ms.
    pub left_ms: i64,
}

/// What is known of a request.
#[derive(Debug)]
pub(super) enum Known {
    /// Nothing.
    Nothing,
    /// Another one has its name.
    Another,
    /// It is under way; the receiver resolves when it ends.
    UnderWay(watch::Receiver<()>),
    /// It ended so.
    Ended(End),
}

#[derive(Debug)]
enum Progress {
    UnderWay(watch::Receiver<()>),
    Ended(End),
}

#[derive(Debug)]
struct Entry {
    digest: Digest,
    progress: Progress,
}

#[derive(Debug, Default)]
struct Owner {
    entries: HashMap<Arc<str>, Entry>,
    /// The numbers of those that ended, oldest first.
    ended: VecDeque<u64>,
    bytes: usize,
}

/// The memory.
#[derive(Debug)]
pub(super) struct Memory {
    bounds: Bounds,
    owners: HashMap<Arc<str>, Owner>,
    /// Those that ended, by their numbers: oldest first. With the time at which each is forgotten, by
    /// [`crate::runtime::clock::Clock::elapsed_ms`], which grows with the number.
    ended: BTreeMap<u64, (i64, Key)>,
    next: u64,
    entries: usize,
    bytes: usize,
    forgotten_early: u64,
}

fn weight(key: &Key, end: &End) -> usize {
    ENTRY_BYTES + key.name.len() + end.len()
}

impl Memory {
    /// Sets how much may be remembered from now on.
    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    pub(super) fn new(bounds: Bounds) -> Self {
        let (owners, ended) = (HashMap::new(), BTreeMap::new());
        Self { bounds, owners, ended, next: 0, entries: 0, bytes: 0, forgotten_early: 0 }
    }

    pub(super) fn fill(&self) -> Fill {
        Fill { entries: self.entries, bytes: self.bytes, forgotten_early: self.forgotten_early }
    }

    /// What is known of a request at `now`.
    pub(super) fn find(&mut self, key: &Key, digest: &Digest, now: i64) -> Known {
        self.expire(now);
        match self.owners.get(&key.owner).and_then(|owner| owner.entries.get(&key.name)) {
            None => Known::Nothing,
            Some(entry) if entry.digest != *digest => Known::Another,
            Some(Entry { progress: Progress::UnderWay(wait), .. }) => Known::UnderWay(wait.clone()),
            Some(Entry { progress: Progress::Ended(end), .. }) => Known::Ended(end.clone()),
        }
    }

    /// Notes that a request is under way, of which nothing was known.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when all that could give way is under way.
    pub(super) fn begin(&mut self, key: &Key, digest: Digest, wait: watch::Receiver<()>) -> Result<(), Fault> {
        let of_owner = |memory: &Self| memory.owners.get(&key.owner).map_or(0, |owner| owner.entries.len());
        while of_owner(self) >= self.bounds.owner.entries {
            self.give_way(&key.owner, false).ok_or_else(Fault::overloaded)?;
        }
        while self.entries >= self.bounds.total.entries {
            self.give_way(&key.owner, true).ok_or_else(Fault::overloaded)?;
        }
        let owner = self.owners.entry(key.owner.clone()).or_default();
        owner.entries.insert(key.name.clone(), Entry { digest, progress: Progress::UnderWay(wait) });
        self.entries += 1;
        Ok(())
    }

    /// Notes how a request that was under way ended. One for which there is no room is forgotten.
    pub(super) fn end(&mut self, key: &Key, end: End, until: i64) {
        let weight = weight(key, &end);
        let (owner, total) = (self.bounds.owner.bytes, self.bounds.total.bytes);
        if weight > owner.min(total) {
            self.forget(key);
            self.forgotten_early += 1;
            return;
        }
        let of_owner = |memory: &Self| memory.owners.get(&key.owner).map_or(0, |owner| owner.bytes);
        while of_owner(self) + weight > owner && self.give_way(&key.owner, false).is_some() {}
        while self.bytes + weight > total && self.give_way(&key.owner, true).is_some() {}
        let Some(owner) = self.owners.get_mut(&key.owner) else { return };
        let Some(entry) = owner.entries.get_mut(&key.name) else { return };
        entry.progress = Progress::Ended(end);
        owner.bytes += weight;
        owner.ended.push_back(self.next);
        self.bytes += weight;
        self.ended.insert(self.next, (until, key.clone()));
        self.next += 1;
    }

    /// Forgets a request that is under way.
    pub(super) fn forget(&mut self, key: &Key) {
        let Some(owner) = self.owners.get_mut(&key.owner) else { return };
        if owner.entries.remove(&key.name).is_some() {
            self.entries -= 1;
        }
        if owner.entries.is_empty() {
            self.owners.remove(&key.owner);
        }
    }

    /// All that ended, and what is under way as not known: oldest first. Nothing is left.
    pub(super) fn take(&mut self, now: i64) -> Vec<Remembered> {
        self.expire(now);
        let mut taken = Vec::with_capacity(self.entries);
        for (until, key) in std::mem::take(&mut self.ended).into_values() {
            let entry = self.owners.get_mut(&key.owner).and_then(|owner| owner.entries.remove(&key.name));
            if let Some(Entry { digest, progress: Progress::Ended(end) }) = entry {
                taken.push(Remembered { key, digest, end, left_ms: until - now });
            }
        }
        for (owner, Owner { entries, .. }) in self.owners.drain() {
            taken.extend(entries.into_iter().map(|(name, Entry { digest, .. })| {
                let key = Key { owner: owner.clone(), name };
                Remembered { key, digest, end: End::Unknown, left_ms: KEPT_MS }
            }));
        }
        (self.entries, self.bytes) = (0, 0);
        taken
    }

    /// Takes over what an earlier memory had, in its order.
    pub(super) fn restore(&mut self, remembered: Vec<Remembered>, now: i64) {
        for Remembered { key, digest, end, left_ms } in remembered {
            let (_, wait) = watch::channel(());
            if matches!(self.find(&key, &digest, now), Known::Nothing) && self.begin(&key, digest, wait).is_ok() {
                // No longer than a new one: the wall clock may have been set back.
                self.end(&key, end, now + left_ms.min(KEPT_MS));
            }
        }
    }

    fn expire(&mut self, now: i64) {
        while let Some(oldest) = self.ended.first_entry().filter(|oldest| oldest.get().0 <= now) {
            let (_, key) = oldest.remove();
            self.remove_oldest(&key);
        }
    }

    /// Forgets the oldest of an owner that ended; of any owner where this one has none and `or_other`.
    fn give_way(&mut self, owner: &Arc<str>, or_other: bool) -> Option<()> {
        let own = self.owners.get(owner).and_then(|owner| owner.ended.front().copied());
        let number = own.or_else(|| self.ended.keys().next().copied().filter(|_| or_other))?;
        let (_, key) = self.ended.remove(&number)?;
        self.remove_oldest(&key);
        self.forgotten_early += 1;
        Some(())
    }

    /// Removes an owner's oldest that ended, which is no longer in the list of all.
    fn remove_oldest(&mut self, key: &Key) {
        let Some(owner) = self.owners.get_mut(&key.owner) else { return };
        owner.ended.pop_front();
        if let Some(Entry { progress: Progress::Ended(end), .. }) = owner.entries.remove(&key.name) {
            let weight = weight(key, &end);
            owner.bytes -= weight;
            self.bytes -= weight;
            self.entries -= 1;
        }
        if owner.entries.is_empty() {
            self.owners.remove(&key.owner);
        }
    }
}
