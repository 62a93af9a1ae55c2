//! Verifies opaque tokens (such as Sanctum's `12|abc…`), which only the application can read: the hub asks the
//! application.
//!
//! Only a clear acceptance authenticates a client. To spare the application, each token causes one request at a time,
//! at most [`CALLS`] requests run at once, responses are cached, and a circuit breaker pauses requests to an application
//! that does not answer. A failed request is not retried: its client waits in the handshake, and may connect again.

mod answer;
mod cache;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::identity::Identity;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use self::answer::{BackendFailure, TokenDecision};
use self::cache::{AnswerCache, TokenDigest};
use super::claims::invalid;
use super::{not_understood, unavailable};
use crate::logging::periodic::{Periodic, Summary};
use crate::upstream::circuit_breaker::{BreakerTransition, CircuitBreaker, OPEN_MS};
use crate::upstream::http_client::{HttpClient, HttpFailure, Redirects, TIMEOUT};

/// Most requests at once; the next one waits as long as a request may take.
const CALLS: usize = 64;

/// Most tokens with a running or waiting request; the next one is refused.
const IN_FLIGHT_MAX: usize = 1_024;

/// Most cached responses of each kind, and most bytes of them.
const ANSWERS: usize = 10_000;
const ANSWER_BYTES: usize = 32 << 20;

/// Most bytes of a response.
const ANSWER_MAX: usize = 64 * 1024;

/// How long a refusal is cached, in ms, against a client that retries quickly.
const REFUSED_MS: i64 = 5_000;

/// The settings of a [`Backend`].
pub struct BackendSettings {
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
    http: HttpClient,
    calls: Semaphore,
    state: Mutex<BackendState>,
    cache_ms: i64,
    leeway_ms: i64,
    answered: AtomicU64,
    failed: AtomicU64,
    shed: AtomicU64,
    /// Limits the log lines for failed requests, because any client can cause them.
    failures: Periodic,
    /// Limits the log lines for responses that were not understood. Separate, so that failed requests do not hide their
    /// reason.
    not_understood: Periodic,
}

struct BackendState {
    accepted: AnswerCache<Identity>,
    /// Separate from the accepted tokens, so that invented tokens evict none of them.
    rejected: AnswerCache<Fault>,
    in_flight: HashMap<TokenDigest, watch::Receiver<Option<Result<Identity, Fault>>>>,
    breaker: CircuitBreaker,
}

/// The status of the application, for health checks and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendStatus {
    /// Requests that it answered with an acceptance or a refusal.
    pub answered: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Tokens refused without a request: too many at once, or the circuit breaker is open.
    pub shed: u64,
    /// Cached responses.
    pub cached: usize,
    /// Tokens that wait for a response.
    pub waiting: usize,
    /// The circuit breaker is open, because the application did not answer.
    pub open: bool,
}

impl Backend {
    /// An application at a URL.
    ///
    /// # Errors
    /// See [`HttpClient::new`].
    pub fn new(settings: &BackendSettings) -> Result<Self, String> {
        Ok(Self(Arc::new(Inner {
            http: HttpClient::new(&settings.url, Redirects::Refused)?,
            calls: Semaphore::new(CALLS),
            state: Mutex::new(BackendState {
                accepted: AnswerCache::new(ANSWERS, ANSWER_BYTES),
                rejected: AnswerCache::new(ANSWERS, ANSWER_BYTES),
                in_flight: HashMap::new(),
                breaker: CircuitBreaker::new(TIMEOUT),
            }),
            cache_ms: i64::from(settings.cache_secs) * 1_000,
            leeway_ms: i64::from(settings.leeway_secs) * 1_000,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            failures: Periodic::default(),
            not_understood: Periodic::default(),
        })))
    }

    /// Returns the identity of `token`.
    ///
    /// # Errors
    /// `InvalidToken` when the application refuses it; `TokenExpired` when it was valid before; `AuthUnavailable` when
    /// there is no decision, without `retry_after` if the response was not understood.
    pub async fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
        // A token with other characters could inject a header into the request.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("The token is malformed").by("token"));
        }
        let mut answer = match self.0.look_up(token, now_ms) {
            Lookup::Cached(decision) => return (*decision).and_then(|identity| unexpired(identity, now_ms)),
            Lookup::InFlight(answer) => answer,
        };
        let decision = match answer.wait_for(Option::is_some).await {
            Ok(decision) => decision.clone(),
            Err(_) => None,
        };
        decision.unwrap_or_else(|| Err(unavailable(Duration::ZERO))).and_then(|identity| unexpired(identity, now_ms))
    }

    /// The status of the application.
    pub fn status(&self, now_ms: i64) -> BackendStatus {
        let state = self.0.lock();
        BackendStatus {
            answered: self.0.answered.load(Ordering::Relaxed),
            failed: self.0.failed.load(Ordering::Relaxed),
            shed: self.0.shed.load(Ordering::Relaxed),
            cached: state.accepted.len() + state.rejected.len(),
            waiting: state.in_flight.len(),
            open: state.breaker.is_open(now_ms),
        }
    }
}

fn unexpired(identity: Identity, now_ms: i64) -> Result<Identity, Fault> {
    if identity.expires_at.is_some_and(|end| now_ms >= end) {
        return Err(Fault::new(Code::TokenExpired, "The token has expired")
            .by("token exp")
            .of_user(identity.user.as_str()));
    }
    Ok(identity)
}

enum Lookup {
    Cached(Box<Result<Identity, Fault>>),
    InFlight(watch::Receiver<Option<Result<Identity, Fault>>>),
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BackendState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up(self: &Arc<Self>, token: &str, now_ms: i64) -> Lookup {
        let digest: TokenDigest = Sha256::digest(token).into();
        let mut state = self.lock();
        if let Some(identity) = state.accepted.get(&digest, now_ms) {
            return Lookup::Cached(Box::new(Ok(identity)));
        }
        if let Some(fault) = state.rejected.get(&digest, now_ms) {
            return Lookup::Cached(Box::new(Err(fault)));
        }
        if let Some(answer) = state.in_flight.get(&digest) {
            return Lookup::InFlight(answer.clone());
        }
        if state.in_flight.len() >= IN_FLIGHT_MAX || !state.breaker.would_admit(now_ms) {
            return Lookup::Cached(Box::new(Err(self.shed())));
        }
        let (sender, answer) = watch::channel(None);
        state.in_flight.insert(digest, answer.clone());
        let request = TokenRequest { backend: self.clone(), digest };
        // Runs as its own task: the first client may disconnect while others still wait.
        tokio::spawn(request.run(token.to_owned(), now_ms, sender));
        Lookup::InFlight(answer)
    }

    fn shed(&self) -> Fault {
        self.shed.fetch_add(1, Ordering::Relaxed);
        unavailable(Duration::from_millis(OPEN_MS.unsigned_abs()))
    }

    /// Requests a decision about `token`. Returns it with the size of the response in bytes.
    async fn request_decision(&self, token: &str, requested_ms: i64) -> (TokenDecision, usize) {
        let requested = Instant::now();
        let http_answer = self.http.get(Some(token), ANSWER_MAX).await;
        let now_ms = later(requested_ms, requested);
        let (decision, weight) = match http_answer {
            Ok(http_answer) => (answer::read(&http_answer, self.leeway_ms), http_answer.size()),
            // The response is too long, but the application is up.
            Err(failure @ HttpFailure::TooLong(_)) => {
                (TokenDecision::Undecided(BackendFailure::NotUnderstood, failure.to_string()), 0)
            }
            Err(failure) => (TokenDecision::Undecided(BackendFailure::Unavailable, failure.to_string()), 0),
        };
        let broken = matches!(decision, TokenDecision::Undecided(BackendFailure::Unavailable, _));
        let turn = self.lock().breaker.record(!broken, now_ms);
        match (&decision, turn) {
            (TokenDecision::Undecided(_, why), Some(BreakerTransition::Opened)) => {
                log::warn!("auth.backend.url does not answer; no requests for {} s: {why}", OPEN_MS / 1_000);
            }
            (TokenDecision::Undecided(BackendFailure::NotUnderstood, why), _) => {
                if let Some(Summary { count, .. }) = self.not_understood.count(None, now_ms) {
                    log::warn!(count; "auth.backend.url returned no usable result for a token: {why}");
                }
            }
            (TokenDecision::Undecided(_, why), _) => {
                if let Some(Summary { count, .. }) = self.failures.count(None, now_ms) {
                    log::info!(count; "auth.backend.url returned no usable result for a token: {why}");
                }
            }
            (_, Some(_)) => log::info!("auth.backend.url answers again"),
            _ => {}
        }
        (decision, weight)
    }
}

/// A request about one token. When it is dropped, the token can be requested again.
struct TokenRequest {
    backend: Arc<Inner>,
    digest: TokenDigest,
}

impl TokenRequest {
    async fn run(self, token: String, now_ms: i64, sender: watch::Sender<Option<Result<Identity, Fault>>>) {
        let decision = self.decide(&token, now_ms).await;
        // Dropped only after the response is cached, so that no second request starts in between.
        drop(self);
        sender.send_replace(Some(decision));
    }

    async fn decide(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
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
        let (decision, weight) = backend.request_decision(token, now_ms).await;
        let count = match &decision {
            TokenDecision::Undecided(..) => &backend.failed,
            _ => &backend.answered,
        };
        count.fetch_add(1, Ordering::Relaxed);
        match decision {
            TokenDecision::Accepted(identity) => {
                // The validity begins at the request: the response may not reflect later changes.
                backend.lock().accepted.insert(self.digest, (*identity).clone(), weight, now_ms, backend.cache_ms);
                Ok(*identity)
            }
            TokenDecision::Rejected(fault) => {
                backend.lock().rejected.insert(self.digest, fault.clone(), 0, now_ms, REFUSED_MS);
                Err(fault)
            }
            TokenDecision::Undecided(BackendFailure::NotUnderstood, _) => Err(not_understood()),
            TokenDecision::Undecided(..) => Err(unavailable(Duration::from_secs(1))),
        }
    }
}

impl Drop for TokenRequest {
    fn drop(&mut self) {
        self.backend.lock().in_flight.remove(&self.digest);
    }
}

fn later(now_ms: i64, since: Instant) -> i64 {
    now_ms.saturating_add(i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX))
}
