//! The nonces of requests that may still be fresh. Pure.

use std::collections::HashMap;

use hubbub_actors::model::fault::Fault;
use hubbub_actors::store::{StoredNonce, StoredNonces};

use super::{WINDOW_MS, refused};

/// How long a forward step of the wall clock is not trusted, in ms. The clock may be set back, and then stale requests
/// would be fresh again. After this time, requests from before the step are stale by either clock.
const UNTRUSTED_MS: i64 = 2 * WINDOW_MS;

/// The nonces that are kept.
pub(super) struct Nonces {
    /// The last ms at which the request with this nonce is fresh.
    until: HashMap<[u8; 16], i64>,
    /// The earliest expiry; a sweep before it would find nothing.
    earliest: i64,
    capacity: usize,
    /// Requests signed before this time (ms since the epoch) are refused, because their nonces are lost.
    not_before: i64,
    past: PassedTime,
}

impl Nonces {
    pub(super) fn new(capacity: usize) -> Self {
        let (until, past) = (HashMap::new(), PassedTime::default());
        Self { until, earliest: i64::MAX, capacity, not_before: i64::MIN, past }
    }

    pub(super) fn record(&mut self, name: [u8; 16], timestamp: i64, now_ms: i64, elapsed_ms: i64) -> Result<(), Fault> {
        if timestamp < self.not_before {
            return Err(refused("The request was signed before the hub started; sign it again"));
        }
        let past = self.past.at(now_ms, elapsed_ms);
        let until = timestamp.saturating_add(WINDOW_MS);
        if let Some(known) = self.until.get_mut(&name) {
            if *known >= past {
                return Err(refused("X-Request-Nonce was used before"));
            }
            *known = until;
        } else {
            if self.until.len() >= self.capacity {
                self.sweep(past);
            }
            if self.until.len() >= self.capacity {
                return Err(Fault::overloaded());
            }
            self.until.insert(name, until);
        }
        self.earliest = self.earliest.min(until);
        Ok(())
    }

    pub(super) fn into_stored(self) -> StoredNonces {
        let used = self.until.into_iter().map(|(name, until)| StoredNonce { name, until }).collect();
        StoredNonces { not_before: self.not_before, used }
    }

    pub(super) fn restore(&mut self, StoredNonces { not_before, used }: StoredNonces) {
        self.not_before = not_before;
        for StoredNonce { name, until } in used.into_iter().take(self.capacity) {
            self.until.insert(name, until);
            self.earliest = self.earliest.min(until);
        }
    }

    fn sweep(&mut self, past: i64) {
        if self.earliest >= past {
            return;
        }
        self.until.retain(|_, until| *until >= past);
        self.earliest = self.until.values().copied().min().unwrap_or(i64::MAX);
    }
}

/// The wall time that has certainly passed. A forward step of the wall clock counts only after [`UNTRUSTED_MS`].
#[derive(Default)]
struct PassedTime {
    /// How far the trusted wall clock is ahead of the monotonic clock, in ms.
    ahead: Option<i64>,
    /// When the forward step was first seen, by the monotonic clock.
    untrusted_since: Option<i64>,
}

impl PassedTime {
    fn at(&mut self, now_ms: i64, elapsed_ms: i64) -> i64 {
        let ahead = now_ms - elapsed_ms;
        let trusted = self.ahead.get_or_insert(ahead);
        let is_untrusted =
            ahead > *trusted && elapsed_ms - *self.untrusted_since.get_or_insert(elapsed_ms) < UNTRUSTED_MS;
        if !is_untrusted {
            (*trusted, self.untrusted_since) = (ahead, None);
        }
        *trusted + elapsed_ms
    }
}
