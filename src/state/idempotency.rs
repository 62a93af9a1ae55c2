//! What was answered to requests that named themselves with `Idempotency-Key`: the memory of
//! [`hubbub_actors::idempotency`], in which an answer is a status and a body.
//!
//! Each API key has a share of its own, so no key's requests push out another key's answers.

use bytes::{BufMut as _, Bytes, BytesMut};
use hubbub_actors::idempotency::{Bound, Bounds, Idempotency};
use hubbub_actors::runtime::clock::Clock;

/// Answers that the keys share, requests under way included.
pub const ANSWERS_MAX: usize = 10_000;
/// Bytes of names and answers that the keys share.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;
/// The least share of a key: with more than ten keys there is room for more in all.
pub const SHARE_MIN: Bound = Bound { entries: 1_000, bytes: 2 * 1024 * 1024 };

/// How much is remembered of so many API keys.
pub fn bounds(keys: usize) -> Bounds {
    let keys = keys.max(1);
    let share =
        Bound { entries: (ANSWERS_MAX / keys).max(SHARE_MIN.entries), bytes: (BYTES_MAX / keys).max(SHARE_MIN.bytes) };
    let total = Bound { entries: share.entries.saturating_mul(keys), bytes: share.bytes.saturating_mul(keys) };
    Bounds { owner: share, total }
}

/// An empty memory for so many API keys.
pub fn new_cache(keys: usize, clock: Clock) -> Idempotency {
    let conflict = "This Idempotency-Key was used for a different request";
    Idempotency::new(bounds(keys), conflict, clock)
}

/// An answer as it is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The status.
    pub status: u16,
    /// The body, JSON text.
    pub body: Bytes,
}

impl StoredAnswer {
    /// The bytes by which it is remembered.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(2 + self.body.len());
        bytes.put_u16(self.status);
        bytes.extend_from_slice(&self.body);
        bytes.freeze()
    }

    /// The answer that was remembered by these bytes.
    pub fn from_bytes(mut bytes: Bytes) -> Option<Self> {
        let body = bytes.split_off(bytes.len().min(2));
        let status = u16::from_be_bytes(bytes[..].try_into().ok()?);
        Some(Self { status, body })
    }
}

#[cfg(test)]
mod tests {
    use hubbub_actors::idempotency::{Found, Key};

    use super::*;

    fn key(owner: &str, name: usize) -> Key {
        Key { owner: owner.into(), name: name.to_string().into() }
    }

    /// Claims a name and answers; whether it was new.
    fn keep(memory: &Idempotency, owner: &str, name: usize) -> bool {
        match memory.look(&key(owner, name), [1; 32]).unwrap() {
            Found::First(ticket) => {
                ticket.keep(Bytes::from_static(b"answer"));
                true
            }
            Found::Again(_) | Found::UnderWay(_) => false,
        }
    }

    #[test]
    fn an_answer_is_read_as_it_was_remembered() {
        for body in ["", "{}"] {
            let answer = StoredAnswer { status: 201, body: Bytes::from_static(body.as_bytes()) };
            assert_eq!(StoredAnswer::from_bytes(answer.to_bytes()), Some(answer));
        }
        assert_eq!(StoredAnswer::from_bytes(Bytes::from_static(b"x")), None);
    }

    #[test]
    fn keys_share_the_room_and_none_pushes_out_another_keys_answers() {
        let memory = new_cache(4, Clock::manual(0));
        assert!(keep(&memory, "quiet", 0));
        for name in 0..ANSWERS_MAX {
            assert!(keep(&memory, "busy", name));
        }
        let share = ANSWERS_MAX / 4;
        assert_eq!(memory.fill().entries, share + 1);
        assert_eq!(memory.fill().forgotten_early, (ANSWERS_MAX - share) as u64);
        assert!(!keep(&memory, "quiet", 0), "remembered still");
        assert!(!keep(&memory, "busy", ANSWERS_MAX - share));
        assert!(keep(&memory, "busy", 0), "its oldest went");
    }

    #[test]
    fn many_keys_have_a_least_share_each() {
        let memory = new_cache(100, Clock::manual(0));
        for name in 0..SHARE_MIN.entries {
            for owner in 0..15 {
                assert!(keep(&memory, &owner.to_string(), name));
            }
        }
        assert_eq!(memory.fill().forgotten_early, 0);
    }
}
