//! The application behind the hub, over HTTP: what clients send it is posted to it, and its JSON is their answer.
//!
//! A client has its answer within [`Settings::timeout`], whatever the application does: that is the time for the whole of
//! a question, waiting for its turn, attempts and the pauses between them. Nothing is attempted twice that may have worked, but
//! where the application cannot be reached, hangs up, or says that it cannot now (502, 503, 504); and since it may have
//! worked even then, every attempt bears the question's id, as `requestId` and as `Idempotency-Key`. An application that
//! keeps silent had all the time there is, and is not asked again.
//!
//! It is spared: [`CALLS`] questions at once, [`WAITING`] in all, and after failures in a row none for a while. A plain 500 is
//! no such failure: an odd event may be enough for one, and whoever can make one up would keep all others out.

mod answer;
pub mod counts;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hubbub_actors::application::{Answered, Application, Kind, Question, Unanswered};
use hubbub_actors::events::json;
use hubbub_actors::runtime::backoff::Backoff;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use self::answer::{UpstreamError, UpstreamOutcome};
use self::counts::RequestCounts;
use crate::logging::periodic::{Periodic, Summary};
use crate::upstream::circuit_breaker::{CircuitBreaker, OPEN_MS, Transition};
use crate::upstream::http_client::{HttpClient, Redirects};

/// Questions on their way at once.
pub const CALLS: usize = 64;

/// Questions on their way or waiting for their turn, and the bytes of their bodies; one more is not asked.
pub const WAITING: usize = 1_024;
const WAITING_BYTES: usize = 32 << 20;

/// Most bytes of an answer: it has to fit into its client's outbox beside others.
const ANSWER_MAX: usize = 64 * 1024;

/// Attempts a question gets.
const ATTEMPTS: u32 = 3;

/// The first and the longest delay between two attempts, before jitter.
const DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(200));

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a [`Upstream`] goes by.
#[derive(Debug)]
pub struct UpstreamSettings {
    /// The application's base URL.
    pub url: String,
    /// The value of `X-API-Key`, marked as sensitive.
    pub api_key: Option<HeaderValue>,
    /// For how long a client waits for an answer.
    pub timeout: Duration,
}

/// The application behind the hub.
pub struct Upstream(Arc<UpstreamClient>);

struct UpstreamClient {
    http: HttpClient,
    headers: HeaderMap,
    timeout: Duration,
    calls: Semaphore,
    under_way: AtomicUsize,
    bytes: AtomicUsize,
    breaker: Mutex<CircuitBreaker>,
    counts: RequestCounts,
    /// Questions without an answer: clients can cause them at will.
    failures: Periodic,
    started: Instant,
}

/// How it is with the application, for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Questions on their way.
    pub in_flight: usize,
    /// Questions that wait for their turn.
    pub waiting: usize,
    /// It is left alone because it did not answer.
    pub open: bool,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}

impl Upstream {
    /// An application at a URL.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub fn new(settings: &UpstreamSettings) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &settings.api_key {
            headers.insert(API_KEY, key.clone());
        }
        Ok(Self(Arc::new(UpstreamClient {
            http: HttpClient::new(&settings.url, Redirects::Refused)?,
            headers,
            timeout: settings.timeout,
            calls: Semaphore::new(CALLS),
            under_way: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            breaker: Mutex::new(CircuitBreaker::new(settings.timeout)),
            counts: RequestCounts::default(),
            failures: Periodic::default(),
            started: Instant::now(),
        })))
    }

    /// How it is with the application.
    pub fn status(&self) -> UpstreamStatus {
        let inner = &self.0;
        let in_flight = CALLS.saturating_sub(inner.calls.available_permits());
        let waiting = inner.under_way.load(Ordering::Relaxed).saturating_sub(in_flight);
        UpstreamStatus { in_flight, waiting, open: inner.lock().is_open(inner.now_ms()) }
    }

    /// What became of the questions so far.
    pub fn counts(&self) -> &RequestCounts {
        &self.0.counts
    }
}

impl Application for Upstream {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Answered, Unanswered>>>> {
        let inner = self.0.clone();
        let (answer, answered) = oneshot::channel();
        // A task of its own: who asked may hang up, and the application is to get the question all the same.
        tokio::spawn(async move { answer.send(inner.answer(question).await) });
        Box::pin(async move { answered.await.unwrap_or(Err(Unanswered("Internal error"))) })
    }
}

/// A question that is counted among those under way, for as long as it is.
struct UnderWay<'a> {
    inner: &'a UpstreamClient,
    bytes: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.inner.under_way.fetch_sub(1, Ordering::Relaxed);
        self.inner.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl UpstreamClient {
    fn lock(&self) -> MutexGuard<'_, CircuitBreaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since the start, by a clock that nobody sets.
    fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Asks until there is an answer or no hope of one.
    async fn answer(&self, question: Question) -> Result<Answered, Unanswered> {
        let started = Instant::now();
        let kind = question.sent.kind();
        let answered = self.send_with_retries(&question, started).await;
        let outcome = answered.as_ref().map_or_else(|error| error.outcome, |_| UpstreamOutcome::Answered);
        self.counts.note(kind, outcome, started.elapsed());
        answered.map_err(|error| {
            let UpstreamError { outcome, why } = error;
            if let Some(Summary { count, .. }) = self.failures.count(None, self.now_ms()) {
                // Which question it was is in the line of its refusal.
                log::info!(count; "backend.url: {}: {}: {why}", kind.as_str(), outcome.as_str());
            }
            Unanswered(outcome.words())
        })
    }

    async fn send_with_retries(&self, question: &Question, started: Instant) -> Result<Answered, UpstreamError> {
        let body = json::encode(question);
        let _under_way = self.reserve(body.len())?;
        if !self.lock().would_admit(self.now_ms()) {
            return Err(UpstreamError::left_alone());
        }
        // Half of the time at most is spent waiting, so that an attempt that is made is not cut short and held against
        // the application.
        let Ok(Ok(_turn)) = timeout_at(started + self.timeout / 2, self.calls.acquire()).await else {
            return Err(UpstreamError::overloaded());
        };
        let mut headers = self.headers.clone();
        // A uuid can stand in a header.
        headers.extend(HeaderValue::from_str(&question.request_id.to_string()).map(|id| (IDEMPOTENCY_KEY, id)));
        let deadline = started + self.timeout;
        let mut backoff = Backoff::new(DELAYS.0, DELAYS.1);
        let mut attempt = 1;
        loop {
            let error = match self.attempt(question.sent.kind(), &headers, &body, deadline).await {
                Err(error) if error.is_passing() && attempt < ATTEMPTS => error,
                ended => return ended,
            };
            let delay = backoff.next_jittered(getrandom::u32().unwrap_or(u32::MAX));
            // An attempt with next to no time left would be silence by our own doing.
            if Instant::now() + delay + self.timeout / 4 >= deadline || !self.lock().would_admit(self.now_ms()) {
                return Err(error);
            }
            sleep(delay).await;
            self.counts.note_retry();
            attempt += 1;
        }
    }

    /// Takes a question among those under way.
    fn reserve(&self, bytes: usize) -> Result<UnderWay<'_>, UpstreamError> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let under_way = UnderWay { inner: self, bytes };
        if before >= WAITING || (before > 0 && bytes_before + bytes > WAITING_BYTES) {
            return Err(UpstreamError::overloaded());
        }
        Ok(under_way)
    }

    async fn attempt(
        &self,
        kind: Kind,
        headers: &HeaderMap,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Answered, UpstreamError> {
        if !self.lock().admit(self.now_ms()) {
            return Err(UpstreamError::left_alone());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.http.post(path(kind), headers.clone(), body.clone(), left, ANSWER_MAX).await;
        let answered = answer::read(answer);
        let broken = answered.as_ref().err().filter(|error| error.is_breakdown());
        let turn = self.lock().record(broken.is_none(), self.now_ms());
        match (turn, broken) {
            (Some(Transition::Opened), Some(UpstreamError { why, .. })) => {
                self.counts.note_opened();
                log::warn!("backend.url does not answer, and is left alone for {} s: {why}", OPEN_MS / 1_000);
            }
            (Some(_), _) => log::info!("backend.url answers again"),
            _ => {}
        }
        answered
    }
}

const fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Event => "api/events",
        Kind::Message => "api/messages",
        Kind::Action => "api/actions",
    }
}

#[cfg(test)]
mod tests;
