//! Loads a key set and keeps it fresh: from a file, again when it changes, or from a URL, again at intervals and for an
//! unknown `kid`.
//!
//! A single task loads, so that many waiting tokens cause one load. After a failed load, the last good set stays in
//! use. This module knows no token; it returns the key for a `kid`.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use hubbub_actors::model::fault::Fault;
use hubbub_actors::runtime::backoff::Backoff;
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::claims::invalid;
use super::key_set::{KeySet, Missing};
use super::unavailable;
use crate::upstream::http_client::{HttpClient, Redirects, TIMEOUT};

/// Most bytes of a key set.
const BYTES_MAX: usize = 256 * 1024;

/// The first and the longest pause after a failed load; each pause is twice the previous one.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long a token waits for a running load: the longest load plus a margin.
const LOAD_WAIT: Duration = TIMEOUT.saturating_add(Duration::from_millis(500));

enum Origin {
    File(PathBuf),
    Url(HttpClient),
}

impl Origin {
    /// The pause between regular loads, and between loads for an unknown `kid`. Checking a file's time is cheap.
    /// Requests to a URL are limited, because any client can invent a `kid`.
    fn intervals(&self) -> (Duration, Duration) {
        match self {
            Self::File(_) => (Duration::from_secs(1), Duration::from_secs(1)),
            Self::Url(_) => (Duration::from_secs(600), Duration::from_secs(60)),
        }
    }
}

/// The modification time and length of a file.
type Stamp = (Option<SystemTime>, u64);

#[derive(Default)]
struct Loaded {
    keys: Option<Arc<KeySet>>,
    stamp: Option<Stamp>,
    /// The last load failed, so the keys may be out of date.
    failed: bool,
    /// A load is running or requested.
    loading: bool,
    /// The time of the last load for an unknown `kid`.
    requested_at: Option<Instant>,
    /// The last logged text, which is not repeated every second.
    last_logged: String,
}

/// The source of a key set, and the last loaded set.
pub struct KeySource {
    origin: Origin,
    algorithm: Algorithm,
    loaded: Mutex<Loaded>,
    loads: watch::Sender<u64>,
    wanted: Arc<Notify>,
    /// A task keeps the set fresh.
    is_refreshed: AtomicBool,
    /// The number of successful and of failed loads.
    counts: (AtomicU64, AtomicU64),
}

impl Drop for KeySource {
    fn drop(&mut self) {
        // Wakes the task, which then ends because the source is gone.
        self.wanted.notify_one();
    }
}

impl KeySource {
    /// The key set in a file, read at once.
    ///
    /// # Errors
    /// When the file cannot be read, is not a key set, or has no usable key; the line begins with the file's name.
    pub fn file(path: &Path, algorithm: Algorithm) -> Result<Self, String> {
        let failed = |why: String| format!("{}: {why}", path.display());
        // Take the stamp first: the next check then detects a change between the two.
        let stamp = stamp(path).map_err(failed)?;
        let bytes = read(path).map_err(failed)?;
        let (keys, left_out) = KeySet::parse(&bytes, algorithm).map_err(failed)?;
        if keys.is_empty() {
            let why = left_out.first().map_or("it is empty", String::as_str);
            return Err(failed(format!("has no key for {algorithm:?}: {why}")));
        }
        let source = Self::new(Origin::File(path.to_owned()), algorithm);
        source.store(keys, left_out, Some(stamp));
        Ok(source)
    }

    /// The key set at a URL, requested once [`run`](Self::run) runs.
    ///
    /// # Errors
    /// See [`HttpClient::new`].
    pub fn url(url: &str, algorithm: Algorithm) -> Result<Self, String> {
        let source = Self::new(Origin::Url(HttpClient::new(url, Redirects::SameScheme)?), algorithm);
        // Tokens that arrive before the first load wait for it.
        source.lock().loading = true;
        Ok(source)
    }

    fn new(origin: Origin, algorithm: Algorithm) -> Self {
        let (loads, _) = watch::channel(0);
        Self {
            origin,
            algorithm,
            loaded: Mutex::default(),
            loads,
            wanted: Arc::new(Notify::new()),
            is_refreshed: AtomicBool::new(false),
            counts: (AtomicU64::new(0), AtomicU64::new(0)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key for tokens with this `kid`, or without one. Waits for a load if the load may add the key.
    ///
    /// # Errors
    /// `InvalidToken` when there is no such key or several keys match; `AuthUnavailable` when the key may exist, but
    /// the issuer does not answer now.
    pub async fn key(&self, kid: Option<&str>) -> Result<Arc<DecodingKey>, Fault> {
        // Subscribed before the first lookup, so that no load between the lookup and the wait is missed.
        let mut loads = self.loads.subscribe();
        if let Some(found) = self.find(kid) {
            return found;
        }
        if self.request_load() {
            let _ = timeout(LOAD_WAIT, loads.changed()).await;
            if let Some(found) = self.find(kid) {
                return found;
            }
        }
        let loaded = self.lock();
        match &loaded.keys {
            Some(_) if !loaded.failed => Err(invalid("The token is signed with an unknown key").by("token kid")),
            _ => Err(unavailable(RETRY.0)),
        }
    }

    fn find(&self, kid: Option<&str>) -> Option<Result<Arc<DecodingKey>, Fault>> {
        match self.lock().keys.as_ref()?.find(kid) {
            Ok(key) => Some(Ok(key.clone())),
            Err(Missing::Several) => {
                let message = "Several keys match the token; its `kid` must name one";
                Some(Err(invalid(message).by("token kid")))
            }
            Err(Missing::Unknown) => None,
        }
    }

    /// Requests a load if none is running. Returns whether to wait for one.
    fn request_load(&self) -> bool {
        let mut loaded = self.lock();
        if loaded.loading {
            return true;
        }
        let (_, gap) = self.origin.intervals();
        // Before the first successful load, the task retries on its own, with a backoff.
        if loaded.keys.is_none() || loaded.requested_at.is_some_and(|at| at.elapsed() < gap) {
            return false;
        }
        loaded.requested_at = Some(Instant::now());
        loaded.loading = true;
        self.wanted.notify_one();
        true
    }

    /// Marks the set as kept fresh. Returns whether the caller must do so: no other task does.
    pub(super) fn start_refreshing(&self) -> bool {
        !self.is_refreshed.swap(true, Ordering::AcqRel)
    }

    /// Notifies the task that a load is wanted.
    pub(super) fn wanted(&self) -> Arc<Notify> {
        self.wanted.clone()
    }

    /// Loads repeatedly while the source is in use.
    pub async fn run(source: Weak<Self>, wanted: Arc<Notify>) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        while let Some(source) = source.upgrade() {
            let rest = source.load_once(&mut backoff).await;
            drop(source);
            tokio::select! {
                () = sleep(rest) => {}
                () = wanted.notified() => {}
            }
        }
    }

    /// Loads once. Returns the time until the next load; after a failure, it comes from `backoff`.
    async fn load_once(&self, backoff: &mut Backoff) -> Duration {
        self.lock().loading = true;
        let result = self.load().await;
        let (often, _) = self.origin.intervals();
        let rest = match result {
            Ok(()) => {
                self.lock().failed = false;
                backoff.reset();
                often
            }
            Err(why) => {
                self.fail(why);
                backoff.next_jittered(getrandom::u32().unwrap_or(u32::MAX)).min(often)
            }
        };
        self.lock().loading = false;
        self.loads.send_modify(|loads| *loads += 1);
        rest
    }

    /// Waits for the first load.
    ///
    /// # Errors
    /// When the load failed or takes too long.
    pub async fn loaded(&self) -> Result<(), String> {
        let mut loads = self.loads.subscribe();
        let is_loaded = || self.lock().keys.is_some();
        if !is_loaded() && timeout(LOAD_WAIT, loads.changed()).await.is_err() {
            return Err("auth.jwks: was not loaded in time".into());
        }
        if is_loaded() { Ok(()) } else { Err(self.lock().last_logged.clone()) }
    }

    /// Loads the set again, even if a file has not changed, waits for the load, and logs the result. A failed load
    /// keeps the current keys. Does nothing if no task keeps the set fresh.
    ///
    /// # Errors
    /// When the load failed or takes too long.
    pub async fn refresh(&self) -> Result<(), String> {
        let mut loads = self.loads.subscribe();
        let was_under_way = {
            let mut loaded = self.lock();
            (loaded.stamp, loaded.last_logged) = (None, String::new());
            loaded.loading
        };
        // A running load may have read the old content, so wait for another one.
        for _ in 0..1 + usize::from(was_under_way) {
            self.wanted.notify_one();
            if timeout(LOAD_WAIT, loads.changed()).await.is_err() {
                break;
            }
        }
        let loaded = self.lock();
        if loaded.failed || loaded.loading || loaded.keys.is_none() { Err(loaded.last_logged.clone()) } else { Ok(()) }
    }

    /// Loads once. Returns the number of usable keys.
    ///
    /// # Errors
    /// Why there is no key set.
    pub async fn try_load(&self) -> Result<usize, String> {
        self.load().await?;
        Ok(self.load_counts().0.unwrap_or(0))
    }

    async fn load(&self) -> Result<(), String> {
        let (bytes, stamp) = match &self.origin {
            Origin::File(path) => {
                let (path, before) = (path.clone(), self.lock().stamp);
                let read = tokio::task::spawn_blocking(move || changed(&path, before));
                match read.await.map_err(|_| "could not be read".to_owned())?? {
                    Some((bytes, stamp)) => (bytes, Some(stamp)),
                    None => return Ok(()),
                }
            }
            Origin::Url(outside) => {
                let answer = outside.get(None, BYTES_MAX).await.map_err(|failure| failure.to_string())?;
                if answer.status != 200 {
                    return Err(format!("answered {}", answer.status));
                }
                (answer.body()?.to_vec(), None)
            }
        };
        let (keys, left_out) = KeySet::parse(&bytes, self.algorithm)?;
        self.store(keys, left_out, stamp);
        Ok(())
    }

    fn store(&self, keys: KeySet, left_out: Vec<String>, stamp: Option<Stamp>) {
        self.counts.0.fetch_add(1, Ordering::Relaxed);
        let line = format!("auth.jwks: {} keys for {:?}", keys.len(), self.algorithm);
        let line = left_out.iter().fold(line, |line, key| line + "; " + key);
        let mut loaded = self.lock();
        if loaded.last_logged != line {
            if keys.is_empty() {
                log::warn!("{line}")
            } else {
                log::info!("{line}")
            }
            loaded.last_logged = line;
        }
        loaded.keys = Some(Arc::new(keys));
        loaded.stamp = stamp;
    }

    fn fail(&self, why: String) {
        self.counts.1.fetch_add(1, Ordering::Relaxed);
        let mut loaded = self.lock();
        let kept = if loaded.keys.is_some() { "the previous keys stay in use" } else { "its tokens are rejected" };
        let line = format!("auth.jwks: {why}; {kept}");
        if loaded.last_logged != line {
            log::warn!("{line}");
            loaded.last_logged = line;
        }
        loaded.failed = true;
    }

    /// The number of keys, `None` before the first load; the number of successful loads, and of failed loads.
    pub fn load_counts(&self) -> (Option<usize>, u64, u64) {
        let keys = self.lock().keys.as_ref().map(|keys| keys.len());
        (keys, self.counts.0.load(Ordering::Relaxed), self.counts.1.load(Ordering::Relaxed))
    }
}

/// The file's bytes and stamp, if it has changed.
fn changed(path: &Path, before: Option<Stamp>) -> Result<Option<(Vec<u8>, Stamp)>, String> {
    let stamp = stamp(path)?;
    if before == Some(stamp) {
        return Ok(None);
    }
    Ok(Some((read(path)?, stamp)))
}

fn stamp(path: &Path) -> Result<Stamp, String> {
    let found = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    Ok((found.modified().ok(), found.len()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > BYTES_MAX {
        return Err(format!("is longer than {BYTES_MAX} bytes"));
    }
    Ok(bytes)
}
