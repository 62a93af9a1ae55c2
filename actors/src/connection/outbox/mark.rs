//! Measures how long an entry waits in an outbox, one entry at a time.

use std::num::NonZeroUsize;

/// The position of the marked entry, counted from the front, and its value; `None` while no entry is marked.
#[derive(Debug, Default)]
pub(super) struct LatencyMark(Option<(NonZeroUsize, u64)>);

impl LatencyMark {
    /// Marks the last of `entries` entries with `accepted_us`. Does nothing while an entry is marked.
    pub(super) fn set(&mut self, entries: usize, accepted_us: u64) {
        if self.0.is_none() {
            self.0 = NonZeroUsize::new(entries).map(|position| (position, accepted_us));
        }
    }

    /// Records that `entries` entries left the front. Returns the value of the mark if its entry is one of them.
    pub(super) fn pass(&mut self, entries: usize) -> Option<u64> {
        let (position, accepted_us) = self.0?;
        let position = position.get().checked_sub(entries).and_then(NonZeroUsize::new);
        self.0 = position.map(|position| (position, accepted_us));
        if position.is_none() { Some(accepted_us) } else { None }
    }

    /// Removes the mark.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{deliver, outbox};
    use super::super::{Entry, Offer, Outbox};
    use crate::connection::SlotId;
    use crate::publication::Payload;

    /// An outbox of three entries, the second of which is marked with 7.
    fn marked() -> Outbox {
        let mut outbox = outbox(100, 100);
        assert_eq!(deliver(&mut outbox, "abc"), Offer::Ready);
        assert_eq!(deliver(&mut outbox, "def"), Offer::Ready);
        outbox.mark(7);
        assert_eq!(deliver(&mut outbox, "ghi"), Offer::Ready);
        outbox
    }

    #[test]
    fn a_mark_is_returned_once_when_its_entry_is_written_completely() {
        let mut outbox = marked();
        let marks = [(0, 4), (1, 0), (0, 4), (1, 0), (1, 0)].map(|(messages, begun)| outbox.advance(messages, begun));
        assert_eq!(marks, [None, None, None, Some(7), None]);
        assert_eq!(outbox.advance(0, 0), None);
    }

    #[test]
    fn a_mark_is_returned_when_one_write_takes_more_than_its_entry() {
        assert_eq!(marked().advance(3, 0), Some(7));
        assert_eq!(marked().advance(1, 4), None);
    }

    #[test]
    fn only_one_entry_is_marked_at_a_time() {
        let mut outbox = marked();
        outbox.mark(8);
        assert_eq!(outbox.advance(2, 0), Some(7));
        outbox.mark(9);
        assert_eq!((outbox.advance(0, 2), outbox.advance(1, 0)), (None, Some(9)));
        outbox.mark(10);
        deliver(&mut outbox, "jkl");
        assert_eq!(outbox.advance(1, 0), None, "there was no entry to mark");
    }

    #[test]
    fn discarding_entries_drops_the_mark() {
        let mut overflowed = marked();
        overflowed.advance(0, 1);
        overflowed.overflow();
        assert_eq!(overflowed.advance(1, 0), None);

        let mut discarded = marked();
        discarded.discard();
        assert_eq!(discarded.advance(0, 0), None);

        let mut removed = marked();
        removed.offer(Entry::of_connection(Payload::text([&b"own"[..]])), None);
        removed.remove_session(SlotId::NONE);
        assert_eq!(removed.advance(2, 0), None);

        let mut untouched = marked();
        untouched.remove_session(SlotId::NONE);
        assert_eq!(untouched.advance(2, 0), Some(7));
    }

    #[test]
    fn a_closed_outbox_keeps_its_mark_until_it_is_written() {
        let mut outbox = marked();
        outbox.close_with(Entry::of_connection(Payload::text([&b"bye"[..]])));
        assert_eq!((outbox.advance(1, 0), outbox.advance(3, 0)), (None, Some(7)));
    }
}
