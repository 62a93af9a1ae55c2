//! Tokens that only the application can read (Sanctum's `12|abc…`): the hub asks it, and believes what it says.
//!
//! Whatever is no clear yes lets nobody in. The application is spared: one question a token is on its way however many
//! ask, so many at once as [`CALLS`], answers are remembered, and one that does not answer is left alone for a while.
//! A question that failed is not repeated: its client waits at its handshake, and may well come again by itself.

mod answer;
mod memory;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::identity::Identity;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use self::answer::{Trouble, Verdict};
use self::memory::{Digest, Memory};
use super::claims::invalid;
use super::{not_understood, unavailable};
use crate::logging::periodic::{Periodic, Summary};
use crate::upstream::circuit_breaker::{CircuitBreaker, OPEN_MS, Transition};
use crate::upstream::http_client::{HttpClient, HttpFailure, Redirects, TIMEOUT};

/// Questions on their way at once; one more waits for as long as an answer may take.
const CALLS: usize = 64;

/// Tokens that are asked about or wait for it; one more is refused.
const FLIGHTS: usize = 1_024;

/// Answers remembered, of each kind, and their bytes.
const ANSWERS: usize = 10_000;
const ANSWER_BYTES: usize = 32 << 20;

/// Most bytes of an answer.
const ANSWER_MAX: usize = 64 * 1024;

/// How long a no is remembered: against a client that asks again and again.
const REFUSED_MS: i64 = 5_000;

/// What a [`Backend`] goes by.
pub struct Settings {
    /// Where to ask.
    pub url: String,
    /// Seconds for which a yes is remembered; 0 asks each time.
    pub cache_secs: u32,
    /// How far the application's clock may be from ours, in seconds.
    pub leeway_secs: u32,
}

/// The application that knows whose token is whose.
#[derive(Clone)]
pub struct Backend(Arc<Inner>);

struct Inner {
    outside: HttpClient,
    calls: Semaphore,
    known: Mutex<Known>,
    kept_ms: i64,
    leeway_ms: i64,
    answered: AtomicU64,
    failed: AtomicU64,
    shed: AtomicU64,
    /// Questions that failed: strangers can cause them at will.
    unclear: Periodic,
    /// Answers that were not understood, apart from those, so that their reason is told however many questions fail.
    not_understood: Periodic,
}

struct Known {
    holders: Memory<Identity>,
    /// Apart from the others, so that made-up tokens push none of those out.
    refused: Memory<Fault>,
    flights: HashMap<Digest, watch::Receiver<Option<Result<Identity, Fault>>>>,
    breaker: CircuitBreaker,
}

/// How it is with the application, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Questions that it answered, yes or no.
    pub answered: u64,
    /// Questions that failed.
    pub failed: u64,
    /// Tokens refused without a question: too many at once, or it is left alone.
    pub shed: u64,
    /// Answers that are remembered.
    pub remembered: usize,
    /// Tokens that wait for an answer.
    pub waiting: usize,
    /// It is left alone because it did not answer.
    pub open: bool,
}

impl Backend {
    /// An application at a URL.
    ///
    /// # Errors
    /// See [`HttpClient::new`].
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Ok(Self(Arc::new(Inner {
            outside: HttpClient::new(&settings.url, Redirects::Refused)?,
            calls: Semaphore::new(CALLS),
            known: Mutex::new(Known {
                holders: Memory::new(ANSWERS, ANSWER_BYTES),
                refused: Memory::new(ANSWERS, ANSWER_BYTES),
                flights: HashMap::new(),
                breaker: CircuitBreaker::new(TIMEOUT),
            }),
            kept_ms: i64::from(settings.cache_secs) * 1_000,
            leeway_ms: i64::from(settings.leeway_secs) * 1_000,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            unclear: Periodic::default(),
            not_understood: Periodic::default(),
        })))
    }

    /// Says who holds `token`.
    ///
    /// # Errors
    /// `InvalidToken` when the application does not know it, `TokenExpired` when it was good once, `AuthUnavailable` when
    /// there is no telling: without `retry_after` where the answer was not understood.
    pub async fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
        // What could not stand in a header is nobody's token, and would be another header.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("The token is malformed").by("token"));
        }
        let mut landing = match self.0.recall(token, now_ms) {
            Recalled::Known(decision) => return (*decision).and_then(|identity| unexpired(identity, now_ms)),
            Recalled::Flying(landing) => landing,
        };
        let decision = match landing.wait_for(Option::is_some).await {
            Ok(decision) => decision.clone(),
            Err(_) => None,
        };
        decision.unwrap_or_else(|| Err(unavailable(Duration::ZERO))).and_then(|identity| unexpired(identity, now_ms))
    }

    /// How it is with the application.
    pub fn auth_state(&self, now_ms: i64) -> Standing {
        let known = self.0.lock();
        Standing {
            answered: self.0.answered.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
            shed: self.0.shed.load(Ordering::Relaxed),
            remembered: known.holders.len() + known.refused.len(),
            waiting: known.flights.len(),
            open: known.breaker.is_open(now_ms),
        }
    }
}

fn unexpired(identity: Identity, now_ms: i64) -> Result<Identity, Fault> {
    if identity.expires_at.is_some_and(|end| now_ms >= end) {
        return Err(Fault::new(Code::TokenExpired, "The token has expired").by("token exp"));
    }
    Ok(identity)
}

enum Recalled {
    Known(Box<Result<Identity, Fault>>),
    Flying(watch::Receiver<Option<Result<Identity, Fault>>>),
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(self: &Arc<Self>, token: &str, now_ms: i64) -> Recalled {
        let digest: Digest = Sha256::digest(token).into();
        let mut known = self.lock();
        if let Some(identity) = known.holders.recall(&digest, now_ms) {
            return Recalled::Known(Box::new(Ok(identity)));
        }
        if let Some(fault) = known.refused.recall(&digest, now_ms) {
            return Recalled::Known(Box::new(Err(fault)));
        }
        if let Some(landing) = known.flights.get(&digest) {
            return Recalled::Flying(landing.clone());
        }
        if known.flights.len() >= FLIGHTS || !known.breaker.would_admit(now_ms) {
            return Recalled::Known(Box::new(Err(self.shed())));
        }
        let (landed, landing) = watch::channel(None);
        known.flights.insert(digest, landing.clone());
        let flight = Flight { backend: self.clone(), digest };
        // A task of its own: the first who asked may hang up, the others still wait.
        tokio::spawn(flight.fly(token.to_owned(), now_ms, landed));
        Recalled::Flying(landing)
    }

    fn shed(&self) -> Fault {
        self.shed.fetch_add(1, Ordering::Relaxed);
        unavailable(Duration::from_millis(OPEN_MS.unsigned_abs()))
    }

    /// Asks about `token`; what was answered, and how many bytes it took.
    async fn ask(&self, token: &str, asked_ms: i64) -> (Verdict, usize) {
        let asked = Instant::now();
        let answer = self.outside.get(Some(token), ANSWER_MAX).await;
        let now_ms = later(asked_ms, asked);
        let (decision, weight) = match answer {
            Ok(answer) => (answer::read(&answer, self.leeway_ms), answer.size()),
            // It answers, if too much: it is not down.
            Err(failure @ HttpFailure::TooLong(_)) => {
                (Verdict::Unclear(Trouble::NotUnderstood, failure.to_string()), 0)
            }
            Err(failure) => (Verdict::Unclear(Trouble::Down, failure.to_string()), 0),
        };
        let broken = matches!(decision, Verdict::Unclear(Trouble::Down, _));
        let turn = self.lock().breaker.record(!broken, now_ms);
        match (&decision, turn) {
            (Verdict::Unclear(_, why), Some(Transition::Opened)) => {
                log::warn!("auth.backend.url does not answer, and is left alone for {} s: {why}", OPEN_MS / 1_000);
            }
            (Verdict::Unclear(Trouble::NotUnderstood, why), _) => {
                if let Some(Summary { count, .. }) = self.not_understood.count(None, now_ms) {
                    log::warn!(count; "auth.backend.url did not tell whose a token is: {why}");
                }
            }
            (Verdict::Unclear(_, why), _) => {
                if let Some(Summary { count, .. }) = self.unclear.count(None, now_ms) {
                    log::info!(count; "auth.backend.url did not tell whose a token is: {why}");
                }
            }
            (_, Some(_)) => log::info!("auth.backend.url answers again"),
            _ => {}
        }
        (decision, weight)
    }
}

/// A question about one token. However it ends, others may ask about the token afterwards.
struct Flight {
    backend: Arc<Inner>,
    digest: Digest,
}

impl Flight {
    async fn fly(self, token: String, now_ms: i64, landed: watch::Sender<Option<Result<Identity, Fault>>>) {
        let decision = self.judge(&token, now_ms).await;
        // Only once it is remembered does nobody wait for it any more.
        drop(self);
        landed.send_replace(Some(decision));
    }

    async fn judge(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
        let backend = &self.backend;
        let waiting = Instant::now();
        let Ok(Ok(_permit)) = timeout(TIMEOUT, backend.calls.acquire()).await else {
            return Err(backend.shed());
        };
        let now_ms = later(now_ms, waiting);
        // Those before may have found it silent in the meantime.
        if !backend.lock().breaker.admit(now_ms) {
            return Err(backend.shed());
        }
        let (decision, weight) = backend.ask(token, now_ms).await;
        let count = match &decision {
            Verdict::Unclear(..) => &backend.failed,
            _ => &backend.answered,
        };
        count.fetch_add(1, Ordering::Relaxed);
        match decision {
            Verdict::Holder(identity) => {
                // From when it was asked: what the application knew later is not in its answer.
                backend.lock().holders.keep(self.digest, (*identity).clone(), weight, now_ms, backend.kept_ms);
                Ok(*identity)
            }
            Verdict::Refused(fault) => {
                backend.lock().refused.keep(self.digest, fault.clone(), 0, now_ms, REFUSED_MS);
                Err(fault)
            }
            Verdict::Unclear(Trouble::NotUnderstood, _) => Err(not_understood()),
            Verdict::Unclear(..) => Err(unavailable(Duration::from_secs(1))),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.backend.lock().flights.remove(&self.digest);
    }
}

fn later(now_ms: i64, since: Instant) -> i64 {
    now_ms.saturating_add(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX))
}
