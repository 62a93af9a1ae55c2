//! Where a key set comes from, and keeping it fresh: a file that is read again when it changes, or a URL that is asked
//! again from time to time and when a token names a key that is not known.
//!
//! One task loads, so that however many tokens wait, one load is under way. What was loaded last is kept while nothing
//! better comes. Knows no token: it is asked for the key of a `kid`.

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

/// The first and the longest pause after a load that failed; each is twice the one before.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long a token waits for a load that is under way: as long as one takes, and a little.
const PATIENCE: Duration = TIMEOUT.saturating_add(Duration::from_millis(500));

enum Origin {
    File(PathBuf),
    Url(HttpClient),
}

impl Origin {
    /// The pause between loads that nobody asked for, and between those that an unknown `kid` asked for. To look at a
    /// file's time costs next to nothing; a request is spared, because anybody can make a `kid` up.
    fn rhythm(&self) -> (Duration, Duration) {
        match self {
            Self::File(_) => (Duration::from_secs(1), Duration::from_secs(1)),
            Self::Url(_) => (Duration::from_secs(600), Duration::from_secs(60)),
        }
    }
}

/// When a file was changed, and its length.
type Stamp = (Option<SystemTime>, u64);

#[derive(Default)]
struct Loaded {
    keys: Option<Arc<KeySet>>,
    stamp: Option<Stamp>,
    /// The last load failed: what is held may be old.
    failed: bool,
    /// A load is under way or was asked for.
    loading: bool,
    /// When an unknown `kid` last asked for one.
    asked_at: Option<Instant>,
    /// What was last said in the log, so that it is not said every second.
    said: String,
}

/// The source of a key set, and what it gave last.
pub struct KeySource {
    origin: Origin,
    algorithm: Algorithm,
    loaded: Mutex<Loaded>,
    loads: watch::Sender<u64>,
    wanted: Arc<Notify>,
    /// A task keeps it fresh.
    is_kept: AtomicBool,
    /// Loads that gave a set, and those that failed.
    counts: (AtomicU64, AtomicU64),
}

impl Drop for KeySource {
    fn drop(&mut self) {
        // Its task sees that nobody uses it.
        self.wanted.notify_one();
    }
}

impl KeySource {
    /// The key set in a file, read at once.
    ///
    /// # Errors
    /// When it cannot be read, is no key set, or has no key that fits; a line that begins with the file's name.
    pub fn file(path: &Path, algorithm: Algorithm) -> Result<Self, String> {
        let failed = |why: String| format!("{}: {why}", path.display());
        // Its stamp first: a change between the two is then seen at the next look.
        let stamp = stamp(path).map_err(failed)?;
        let bytes = read(path).map_err(failed)?;
        let (keys, left_out) = KeySet::parse(&bytes, algorithm).map_err(failed)?;
        if keys.is_empty() {
            let why = left_out.first().map_or("it is empty", String::as_str);
            return Err(failed(format!("has no key for {algorithm:?}: {why}")));
        }
        let source = Self::new(Origin::File(path.to_owned()), algorithm);
        source.hold(keys, left_out, Some(stamp));
        Ok(source)
    }

    /// The key set at a URL, which is asked once [`keep`](Self::keep) runs.
    ///
    /// # Errors
    /// See [`HttpClient::new`].
    pub fn url(url: &str, algorithm: Algorithm) -> Result<Self, String> {
        let source = Self::new(Origin::Url(HttpClient::new(url, Redirects::SameScheme)?), algorithm);
        // Tokens that come before the first load wait for it.
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
            is_kept: AtomicBool::new(false),
            counts: (AtomicU64::new(0), AtomicU64::new(0)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of the tokens with this `kid`, or with none. Waits for a load where one may bring it.
    ///
    /// # Errors
    /// `InvalidToken` when there is no such key or it is not clear which; `AuthUnavailable` when it may exist, but its
    /// issuer cannot be asked now.
    pub async fn key(&self, kid: Option<&str>) -> Result<Arc<DecodingKey>, Fault> {
        // Before the first look, so that no load is missed between it and the wait.
        let mut loads = self.loads.subscribe();
        if let Some(found) = self.look(kid) {
            return found;
        }
        if self.ask() {
            let _ = timeout(PATIENCE, loads.changed()).await;
            if let Some(found) = self.look(kid) {
                return found;
            }
        }
        let loaded = self.lock();
        match &loaded.keys {
            Some(_) if !loaded.failed => Err(invalid("The token is signed with an unknown key").by("token kid")),
            _ => Err(unavailable(RETRY.0)),
        }
    }

    fn look(&self, kid: Option<&str>) -> Option<Result<Arc<DecodingKey>, Fault>> {
        match self.lock().keys.as_ref()?.find(kid) {
            Ok(key) => Some(Ok(key.clone())),
            Err(Missing::Several) => {
                let message = "The token does not say which of several keys it is signed with";
                Some(Err(invalid(message).by("token kid")))
            }
            Err(Missing::Unknown) => None,
        }
    }

    /// Whether a load is under way, if need be because of this question.
    fn ask(&self) -> bool {
        let mut loaded = self.lock();
        if loaded.loading {
            return true;
        }
        let (_, gap) = self.origin.rhythm();
        // With nothing loaded yet the task tries again by itself, at a pace that spares the issuer.
        if loaded.keys.is_none() || loaded.asked_at.is_some_and(|at| at.elapsed() < gap) {
            return false;
        }
        loaded.asked_at = Some(Instant::now());
        loaded.loading = true;
        self.wanted.notify_one();
        true
    }

    /// Whether nothing keeps it fresh yet; from now on the caller does.
    pub(super) fn begin_keeping(&self) -> bool {
        !self.is_kept.swap(true, Ordering::AcqRel)
    }

    /// Says that a load is wanted.
    pub(super) fn wanted(&self) -> Arc<Notify> {
        self.wanted.clone()
    }

    /// Loads, again and again, for as long as the source is used.
    pub async fn keep(source: Weak<Self>, wanted: Arc<Notify>) {
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

    /// Loads once; returns the time until the next load, which `backoff` gives after a failure.
    async fn load_once(&self, backoff: &mut Backoff) -> Duration {
        self.lock().loading = true;
        let result = self.load().await;
        let (often, _) = self.origin.rhythm();
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
    /// When that came to nothing, or takes too long.
    pub async fn loaded(&self) -> Result<(), String> {
        let mut loads = self.loads.subscribe();
        let is_loaded = || self.lock().keys.is_some();
        if !is_loaded() && timeout(PATIENCE, loads.changed()).await.is_err() {
            return Err("auth.jwks: was not loaded in time".into());
        }
        if is_loaded() { Ok(()) } else { Err(self.lock().said.clone()) }
    }

    /// Has the set loaded again, a file that is as it was too, and waits for that; the log says what came of it. A set that
    /// cannot be loaded leaves the keys that there are. Does nothing where no task keeps it fresh.
    ///
    /// # Errors
    /// When it was not loaded in time, or in vain.
    pub async fn refresh(&self) -> Result<(), String> {
        let mut loads = self.loads.subscribe();
        let was_under_way = {
            let mut loaded = self.lock();
            (loaded.stamp, loaded.said) = (None, String::new());
            loaded.loading
        };
        // One that is under way may have read what was there before.
        for _ in 0..1 + usize::from(was_under_way) {
            self.wanted.notify_one();
            if timeout(PATIENCE, loads.changed()).await.is_err() {
                break;
            }
        }
        let loaded = self.lock();
        if loaded.failed || loaded.loading || loaded.keys.is_none() { Err(loaded.said.clone()) } else { Ok(()) }
    }

    /// Loads once, and says how many keys fit.
    ///
    /// # Errors
    /// Why there is no key set.
    pub async fn try_load(&self) -> Result<usize, String> {
        self.load().await?;
        Ok(self.auth_state().0.unwrap_or(0))
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
        self.hold(keys, left_out, stamp);
        Ok(())
    }

    fn hold(&self, keys: KeySet, left_out: Vec<String>, stamp: Option<Stamp>) {
        self.counts.0.fetch_add(1, Ordering::Relaxed);
        let said = format!("auth.jwks: {} keys for {:?}", keys.len(), self.algorithm);
        let said = left_out.iter().fold(said, |said, line| said + "; " + line);
        let mut loaded = self.lock();
        if loaded.said != said {
            if keys.is_empty() {
                log::warn!("{said}")
            } else {
                log::info!("{said}")
            }
            loaded.said = said;
        }
        loaded.keys = Some(Arc::new(keys));
        loaded.stamp = stamp;
    }

    fn fail(&self, why: String) {
        self.counts.1.fetch_add(1, Ordering::Relaxed);
        let mut loaded = self.lock();
        let kept =
            if loaded.keys.is_some() { "the keys that were loaded before stay" } else { "no such token is let in" };
        let said = format!("auth.jwks: {why}; {kept}");
        if loaded.said != said {
            log::warn!("{said}");
            loaded.said = said;
        }
        loaded.failed = true;
    }

    /// How many keys there are, `None` before the first load; how many loads gave a set, and how many failed.
    pub fn auth_state(&self) -> (Option<usize>, u64, u64) {
        let keys = self.lock().keys.as_ref().map(|keys| keys.len());
        (keys, self.counts.0.load(Ordering::Relaxed), self.counts.1.load(Ordering::Relaxed))
    }
}

/// The file's bytes and stamp, when it is not as it was.
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
