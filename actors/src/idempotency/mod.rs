//! What became of requests that their senders named, so that the same request sent again gets the same answer and does
//! nothing twice. Knows neither HTTP nor events: an answer is bytes.
//!
//! A name is one owner's (an API key, a user), and so is the room for it: one owner's requests never push out another
//! owner's while the memory has room for all. When an owner's share is full its oldest answer is forgotten early and
//! counted, for refusing new work would be worse. A request under way is never forgotten; when there are only such, the
//! next is refused with `OVERLOADED`. Ages are counted by the monotonic clock.

mod memory;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

pub use self::memory::{Bound, Bounds, End, Fill, KEPT_MS, Remembered};
use self::memory::{Known, Memory};
use crate::model::fault::{Code, Fault};
use crate::runtime::clock::Clock;

/// What a request is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who sent it.
    pub owner: Arc<str>,
    /// What the sender calls it.
    pub name: Arc<str>,
}

/// A SHA-256 of what was asked, to tell the same request from another under its name.
pub type Digest = [u8; 32];

/// The digest of a request of these parts.
pub fn digest(parts: &[&[u8]]) -> Digest {
    let mut digest = Sha256::new();
    for part in parts {
        // The length first: no two lists of parts run together into the same bytes.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// What the sender of a named request gets.
#[derive(Debug)]
pub enum Found {
    /// It is the first: do the work, then use the ticket.
    First(Ticket),
    /// It was answered before.
    Again(Bytes),
    /// It is under way: look again after this.
    UnderWay(Wait),
}

/// What the sender of a named request gets that waited, where it had to.
#[derive(Debug)]
pub enum Claim {
    /// It is the first: do the work, then use the ticket.
    First(Ticket),
    /// It was answered before.
    Again(Bytes),
}

/// Waits for the end of a request that is under way.
#[derive(Debug)]
pub struct Wait(watch::Receiver<()>);

impl Wait {
    /// Resolves when the request has ended, whatever came of it.
    pub async fn ended(mut self) {
        // Nothing is ever sent: this returns when the ticket is gone.
        let _ = self.0.changed().await;
    }
}

#[derive(Debug)]
struct Shared {
    /// `None` once it was taken for the next start.
    memory: Mutex<Option<Memory>>,
    clock: Clock,
    conflict: &'static str,
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Option<Memory>> {
        // The memory is consistent between any two statements that can panic.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with(&self, change: impl FnOnce(&mut Memory, i64)) {
        if let Some(memory) = &mut *self.memory() {
            change(memory, self.clock.elapsed_ms());
        }
    }
}

/// The memory of one kind of names, shared by all workers.
#[derive(Debug, Clone)]
pub struct Idempotency(Arc<Shared>);

impl Idempotency {
    /// An empty memory. `conflict` is said to a sender that gives a name to two requests.
    pub fn new(bounds: Bounds, conflict: &'static str, clock: Clock) -> Self {
        let memory = Mutex::new(Some(Memory::new(bounds)));
        Self(Arc::new(Shared { memory, clock, conflict }))
    }

    /// Sets how much may be remembered from now on. What is more goes as new requests come.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.0.with(|memory, _| memory.set_bounds(bounds));
    }

    /// What is known of the request `key`, which asks what `digest` says. It is the caller's when nothing is.
    ///
    /// # Errors
    /// [`Code::Conflict`] when the name was given to another request, [`Code::OutcomeUnknown`] when it ended so,
    /// [`Code::Overloaded`] when all that could be forgotten is under way, [`Code::ShuttingDown`] at the end.
    pub fn look(&self, key: &Key, digest: Digest) -> Result<Found, Fault> {
        let mut guard = self.0.memory();
        let memory = guard.as_mut().ok_or_else(Fault::shutting_down)?;
        match memory.find(key, &digest, self.0.clock.elapsed_ms()) {
            Known::Another => Err(Fault::new(Code::Conflict, self.0.conflict)),
            Known::UnderWay(wait) => Ok(Found::UnderWay(Wait(wait))),
            Known::Ended(End::Answered(answer)) => Ok(Found::Again(answer)),
            Known::Ended(End::Unknown) => Err(Fault::outcome_unknown()),
            Known::Nothing => {
                let (done, wait) = watch::channel(());
                memory.begin(key, digest, wait)?;
                Ok(Found::First(Ticket { shared: self.0.clone(), key: key.clone(), used: false, _done: done }))
            }
        }
    }

    /// As [`Idempotency::look`], and waits for one under way: should that one come to nothing, this is the first in its
    /// stead.
    ///
    /// # Errors
    /// As [`Idempotency::look`].
    pub async fn claim(&self, key: &Key, digest: Digest) -> Result<Claim, Fault> {
        loop {
            match self.look(key, digest)? {
                Found::First(ticket) => return Ok(Claim::First(ticket)),
                Found::Again(answer) => return Ok(Claim::Again(answer)),
                Found::UnderWay(wait) => wait.ended().await,
            }
        }
    }

    /// How full the memory is.
    pub fn fill(&self) -> Fill {
        self.0.memory().as_ref().map(Memory::fill).unwrap_or_default()
    }

    /// Takes out all that is remembered, for the next start. From here on nothing is claimed, so nothing is lost; what is
    /// still under way counts as not known.
    pub fn take(&self) -> Vec<Remembered> {
        let memory = self.0.memory().take();
        memory.map_or_else(Vec::new, |mut memory| memory.take(self.0.clock.elapsed_ms()))
    }

    /// Takes over what an earlier memory had.
    pub fn restore(&self, remembered: Vec<Remembered>) {
        self.0.with(|memory, now| memory.restore(remembered, now));
    }
}

/// The right, and the duty, to answer a named request. One that is dropped leaves its outcome unknown.
#[derive(Debug)]
pub struct Ticket {
    shared: Arc<Shared>,
    key: Key,
    used: bool,
    // Dropped after `Drop::drop`: requests that wait then find the memory up to date.
    _done: watch::Sender<()>,
}

impl Ticket {
    /// Remembers the answer and hands it to all who wait for it.
    pub fn keep(mut self, answer: Bytes) {
        self.end(End::Answered(answer));
    }

    /// Frees the name: nothing was done.
    pub fn free(mut self) {
        self.used = true;
        self.shared.with(|memory, _| memory.forget(&self.key));
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
