//! The stored responses to requests with an `Idempotency-Key`: [`hubbub_actors::idempotency`] with a status and a body as
//! the response.
//!
//! Each API key has its own share, so the requests of one key never evict the responses of another.

use bytes::{BufMut as _, Bytes, BytesMut};
use hubbub_actors::idempotency::{Bound, Bounds, Idempotency};
use hubbub_actors::runtime::clock::Clock;

/// Most responses of all keys, requests in progress included.
pub const ANSWERS_MAX: usize = 10_000;
/// Most bytes of names and responses of all keys.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;
/// The smallest share of a key. With more than ten keys, the total grows.
pub const SHARE_MIN: Bound = Bound { entries: 1_000, bytes: 2 * 1024 * 1024 };

/// The bounds for a number of API keys.
pub fn bounds(keys: usize) -> Bounds {
    let keys = keys.max(1);
    let share =
        Bound { entries: (ANSWERS_MAX / keys).max(SHARE_MIN.entries), bytes: (BYTES_MAX / keys).max(SHARE_MIN.bytes) };
    let total = Bound { entries: share.entries.saturating_mul(keys), bytes: share.bytes.saturating_mul(keys) };
    Bounds { owner: share, total }
}

/// An empty cache for a number of API keys.
pub fn new_cache(keys: usize, clock: Clock) -> Idempotency {
    let conflict = "This Idempotency-Key was used for a different request";
    Idempotency::new(bounds(keys), conflict, clock)
}

/// A response that can be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedAnswer {
    /// The status.
    pub status: u16,
    /// The body, JSON text.
    pub body: Bytes,
}

impl CachedAnswer {
    /// The bytes that are stored.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(2 + self.body.len());
        bytes.put_u16(self.status);
        bytes.extend_from_slice(&self.body);
        bytes.freeze()
    }

    /// The response of stored bytes.
    pub fn from_bytes(mut bytes: Bytes) -> Option<Self> {
        let body = bytes.split_off(bytes.len().min(2));
        let status = u16::from_be_bytes(bytes[..].try_into().ok()?);
        Some(Self { status, body })
    }
}

#[cfg(test)]
mod tests {
    use hubbub_actors::idempotency::{Found, IdempotencyKey};

    use super::*;

    fn key(owner: &str, name: usize) -> IdempotencyKey {
        IdempotencyKey { owner: owner.into(), name: name.to_string().into() }
    }

    /// Claims a name and answers; whether it was new.
    fn keep(cache: &Idempotency, owner: &str, name: usize) -> bool {
        match cache.look_up(&key(owner, name), [1; 32]).unwrap() {
            Found::First(ticket) => {
                ticket.keep(Bytes::from_static(b"answer"));
                true
            }
            Found::Again(_) | Found::InProgress(_) => false,
        }
    }

    #[test]
    fn an_answer_is_restored_from_its_bytes() {
        for body in ["", "{}"] {
            let answer = CachedAnswer { status: 201, body: Bytes::from_static(body.as_bytes()) };
            assert_eq!(CachedAnswer::from_bytes(answer.to_bytes()), Some(answer));
        }
        assert_eq!(CachedAnswer::from_bytes(Bytes::from_static(b"x")), None);
    }

    #[test]
    fn a_key_never_evicts_the_answers_of_another_key() {
        let cache = new_cache(4, Clock::manual(0));
        assert!(keep(&cache, "quiet", 0));
        for name in 0..ANSWERS_MAX {
            assert!(keep(&cache, "busy", name));
        }
        let share = ANSWERS_MAX / 4;
        assert_eq!(cache.fill().entries, share + 1);
        assert_eq!(cache.fill().evicted_early, (ANSWERS_MAX - share) as u64);
        assert!(!keep(&cache, "quiet", 0), "still stored");
        assert!(!keep(&cache, "busy", ANSWERS_MAX - share));
        assert!(keep(&cache, "busy", 0), "its oldest was evicted");
    }

    #[test]
    fn each_of_many_keys_has_the_smallest_share() {
        let cache = new_cache(100, Clock::manual(0));
        for name in 0..SHARE_MIN.entries {
            for owner in 0..15 {
                assert!(keep(&cache, &owner.to_string(), name));
            }
        }
        assert_eq!(cache.fill().evicted_early, 0);
    }
}
