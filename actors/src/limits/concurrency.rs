//! Limits of concurrent connections per address and per user. A connection holds a slot, and dropping the slot releases
//! it.

use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;

use crate::model::fault::Fault;
use crate::model::ids::UserId;

/// The key of a concurrency limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConcurrencyKey {
    /// Connections from an address without a token in the handshake.
    Address(IpAddr),
    /// Connections of a user.
    User(UserId),
}

/// Number of held slots per key. A key without slots has no entry.
#[derive(Debug, Default)]
pub struct ConcurrencyLimits(DashMap<ConcurrencyKey, u32, ahash::RandomState>);

impl ConcurrencyLimits {
    /// Takes one of `most` slots of `key`; 0 is no limit.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::LimitReached`] when all slots are taken.
    pub fn take(self: &Arc<Self>, key: ConcurrencyKey, most: u32) -> Result<ConcurrencySlot, Fault> {
        let mut held = self.0.entry(key.clone()).or_insert(0);
        if most > 0 && *held >= most {
            let (message, limit) = match key {
                ConcurrencyKey::Address(_) => {
                    ("Too many connections from this address", "limits.community.connections_per_address")
                }
                ConcurrencyKey::User(_) => {
                    ("Too many connections of this user", "limits.community.connections_per_user")
                }
            };
            return Err(Fault { message: message.into(), ..Fault::limit_reached(limit) });
        }
        *held += 1;
        drop(held);
        Ok(ConcurrencySlot { limits: self.clone(), key })
    }
}

/// A slot, released on drop.
#[derive(Debug)]
pub struct ConcurrencySlot {
    limits: Arc<ConcurrencyLimits>,
    key: ConcurrencyKey,
}

impl Drop for ConcurrencySlot {
    fn drop(&mut self) {
        self.limits.0.remove_if_mut(&self.key, |_, held| {
            *held = held.saturating_sub(1);
            *held == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::Code;

    #[test]
    fn a_slot_is_held_until_it_is_dropped() {
        let limits = Arc::new(ConcurrencyLimits::default());
        let key = |last| ConcurrencyKey::Address(IpAddr::from([10, 0, 0, last]));
        let (one, two) = (limits.take(key(1), 2).unwrap(), limits.take(key(1), 2).unwrap());
        let refused = limits.take(key(1), 2).unwrap_err();
        assert_eq!(
            (refused.code, refused.limit),
            (Code::LimitReached, Some("limits.community.connections_per_address"))
        );
        let other = limits.take(key(2), 2).unwrap();
        drop(one);
        let again = limits.take(key(1), 2).unwrap();
        drop((two, other, again));
        assert!(limits.0.is_empty());
    }

    #[test]
    fn zero_is_no_limit_and_slots_are_still_counted() {
        let limits = Arc::new(ConcurrencyLimits::default());
        let key = || ConcurrencyKey::User(UserId::parse("alice", "user").unwrap());
        let all: Vec<_> = (0..100).map(|_| limits.take(key(), 0).unwrap()).collect();
        assert!(limits.take(key(), 100).is_err());
        drop(all);
        assert!(limits.0.is_empty());
    }
}
