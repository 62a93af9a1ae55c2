//! Limits how many refusals of one source are logged, and counts the omitted lines. Pure: the time is an argument, in
//! ms of [`crate::runtime::clock::Clock::elapsed_ms`].

use std::fmt;
use std::net::IpAddr;

use ahash::AHashMap;

/// Most lines of one source in a minute.
pub const PER_SOURCE: u32 = 60;

/// Most lines of all sources together in a minute.
pub const PER_MINUTE: u32 = 6_000;

/// Most sources with a count of their own; further sources share one count.
pub const SOURCES_MAX: usize = 10_000;

/// The length of a window, ms.
pub const WINDOW_MS: i64 = 60_000;

/// Most sources that one sweep names; the other sources are reported as a sum.
const NAMED_MAX: usize = 100;

/// Longest name of a source without an address, in bytes.
const NAME_MAX: usize = 64;

/// The source of refused requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RefusalSource {
    /// A client's address, as limits count it.
    Address(IpAddr),
    /// A user or a connection, where the address is not known.
    Name(Box<str>),
    /// All sources beyond [`SOURCES_MAX`], or beyond the first [`NAMED_MAX`] of a sweep.
    Others,
}

impl RefusalSource {
    /// A source without an address.
    pub fn named(name: &str) -> Self {
        Self::Name(super::truncate(name, NAME_MAX).into())
    }
}

impl fmt::Display for RefusalSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Others => f.write_str("others"),
        }
    }
}

/// The omitted lines of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omitted {
    /// The source.
    pub source: RefusalSource,
    /// The number of omitted lines.
    pub count: u64,
}

/// The refusals of one source since its window began.
#[derive(Debug)]
struct LineWindow {
    began_at: i64,
    logged: u32,
    omitted: u64,
}

impl LineWindow {
    const fn new(now: i64) -> Self {
        Self { began_at: now, logged: 0, omitted: 0 }
    }

    const fn has_ended(&self, now: i64) -> bool {
        now.saturating_sub(self.began_at) >= WINDOW_MS
    }

    /// Starts a new window if this window has ended, and returns the number of lines that it omitted.
    fn renew(&mut self, now: i64) -> u64 {
        if !self.has_ended(now) {
            return 0;
        }
        std::mem::replace(self, Self::new(now)).omitted
    }

    /// Counts a line and returns true, unless `most` lines are counted already.
    fn take(&mut self, most: u32) -> bool {
        let is_within = self.logged < most;
        if is_within {
            self.logged += 1;
        }
        is_within
    }
}

/// The counts of the current minute.
#[derive(Debug)]
pub struct Rate {
    sources: AHashMap<RefusalSource, LineWindow>,
    all: LineWindow,
}

impl Rate {
    /// No counts before `now`.
    pub fn new(now: i64) -> Self {
        Self { sources: AHashMap::new(), all: LineWindow::new(now) }
    }

    /// Counts a refusal. Returns whether to log it, and the lines that the previous window of its source omitted.
    pub fn count(&mut self, source: RefusalSource, now: i64) -> (bool, Option<Omitted>) {
        let is_new = self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source);
        let source = if is_new { RefusalSource::Others } else { source };
        self.all.renew(now);
        let window = self.sources.entry(source.clone()).or_insert_with(|| LineWindow::new(now));
        let omitted = window.renew(now);
        let is_logged = window.take(PER_SOURCE) && self.all.take(PER_MINUTE);
        window.omitted += u64::from(!is_logged);
        (is_logged, (omitted > 0).then_some(Omitted { source, count: omitted }))
    }

    /// Removes ended windows and returns their omitted lines, largest number first. Sources beyond the first
    /// [`NAMED_MAX`] are one sum.
    pub fn sweep(&mut self, now: i64) -> Vec<Omitted> {
        self.take_windows(|window| window.has_ended(now))
    }

    /// As [`Rate::sweep`], for all windows: no refusals follow.
    pub fn finish(&mut self) -> Vec<Omitted> {
        self.take_windows(|_| true)
    }

    fn take_windows(&mut self, is_over: impl Fn(&LineWindow) -> bool) -> Vec<Omitted> {
        let over = self.sources.extract_if(|_, window| is_over(window));
        let mut omitted: Vec<_> = over
            .filter(|(_, window)| window.omitted > 0)
            .map(|(source, window)| Omitted { source, count: window.omitted })
            .collect();
        let kept = self.sources.len();
        self.sources.shrink_to(kept * 2);
        omitted.sort_by_key(|omitted| std::cmp::Reverse(omitted.count));
        if omitted.len() > NAMED_MAX {
            let rest = omitted.split_off(NAMED_MAX);
            let count = rest.iter().map(|omitted| omitted.count).sum();
            omitted.push(Omitted { source: RefusalSource::Others, count });
        }
        omitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> RefusalSource {
        RefusalSource::Address(IpAddr::from(number.to_be_bytes()))
    }

    fn logged(rate: &mut Rate, source: &RefusalSource, times: u32, now: i64) -> u32 {
        (0..times).map(|_| u32::from(rate.count(source.clone(), now).0)).sum()
    }

    #[test]
    fn a_source_has_60_lines_a_minute_and_its_next_refusal_returns_the_omitted_count() {
        let mut rate = Rate::new(0);
        let (one, other) = (address(1), RefusalSource::named("alice"));
        assert_eq!(logged(&mut rate, &one, 1_000, 5), PER_SOURCE);
        assert_eq!(logged(&mut rate, &other, 61, 6), PER_SOURCE);
        assert_eq!(rate.count(one.clone(), WINDOW_MS + 4), (false, None));
        let omitted = Omitted { source: one.clone(), count: 941 };
        assert_eq!(rate.count(one.clone(), WINDOW_MS + 5), (true, Some(omitted)));
        assert_eq!(rate.count(one, WINDOW_MS + 6), (true, None));
    }

    #[test]
    fn omitted_lines_are_reported_when_their_window_has_ended() {
        let mut rate = Rate::new(0);
        logged(&mut rate, &address(1), 70, 0);
        logged(&mut rate, &address(2), 62, 1_000);
        logged(&mut rate, &address(3), 9, 0);
        assert_eq!(rate.sweep(WINDOW_MS - 1), []);
        assert_eq!(rate.sweep(WINDOW_MS), [Omitted { source: address(1), count: 10 }]);
        assert_eq!(rate.sources.len(), 1);
        assert_eq!(rate.finish(), [Omitted { source: address(2), count: 2 }]);
        assert_eq!((rate.finish(), rate.sources.len()), (vec![], 0));
    }

    #[test]
    fn all_sources_together_have_6000_lines_a_minute() {
        let mut rate = Rate::new(0);
        let lines: u32 = (0..400).map(|number| logged(&mut rate, &address(number), 30, 7)).sum();
        assert_eq!(lines, PER_MINUTE);
        let omitted: u64 = rate.finish().iter().map(|omitted| omitted.count).sum();
        assert_eq!(omitted, 400 * 30 - u64::from(PER_MINUTE));
        assert!(rate.count(address(1), WINDOW_MS).0);
    }

    #[test]
    fn the_table_is_bounded_and_further_sources_share_one_count() {
        let mut rate = Rate::new(0);
        for number in 0..SOURCES_MAX as u32 + 500 {
            // This test does not check the total.
            rate.all = LineWindow::new(0);
            rate.count(address(number), 0);
        }
        assert_eq!(rate.sources.len(), SOURCES_MAX + 1);
        let omitted = rate.sweep(WINDOW_MS);
        assert_eq!(omitted, [Omitted { source: RefusalSource::Others, count: 500 - u64::from(PER_SOURCE) }]);
        assert!(rate.sources.is_empty() && rate.sources.capacity() == 0);
    }

    #[test]
    fn a_sweep_names_100_sources_and_sums_the_others() {
        let mut rate = Rate::new(0);
        for number in 0..150 {
            rate.all = LineWindow::new(0);
            logged(&mut rate, &address(number), PER_SOURCE + 1 + u32::from(number == 7), 0);
        }
        let omitted = rate.sweep(WINDOW_MS);
        assert_eq!(omitted.len(), NAMED_MAX + 1);
        assert_eq!(omitted.first(), Some(&Omitted { source: address(7), count: 2 }));
        assert_eq!(omitted.last(), Some(&Omitted { source: RefusalSource::Others, count: 50 }));
    }
}
