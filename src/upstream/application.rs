//! The application behind the hub, over HTTP: events of clients are posted to it, and its JSON is their reply.
//!
//! A client gets its reply within [`UpstreamSettings::timeout`], which covers the wait for a free call, all attempts and the
//! delays between them. A request is repeated only if the connection fails or the application answers 502, 503 or 504. It may
//! have been processed even then, so every attempt has the same id, as `requestId` and as `Idempotency-Key`. A request that
//! timed out is not repeated: no time is left.
//!
//! The load is bounded: [`CALLS`] requests at once and [`WAITING`] in all. After several failures in a row the circuit
//! breaker opens. A plain 500 does not count as a failure: a single malformed event may cause one, and its sender could
//! block all others.

mod answer;
pub mod counts;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hubbub_actors::application::{Application, ApplicationFailure, ApplicationReply, ApplicationRequest, RequestKind};
use hubbub_actors::events::json;
use hubbub_actors::runtime::backoff::Backoff;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use self::answer::{UpstreamError, UpstreamOutcome};
use self::counts::RequestCounts;
use crate::logging::periodic::{Periodic, Summary};
use crate::upstream::circuit_breaker::{BreakerTransition, CircuitBreaker, OPEN_MS};
use crate::upstream::http_client::{HttpClient, Redirects};

/// Most requests in progress.
pub const CALLS: usize = 64;

/// Most requests in progress or waiting, and the bytes of their bodies. Further requests are refused.
pub const WAITING: usize = 1_024;
const WAITING_BYTES: usize = 32 << 20;

/// Most bytes of a response. It has to fit into the outbox of a client, beside others.
const ANSWER_MAX: usize = 64 * 1024;

/// Most attempts of a request.
const ATTEMPTS: u32 = 3;

/// The first and the longest delay between two attempts, before jitter.
const DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(200));

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The settings of an [`UpstreamApplication`].
#[derive(Debug)]
pub struct UpstreamSettings {
    /// The application's base URL.
    pub url: String,
    /// The value of `X-API-Key`, marked as sensitive.
    pub api_key: Option<HeaderValue>,
    /// How long a client waits for its reply.
    pub timeout: Duration,
}

/// The application behind the hub.
pub struct UpstreamApplication(Arc<UpstreamClient>);

struct UpstreamClient {
    http: HttpClient,
    headers: HeaderMap,
    timeout: Duration,
    calls: Semaphore,
    in_progress: AtomicUsize,
    bytes: AtomicUsize,
    breaker: Mutex<CircuitBreaker>,
    counts: RequestCounts,
    /// Failed requests. Clients can cause them, so they are logged once a minute.
    failures: Periodic,
    started: Instant,
}

/// The state of the calls to the application, for metrics and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// Requests in progress.
    pub in_flight: usize,
    /// Requests that wait for a free call.
    pub waiting: usize,
    /// The circuit breaker is open.
    pub open: bool,
}

impl std::fmt::Debug for UpstreamApplication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamApplication").finish_non_exhaustive()
    }
}

impl UpstreamApplication {
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
            in_progress: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            breaker: Mutex::new(CircuitBreaker::new(settings.timeout)),
            counts: RequestCounts::default(),
            failures: Periodic::default(),
            started: Instant::now(),
        })))
    }

    /// The state of the calls.
    pub fn status(&self) -> UpstreamStatus {
        let inner = &self.0;
        let in_flight = CALLS.saturating_sub(inner.calls.available_permits());
        let waiting = inner.in_progress.load(Ordering::Relaxed).saturating_sub(in_flight);
        UpstreamStatus { in_flight, waiting, open: inner.lock().is_open(inner.now_ms()) }
    }

    /// The requests so far, by outcome.
    pub fn counts(&self) -> &RequestCounts {
        &self.0.counts
    }
}

impl Application for UpstreamApplication {
    fn ask(
        &self,
        question: ApplicationRequest,
    ) -> Pin<Box<dyn Future<Output = Result<ApplicationReply, ApplicationFailure>>>> {
        let inner = self.0.clone();
        let (answer, answered) = oneshot::channel();
        // A task of its own, so that the application gets the request even if the client disconnects.
        tokio::spawn(async move { answer.send(inner.answer(question).await) });
        Box::pin(async move {
            answered.await.unwrap_or(Err(ApplicationFailure {
                message: "Internal error",
                cause: "the request ended without a result".into(),
            }))
        })
    }
}

/// Counts a request as in progress for as long as it lives.
struct InProgress<'a> {
    inner: &'a UpstreamClient,
    bytes: usize,
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.inner.in_progress.fetch_sub(1, Ordering::Relaxed);
        self.inner.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl UpstreamClient {
    fn lock(&self) -> MutexGuard<'_, CircuitBreaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the start, by a monotonic clock.
    fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Sends the request, counts its outcome, and logs a failure.
    async fn answer(&self, question: ApplicationRequest) -> Result<ApplicationReply, ApplicationFailure> {
        let started = Instant::now();
        let kind = question.sent.kind();
        let answered = self.send_with_retries(&question, started).await;
        let outcome = answered.as_ref().map_or_else(|error| error.outcome, |_| UpstreamOutcome::Answered);
        self.counts.note(kind, outcome, started.elapsed());
        answered.map_err(|error| {
            let UpstreamError { outcome, why } = error;
            if let Some(Summary { count, .. }) = self.failures.count(None, self.now_ms()) {
                // The log line of the refusal names the request.
                log::info!(count; "backend.url: {}: {}: {why}", kind.as_str(), outcome.as_str());
            }
            ApplicationFailure { message: outcome.message(), cause: why }
        })
    }

    async fn send_with_retries(
        &self,
        question: &ApplicationRequest,
        started: Instant,
    ) -> Result<ApplicationReply, UpstreamError> {
        let body = json::encode(question);
        let _in_progress = self.reserve(body.len())?;
        if !self.lock().would_admit(self.now_ms()) {
            return Err(UpstreamError::breaker_open());
        }
        // At most half of the time is spent waiting, so that an attempt is not cut short and counted as a failure of the
        // application.
        let Ok(Ok(_turn)) = timeout_at(started + self.timeout / 2, self.calls.acquire()).await else {
            return Err(UpstreamError::overloaded());
        };
        let mut headers = self.headers.clone();
        headers.extend(HeaderValue::from_str(&question.request_id.to_string()).map(|id| (IDEMPOTENCY_KEY, id)));
        let deadline = started + self.timeout;
        let mut backoff = Backoff::new(DELAYS.0, DELAYS.1);
        let mut attempt = 1;
        loop {
            let error = match self.attempt(question.sent.kind(), &headers, &body, deadline).await {
                Err(error) if error.is_temporary() && attempt < ATTEMPTS => error,
                ended => return ended,
            };
            let delay = backoff.next_jittered(getrandom::u32().unwrap_or(u32::MAX));
            // An attempt with almost no time left would time out because of the hub itself.
            if Instant::now() + delay + self.timeout / 4 >= deadline || !self.lock().would_admit(self.now_ms()) {
                return Err(error);
            }
            sleep(delay).await;
            self.counts.note_retry();
            attempt += 1;
        }
    }

    /// Reserves a place among the requests in progress.
    fn reserve(&self, bytes: usize) -> Result<InProgress<'_>, UpstreamError> {
        let before = self.in_progress.fetch_add(1, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let in_progress = InProgress { inner: self, bytes };
        if before >= WAITING || (before > 0 && bytes_before + bytes > WAITING_BYTES) {
            return Err(UpstreamError::overloaded());
        }
        Ok(in_progress)
    }

    async fn attempt(
        &self,
        kind: RequestKind,
        headers: &HeaderMap,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<ApplicationReply, UpstreamError> {
        if !self.lock().admit(self.now_ms()) {
            return Err(UpstreamError::breaker_open());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.http.post(path(kind), headers.clone(), body.clone(), left, ANSWER_MAX).await;
        let answered = answer::read(answer);
        let broken = answered.as_ref().err().filter(|error| error.is_breakdown());
        let turn = self.lock().record(broken.is_none(), self.now_ms());
        match (turn, broken) {
            (Some(BreakerTransition::Opened), Some(UpstreamError { why, .. })) => {
                self.counts.note_opened();
                log::warn!("backend.url does not answer; no requests for {} s: {why}", OPEN_MS / 1_000);
            }
            (Some(_), _) => log::info!("backend.url answers again"),
            _ => {}
        }
        answered
    }
}

const fn path(kind: RequestKind) -> &'static str {
    match kind {
        RequestKind::Event => "api/events",
        RequestKind::Message => "api/messages",
        RequestKind::Action => "api/actions",
    }
}

#[cfg(test)]
mod tests;
