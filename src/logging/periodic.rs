//! Limits log lines that any client can cause: the first is logged at once, later ones once a minute with a count. Pure: the
//! time is an argument.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Least time between two lines, ms.
pub const PERIOD_MS: i64 = 60_000;

/// Most addresses that are counted separately.
const ADDRESSES_MAX: usize = 64;

/// The events since the last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// The most frequent address, if it is known.
    pub address: Option<IpAddr>,
}

/// Counts events, and decides when a line is due.
#[derive(Debug, Default)]
pub struct Periodic(Mutex<Counting>);

#[derive(Debug, Default)]
struct Counting {
    /// Time of the last line, ms; `None` before the first.
    logged_at: Option<i64>,
    count: u64,
    /// The count of each address; at most [`ADDRESSES_MAX`] addresses, the most frequent ones among them.
    addresses: Vec<(IpAddr, u64)>,
}

impl Periodic {
    /// Counts an event at `now_ms`; returns the line to write, if one is due.
    pub fn count(&self, address: Option<IpAddr>, now_ms: i64) -> Option<Summary> {
        let mut counting = self.lock();
        counting.count += 1;
        if let Some(address) = address {
            counting.add(address);
        }
        counting.due(now_ms)
    }

    /// The line to write, if one is due. Called from time to time, so that the end of a flood is logged too.
    pub fn due(&self, now_ms: i64) -> Option<Summary> {
        self.lock().due(now_ms)
    }

    /// The line for all remaining events, due or not.
    pub fn take_rest(&self) -> Option<Summary> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Counting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counting {
    /// Counts an address. If the list is full, it replaces the least frequent address and inherits its count, so a frequent
    /// address stays in the list (the "space-saving" algorithm).
    fn add(&mut self, address: IpAddr) {
        if let Some((_, count)) = self.addresses.iter_mut().find(|(known, _)| *known == address) {
            *count += 1;
        } else if self.addresses.len() < ADDRESSES_MAX {
            self.addresses.push((address, 1));
        } else if let Some(least) = self.addresses.iter_mut().min_by_key(|(_, count)| *count) {
            *least = (address, least.1 + 1);
        }
    }

    fn due(&mut self, now_ms: i64) -> Option<Summary> {
        if self.logged_at.is_some_and(|logged_at| now_ms.saturating_sub(logged_at) < PERIOD_MS) {
            return None;
        }
        let summary = self.take()?;
        self.logged_at = Some(now_ms);
        Some(summary)
    }

    fn take(&mut self) -> Option<Summary> {
        let count = std::mem::take(&mut self.count);
        let most = self.addresses.iter().max_by_key(|(_, count)| *count).map(|(address, _)| *address);
        self.addresses.clear();
        (count > 0).then_some(Summary { count, address: most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn summary(count: u64, address: u32) -> Option<Summary> {
        Some(Summary { count, address: Some(ip(address)) })
    }

    #[test]
    fn the_first_event_is_logged_at_once_and_later_ones_once_a_minute() {
        let periodic = Periodic::default();
        assert_eq!(periodic.count(Some(ip(1)), 0), summary(1, 1));
        for n in 0..500 {
            assert_eq!(periodic.count(Some(ip(2 + u32::from(n % 5 == 0))), 1_000 + n), None);
        }
        assert_eq!(periodic.due(PERIOD_MS - 1), None);
        assert_eq!(periodic.count(Some(ip(1)), PERIOD_MS), summary(501, 2));
        assert_eq!(periodic.count(Some(ip(1)), PERIOD_MS + 1), None, "a minute begins with each line");
    }

    #[test]
    fn the_end_of_a_flood_is_logged_by_the_timer_and_at_the_end() {
        let periodic = Periodic::default();
        assert_eq!(periodic.due(0), None, "nothing happened");
        periodic.count(Some(ip(1)), 0);
        periodic.count(Some(ip(1)), 10);
        assert_eq!(periodic.due(PERIOD_MS), summary(1, 1));
        assert_eq!(periodic.due(3 * PERIOD_MS), None, "all is logged");
        periodic.count(Some(ip(9)), 3 * PERIOD_MS);
        periodic.count(None, 3 * PERIOD_MS);
        assert_eq!(periodic.take_rest(), Some(Summary { count: 1, address: None }));
        assert_eq!(periodic.take_rest(), None);
    }

    #[test]
    fn the_most_frequent_address_is_named() {
        let periodic = Periodic::default();
        periodic.count(None, 0);
        for n in 0..10_000 {
            let address = if n % 4 == 0 { 7 } else { 1_000 + n };
            periodic.count(Some(ip(address)), 1);
            assert!(periodic.lock().addresses.len() <= ADDRESSES_MAX);
        }
        assert_eq!(periodic.due(PERIOD_MS), summary(10_000, 7));
    }
}
