//! Measures how long a frame waits in an outbox, one frame at a time.

use std::num::NonZeroUsize;

/// The position of the marked frame, counted from the front, and its value; `None` while no frame is marked.
#[derive(Debug, Default)]
pub(super) struct LatencyMark(Option<(NonZeroUsize, u64)>);

impl LatencyMark {
    /// Marks the last of `frames` frames with `accepted_us`. Does nothing while a frame is marked.
    pub(super) fn set(&mut self, frames: usize, accepted_us: u64) {
        if self.0.is_none() {
            self.0 = NonZeroUsize::new(frames).map(|position| (position, accepted_us));
        }
    }

    /// Records that `frames` frames left the front. Returns the value of the mark if its frame is one of them.
    pub(super) fn pass(&mut self, frames: usize) -> Option<u64> {
        let (position, accepted_us) = self.0?;
        let position = position.get().checked_sub(frames).and_then(NonZeroUsize::new);
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
    use super::super::tests::{deliver, frame, outbox};
    use super::super::{Offer, Outbox};

    /// An outbox of three frames of three bytes, the second of which is marked with 7.
    fn marked() -> Outbox {
        let mut outbox = outbox(100, 100);
        assert_eq!(deliver(&mut outbox, "abc"), Offer::Queued);
        assert_eq!(deliver(&mut outbox, "def"), Offer::Queued);
        outbox.mark(7);
        assert_eq!(deliver(&mut outbox, "ghi"), Offer::Queued);
        outbox
    }

    #[test]
    fn a_mark_is_returned_once_when_the_last_byte_of_its_frame_is_written() {
        let mut outbox = marked();
        let marks: Vec<_> = (0..9).map(|_| outbox.advance(1)).collect();
        assert_eq!(marks, [None, None, None, None, None, Some(7), None, None, None]);
        assert_eq!(outbox.advance(0), None);
    }

    #[test]
    fn a_mark_is_returned_when_one_write_takes_more_than_its_frame() {
        assert_eq!(marked().advance(9), Some(7));
        assert_eq!(marked().advance(5), None);
    }

    #[test]
    fn taking_a_frame_returns_its_mark() {
        let mut outbox = marked();
        let taken: Vec<_> = std::iter::from_fn(|| outbox.take()).collect();
        assert_eq!(taken, [(frame("abc"), None), (frame("def"), Some(7)), (frame("ghi"), None)]);
    }

    #[test]
    fn only_one_frame_is_marked_at_a_time() {
        let mut outbox = marked();
        outbox.mark(8);
        assert_eq!(outbox.advance(6), Some(7));
        outbox.mark(9);
        assert_eq!((outbox.advance(2), outbox.advance(1)), (None, Some(9)));
        outbox.mark(10);
        deliver(&mut outbox, "jkl");
        assert_eq!(outbox.advance(3), None, "there was no frame to mark");
    }

    #[test]
    fn discarding_frames_drops_the_mark() {
        let mut overflowed = marked();
        overflowed.advance(1);
        overflowed.overflow();
        assert_eq!(overflowed.advance(2), None);

        let mut discarded = marked();
        discarded.discard();
        assert_eq!(discarded.advance(0), None);

        let mut recalled = marked();
        recalled.recall(&mut |wanted| **wanted == *frame("abc"));
        assert_eq!(recalled.advance(6), None);

        let mut untouched = marked();
        untouched.recall(&mut |_| false);
        assert_eq!(untouched.advance(6), Some(7));
    }

    #[test]
    fn a_closed_outbox_keeps_its_mark_until_it_is_written() {
        let mut outbox = marked();
        outbox.close_with(frame("bye"));
        assert_eq!((outbox.advance(3), outbox.advance(9)), (None, Some(7)));
    }
}
