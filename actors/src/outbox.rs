//! What waits to be written to one client: frames already encoded, bounded in bytes and in number.
//!
//! Touched only on its own worker's thread, so it needs no lock. It knows no socket: a pipe takes from the front, or a
//! polling request does. What does not fit is never kept; the session is closed as a slow consumer instead.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;

/// How much one outbox may hold. One that is less than half full takes any one frame, so the most it ever holds is `bytes`
/// and one message more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Bytes of frames.
    pub bytes: usize,
    /// Frames.
    pub frames: usize,
}

impl Bound {
    /// The half of it.
    #[must_use]
    pub fn half(self) -> Self {
        Self { bytes: self.bytes / 2, frames: self.frames / 2 }
    }
}

/// A frame's bytes, shared by the outboxes of one worker without an atomic.
pub type Frame = Rc<Bytes>;

/// What became of a frame that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It waits to be written.
    Taken,
    /// It did not fit: the outbox gave up all it held (`dropped` frames, this one included) and takes no more.
    Overflowed {
        /// Frames that will not be written.
        dropped: usize,
    },
    /// The outbox takes nothing any more.
    Closed,
}

/// Capacity a drained queue may keep, in frames.
const KEPT_CAPACITY: usize = 8;

/// The frames for one client.
#[derive(Debug)]
pub struct Outbox {
    bound: Bound,
    /// Ready to be written, in order.
    ready: VecDeque<Frame>,
    /// Bytes of the first ready frame that are written already.
    written: usize,
    /// Deliveries that wait for an answer to go first, with the number of that answer.
    held: VecDeque<(u64, Frame)>,
    /// Bytes in `ready` and `held`, what is written already included.
    bytes: usize,
    closed: bool,
}

impl Outbox {
    /// An empty outbox.
    pub fn new(bound: Bound) -> Self {
        Self { bound, ready: VecDeque::new(), written: 0, held: VecDeque::new(), bytes: 0, closed: false }
    }

    /// Offers a frame; with `behind`, it waits until the answer of that number is released.
    pub fn offer(&mut self, frame: Frame, behind: Option<u64>) -> Offer {
        if self.closed {
            return Offer::Closed;
        }
        let waiting = self.ready.len() + self.held.len();
        let has_bytes = self.bytes + frame.len() <= self.bound.bytes || self.bytes < self.bound.half().bytes;
        if waiting > 0 && (!has_bytes || waiting >= self.bound.frames) {
            return Offer::Overflowed { dropped: self.give_up() + 1 };
        }
        self.bytes += frame.len();
        match behind {
            Some(answer) => self.held.push_back((answer, frame)),
            None => self.ready.push_back(frame),
        }
        Offer::Taken
    }

    /// Lets go what waited for the answer of this number: a joined room's messages come after the answer to the join.
    pub fn release(&mut self, answer: u64) {
        for (behind, frame) in std::mem::take(&mut self.held) {
            if behind == answer {
                self.ready.push_back(frame);
            } else {
                self.held.push_back((behind, frame));
            }
        }
    }

    /// Whether so many frames more, of `bytes` together, leave the half of it free that what comes next may need.
    pub fn has_half_for(&self, frames: usize, bytes: usize) -> bool {
        let waiting = self.ready.len() + self.held.len();
        let half = self.bound.half();
        waiting.saturating_add(frames) <= half.frames && self.bytes.saturating_add(bytes) <= half.bytes
    }

    /// Whether it is less than half full: then it takes any one frame more.
    pub fn is_under_half(&self) -> bool {
        let (waiting, half) = (self.ready.len() + self.held.len(), self.bound.half());
        waiting == 0 || (waiting < half.frames && self.bytes < half.bytes)
    }

    /// Gives up all that is not written and takes no more, as one that overflows does.
    pub fn overflow(&mut self) -> Offer {
        Offer::Overflowed { dropped: self.give_up() }
    }

    /// Gives the memory of empty queues back; whether both are.
    pub fn rest(&mut self) -> bool {
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
        self.is_empty() && self.held.is_empty()
    }

    /// Takes no more frames; what is ready is still written. Held deliveries are given up: the answer that they wait for does
    /// not go out, and without it they would be taken for what follows something else.
    pub fn close(&mut self) {
        self.closed = true;
        let held = std::mem::take(&mut self.held);
        self.bytes -= held.iter().map(|(_, frame)| frame.len()).sum::<usize>();
    }

    /// Adds the last frame of all, whatever the bound: the transport's goodbye.
    pub fn farewell(&mut self, frame: Frame) {
        self.close();
        self.bytes += frame.len();
        self.ready.push_back(frame);
    }

    /// Gives up what is not written, but for a frame that is half on the wire, and closes. Says how many frames went.
    fn give_up(&mut self) -> usize {
        let keep = usize::from(self.written > 0);
        let dropped = self.ready.len() - keep + self.held.len();
        self.ready.truncate(keep);
        self.ready.shrink_to(keep);
        self.held = VecDeque::new();
        self.bytes = self.ready.front().map_or(0, |frame| frame.len());
        self.closed = true;
        dropped
    }

    /// Gives up those of the frames that are wanted back; one that is half on the wire it keeps.
    pub fn recall(&mut self, wants: &mut dyn FnMut(&Frame) -> bool) {
        let mut begun = self.written > 0;
        let mut freed = 0;
        let mut stays = |frame: &Frame| {
            let stays = std::mem::take(&mut begun) || !wants(frame);
            freed += if stays { 0 } else { frame.len() };
            stays
        };
        self.ready.retain(&mut stays);
        self.held.retain(|(_, frame)| stays(frame));
        self.bytes -= freed;
    }

    /// Gives up those of the held frames that are wanted back.
    pub fn recall_held(&mut self, wants: &mut dyn FnMut(&Frame) -> bool) {
        let mut freed = 0;
        self.held.retain(|(_, frame)| {
            let stays = !wants(frame);
            freed += if stays { 0 } else { frame.len() };
            stays
        });
        self.bytes -= freed;
    }

    /// Gives up all it holds, and takes no more: nobody writes any more.
    pub fn abandon(&mut self) {
        *self = Self { closed: true, ..Self::new(self.bound) };
    }

    /// Whether nothing is ready to be written.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Bytes not yet written.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.bytes - self.written
    }

    /// Takes the next whole frame: for those who pass it on rather than write it.
    pub fn take(&mut self) -> Option<Frame> {
        debug_assert_eq!(self.written, 0, "a frame that is half written is not passed on");
        let frame = self.ready.pop_front();
        match &frame {
            Some(frame) => self.bytes -= frame.len(),
            None => self.shrink(),
        }
        frame
    }

    fn shrink(&mut self) {
        if self.ready.capacity() > KEPT_CAPACITY {
            self.ready.shrink_to(KEPT_CAPACITY);
        }
    }

    /// What is to be written next: the rest of the first frame, then whole frames.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.written;
        self.ready.iter().map(move |frame| &frame[std::mem::take(&mut skip)..])
    }

    /// Notes that `written` bytes of [`Outbox::slices`] are gone.
    pub fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.ready.front() {
            let left = front.len() - self.written;
            if written < left {
                self.written += written;
                return;
            }
            written -= left;
            self.bytes -= front.len();
            self.written = 0;
            self.ready.pop_front();
        }
        self.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Rc::new(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn waiting(outbox: &Outbox) -> String {
        outbox.slices().map(|slice| String::from_utf8_lossy(slice).into_owned()).collect::<Vec<_>>().join("|")
    }

    fn deliver(outbox: &mut Outbox, text: &str) -> Offer {
        outbox.offer(frame(text), None)
    }

    fn outbox(bytes: usize, frames: usize) -> Outbox {
        Outbox::new(Bound { bytes, frames })
    }

    #[test]
    fn frames_leave_in_order_and_in_parts() {
        let mut outbox = outbox(100, 100);
        for text in ["abc", "de", "f"] {
            assert_eq!(deliver(&mut outbox, text), Offer::Taken);
        }
        outbox.advance(4);
        assert_eq!(waiting(&outbox), "e|f");
        assert_eq!(outbox.bytes(), 2);
        outbox.advance(2);
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn the_memory_of_a_queue_goes_once_it_is_empty() {
        let mut outbox = outbox(100, 100);
        deliver(&mut outbox, "abc");
        assert_eq!((outbox.rest(), waiting(&outbox).as_str()), (false, "abc"));
        outbox.advance(3);
        assert!(outbox.rest());
        assert_eq!(outbox.ready.capacity(), 0);
    }

    #[test]
    fn frames_are_passed_on_whole() {
        let mut outbox = outbox(10, 100);
        deliver(&mut outbox, "12345");
        deliver(&mut outbox, "6789");
        assert_eq!(outbox.take(), Some(frame("12345")));
        assert_eq!((waiting(&outbox).as_str(), outbox.bytes()), ("6789", 4));
        assert_eq!((outbox.take(), outbox.take()), (Some(frame("6789")), None));
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn an_overflow_keeps_only_the_frame_that_is_half_written() {
        let mut outbox = outbox(10, 100);
        deliver(&mut outbox, "12345");
        deliver(&mut outbox, "6789");
        outbox.advance(2);
        assert_eq!(deliver(&mut outbox, "abc"), Offer::Overflowed { dropped: 2 });
        assert_eq!(waiting(&outbox), "345");
        assert_eq!(deliver(&mut outbox, "x"), Offer::Closed);
    }

    #[test]
    fn the_number_of_frames_is_bounded_too_and_one_large_frame_always_fits() {
        let mut outbox = outbox(10, 2);
        assert_eq!(deliver(&mut outbox, "a frame of more than ten bytes"), Offer::Taken);
        assert_eq!(deliver(&mut outbox, "x"), Offer::Overflowed { dropped: 2 });

        let mut outbox = self::outbox(1000, 2);
        deliver(&mut outbox, "1");
        deliver(&mut outbox, "2");
        assert_eq!(deliver(&mut outbox, "3"), Offer::Overflowed { dropped: 3 });
    }

    #[test]
    fn one_that_is_less_than_half_full_takes_any_one_frame() {
        let mut outbox = outbox(10, 6);
        for (text, is_under_half) in [("1", true), ("234", true), ("a long one", false)] {
            assert_eq!(deliver(&mut outbox, text), Offer::Taken);
            assert_eq!(outbox.is_under_half(), is_under_half);
        }
        assert_eq!(deliver(&mut outbox, "x"), Offer::Overflowed { dropped: 4 });

        let mut frames = self::outbox(1_000, 6);
        for is_under_half in [true, true, false] {
            deliver(&mut frames, "x");
            assert_eq!(frames.is_under_half(), is_under_half);
        }
        let mut one = self::outbox(1_000, 1);
        assert!(one.is_under_half());
        deliver(&mut one, "x");
        assert!(!one.is_under_half());
    }

    #[test]
    fn what_waits_for_an_answer_waits_for_that_one_alone() {
        let mut outbox = outbox(100, 100);
        outbox.offer(frame("new room"), Some(7));
        outbox.offer(frame("newer room"), Some(8));
        deliver(&mut outbox, "old room");
        deliver(&mut outbox, "answer 7");
        outbox.release(7);
        assert_eq!(waiting(&outbox), "old room|answer 7|new room");
        outbox.release(8);
        assert_eq!(waiting(&outbox), "old room|answer 7|new room|newer room");
    }

    #[test]
    fn what_is_wanted_back_is_given_up_but_for_a_frame_that_is_half_written() {
        let mut outbox = Outbox::new(Bound { bytes: 100, frames: 9 });
        for text in ["one", "two", "three"] {
            deliver(&mut outbox, text);
        }
        outbox.offer(frame("four"), Some(1));
        outbox.offer(frame("five"), Some(1));
        outbox.advance(1);
        outbox.recall(&mut |frame| [&b"one"[..], b"three", b"four"].contains(&&frame[..]));
        assert_eq!((waiting(&outbox).as_str(), outbox.bytes()), ("ne|two", 9));
        outbox.advance(5);
        outbox.release(1);
        assert_eq!((waiting(&outbox).as_str(), outbox.bytes()), ("five", 4));
        outbox.recall(&mut |_| true);
        assert_eq!((outbox.is_empty(), outbox.bytes()), (true, 0));
    }

    #[test]
    fn a_closed_outbox_gives_up_what_waited_for_an_answer() {
        let mut outbox = outbox(100, 100);
        deliver(&mut outbox, "ready");
        outbox.offer(frame("live"), Some(1));
        outbox.offer(frame("wanted"), Some(1));
        outbox.recall_held(&mut |held| &held[..] != b"live");
        outbox.close();
        assert_eq!((waiting(&outbox).as_str(), outbox.bytes()), ("ready", 5));
        assert_eq!(deliver(&mut outbox, "late"), Offer::Closed);
    }
}
