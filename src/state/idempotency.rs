//! What was answered to a request that named itself with `Idempotency-Key`, so that the request sent again gets the
//! same answer and does nothing twice. Knows neither HTTP nor the hub: an answer is a status and bytes.
//!
//! The memory is bounded: [`KEPT_ANSWERS`] answers, [`KEPT_BYTES`] bytes, [`KEPT_MS`] milliseconds. When it is full the
//! oldest answer is forgotten early and counted, for refusing new work would be worse. A request still under way is
//! never forgotten; when there are only such, the next is refused with `OVERLOADED`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hubbub_actors::fault::{Code, Fault};
use tokio::sync::watch;

/// How long an answer is remembered.
pub const KEPT_MS: i64 = 5 * 60 * 1000;
/// How many answers are remembered at most, requests under way included.
pub const KEPT_ANSWERS: usize = 10_000;
/// How many bytes of bodies and names are remembered at most.
pub const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// What a request is known by: who sent it, and what the sender calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The name of the API key.
    pub caller: Arc<str>,
    /// The value of `Idempotency-Key`.
    pub name: Arc<str>,
}

/// A digest of what was asked, to tell the same request from another under its name.
pub type Print = [u8; 32];

/// An answer as it is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The status.
    pub status: u16,
    /// The body, JSON text.
    pub body: Bytes,
}

#[derive(Debug)]
enum Progress {
    /// Closed by the [`Ticket`] when the request is done.
    UnderWay(watch::Receiver<()>),
    Answered(Remembered),
}

#[derive(Debug)]
struct Entry {
    print: Print,
    progress: Progress,
}

/// The pure part: what is remembered, and in which order it is forgotten.
#[derive(Debug, Default)]
struct Memory {
    entries: HashMap<Key, Entry>,
    /// The answered ones, oldest first, with the time each stops to hold.
    answered: VecDeque<(i64, Key)>,
    bytes: usize,
    forgotten_early: u64,
}

fn weight(key: &Key, answer: &Remembered) -> usize {
    key.name.len() + answer.body.len()
}

impl Memory {
    fn forget_oldest(&mut self) -> bool {
        let Some((_, key)) = self.answered.pop_front() else {
            return false;
        };
        if let Some(Entry { progress: Progress::Answered(answer), .. }) = self.entries.remove(&key) {
            self.bytes -= weight(&key, &answer);
        }
        true
    }

    fn expire(&mut self, now_ms: i64) {
        while self.answered.front().is_some_and(|(end, _)| *end <= now_ms) {
            self.forget_oldest();
        }
    }

    /// Makes room for one more request.
    fn make_room(&mut self) -> Result<(), Fault> {
        while self.entries.len() >= KEPT_ANSWERS {
            if !self.forget_oldest() {
                return Err(Fault::overloaded());
            }
            self.forgotten_early += 1;
        }
        Ok(())
    }

    fn keep(&mut self, key: &Key, answer: Remembered, now_ms: i64) {
        let weight = weight(key, &answer);
        if weight > KEPT_BYTES {
            self.entries.remove(key);
            self.forgotten_early += 1;
            return;
        }
        while self.bytes + weight > KEPT_BYTES && self.forget_oldest() {
            self.forgotten_early += 1;
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.progress = Progress::Answered(answer);
            self.bytes += weight;
            self.answered.push_back((now_ms + KEPT_MS, key.clone()));
        }
    }
}

/// What the sender of a named request gets.
#[derive(Debug)]
pub enum Claim {
    /// It is the first: do the work, then [`Ticket::keep`] the answer.
    First(Ticket),
    /// It was answered before.
    Again(Remembered),
}

/// How full the memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// Requests remembered, those under way included.
    pub entries: usize,
    /// Bytes remembered.
    pub bytes: usize,
    /// Answers forgotten before their time because the memory was full.
    pub forgotten_early: u64,
}

/// The memory, shared by all workers.
#[derive(Debug, Clone, Default)]
pub struct Idempotency {
    memory: Arc<Mutex<Memory>>,
}

fn locked(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    // The memory is consistent between any two statements that can panic.
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Idempotency {
    /// Claims the name `key` for a request with the digest `print`. While another request of that name is under way it
    /// waits for its answer; should that one come to nothing, it is the first in its stead.
    ///
    /// # Errors
    /// [`Code::Conflict`] when the name was given to another request, [`Code::Overloaded`] when all that is remembered
    /// is under way.
    pub async fn claim(&self, key: &Key, print: Print, now: impl Fn() -> i64) -> Result<Claim, Fault> {
        loop {
            let mut under_way = match self.look(key, print, now())? {
                Found::Nothing(ticket) => return Ok(Claim::First(ticket)),
                Found::Answer(answer) => return Ok(Claim::Again(answer)),
                Found::UnderWay(done) => done,
            };
            // Nothing is ever sent: this returns when the other's ticket is gone.
            let _ = under_way.changed().await;
        }
    }

    fn look(&self, key: &Key, print: Print, now_ms: i64) -> Result<Found, Fault> {
        let mut memory = locked(&self.memory);
        memory.expire(now_ms);
        if let Some(entry) = memory.entries.get(key) {
            if entry.print != print {
                return Err(Fault::new(Code::Conflict, "This Idempotency-Key was used for a different request"));
            }
            return Ok(match &entry.progress {
                Progress::UnderWay(done) => Found::UnderWay(done.clone()),
                Progress::Answered(answer) => Found::Answer(answer.clone()),
            });
        }
        memory.make_room()?;
        let (done, waiting) = watch::channel(());
        memory.entries.insert(key.clone(), Entry { print, progress: Progress::UnderWay(waiting) });
        Ok(Found::Nothing(Ticket { memory: Arc::clone(&self.memory), key: key.clone(), kept: false, _done: done }))
    }

    /// How full the memory is.
    pub fn fill(&self) -> Fill {
        let memory = locked(&self.memory);
        Fill { entries: memory.entries.len(), bytes: memory.bytes, forgotten_early: memory.forgotten_early }
    }
}

enum Found {
    Nothing(Ticket),
    Answer(Remembered),
    UnderWay(watch::Receiver<()>),
}

/// The right, and the duty, to answer a named request. Dropped without an answer it gives the name free again.
#[derive(Debug)]
pub struct Ticket {
    memory: Arc<Mutex<Memory>>,
    key: Key,
    kept: bool,
    // Dropped after `Drop::drop`, so that those who wait find the memory settled.
    _done: watch::Sender<()>,
}

impl Ticket {
    /// Remembers the answer and hands it to all who wait for it.
    pub fn keep(mut self, answer: Remembered, now_ms: i64) {
        self.kept = true;
        locked(&self.memory).keep(&self.key, answer, now_ms);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.kept {
            locked(&self.memory).entries.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { caller: Arc::from("laravel"), name: Arc::from(name) }
    }

    fn answer(text: &str) -> Remembered {
        Remembered { status: 200, body: Bytes::copy_from_slice(text.as_bytes()) }
    }

    async fn first(memory: &Idempotency, name: &str, now: i64) -> Ticket {
        match memory.claim(&key(name), [1; 32], || now).await.unwrap() {
            Claim::First(ticket) => ticket,
            Claim::Again(answer) => panic!("already answered: {answer:?}"),
        }
    }

    async fn again(memory: &Idempotency, name: &str, now: i64) -> Remembered {
        match memory.claim(&key(name), [1; 32], || now).await.unwrap() {
            Claim::First(_) => panic!("nothing is remembered"),
            Claim::Again(answer) => answer,
        }
    }

    #[tokio::test]
    async fn the_same_request_gets_the_first_answer_for_five_minutes() {
        let memory = Idempotency::default();
        first(&memory, "a", 0).await.keep(answer("one"), 10);
        assert_eq!(again(&memory, "a", 10 + KEPT_MS - 1).await, answer("one"));
        drop(first(&memory, "a", 10 + KEPT_MS).await);
        assert_eq!(memory.fill().entries, 0);
        assert_eq!(memory.fill().bytes, 0);
    }

    #[tokio::test]
    async fn another_request_under_a_known_name_is_a_conflict() {
        let memory = Idempotency::default();
        let ticket = first(&memory, "a", 0).await;
        let fault = memory.claim(&key("a"), [2; 32], || 0).await.unwrap_err();
        assert_eq!(fault.code, Code::Conflict);
        ticket.keep(answer("one"), 0);
        let fault = memory.claim(&key("a"), [2; 32], || 0).await.unwrap_err();
        assert_eq!(fault.code, Code::Conflict);
    }

    #[tokio::test]
    async fn names_of_different_callers_do_not_meet() {
        let memory = Idempotency::default();
        first(&memory, "a", 0).await.keep(answer("one"), 0);
        let other = Key { caller: Arc::from("another"), name: Arc::from("a") };
        let claim = memory.claim(&other, [2; 32], || 0).await.unwrap();
        assert!(matches!(claim, Claim::First(_)));
    }

    #[tokio::test]
    async fn a_second_request_waits_for_the_answer_to_the_first() {
        let memory = Idempotency::default();
        let ticket = first(&memory, "a", 0).await;
        let second = tokio::spawn({
            let memory = memory.clone();
            async move { again(&memory, "a", 0).await }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        ticket.keep(answer("one"), 0);
        assert_eq!(second.await.unwrap(), answer("one"));
    }

    #[tokio::test]
    async fn when_the_first_comes_to_nothing_one_of_those_who_wait_takes_its_place() {
        let memory = Idempotency::default();
        let ticket = first(&memory, "a", 0).await;
        let second = tokio::spawn({
            let memory = memory.clone();
            async move { first(&memory, "a", 0).await.keep(answer("two"), 0) }
        });
        tokio::task::yield_now().await;
        drop(ticket);
        second.await.unwrap();
        assert_eq!(again(&memory, "a", 0).await, answer("two"));
    }

    #[tokio::test]
    async fn a_full_memory_forgets_its_oldest_answer_and_counts_that() {
        let memory = Idempotency::default();
        for n in 0..=KEPT_ANSWERS {
            first(&memory, &n.to_string(), 0).await.keep(answer("x"), 0);
        }
        let fill = memory.fill();
        assert_eq!((fill.entries, fill.forgotten_early), (KEPT_ANSWERS, 1));
        assert_eq!(again(&memory, "1", 0).await, answer("x"));
        drop(first(&memory, "0", 0).await);
    }

    #[tokio::test]
    async fn large_answers_are_bounded_by_their_bytes() {
        let memory = Idempotency::default();
        let large = "x".repeat(KEPT_BYTES / 4);
        for n in 0..8 {
            first(&memory, &n.to_string(), 0).await.keep(answer(&large), 0);
        }
        let fill = memory.fill();
        assert!(fill.bytes <= KEPT_BYTES);
        assert_eq!((fill.entries, fill.forgotten_early), (3, 5));
    }

    #[tokio::test]
    async fn what_is_under_way_is_never_forgotten() {
        let memory = Idempotency::default();
        let mut tickets = Vec::new();
        for n in 0..KEPT_ANSWERS {
            tickets.push(first(&memory, &n.to_string(), 0).await);
        }
        let fault = memory.claim(&key("one more"), [1; 32], || 0).await;
        assert_eq!(fault.unwrap_err().code, Code::Overloaded);
        tickets.pop();
        drop(first(&memory, "one more", 0).await);
    }
}
