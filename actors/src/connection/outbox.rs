//! What waits to be written to one client: frames already encoded, bounded in bytes and in number.
//!
//! Touched only on its own worker's thread, so it needs no lock. It knows no socket: a pipe takes from the front, or a
//! polling request does. What does not fit is never kept; the session is closed as a slow consumer instead.

mod mark;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;

use self::mark::Mark;

/// How much one outbox may hold. One that is less than half full takes any one frame, so the most it ever holds is `bytes`
/// and one message more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxCapacity {
    /// Bytes of frames.
    pub bytes: usize,
    /// Frames.
    pub frames: usize,
}

impl OutboxCapacity {
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
    bound: OutboxCapacity,
    /// Ready to be written, in order.
    ready: VecDeque<Frame>,
    /// Bytes of the first ready frame that are written already.
    written: usize,
    /// Deliveries that wait for an answer to go first, with the number of that answer.
    held: VecDeque<(u64, Frame)>,
    /// Bytes in `ready` and `held`, what is written already included.
    bytes: usize,
    /// Measures how long one of the ready frames waits.
    mark: Mark,
    closed: bool,
}

impl Outbox {
    /// An empty outbox.
    pub fn new(bound: OutboxCapacity) -> Self {
        Self {
            bound,
            ready: VecDeque::new(),
            written: 0,
            held: VecDeque::new(),
            bytes: 0,
            mark: Mark::default(),
            closed: false,
        }
    }

    /// Offers a frame; with `behind`, it waits until the answer of that number is released.
    pub fn offer(&mut self, frame: Frame, behind: Option<u64>) -> Offer {
        if self.closed {
            return Offer::Closed;
        }
        let waiting = self.ready.len() + self.held.len();
        let has_bytes = self.bytes + frame.len() <= self.bound.bytes || self.bytes < self.bound.half().bytes;
        if waiting > 0 && (!has_bytes || waiting >= self.bound.frames) {
            return Offer::Overflowed { dropped: self.drop_unwritten() + 1 };
        }
        self.bytes += frame.len();
        match behind {
            Some(answer) => self.held.push_back((answer, frame)),
            None => self.ready.push_back(frame),
        }
        Offer::Taken
    }

    /// Marks the last ready frame with the time at which its publication was accepted, in µs. When the frame is gone,
    /// [`Outbox::advance`] or [`Outbox::take`] returns that time. While a frame is marked, this does nothing.
    pub fn mark(&mut self, accepted_us: u64) {
        self.mark.set(self.ready.len(), accepted_us);
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
    pub fn fits_within_half(&self, frames: usize, bytes: usize) -> bool {
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
        Offer::Overflowed { dropped: self.drop_unwritten() }
    }

    /// Gives the memory of empty queues back; whether both are.
    pub fn release_idle_memory(&mut self) -> bool {
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
    pub fn close_with(&mut self, frame: Frame) {
        self.close();
        self.bytes += frame.len();
        self.ready.push_back(frame);
    }

    /// Gives up what is not written, but for a frame that is half on the wire, and closes. Says how many frames went.
    fn drop_unwritten(&mut self) -> usize {
        let keep = usize::from(self.written > 0);
        let dropped = self.ready.len() - keep + self.held.len();
        self.ready.truncate(keep);
        self.ready.shrink_to(keep);
        self.held = VecDeque::new();
        self.bytes = self.ready.front().map_or(0, |frame| frame.len());
        self.mark.clear();
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
        if freed > 0 {
            // The marked frame, or frames before it, may be gone.
            self.mark.clear();
        }
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
    pub fn discard(&mut self) {
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

    /// Takes the next whole frame, to pass it on rather than write it, and the value of its [mark](Outbox::mark).
    pub fn take(&mut self) -> Option<(Frame, Option<u64>)> {
        debug_assert_eq!(self.written, 0, "a frame that is half written is not passed on");
        let Some(frame) = self.ready.pop_front() else {
            self.shrink();
            return None;
        };
        self.bytes -= frame.len();
        Some((frame, self.mark.pass(1)))
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

    /// Notes that `written` bytes of [`Outbox::slices`] are gone. Returns the value of the [mark](Outbox::mark) if its frame
    /// is gone whole.
    pub fn advance(&mut self, mut written: usize) -> Option<u64> {
        let before = self.ready.len();
        while let Some(front) = self.ready.front() {
            let left = front.len() - self.written;
            if written < left {
                self.written += written;
                return self.mark.pass(before - self.ready.len());
            }
            written -= left;
            self.bytes -= front.len();
            self.written = 0;
            self.ready.pop_front();
        }
        self.shrink();
        self.mark.pass(before)
    }
}
