//! Verifies opaque tokens (such as Sanctum's `12|abc…`), which only the application can read: the hub asks the
//! application.
//!
//! Only a clear acceptance authenticates a client. To spare the application, each token causes one request at a time,
//! at most [`CALLS`] requests run at once, answers are cached, and a circuit breaker pauses requests to an application
//! that does not answer. A failed request is not retried: its client waits in the handshake, and may connect again.

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

/// Most requests at once; the next one waits as long as a request may take.
const CALLS: usize = 64;

/// Most tokens with a running or waiting request; the next one is refused.
const FLIGHTS: usize = 1_024;

/// Most cached answers of each kind, and most bytes of them.
const ANSWERS: usize = 10_000;
const ANSWER_BYTES: usize = 32 << 20;

/// Most bytes of an answer.
const ANSWER_MAX: usize = 64 * 1024;

/// How long a rejection is cached, in ms, against a client that retries quickly.
const REFUSED_MS: i64 = 5_000;

/// The settings of a [`Backend`].
pub struct Settings {
    /// The URL of the application.
    pub url: String,
    /// Seconds that an accepted token is cached; 0 asks each time.
    pub cache_secs: u32,
    /// Allowed difference between the application's clock and ours, in seconds.
    pub leeway_secs: u32,
}

/// The application that verifies opaque tokens.
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
    /// Limits the log lines for failed requests, because any client can cause them.
    unclear: Periodic,
    /// Limits the log lines for answers that were not understood. Separate, so that failed requests do not hide their
    /// reason.
    not_understood: Periodic,
}

struct Known {
    holders: Memory<Identity>,
    /// Separate from the accepted tokens, so that invented tokens evict none of them.
    refused: Memory<Fault>,
    flights: HashMap<Digest, watch::Receiver<Option<Result<Identity, Fault>>>>,
    breaker: CircuitBreaker,
}

/// The state of the application, for health checks and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Requests that it answered with an acceptance or a rejection.
    pub answered: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Tokens refused without a request: too many at once, or the circuit breaker is open.
    pub shed: u64,
    /// Cached answers.
    pub remembered: usize,
    /// Tokens that wait for an answer.
    pub waiting: usize,
    /// The circuit breaker is open, because the application did not answer.
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

    /// Returns the identity of `token`.
    ///
    /// # Errors
    /// `InvalidToken` when the application rejects it; `TokenExpired` when it was valid before; `AuthUnavailable` when
    /// there is no decision, without `retry_after` if the answer was not understood.
    pub async fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
        // A token with other characters could inject a header into the request.
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

    /// The state of the application.
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
        // Runs as its own task: the first client may disconnect while others still wait.
        tokio::spawn(flight.fly(token.to_owned(), now_ms, landed));
        Recalled::Flying(landing)
    }

    fn shed(&self) -> Fault {
        self.shed.fetch_add(1, Ordering::Relaxed);
        unavailable(Duration::from_millis(OPEN_MS.unsigned_abs()))
    }

    /// Requests a decision about `token`. Returns it with the size of the answer in bytes.
    async fn ask(&self, token: &str, asked_ms: i64) -> (Verdict, usize) {
        let asked = Instant::now();
        let answer = self.outside.get(Some(token), ANSWER_MAX).await;
        let now_ms = later(asked_ms, asked);
        let (decision, weight) = match answer {
            Ok(answer) => (answer::read(&answer, self.leeway_ms), answer.size()),
            // The answer is too long, but the application is up.
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

/// A request about one token. When it is dropped, the token can be requested again.
struct Flight {
    backend: Arc<Inner>,
    digest: Digest,
}

impl Flight {
    async fn fly(self, token: String, now_ms: i64, landed: watch::Sender<Option<Result<Identity, Fault>>>) {
        let decision = self.judge(&token, now_ms).await;
        // Dropped only after the answer is cached, so that no second request starts in between.
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
        // Earlier requests may have opened the circuit breaker while this one waited.
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
                // The validity begins at the request: the answer may not reflect later changes.
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
