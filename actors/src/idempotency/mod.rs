//! Stores the outcomes of named requests (requests with an idempotency key). A repeated request gets the same answer
//! and has no second effect. Independent of HTTP and events: an answer is bytes.
//!
//! Each name belongs to an owner: an API key or a user. Each owner has its own share of the memory. One owner's
//! requests evict another owner's only when the whole memory is full. A full share evicts the owner's oldest answer
//! early and counts it, because refusing new requests would be worse. Unfinished requests are never evicted. When all
//! are unfinished, a new request is refused with `OVERLOADED`. Ages use the monotonic clock.

mod memory;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

pub use self::memory::{Bound, Bounds, End, Fill, KEPT_MS, Remembered};
use self::memory::{RequestState, RequestTable};
use crate::model::fault::{Code, Fault};
use crate::runtime::clock::Clock;

/// The key of a named request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// The sender: an API key or a user.
    pub owner: Arc<str>,
    /// The name, chosen by the sender.
    pub name: Arc<str>,
}

/// A SHA-256 of the request, to detect different requests with the same name.
pub type RequestDigest = [u8; 32];

/// The digest of a request with these parts.
pub fn digest(parts: &[&[u8]]) -> RequestDigest {
    let mut digest = Sha256::new();
    for part in parts {
        // The length prefix keeps two different lists of parts from having the same bytes.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// The result of a lookup.
#[derive(Debug)]
pub enum Found {
    /// The request is new: do the work, then use the ticket.
    First(Ticket),
    /// The stored answer to an earlier request.
    Again(Bytes),
    /// The same request is unfinished: wait, then look it up again.
    InProgress(Wait),
}

/// The result of a lookup that waits for an unfinished request.
#[derive(Debug)]
pub enum Claim {
    /// The request is new: do the work, then use the ticket.
    First(Ticket),
    /// The stored answer to an earlier request.
    Again(Bytes),
}

/// Waits for the end of an unfinished request.
#[derive(Debug)]
pub struct Wait(watch::Receiver<()>);

impl Wait {
    /// Resolves when the request has ended with any outcome.
    pub async fn ended(mut self) {
        // The ticket sends no value: this returns an error when the ticket is dropped.
        let _ = self.0.changed().await;
    }
}

#[derive(Debug)]
struct IdempotencyState {
    /// `None` after the export for the next start.
    memory: Mutex<Option<RequestTable>>,
    clock: Clock,
    conflict: &'static str,
}

impl IdempotencyState {
    fn memory(&self) -> MutexGuard<'_, Option<RequestTable>> {
        // The memory is consistent between any two statements that can panic.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, change: impl FnOnce(&mut RequestTable, i64)) {
        if let Some(memory) = &mut *self.memory() {
            change(memory, self.clock.elapsed_ms());
        }
    }
}

/// The memory of one kind of names, shared by all workers.
#[derive(Debug, Clone)]
pub struct Idempotency(Arc<IdempotencyState>);

impl Idempotency {
    /// An empty memory. `conflict` is the error text for a name that is used for two different requests.
    pub fn new(bounds: Bounds, conflict: &'static str, clock: Clock) -> Self {
        let memory = Mutex::new(Some(RequestTable::new(bounds)));
        Self(Arc::new(IdempotencyState { memory, clock, conflict }))
    }

    /// Replaces the bounds. New requests evict entries that no longer fit.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.0.with(|memory, _| memory.set_bounds(bounds));
    }

    /// Looks up the request `key` with this `digest`. An unused name is claimed for the caller.
    ///
    /// # Errors
    /// [`Code::Conflict`] when a different request has the name, [`Code::OutcomeUnknown`] when the outcome is unknown,
    /// [`Code::Overloaded`] when only unfinished requests could be evicted, [`Code::ShuttingDown`] after the export.
    pub fn look_up(&self, key: &IdempotencyKey, digest: RequestDigest) -> Result<Found, Fault> {
        let mut guard = self.0.memory();
        let memory = guard.as_mut().ok_or_else(Fault::shutting_down)?;
        match memory.find(key, &digest, self.0.clock.elapsed_ms()) {
            RequestState::Another => Err(Fault::new(Code::Conflict, self.0.conflict)),
            RequestState::InProgress(wait) => Ok(Found::InProgress(Wait(wait))),
            RequestState::Ended(End::Answered(answer)) => Ok(Found::Again(answer)),
            RequestState::Ended(End::Unknown) => Err(Fault::outcome_unknown()),
            RequestState::Nothing => {
                let (done, wait) = watch::channel(());
                memory.begin(key, digest, wait)?;
                Ok(Found::First(Ticket { shared: self.0.clone(), key: key.clone(), used: false, _done: done }))
            }
        }
    }

    /// Like [`Idempotency::look_up`], but waits for an unfinished request. If that request frees the name, the caller
    /// claims it.
    ///
    /// # Errors
    /// As [`Idempotency::look_up`].
    pub async fn claim(&self, key: &IdempotencyKey, digest: RequestDigest) -> Result<Claim, Fault> {
        loop {
            match self.look_up(key, digest)? {
                Found::First(ticket) => return Ok(Claim::First(ticket)),
                Found::Again(answer) => return Ok(Claim::Again(answer)),
                Found::InProgress(wait) => wait.ended().await,
            }
        }
    }

    /// The current use of the memory.
    pub fn fill(&self) -> Fill {
        self.0.memory().as_ref().map(RequestTable::fill).unwrap_or_default()
    }

    /// Exports all requests for the next start. Later lookups are refused, so no outcome is lost. An unfinished request
    /// is exported with an unknown outcome.
    pub fn take(&self) -> Vec<Remembered> {
        let memory = self.0.memory().take();
        memory.map_or_else(Vec::new, |mut memory| memory.take(self.0.clock.elapsed_ms()))
    }

    /// Adds the exported requests of an earlier memory.
    pub fn restore(&self, remembered: Vec<Remembered>) {
        self.0.with(|memory, now| memory.restore(remembered, now));
    }
}

/// The claim on a named request. Its holder must answer the request: a dropped ticket leaves the outcome unknown.
#[derive(Debug)]
pub struct Ticket {
    shared: Arc<IdempotencyState>,
    key: IdempotencyKey,
    used: bool,
    // Dropped after `Drop::drop`: waiting requests then find the memory up to date.
    _done: watch::Sender<()>,
}

impl Ticket {
    /// Stores the answer and wakes all waiting requests.
    pub fn keep(mut self, answer: Bytes) {
        self.end(End::Answered(answer));
    }

    /// Frees the name, because the request had no effect.
    pub fn free(mut self) {
        self.used = true;
        self.shared.with(|memory, _| memory.remove(&self.key));
    }

    fn end(&mut self, end: End) {
        self.used = true;
        self.shared.with(|memory, now| memory.end(&self.key, end, now + KEPT_MS));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.used {
            self.end(End::Unknown);
        }
    }
}

#[cfg(test)]
mod tests;
