//! The history of one room, for clients that missed messages. Pure. A ring of messages with consecutive offsets from 1,
//! bounded in number, age and bytes. It does not know the members; [`super::histories`] decides evictions.

use std::collections::VecDeque;
use std::sync::Arc;

use super::rules::HistoryRule;
use crate::connection::outbox::OutboxCapacity;
use crate::model::ids::Epoch;
use crate::model::position::Position;
use crate::publication::Publication;

/// The memory counted for a message besides its text, in bytes.
const MESSAGE_BYTES: usize = 512;

/// The memory counted for a history besides its messages, and for a kept position, in bytes.
pub(super) const HISTORY_BYTES: usize = 512;

/// Bytes of data after which a page ends early. A page has at least one message.
const PAGE_BYTES: usize = 4 << 20;

/// Selects a part of the stored messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The newest messages.
    Newest,
    /// The newest messages before this offset.
    Before(u64),
    /// The oldest messages after this offset.
    After(u64),
}

/// A page of a room's stored messages.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// The epoch of their offsets.
    pub epoch: Epoch,
    /// The messages, oldest first.
    pub messages: Vec<Arc<Publication>>,
    /// Whether older messages exist; for [`Part::After`], newer ones.
    pub has_more: bool,
}

/// A room's history for the disk.
#[derive(Debug, Clone)]
pub(crate) struct SavedHistory {
    pub(crate) epoch: Epoch,
    /// The offset of the last message.
    pub(crate) last: u64,
    /// The newest messages, oldest first; the last one has the offset `last`.
    pub(crate) messages: Vec<Arc<Publication>>,
}

/// The history of one room.
#[derive(Debug)]
pub(crate) struct TopicHistory {
    rule: HistoryRule,
    epoch: Epoch,
    /// The offset of the last message, stored or not; 0 before the first.
    last: u64,
    /// The stored messages, each with its time, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    messages: VecDeque<(i64, Arc<Publication>)>,
    /// The counted size of `messages`.
    bytes: usize,
}

impl TopicHistory {
    /// An empty history.
    pub(crate) fn new(rule: HistoryRule, epoch: Epoch) -> Self {
        Self { rule, epoch, last: 0, messages: VecDeque::new(), bytes: 0 }
    }

    /// A saved history, within the bounds of `rule` and `most` bytes. `now` is in ms since the epoch, `elapsed` in ms
    /// by [`crate::runtime::clock::Clock::elapsed_ms`].
    pub(crate) fn restored(rule: HistoryRule, saved: SavedHistory, most: usize, now: i64, elapsed: i64) -> Self {
        let mut history = Self::new(rule, saved.epoch);
        history.last = saved.last.saturating_sub(saved.messages.len() as u64);
        for publication in saved.messages {
            let age = now.saturating_sub(publication.timestamp()).max(0);
            history.push(publication, elapsed.saturating_sub(age), most);
        }
        history.expire(elapsed);
        history
    }

    /// The history for the disk.
    pub(crate) fn saved(&self) -> SavedHistory {
        let messages = self.messages.iter().map(|(_, publication)| publication.clone()).collect();
        SavedHistory { epoch: self.epoch.clone(), last: self.last, messages }
    }

    /// Its rule.
    pub(crate) fn rule(&self) -> HistoryRule {
        self.rule
    }

    /// Changes the rule and removes what exceeds it. `elapsed` is ms by
    /// [`crate::runtime::clock::Clock::elapsed_ms`].
    pub(crate) fn set_rule(&mut self, rule: HistoryRule, elapsed: i64) {
        self.rule = rule;
        while self.messages.len() > rule.messages {
            self.drop_oldest();
        }
        self.expire(elapsed);
    }

    /// The offset of the next message.
    pub(crate) fn next(&self) -> u64 {
        self.last + 1
    }

    /// Stores the next message, published at `elapsed`. The oldest messages are removed until `most` bytes are enough.
    pub(crate) fn push(&mut self, publication: Arc<Publication>, elapsed: i64, most: usize) {
        self.last += 1;
        self.bytes += weight(&publication);
        self.messages.push_back((elapsed, publication));
        while self.messages.len() > self.rule.messages || self.bytes() > most {
            self.drop_oldest();
        }
        self.expire(elapsed);
    }

    fn drop_oldest(&mut self) {
        if let Some((_, oldest)) = self.messages.pop_front() {
            self.bytes -= weight(&oldest);
        }
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
    }

    /// Removes messages that are expired at `elapsed`.
    pub(crate) fn expire(&mut self, elapsed: i64) {
        while self.due().is_some_and(|due| due <= elapsed) {
            self.drop_oldest();
        }
    }

    /// When the oldest message expires, ms by [`crate::runtime::clock::Clock::elapsed_ms`].
    pub(crate) fn due(&self) -> Option<i64> {
        let (at, _) = self.messages.front()?;
        Some(at.saturating_add(self.rule.age_ms?))
    }

    /// Removes the messages; epoch and offsets continue.
    pub(crate) fn clear(&mut self) {
        self.messages = VecDeque::new();
        self.bytes = 0;
    }

    /// Whether no message is stored.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The counted size in bytes: each message twice, for the message and for the frame of a replay. 0 without
    /// messages.
    pub(crate) fn bytes(&self) -> usize {
        if self.messages.is_empty() { 0 } else { HISTORY_BYTES + self.bytes }
    }

    /// The position of the last message.
    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.epoch.to_string(), offset: self.last }
    }

    /// All messages after `since`, in order. `None` when some of them are gone, the epoch is another, or they exceed
    /// `most`.
    pub(crate) fn after(&self, since: &Position, most: OutboxCapacity) -> Option<Vec<Arc<Publication>>> {
        let count = self.last.checked_sub(since.offset).and_then(|count| usize::try_from(count).ok())?;
        if since.epoch != self.epoch.as_str() || count > most.entries {
            return None;
        }
        let first = self.messages.len().checked_sub(count)?;
        let missed = self.messages.range(first..).map(|(_, publication)| publication);
        let bytes: usize = missed.clone().map(|publication| publication.data().len()).sum();
        (bytes <= most.bytes).then(|| missed.cloned().collect())
    }

    /// At most `limit` messages of a part.
    pub(crate) fn page(&self, part: Part, limit: usize) -> HistoryPage {
        let oldest = self.last - self.messages.len() as u64 + 1;
        // The number of stored messages before this offset.
        let before = |offset: u64| usize::try_from(offset.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let len = self.messages.len();
        let (from, to) = match part {
            Part::Newest => (0, len),
            Part::Before(offset) => (0, before(offset).min(len)),
            Part::After(offset) => (before(offset.saturating_add(1)).min(len), len),
        };
        let candidates = self.messages.range(from..to).map(|(_, publication)| publication.clone());
        let mut messages = match part {
            Part::After(_) => take_fitting(candidates, limit),
            Part::Newest | Part::Before(_) => take_fitting(candidates.rev(), limit),
        };
        if !matches!(part, Part::After(_)) {
            messages.reverse();
        }
        HistoryPage { epoch: self.epoch.clone(), has_more: messages.len() < to - from, messages }
    }
}

fn take_fitting(candidates: impl Iterator<Item = Arc<Publication>>, limit: usize) -> Vec<Arc<Publication>> {
    let mut bytes = 0_usize;
    let fits = |publication: &Arc<Publication>| {
        let is_first = bytes == 0;
        bytes += publication.data().len();
        is_first || bytes <= PAGE_BYTES
    };
    candidates.take(limit).take_while(fits).collect()
}

fn weight(publication: &Publication) -> usize {
    let topic = publication.topic().map_or(0, |topic| topic.as_str().len());
    MESSAGE_BYTES + 2 * (publication.data().len() + publication.name().as_str().len() + topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::EventName;
    use crate::publication::Event;

    const ANY: usize = usize::MAX;
    const ALL: OutboxCapacity = OutboxCapacity { bytes: ANY, entries: ANY };

    fn publication(bytes: usize, offset: u64, timestamp: i64) -> Arc<Publication> {
        let (name, data) = (EventName::of_hub("x"), vec![b'1'; bytes].into());
        Arc::new(Publication::new(Event { name, topic: None, data, timestamp, offset: Some(offset) }))
    }

    fn rule(messages: usize, age_ms: Option<i64>) -> HistoryRule {
        HistoryRule { messages, age_ms }
    }

    /// A history with messages of these times and sizes.
    fn history(rule: HistoryRule, most: usize, messages: &[(i64, usize)]) -> TopicHistory {
        let mut history = TopicHistory::new(rule, Epoch::of("e"));
        for &(at, bytes) in messages {
            let next = history.next();
            history.push(publication(bytes, next, at), at, most);
        }
        history
    }

    fn offsets(messages: &[Arc<Publication>]) -> Vec<u64> {
        messages.iter().filter_map(|publication| publication.offset()).collect()
    }

    fn stored_offsets(history: &TopicHistory) -> Vec<u64> {
        offsets(&history.page(Part::Newest, ANY).messages)
    }

    /// The offsets after a position, when all of them are stored.
    fn after(history: &TopicHistory, epoch: &str, offset: u64) -> Option<Vec<u64>> {
        history.after(&Position { epoch: epoch.into(), offset }, ALL).map(|missed| offsets(&missed))
    }

    #[test]
    fn offsets_are_consecutive_from_one_and_the_newest_messages_stay() {
        let history = history(rule(3, None), ANY, &[(0, 1); 5]);
        assert_eq!(stored_offsets(&history), [3, 4, 5]);
        assert_eq!((history.next(), history.position().offset), (6, 5));
        assert_eq!(history.position().epoch, "e");
    }

    #[test]
    fn a_message_expires_at_its_time_and_not_before() {
        let mut history = history(rule(9, Some(100)), ANY, &[(0, 1), (50, 1), (99, 1)]);
        for (elapsed, left) in [(99, vec![1, 2, 3]), (100, vec![2, 3]), (150, vec![3]), (198, vec![3]), (199, vec![])] {
            history.expire(elapsed);
            assert_eq!(stored_offsets(&history), left, "at {elapsed}");
            assert_eq!(history.due().is_none(), left.is_empty());
        }
        assert_eq!((history.bytes(), history.position().offset), (0, 3), "offsets continue");
        let mut ageless = self::history(rule(9, None), ANY, &[(0, 1)]);
        ageless.expire(i64::MAX);
        assert_eq!((stored_offsets(&ageless), ageless.due()), (vec![1], None));
    }

    #[test]
    fn bytes_are_bounded_and_a_message_larger_than_the_bound_is_not_stored() {
        let most = HISTORY_BYTES + 3 * (MESSAGE_BYTES + 2 * (100 + 1));
        let mut history = history(rule(9, None), most, &[(0, 100); 4]);
        assert_eq!((stored_offsets(&history), history.bytes()), (vec![2, 3, 4], most));
        history.push(publication(10_000, 5, 0), 0, most);
        assert_eq!((stored_offsets(&history), history.bytes(), history.next()), (vec![], 0, 6));
        assert_eq!(after(&history, "e", 5), Some(vec![]));
        assert_eq!(after(&history, "e", 4), None);
    }

    #[test]
    fn a_replay_has_all_messages_after_a_position_or_none() {
        let history = history(rule(3, None), ANY, &[(0, 1); 5]);
        for (epoch, offset, missed) in [
            ("e", 5, Some(vec![])),
            ("e", 4, Some(vec![5])),
            // The oldest is 3: after 2 nothing is lost, after 1 the message 2 is.
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
    fn a_replay_beyond_its_bound_is_refused() {
        let history = history(rule(9, None), ANY, &[(0, 10); 3]);
        let since = Position { epoch: "e".into(), offset: 0 };
        for (bytes, frames, fits) in [(30, 3, true), (29, 3, false), (30, 2, false)] {
            assert_eq!(
                history.after(&since, OutboxCapacity { bytes, entries: frames }).is_some(),
                fits,
                "{bytes} {frames}"
            );
        }
    }

    #[test]
    fn offsets_continue_after_messages_are_removed() {
        let mut history = history(rule(9, None), ANY, &[(0, 1); 3]);
        history.clear();
        assert_eq!((history.is_empty(), history.bytes(), history.next()), (true, 0, 4));
        history.push(publication(1, 4, 0), 0, ANY);
        assert_eq!((after(&history, "e", 3), after(&history, "e", 2)), (Some(vec![4]), None));
    }

    #[test]
    fn pages_go_in_both_directions_and_are_oldest_first() {
        let history = history(rule(6, None), ANY, &[(0, 1); 8]);
        for (part, limit, expected, has_more) in [
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
            assert_eq!((offsets(&page.messages), page.has_more), (expected, has_more), "{part:?} {limit}");
        }
    }

    #[test]
    fn a_large_page_ends_early_but_has_at_least_one_message() {
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
    fn a_saved_history_is_restored_with_its_offsets_and_ages() {
        let mut first = history(rule(9, Some(1_000)), ANY, &[]);
        for at in [100, 200, 300] {
            let next = first.next();
            first.push(publication(1, next, at), at, ANY);
        }
        // The monotonic clock started again; the wall clock continued.
        let mut second = TopicHistory::restored(rule(9, Some(1_000)), first.saved(), ANY, 1_150, 5);
        assert_eq!((stored_offsets(&second), second.position()), (vec![2, 3], first.position()));
        second.expire(5 + 50);
        assert_eq!(stored_offsets(&second), [3]);
        let fewer = TopicHistory::restored(rule(1, None), first.saved(), ANY, 1_150, 5);
        assert_eq!((stored_offsets(&fewer), fewer.next()), (vec![3], 4));
        let from_the_future = TopicHistory::restored(rule(9, Some(1_000)), first.saved(), ANY, 0, 5);
        assert_eq!(from_the_future.due(), Some(1_005));
    }
}
