//! Limits that connections share: by address, by API key and by user name. A limit of one connection alone lives in its session.
//!
//! [`window`] is the pure counting, [`RateLimit`] the actor that keeps one window a key. [`held`] are limits of what there
//! may be at once, which need no actor.

pub mod held;
pub mod window;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};
use ahash::AHashMap;
use tokio::sync::oneshot;

use self::window::{Verdict, WINDOW_MS, Window};
use crate::clock::Clock;
use crate::events::Surface;
use crate::mailbox::{Receive, receives_posts};

/// Windows of one kind kept at once. A stranger with many addresses can fill this; then the windows that have ended go,
/// and if none has, new keys are refused until one does: who is counted already is not set free.
pub const WINDOWS_MAX: usize = 200_000;

/// Least time between two sweeps for want of a place, ms.
const SWEEP_MS: u64 = 1_000;

/// What a limit shared between connections is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// Connections of an address on a surface.
    Connect(Surface, IpAddr),
    /// Connections of an address whose client showed no token.
    Guest(IpAddr),
    /// HTTP requests made with an API key, by the key's name.
    ApiKey(Arc<str>),
    /// HTTP requests of an address that shows no valid key.
    Address(IpAddr),
    /// Attempts to sign in from an address.
    Login(IpAddr),
    /// Attempts to sign in under a user name: a digest of the name as it is compared, for strangers choose its length.
    LoginName([u8; 32]),
}

/// Counts one event of `key`; the answer is the seconds to wait where it is refused.
#[derive(Debug)]
pub struct Admit {
    /// What is counted.
    pub key: LimitKey,
    /// Events a minute; `0` is no limit.
    pub per_minute: u32,
    /// The verdict.
    pub reply: oneshot::Sender<Result<(), u32>>,
}

/// Windows of keys of one kind.
#[derive(Debug)]
struct Table {
    windows: AHashMap<LimitKey, Window>,
    most: usize,
    /// When ended windows were last looked for, ms since the epoch.
    swept_at: i64,
}

impl Table {
    fn new(most: usize) -> Self {
        Self { windows: AHashMap::new(), most, swept_at: 0 }
    }

    fn admit(&mut self, key: LimitKey, per_minute: u32, now: i64) -> Result<(), u32> {
        if self.windows.len() >= self.most && !self.windows.contains_key(&key) {
            // A sweep looks at every window, so it is not for every stranger.
            if now.abs_diff(self.swept_at) >= SWEEP_MS {
                self.sweep(now);
            }
            if self.windows.len() >= self.most {
                return Err(u32::try_from(WINDOW_MS / 1000).unwrap_or(60));
            }
        }
        match self.windows.entry(key).or_default().count(now, per_minute) {
            Verdict::Within => Ok(()),
            Verdict::Over(seconds) => Err(seconds),
            Verdict::Flood => Err(u32::try_from(WINDOW_MS / 1000).unwrap_or(60)),
        }
    }

    fn sweep(&mut self, now: i64) {
        self.swept_at = now;
        self.windows.retain(|_, window| !window.has_ended(now));
        let kept = self.windows.len();
        self.windows.shrink_to(kept * 2);
    }
}

/// The actor that counts. Keys of one kind cannot take the places of another: names that strangers make up keep no
/// address out, and nobody keeps an API key out.
#[derive(Debug)]
pub struct RateLimit {
    addresses: Table,
    names: Table,
    /// As many as are configured.
    api_keys: Table,
    clock: Clock,
}

impl RateLimit {
    /// An actor that has counted nothing yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            addresses: Table::new(WINDOWS_MAX),
            names: Table::new(WINDOWS_MAX),
            api_keys: Table::new(usize::MAX),
            clock,
        }
    }

    fn admit(&mut self, key: LimitKey, per_minute: u32) -> Result<(), u32> {
        let table = match key {
            LimitKey::Connect(..) | LimitKey::Guest(_) | LimitKey::Address(_) | LimitKey::Login(_) => {
                &mut self.addresses
            }
            LimitKey::LoginName(_) => &mut self.names,
            LimitKey::ApiKey(_) => &mut self.api_keys,
        };
        table.admit(key, per_minute, self.clock.now_ms())
    }

    fn sweep(&mut self) {
        let now = self.clock.now_ms();
        for table in [&mut self.addresses, &mut self.names, &mut self.api_keys] {
            table.sweep(now);
        }
    }
}

impl Actor for RateLimit {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_secs(60), |actor, _| actor.sweep());
    }
}

receives_posts!(RateLimit);

impl Receive<Admit> for RateLimit {
    fn receive(&mut self, admit: Admit, _: &mut Self::Context) {
        let verdict = if admit.per_minute == 0 { Ok(()) } else { self.admit(admit.key, admit.per_minute) };
        let _ = admit.reply.send(verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_a_window_of_its_own_and_ended_ones_are_swept() {
        let clock = Clock::manual(1_000);
        let mut limits = RateLimit::new(clock.clone());
        let (one, other) = (LimitKey::ApiKey("one".into()), LimitKey::ApiKey("other".into()));
        assert_eq!(limits.admit(one.clone(), 1), Ok(()));
        assert_eq!(limits.admit(one.clone(), 1), Err(60));
        assert_eq!(limits.admit(other, 1), Ok(()));
        clock.advance(WINDOW_MS);
        limits.sweep();
        assert!(limits.api_keys.windows.is_empty());
        assert_eq!(limits.admit(one, 1), Ok(()));
    }

    #[test]
    fn a_full_table_refuses_new_keys_and_sets_nobody_free() {
        let key = |name: &str| LimitKey::ApiKey(name.into());
        let mut table = Table::new(2);
        assert_eq!(table.admit(key("a"), 1, 0), Ok(()));
        assert_eq!(table.admit(key("b"), 1, 0), Ok(()));
        assert_eq!(table.admit(key("c"), 1, 0), Err(60));
        assert_eq!(table.admit(key("a"), 1, 0), Err(60), "counted still");
        assert_eq!(table.admit(key("c"), 1, WINDOW_MS), Ok(()), "the others have ended");
    }
}
