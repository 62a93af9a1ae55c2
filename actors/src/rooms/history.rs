//! What is kept of one room's messages for those who missed them, pure: a ring whose messages are numbered from 1 on
//! without a gap, bounded in number, in age and in bytes. Knows no members; whose history goes when all of them are too
//! large is [`super::histories`]'s to say.

use std::collections::VecDeque;
use std::sync::Arc;

use super::rules::HistoryRule;
use crate::connection::outbox::OutboxCapacity;
use crate::events::raw::Position;
use crate::model::ids::Epoch;
use crate::publication::Publication;

/// What a kept message is counted as beside its text, in bytes: its places in memory.
const MESSAGE_BYTES: usize = 512;

/// What a history with messages is counted as beside those, in bytes.
const HISTORY_BYTES: usize = 512;

/// Bytes of data after which a page ends early, unless it had nothing yet.
const PAGE_BYTES: usize = 4 << 20;

/// Which part of the kept messages is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The last ones.
    Newest,
    /// The last ones of those before this offset.
    Before(u64),
    /// The first ones of those after this offset.
    After(u64),
}

/// Some of a room's kept messages.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// Which numbering their offsets belong to.
    pub epoch: Epoch,
    /// The messages, oldest first.
    pub messages: Vec<Arc<Publication>>,
    /// Whether there are more: older ones, or for [`Part::After`] newer ones.
    pub has_more: bool,
}

/// What a room's history becomes on the disk, and comes back from.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    pub(crate) epoch: Epoch,
    /// The offset of the last message.
    pub(crate) last: u64,
    /// The last ones, oldest first, numbered up to `last`.
    pub(crate) messages: Vec<Arc<Publication>>,
}

/// One room's kept messages.
#[derive(Debug)]
pub(crate) struct History {
    rule: HistoryRule,
    epoch: Epoch,
    /// The offset of the last message there was, kept or not; 0 before the first.
    last: u64,
    /// The last ones, each with when it came, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    kept: VecDeque<(i64, Arc<Publication>)>,
    /// What the messages in `kept` are counted as.
    bytes: usize,
}

impl History {
    /// Nothing was said yet, or nothing that anybody remembers.
    pub(crate) fn new(rule: HistoryRule, epoch: Epoch) -> Self {
        Self { rule, epoch, last: 0, kept: VecDeque::new(), bytes: 0 }
    }

    /// What was saved, as far as `rule` and `most` bytes let it stay. `now` is in ms since the epoch, `elapsed` ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`].
    pub(crate) fn restored(rule: HistoryRule, saved: Saved, most: usize, now: i64, elapsed: i64) -> Self {
        let mut history = Self::new(rule, saved.epoch);
        history.last = saved.last.saturating_sub(saved.messages.len() as u64);
        for delivery in saved.messages {
            let age = now.saturating_sub(delivery.timestamp()).max(0);
            history.keep(delivery, elapsed.saturating_sub(age), most);
        }
        history.expire(elapsed);
        history
    }

    /// What is to be saved.
    pub(crate) fn saved(&self) -> Saved {
        let messages = self.kept.iter().map(|(_, delivery)| delivery.clone()).collect();
        Saved { epoch: self.epoch.clone(), last: self.last, messages }
    }

    /// Its rule.
    pub(crate) fn rule(&self) -> HistoryRule {
        self.rule
    }

    /// Keeps by another rule from now on; what that does not keep goes. `elapsed` is ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`].
    pub(crate) fn set_rule(&mut self, rule: HistoryRule, elapsed: i64) {
        self.rule = rule;
        while self.kept.len() > rule.messages {
            self.drop_oldest();
        }
        self.expire(elapsed);
    }

    /// The offset of the next message.
    pub(crate) fn next(&self) -> u64 {
        self.last + 1
    }

    /// Keeps the next message, which came at `elapsed`, in at most `most` bytes: the oldest go where there is no room.
    pub(crate) fn keep(&mut self, delivery: Arc<Publication>, elapsed: i64, most: usize) {
        self.last += 1;
        self.bytes += weight(&delivery);
        self.kept.push_back((elapsed, delivery));
        while self.kept.len() > self.rule.messages || self.bytes() > most {
            self.drop_oldest();
        }
        self.expire(elapsed);
    }

    fn drop_oldest(&mut self) {
        if let Some((_, oldest)) = self.kept.pop_front() {
            self.bytes -= weight(&oldest);
        }
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
    }

    /// Forgets what is too old at `elapsed`.
    pub(crate) fn expire(&mut self, elapsed: i64) {
        while self.due().is_some_and(|due| due <= elapsed) {
            self.drop_oldest();
        }
    }

    /// When the oldest message will be too old, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    pub(crate) fn due(&self) -> Option<i64> {
        let (came, _) = self.kept.front()?;
        Some(came.saturating_add(self.rule.age_ms?))
    }

    /// Forgets the messages; the numbering goes on.
    pub(crate) fn forget(&mut self) {
        self.kept = VecDeque::new();
        self.bytes = 0;
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// What it is counted as, in bytes: each message in full, and once more for the frame that is made of it when somebody
    /// missed it. Nothing without a message.
    pub(crate) fn bytes(&self) -> usize {
        if self.kept.is_empty() { 0 } else { HISTORY_BYTES + self.bytes }
    }

    /// Where it stands: what comes next comes after that.
    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.epoch.to_string(), offset: self.last }
    }

    /// All messages after `since`, in order; `None` where that is not known to be all, or is more than `most`.
    pub(crate) fn after(&self, since: &Position, most: OutboxCapacity) -> Option<Vec<Arc<Publication>>> {
        let count = self.last.checked_sub(since.offset).and_then(|count| usize::try_from(count).ok())?;
        if since.epoch != self.epoch.as_str() || count > most.frames {
            return None;
        }
        let first = self.kept.len().checked_sub(count)?;
        let missed = self.kept.range(first..).map(|(_, delivery)| delivery);
        let bytes: usize = missed.clone().map(|delivery| delivery.data().len()).sum();
        (bytes <= most.bytes).then(|| missed.cloned().collect())
    }

    /// At most `limit` messages of a part.
    pub(crate) fn page(&self, part: Part, limit: usize) -> HistoryPage {
        let oldest = self.last - self.kept.len() as u64 + 1;
        // How many of the kept ones are before the first of the newer ones.
        let before = |offset: u64| usize::try_from(offset.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let len = self.kept.len();
        let (from, to) = match part {
            Part::Newest => (0, len),
            Part::Before(offset) => (0, before(offset).min(len)),
            Part::After(offset) => (before(offset.saturating_add(1)).min(len), len),
        };
        let candidates = self.kept.range(from..to).map(|(_, delivery)| delivery.clone());
        let mut messages = match part {
            Part::After(_) => as_many_as_fit(candidates, limit),
            Part::Newest | Part::Before(_) => as_many_as_fit(candidates.rev(), limit),
        };
        if !matches!(part, Part::After(_)) {
            messages.reverse();
        }
        HistoryPage { epoch: self.epoch.clone(), has_more: messages.len() < to - from, messages }
    }
}

fn as_many_as_fit(candidates: impl Iterator<Item = Arc<Publication>>, limit: usize) -> Vec<Arc<Publication>> {
    let mut bytes = 0_usize;
    let fits = |delivery: &Arc<Publication>| {
        let is_first = bytes == 0;
        bytes += delivery.data().len();
        is_first || bytes <= PAGE_BYTES
    };
    candidates.take(limit).take_while(fits).collect()
}

fn weight(delivery: &Publication) -> usize {
    let topic = delivery.topic().map_or(0, |topic| topic.as_str().len());
    MESSAGE_BYTES + 2 * (delivery.data().len() + delivery.name().as_str().len() + topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::EventName;
    use crate::publication::Event;

    const ANY: usize = usize::MAX;
    const ALL: OutboxCapacity = OutboxCapacity { bytes: ANY, frames: ANY };

    fn delivery(bytes: usize, offset: u64, timestamp: i64) -> Arc<Publication> {
        let (name, data) = (EventName::of_hub("x"), vec![b'1'; bytes].into());
        Arc::new(Publication::new(Event { name, topic: None, data, timestamp, offset: Some(offset) }))
    }

    fn rule(messages: usize, age_ms: Option<i64>) -> HistoryRule {
        HistoryRule { messages, age_ms }
    }

    /// A history to which messages of so many bytes came at these times.
    fn history(rule: HistoryRule, most: usize, came: &[(i64, usize)]) -> History {
        let mut history = History::new(rule, Epoch::of("e"));
        for &(at, bytes) in came {
            let next = history.next();
            history.keep(delivery(bytes, next, at), at, most);
        }
        history
    }

    fn offsets(messages: &[Arc<Publication>]) -> Vec<u64> {
        messages.iter().filter_map(|delivery| delivery.offset()).collect()
    }

    fn kept(history: &History) -> Vec<u64> {
        offsets(&history.page(Part::Newest, ANY).messages)
    }

    /// The offsets of what follows a place, where that is all.
    fn after(history: &History, epoch: &str, offset: u64) -> Option<Vec<u64>> {
        history.after(&Position { epoch: epoch.into(), offset }, ALL).map(|missed| offsets(&missed))
    }

    #[test]
    fn offsets_are_consecutive_from_one_and_the_newest_stay() {
        let history = history(rule(3, None), ANY, &[(0, 1); 5]);
        assert_eq!(kept(&history), [3, 4, 5]);
        assert_eq!((history.next(), history.position().offset), (6, 5));
        assert_eq!(history.position().epoch, "e");
    }

    #[test]
    fn what_is_too_old_goes_at_its_time_and_not_before() {
        let mut history = history(rule(9, Some(100)), ANY, &[(0, 1), (50, 1), (99, 1)]);
        for (elapsed, left) in [(99, vec![1, 2, 3]), (100, vec![2, 3]), (150, vec![3]), (198, vec![3]), (199, vec![])] {
            history.expire(elapsed);
            assert_eq!(kept(&history), left, "at {elapsed}");
            assert_eq!(history.due().is_none(), left.is_empty());
        }
        assert_eq!((history.bytes(), history.position().offset), (0, 3), "the numbering goes on");
        let mut ageless = self::history(rule(9, None), ANY, &[(0, 1)]);
        ageless.expire(i64::MAX);
        assert_eq!((kept(&ageless), ageless.due()), (vec![1], None));
    }

    #[test]
    fn bytes_are_bounded_and_what_is_larger_than_the_bound_is_not_kept() {
        let most = HISTORY_BYTES + 3 * (MESSAGE_BYTES + 2 * (100 + 1));
        let mut history = history(rule(9, None), most, &[(0, 100); 4]);
        assert_eq!((kept(&history), history.bytes()), (vec![2, 3, 4], most));
        history.keep(delivery(10_000, 5, 0), 0, most);
        assert_eq!((kept(&history), history.bytes(), history.next()), (vec![], 0, 6));
        assert_eq!(after(&history, "e", 5), Some(vec![]));
        assert_eq!(after(&history, "e", 4), None);
    }

    #[test]
    fn all_after_a_place_is_there_or_nothing_is() {
        let history = history(rule(3, None), ANY, &[(0, 1); 5]);
        for (epoch, offset, missed) in [
            ("e", 5, Some(vec![])),
            ("e", 4, Some(vec![5])),
            // The oldest is 3: who has 2 missed nothing that is gone, who has 1 did.
            ("e", 2, Some(vec![3, 4, 5])),
            ("e", 1, None),
            ("e", 0, None),
            ("e", 6, None),
            ("e", u64::MAX, None),
            ("f", 5, None),
            ("E", 4, None),
            ("", 0, None),
        ] {
            assert_eq!(after(&history, epoch, offset), missed, "{epoch} {offset}");
        }
        let nothing = self::history(rule(3, None), ANY, &[]);
        assert_eq!((after(&nothing, "e", 0), after(&nothing, "e", 1)), (Some(vec![]), None));
    }

    #[test]
    fn what_is_too_much_at_once_is_not_taken() {
        let history = history(rule(9, None), ANY, &[(0, 10); 3]);
        let since = Position { epoch: "e".into(), offset: 0 };
        for (bytes, frames, fits) in [(30, 3, true), (29, 3, false), (30, 2, false)] {
            assert_eq!(history.after(&since, OutboxCapacity { bytes, frames }).is_some(), fits, "{bytes} {frames}");
        }
    }

    #[test]
    fn what_is_forgotten_leaves_the_numbering() {
        let mut history = history(rule(9, None), ANY, &[(0, 1); 3]);
        history.forget();
        assert_eq!((history.is_empty(), history.bytes(), history.next()), (true, 0, 4));
        history.keep(delivery(1, 4, 0), 0, ANY);
        assert_eq!((after(&history, "e", 3), after(&history, "e", 2)), (Some(vec![4]), None));
    }

    #[test]
    fn pages_go_both_ways_oldest_first() {
        let history = history(rule(6, None), ANY, &[(0, 1); 8]);
        for (part, limit, offsets_there, has_more) in [
            (Part::Newest, 2, vec![7, 8], true),
            (Part::Newest, 6, vec![3, 4, 5, 6, 7, 8], false),
            (Part::Before(7), 2, vec![5, 6], true),
            (Part::Before(5), 2, vec![3, 4], false),
            (Part::Before(3), 2, vec![], false),
            (Part::Before(0), 2, vec![], false),
            (Part::Before(u64::MAX), 1, vec![8], true),
            (Part::After(0), 2, vec![3, 4], true),
            (Part::After(2), 2, vec![3, 4], true),
            (Part::After(6), 2, vec![7, 8], false),
            (Part::After(8), 2, vec![], false),
            (Part::After(u64::MAX), 2, vec![], false),
        ] {
            let page = history.page(part, limit);
            assert_eq!((offsets(&page.messages), page.has_more), (offsets_there, has_more), "{part:?} {limit}");
        }
    }

    #[test]
    fn a_page_ends_early_when_it_is_large_but_is_never_empty_for_that() {
        let history = history(rule(9, None), ANY, &[(0, PAGE_BYTES + 1), (0, PAGE_BYTES / 2), (0, PAGE_BYTES / 2)]);
        let page = |part| {
            let page = history.page(part, 9);
            (offsets(&page.messages), page.has_more)
        };
        assert_eq!(page(Part::Newest), (vec![2, 3], true));
        assert_eq!(page(Part::Before(2)), (vec![1], false));
        assert_eq!(page(Part::After(0)), (vec![1], true));
    }

    #[test]
    fn what_was_saved_comes_back_with_its_numbers_and_its_age() {
        let mut first = history(rule(9, Some(1_000)), ANY, &[]);
        for at in [100, 200, 300] {
            let next = first.next();
            first.keep(delivery(1, next, at), at, ANY);
        }
        // The clock that nobody sets began anew; the other went on.
        let mut second = History::restored(rule(9, Some(1_000)), first.saved(), ANY, 1_150, 5);
        assert_eq!((kept(&second), second.position()), (vec![2, 3], first.position()));
        second.expire(5 + 50);
        assert_eq!(kept(&second), [3]);
        let fewer = History::restored(rule(1, None), first.saved(), ANY, 1_150, 5);
        assert_eq!((kept(&fewer), fewer.next()), (vec![3], 4));
        let from_the_future = History::restored(rule(9, Some(1_000)), first.saved(), ANY, 0, 5);
        assert_eq!(from_the_future.due(), Some(1_005));
    }
}
