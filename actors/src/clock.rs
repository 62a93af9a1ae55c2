//! Where the time comes from: the system, or a test's hand.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of the time in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The operating system's clock.
    #[default]
    System,
    /// A clock that stands still until it is moved.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `ms` until [`Clock::advance`] moves it.
    pub fn manual(ms: i64) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(ms)))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Self::Manual(now) => now.load(Ordering::Relaxed),
        }
    }

    /// Milliseconds since some moment before, by a clock that nobody sets: how long something takes is measured by it.
    pub fn elapsed_ms(&self) -> i64 {
        static START: OnceLock<Instant> = OnceLock::new();
        match self {
            Self::System => i64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(i64::MAX),
            Self::Manual(now) => now.load(Ordering::Relaxed),
        }
    }

    /// As [`Clock::elapsed_ms`], but rounded up: a time that is counted from here does not end a part of a millisecond
    /// early.
    pub fn begin_ms(&self) -> i64 {
        match self {
            Self::System => self.elapsed_ms() + 1,
            Self::Manual(_) => self.elapsed_ms(),
        }
    }

    /// Moves a manual clock on by `ms`; the system's clock moves by itself.
    pub fn advance(&self, ms: i64) {
        if let Self::Manual(now) = self {
            now.fetch_add(ms, Ordering::Relaxed);
        }
    }
}
