//! Limits how many refused connections the event log stores. Clients without access can cause any number of refusals,
//! which must not evict all other events. Pure.

use std::net::IpAddr;

use ahash::AHashMap;

use crate::events::chat::monitoring::ConnectionEventKind;
use crate::limits::fixed_window::{Decision, Rule, Window};
use crate::model::client::limit_key;

/// Most stored refusals of one kind and one address in a minute. IPv6 addresses count by their /64.
pub const PER_ADDRESS: u32 = 10;

/// Most stored refusals in a minute: a quarter of the event log.
pub const PER_MINUTE: u32 = 250;

/// Most counted pairs of kind and address. Beyond this bound, refusals of new pairs are not stored.
const ADDRESSES_MAX: usize = 1_000;

/// Shortest time between two sweeps of ended windows, ms.
const SWEEP_MS: u64 = 1_000;

/// The refusal counts of the current minute.
#[derive(Debug, Default)]
pub struct Refusals {
    addresses: AHashMap<(ConnectionEventKind, Option<IpAddr>), Window>,
    all: Window,
    swept_at: i64,
}

impl Refusals {
    /// Counts a refusal at `now`, and returns whether to store it.
    pub fn count(&mut self, kind: ConnectionEventKind, address: Option<IpAddr>, now: i64) -> bool {
        let key = (kind, address.map(limit_key));
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&key) {
            if now.abs_diff(self.swept_at) >= SWEEP_MS {
                self.swept_at = now;
                self.addresses.retain(|_, window| !window.has_ended(now));
            }
            if self.addresses.len() >= ADDRESSES_MAX {
                return false;
            }
        }
        self.addresses.entry(key).or_default().count(now, Rule::a_minute(PER_ADDRESS)) == Decision::Within
            && self.all.count(now, Rule::a_minute(PER_MINUTE)) == Decision::Within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::fixed_window::WINDOW_MS;

    fn address(number: u32) -> Option<IpAddr> {
        Some(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn an_address_is_stored_ten_times_a_minute_for_each_kind() {
        let mut refusals = Refusals::default();
        let mut kept = |kind, now| (0..50).filter(|_| refusals.count(kind, address(1), now)).count();
        assert_eq!(kept(ConnectionEventKind::AuthFailure, 0), 10);
        assert_eq!(kept(ConnectionEventKind::RateLimit, 1), 10);
        assert_eq!(kept(ConnectionEventKind::AuthFailure, WINDOW_MS - 1), 0);
        assert_eq!(kept(ConnectionEventKind::AuthFailure, WINDOW_MS), 10);
    }

    #[test]
    fn the_addresses_of_an_ipv6_64_count_as_one() {
        let mut refusals = Refusals::default();
        let host = |number: u128| Some(IpAddr::from((0x2001_0db8_u128 << 96 | number).to_be_bytes()));
        let kept = (0..50).filter(|&n| refusals.count(ConnectionEventKind::AuthFailure, host(n), 0)).count();
        assert_eq!((kept, refusals.addresses.len()), (10, 1));
        assert!(refusals.count(ConnectionEventKind::AuthFailure, host(1 << 64), 0), "another /64");
    }

    #[test]
    fn all_addresses_together_are_stored_250_times_a_minute_in_a_bounded_table() {
        let mut refusals = Refusals::default();
        let mut kept =
            |now| (0..5_000).filter(|&n| refusals.count(ConnectionEventKind::AuthFailure, address(n), now)).count();
        assert_eq!(kept(0), 250);
        assert_eq!(kept(WINDOW_MS), 250);
        assert_eq!(refusals.addresses.len(), ADDRESSES_MAX);
    }
}
