//! Rate limits shared between connections: per address, API key, user and user name. A limit of a single connection
//! belongs to its session.
//!
//! [`fixed_window`] counts events in a window, and the actor [`RateLimit`] keeps a window for each key. [`concurrency`]
//! limits concurrent connections, without an actor. [`token_bucket`] limits the deliveries of
//! announcements. [`traffic`] counts the frames and bytes of one connection.

pub mod concurrency;
pub mod fixed_window;
pub mod token_bucket;
pub mod traffic;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};
use ahash::AHashMap;

use self::fixed_window::{Decision, Rule, WINDOW_MS, Window};
use crate::model::ids::UserId;
use crate::model::surface::Surface;
use crate::runtime::clock::Clock;
use crate::runtime::mailbox::{Receive, ReplySender, receives_posts};

/// Most windows of one kind. A client with many addresses can fill the table. A sweep then removes ended windows. If
/// none has ended, new keys are refused, so that no counted client escapes its limit.
pub const WINDOWS_MAX: usize = 200_000;

/// Shortest time between two sweeps of a full table, ms.
const SWEEP_MS: u64 = 1_000;

/// The key of a rate limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// Connections from an address, per surface.
    Connect(Surface, IpAddr),
    /// Connections from an address without a token.
    Guest(IpAddr),
    /// HTTP requests with an API key, by the key's name.
    ApiKey(Arc<str>),
    /// HTTP requests from an address without a valid key.
    Address(IpAddr),
    /// Sign-in attempts from an address.
    Login(IpAddr),
    /// Sign-in attempts for a user name. The key is a digest, because a client chooses the name's length.
    LoginName([u8; 32]),
    /// Attempts to connect to `/chat` from an address.
    ChatAttempt(IpAddr),
    /// Chat messages of a user.
    ChatMessages(UserId),
    /// Typing indicators of a user in chats, start and stop.
    ChatTyping(UserId),
}

impl LimitKey {
    /// The configuration key of the limit. For an API key: `per_minute` and the name of the key's entry.
    pub fn rule(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Connect(Surface::Raw, _) => "limits.raw.connections_per_minute",
            Self::Connect(Surface::Root, _) => "limits.push.connections_per_minute",
            Self::Connect(Surface::Chat, _) | Self::ChatAttempt(_) => "limits.chat.connection_attempts",
            Self::Guest(_) => "limits.community.connections_per_minute",
            Self::ApiKey(name) => return format!("api key \"{name}\" per_minute").into(),
            Self::Address(_) => "limits.http.requests_per_minute",
            Self::Login(_) | Self::LoginName(_) => "limits.login.attempts_per_minute",
            Self::ChatMessages(_) => "limits.chat.messages_per_minute",
            Self::ChatTyping(_) => "limits.chat.typing_per_minute",
        })
    }
}

/// A request to count one event of `key`.
#[derive(Debug)]
pub struct Admit {
    /// The key.
    pub key: LimitKey,
    /// The limit.
    pub rule: Rule,
    /// Receives the decision.
    pub reply: ReplySender<Decision>,
}

/// The windows of one kind of keys.
#[derive(Debug)]
struct WindowTable {
    windows: AHashMap<LimitKey, Window>,
    most: usize,
    /// Time of the last sweep, ms by [`Clock::elapsed_ms`].
    swept_at: i64,
}

impl WindowTable {
    fn new(most: usize) -> Self {
        Self { windows: AHashMap::new(), most, swept_at: 0 }
    }

    fn admit(&mut self, key: LimitKey, rule: Rule, now: i64) -> Decision {
        if self.windows.len() >= self.most && !self.windows.contains_key(&key) {
            // A sweep scans all windows, so it does not run for each refused key.
            if now.abs_diff(self.swept_at) >= SWEEP_MS {
                self.sweep(now);
            }
            if self.windows.len() >= self.most {
                return Decision::Over(u32::try_from(WINDOW_MS / 1000).unwrap_or(60));
            }
        }
        self.windows.entry(key).or_default().count(now, rule)
    }

    fn sweep(&mut self, now: i64) {
        self.swept_at = now;
        self.windows.retain(|_, window| !window.has_ended(now));
        let kept = self.windows.len();
        self.windows.shrink_to(kept * 2);
    }
}

/// The actor that counts events. Each kind of key has its own table. Invented user names or long-blocked addresses
/// therefore cannot fill the table of other keys.
#[derive(Debug)]
pub struct RateLimit {
    addresses: WindowTable,
    names: WindowTable,
    attempts: WindowTable,
    users: WindowTable,
    /// Not bounded: only configured keys are counted.
    api_keys: WindowTable,
    clock: Clock,
}

impl RateLimit {
    /// An actor without windows.
    pub fn new(clock: Clock) -> Self {
        Self {
            addresses: WindowTable::new(WINDOWS_MAX),
            names: WindowTable::new(WINDOWS_MAX),
            attempts: WindowTable::new(WINDOWS_MAX),
            users: WindowTable::new(WINDOWS_MAX),
            api_keys: WindowTable::new(usize::MAX),
            clock,
        }
    }

    fn admit(&mut self, key: LimitKey, rule: Rule) -> Decision {
        let table = match key {
            LimitKey::Connect(..) | LimitKey::Guest(_) | LimitKey::Address(_) | LimitKey::Login(_) => {
                &mut self.addresses
            }
            LimitKey::LoginName(_) => &mut self.names,
            LimitKey::ChatAttempt(_) => &mut self.attempts,
            LimitKey::ChatMessages(_) | LimitKey::ChatTyping(_) => &mut self.users,
            LimitKey::ApiKey(_) => &mut self.api_keys,
        };
        table.admit(key, rule, self.clock.elapsed_ms())
    }

    fn sweep(&mut self) {
        let now = self.clock.elapsed_ms();
        let Self { addresses, names, attempts, users, api_keys, clock: _ } = self;
        for table in [addresses, names, attempts, users, api_keys] {
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
        let decision = if admit.rule.most == 0 { Decision::Within } else { self.admit(admit.key, admit.rule) };
        let _ = admit.reply.send(decision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Rule = Rule::a_minute(1);

    #[test]
    fn each_key_has_its_own_window_and_ended_windows_are_removed() {
        let clock = Clock::manual(1_000);
        let mut limits = RateLimit::new(clock.clone());
        let (one, other) = (LimitKey::ApiKey("one".into()), LimitKey::ApiKey("other".into()));
        assert_eq!(limits.admit(one.clone(), ONE), Decision::Within);
        assert_eq!(limits.admit(one.clone(), ONE), Decision::Over(60));
        assert_eq!(limits.admit(other, ONE), Decision::Within);
        clock.advance(WINDOW_MS);
        limits.sweep();
        assert!(limits.api_keys.windows.is_empty());
        assert_eq!(limits.admit(one, ONE), Decision::Within);
    }

    #[test]
    fn a_full_table_refuses_new_keys_and_evicts_no_counted_key() {
        let key = |name: &str| LimitKey::ApiKey(name.into());
        let mut table = WindowTable::new(2);
        assert_eq!(table.admit(key("a"), ONE, 0), Decision::Within);
        assert_eq!(table.admit(key("b"), ONE, 0), Decision::Within);
        assert_eq!(table.admit(key("c"), ONE, 0), Decision::Over(60));
        assert_eq!(table.admit(key("a"), ONE, 0), Decision::Over(60), "still counted");
        assert_eq!(table.admit(key("c"), ONE, WINDOW_MS), Decision::Within, "the other windows have ended");
    }

    #[test]
    fn a_step_of_the_wall_clock_does_not_change_a_limit() {
        let clock = Clock::manual(10 * WINDOW_MS);
        let mut limits = RateLimit::new(clock.clone());
        let key = LimitKey::ApiKey("one".into());
        assert_eq!(limits.admit(key.clone(), ONE), Decision::Within);
        for step in [-5 * WINDOW_MS, 8 * WINDOW_MS, -3 * WINDOW_MS] {
            clock.step(step);
            assert_eq!(limits.admit(key.clone(), ONE), Decision::Over(60), "after {step} ms");
        }
        clock.step(-5 * WINDOW_MS);
        clock.advance(WINDOW_MS);
        assert_eq!(limits.admit(key, ONE), Decision::Within);
    }

    #[test]
    fn each_kind_of_key_has_its_own_table() {
        let clock = Clock::manual(1_000);
        let mut limits = RateLimit::new(clock.clone());
        let (alice, address) = (UserId::parse("alice", "user").unwrap(), IpAddr::from([10, 0, 0, 1]));
        let attempts = Rule { most: 1, window_ms: 300_000, block_ms: 900_000 };
        assert_eq!(limits.admit(LimitKey::ChatMessages(alice.clone()), ONE), Decision::Within);
        assert_eq!(
            limits.admit(LimitKey::ChatTyping(alice), ONE),
            Decision::Within,
            "messages and typing have separate windows"
        );
        assert_eq!(limits.admit(LimitKey::ChatAttempt(address), attempts), Decision::Within);
        assert_eq!(limits.admit(LimitKey::ChatAttempt(address), attempts), Decision::Over(900));
        let kept = |limits: &RateLimit| [&limits.users, &limits.attempts].map(|table| table.windows.len());
        assert_eq!((kept(&limits), limits.addresses.windows.len()), ([2, 1], 0));
        clock.advance(899_999);
        limits.sweep();
        assert_eq!(kept(&limits), [0, 1], "still blocked");
        clock.advance(1);
        limits.sweep();
        assert_eq!(kept(&limits), [0, 0]);
    }
}
