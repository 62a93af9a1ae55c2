//! Stores the outcomes of named requests and decides which ones to evict. Reads no clock and does no I/O.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{IdempotencyKey, RequestDigest};
use crate::model::fault::Fault;

/// How long an outcome is stored, ms.
pub const KEPT_MS: i64 = 5 * 60 * 1000;

/// Bytes counted for an entry in addition to its name and answer.
const ENTRY_BYTES: usize = 256;

/// A bound of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Most requests, including unfinished ones.
    pub entries: usize,
    /// Most bytes of names and answers.
    pub bytes: usize,
}

/// The bounds of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// For each owner.
    pub owner: Bound,
    /// For all owners together.
    pub total: Bound,
}

/// The current use of the memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fill {
    /// Stored requests, including unfinished ones.
    pub entries: usize,
    /// Stored bytes.
    pub bytes: usize,
    /// Answers evicted before their expiry.
    pub evicted_early: u64,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The request was answered.
    Answered(Bytes),
    /// The request began, but its outcome is not known.
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

/// A stored request, exported for the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The key of the request.
    pub key: IdempotencyKey,
    /// The digest of the request.
    pub digest: RequestDigest,
    /// The outcome.
    pub end: End,
    /// Time until expiry, ms.
    pub left_ms: i64,
}

/// The state of a request.
#[derive(Debug)]
pub(super) enum RequestState {
    /// The name is not in use.
    Nothing,
    /// A different request has this name.
    Another,
    /// The request is unfinished. The receiver resolves when it ends.
    InProgress(watch::Receiver<()>),
    /// The request has this outcome.
    Ended(End),
}

#[derive(Debug)]
enum Progress {
    InProgress(watch::Receiver<()>),
    Ended(End),
}

#[derive(Debug)]
struct StoredRequest {
    digest: RequestDigest,
    progress: Progress,
}

#[derive(Debug, Default)]
struct Owner {
    entries: HashMap<Arc<str>, StoredRequest>,
    /// The numbers of finished requests, oldest first.
    ended: VecDeque<u64>,
    bytes: usize,
}

/// The stored requests of all owners.
#[derive(Debug)]
pub(super) struct RequestTable {
    bounds: Bounds,
    owners: HashMap<Arc<str>, Owner>,
    /// Finished requests by number, oldest first, with their expiry time by
    /// [`crate::runtime::clock::Clock::elapsed_ms`]. The expiry time grows with the number.
    ended: BTreeMap<u64, (i64, IdempotencyKey)>,
    next: u64,
    entries: usize,
    bytes: usize,
    evicted_early: u64,
}

fn weight(key: &IdempotencyKey, end: &End) -> usize {
    ENTRY_BYTES + key.name.len() + end.len()
}

impl RequestTable {
    /// Replaces the bounds.
    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    pub(super) fn new(bounds: Bounds) -> Self {
        let (owners, ended) = (HashMap::new(), BTreeMap::new());
        Self { bounds, owners, ended, next: 0, entries: 0, bytes: 0, evicted_early: 0 }
    }

    pub(super) fn fill(&self) -> Fill {
        Fill { entries: self.entries, bytes: self.bytes, evicted_early: self.evicted_early }
    }

    /// The state of a request at `now`.
    pub(super) fn find(&mut self, key: &IdempotencyKey, digest: &RequestDigest, now: i64) -> RequestState {
        self.expire(now);
        match self.owners.get(&key.owner).and_then(|owner| owner.entries.get(&key.name)) {
            None => RequestState::Nothing,
            Some(entry) if entry.digest != *digest => RequestState::Another,
            Some(StoredRequest { progress: Progress::InProgress(wait), .. }) => RequestState::InProgress(wait.clone()),
            Some(StoredRequest { progress: Progress::Ended(end), .. }) => RequestState::Ended(end.clone()),
        }
    }

    /// Adds an unfinished request with an unused name.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when only unfinished requests could be evicted.
    pub(super) fn begin(
        &mut self,
        key: &IdempotencyKey,
        digest: RequestDigest,
        wait: watch::Receiver<()>,
    ) -> Result<(), Fault> {
        let of_owner = |memory: &Self| memory.owners.get(&key.owner).map_or(0, |owner| owner.entries.len());
        while of_owner(self) >= self.bounds.owner.entries {
            self.evict_oldest(&key.owner, false).ok_or_else(Fault::overloaded)?;
        }
        while self.entries >= self.bounds.total.entries {
            self.evict_oldest(&key.owner, true).ok_or_else(Fault::overloaded)?;
        }
        let owner = self.owners.entry(key.owner.clone()).or_default();
        owner.entries.insert(key.name.clone(), StoredRequest { digest, progress: Progress::InProgress(wait) });
        self.entries += 1;
        Ok(())
    }

    /// Records the outcome of an unfinished request. Removes the request when the outcome does not fit.
    pub(super) fn end(&mut self, key: &IdempotencyKey, end: End, until: i64) {
        let weight = weight(key, &end);
        let (owner, total) = (self.bounds.owner.bytes, self.bounds.total.bytes);
        if weight > owner.min(total) {
            self.remove(key);
            self.evicted_early += 1;
            return;
        }
        let of_owner = |memory: &Self| memory.owners.get(&key.owner).map_or(0, |owner| owner.bytes);
        while of_owner(self) + weight > owner && self.evict_oldest(&key.owner, false).is_some() {}
        while self.bytes + weight > total && self.evict_oldest(&key.owner, true).is_some() {}
        let Some(owner) = self.owners.get_mut(&key.owner) else { return };
        let Some(entry) = owner.entries.get_mut(&key.name) else { return };
        entry.progress = Progress::Ended(end);
        owner.bytes += weight;
        owner.ended.push_back(self.next);
        self.bytes += weight;
        self.ended.insert(self.next, (until, key.clone()));
        self.next += 1;
    }

    /// Removes an unfinished request.
    pub(super) fn remove(&mut self, key: &IdempotencyKey) {
        let Some(owner) = self.owners.get_mut(&key.owner) else { return };
        if owner.entries.remove(&key.name).is_some() {
            self.entries -= 1;
        }
        if owner.entries.is_empty() {
            self.owners.remove(&key.owner);
        }
    }

    /// Removes and returns all requests: finished ones oldest first, then unfinished ones with an unknown outcome.
    pub(super) fn take(&mut self, now: i64) -> Vec<Remembered> {
        self.expire(now);
        let mut taken = Vec::with_capacity(self.entries);
        for (until, key) in std::mem::take(&mut self.ended).into_values() {
            let entry = self.owners.get_mut(&key.owner).and_then(|owner| owner.entries.remove(&key.name));
            if let Some(StoredRequest { digest, progress: Progress::Ended(end) }) = entry {
                taken.push(Remembered { key, digest, end, left_ms: until - now });
            }
        }
        for (owner, Owner { entries, .. }) in self.owners.drain() {
            taken.extend(entries.into_iter().map(|(name, StoredRequest { digest, .. })| {
                let key = IdempotencyKey { owner: owner.clone(), name };
                Remembered { key, digest, end: End::Unknown, left_ms: KEPT_MS }
            }));
        }
        (self.entries, self.bytes) = (0, 0);
        taken
    }

    /// Adds the exported requests of an earlier memory, in their order.
    pub(super) fn restore(&mut self, remembered: Vec<Remembered>, now: i64) {
        for Remembered { key, digest, end, left_ms } in remembered {
            let (_, wait) = watch::channel(());
            if matches!(self.find(&key, &digest, now), RequestState::Nothing) && self.begin(&key, digest, wait).is_ok()
            {
                // Not longer than a new outcome, in case the wall clock was set back.
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

    /// Evicts the oldest finished request of the owner. If the owner has none and `or_other` is set, evicts the oldest
    /// of any owner.
    fn evict_oldest(&mut self, owner: &Arc<str>, or_other: bool) -> Option<()> {
        let own = self.owners.get(owner).and_then(|owner| owner.ended.front().copied());
        let number = own.or_else(|| self.ended.keys().next().copied().filter(|_| or_other))?;
        let (_, key) = self.ended.remove(&number)?;
        self.remove_oldest(&key);
        self.evicted_early += 1;
        Some(())
    }

    /// Removes the owner's oldest finished request, after its removal from the list of all owners.
    fn remove_oldest(&mut self, key: &IdempotencyKey) {
        let Some(owner) = self.owners.get_mut(&key.owner) else { return };
        owner.ended.pop_front();
        if let Some(StoredRequest { progress: Progress::Ended(end), .. }) = owner.entries.remove(&key.name) {
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
