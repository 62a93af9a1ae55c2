//! The source of time: the system's clock, or a manual clock that a test moves.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::fut::{ActorFutureExt as _, wrap_future};
use actix::{Actor, AsyncContext as _, Context, SpawnHandle};
use tokio::sync::Notify;

/// A source of the time in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The operating system's clock.
    #[default]
    System,
    /// A clock that stands still until a test moves it.
    Manual(Arc<Hands>),
}

/// The two times of a manual clock, ms.
#[derive(Debug, Default)]
pub struct Hands {
    wall: AtomicI64,
    elapsed: AtomicI64,
    /// Wakes [`Clock::sleep`] when the clock moves.
    moved: Notify,
}

impl Clock {
    /// A clock that stands at `ms` until [`Clock::advance`] moves it.
    pub fn manual(ms: i64) -> Self {
        Self::Manual(Arc::new(Hands { wall: AtomicI64::new(ms), elapsed: AtomicI64::new(ms), moved: Notify::new() }))
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Self::Manual(hands) => hands.wall.load(Ordering::Relaxed),
        }
    }

    /// Milliseconds since an arbitrary start, by a monotonic clock. Durations are measured with it, because it is never
    /// set.
    pub fn elapsed_ms(&self) -> i64 {
        match self {
            Self::System => i64::try_from(start().elapsed().as_millis()).unwrap_or(i64::MAX),
            Self::Manual(hands) => hands.elapsed.load(Ordering::Relaxed),
        }
    }

    /// As [`Clock::elapsed_ms`], in µs: for durations that are often below a millisecond.
    pub fn elapsed_us(&self) -> u64 {
        match self {
            Self::System => u64::try_from(start().elapsed().as_micros()).unwrap_or(u64::MAX),
            Self::Manual(hands) => hands.elapsed.load(Ordering::Relaxed).unsigned_abs().saturating_mul(1_000),
        }
    }

    /// As [`Clock::elapsed_ms`], but rounded up, so that a period that starts here does not end a part of a millisecond
    /// early.
    pub fn begin_ms(&self) -> i64 {
        match self {
            Self::System => self.elapsed_ms() + 1,
            Self::Manual(_) => self.elapsed_ms(),
        }
    }

    /// Moves a manual clock forward by `ms` and wakes the due timers. The system's clock is not changed.
    pub fn advance(&self, ms: i64) {
        if let Self::Manual(hands) = self {
            hands.wall.fetch_add(ms, Ordering::Relaxed);
            hands.elapsed.fetch_add(ms, Ordering::Relaxed);
            hands.moved.notify_waiters();
        }
    }

    /// Resolves after `time` by this clock.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = ()> + use<> {
        let end = self.elapsed_ms().saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let clock = self.clone();
        async move {
            match clock {
                Self::System => actix_rt::time::sleep(time).await,
                Self::Manual(hands) => hands.reach(end).await,
            }
        }
    }

    /// Runs `task` in the actor of `ctx` after `time` by this clock.
    pub fn run_later<A: Actor<Context = Context<A>>>(
        &self,
        ctx: &mut Context<A>,
        time: Duration,
        task: impl FnOnce(&mut A, &mut Context<A>) + 'static,
    ) -> SpawnHandle {
        match self {
            Self::System => ctx.run_later(time, task),
            Self::Manual(_) => ctx.spawn(wrap_future(self.sleep(time)).map(|(), actor, ctx| task(actor, ctx))),
        }
    }

    /// Steps the wall clock of a manual clock by `ms`, as NTP or an operator does. The monotonic clock does not move.
    pub fn step(&self, ms: i64) {
        if let Self::Manual(hands) = self {
            hands.wall.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// The expiry at `at`, ms since the epoch; `None` never expires.
    pub fn expiry(&self, at: Option<i64>) -> Expiry {
        Expiry::new(at, self.now_ms(), self.elapsed_ms())
    }
}

impl Hands {
    /// Resolves when the monotonic time is `end` or later.
    async fn reach(&self, end: i64) {
        loop {
            // Created before the time is read, so that no move of the clock is missed.
            let moved = self.moved.notified();
            if self.elapsed.load(Ordering::Relaxed) >= end {
                return;
            }
            moved.await;
        }
    }
}

/// The first reading of the system's monotonic clock; elapsed times count from it.
fn start() -> &'static Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now)
}

/// An expiry time, set by the wall clock and checked by the wall clock and the monotonic clock. It is reached as soon
/// as one of the clocks reaches it, so a wall clock that steps back does not delay it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// The expiry, ms since the epoch.
    wall: i64,
    /// The expiry in ms of [`Clock::elapsed_ms`].
    elapsed: i64,
}

impl Expiry {
    /// An expiry that is never reached.
    pub const NEVER: Self = Self { wall: i64::MAX, elapsed: i64::MAX };

    /// The expiry at `at`, when the clocks show `now` and `elapsed`.
    pub fn new(at: Option<i64>, now: i64, elapsed: i64) -> Self {
        at.map_or(Self::NEVER, |wall| Self { wall, elapsed: elapsed.saturating_add(wall.saturating_sub(now)) })
    }

    /// Whether the expiry is reached.
    pub fn is_over(&self, now: i64, elapsed: i64) -> bool {
        now >= self.wall || elapsed >= self.elapsed
    }

    /// The time until the first clock reaches the expiry, ms; `None` if it is never reached.
    pub fn left(&self, now: i64, elapsed: i64) -> Option<i64> {
        (*self != Self::NEVER).then(|| self.wall.saturating_sub(now).min(self.elapsed.saturating_sub(elapsed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn is_over(clock: &Clock, expiry: Expiry) -> bool {
        expiry.is_over(clock.now_ms(), clock.elapsed_ms())
    }

    #[test]
    fn an_expiry_holds_when_the_wall_clock_steps_back() {
        let clock = Clock::manual(10 * HOUR);
        let expiry = clock.expiry(Some(11 * HOUR));
        clock.step(-HOUR);
        clock.advance(HOUR - 1);
        assert!(!is_over(&clock, expiry));
        assert_eq!(expiry.left(clock.now_ms(), clock.elapsed_ms()), Some(1));
        clock.advance(1);
        assert!(is_over(&clock, expiry));
    }

    #[test]
    fn an_expiry_is_over_when_the_wall_clock_steps_beyond_it() {
        let clock = Clock::manual(10 * HOUR);
        let expiry = clock.expiry(Some(11 * HOUR));
        clock.step(HOUR);
        assert!(is_over(&clock, expiry));
    }

    #[test]
    fn the_same_time_can_be_read_in_milliseconds_and_microseconds() {
        let clock = Clock::manual(7);
        clock.advance(5);
        assert_eq!((clock.elapsed_ms(), clock.elapsed_us()), (12, 12_000));
        let (before, between, after) =
            (Clock::System.elapsed_us(), Clock::System.elapsed_ms(), Clock::System.elapsed_us());
        assert!(i64::try_from(before / 1_000).unwrap() <= between && between <= i64::try_from(after / 1_000).unwrap());
    }

    #[actix::test]
    async fn a_sleep_ends_when_the_clock_was_moved_to_its_end() {
        let clock = Clock::manual(7);
        let sleep = actix_rt::spawn(clock.sleep(Duration::from_millis(100)));
        clock.step(1_000);
        clock.advance(99);
        actix_rt::task::yield_now().await;
        assert!(!sleep.is_finished());
        clock.advance(1);
        sleep.await.unwrap();
        clock.sleep(Duration::ZERO).await;
    }

    #[test]
    fn an_unset_expiry_is_never_reached() {
        let clock = Clock::manual(0);
        let never = clock.expiry(None);
        clock.advance(i64::MAX - 1);
        assert!(!is_over(&clock, never));
        assert_eq!(never.left(0, 0), None);
    }
}
