//! The frames that wait to be written to one client, bounded in bytes and number.
//!
//! Only its own worker's thread uses it, so it needs no lock. It knows no socket: a WebSocket writer or a poll takes
//! from the front. A frame that does not fit closes the session as a slow consumer.

mod mark;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;

use self::mark::LatencyMark;

/// The capacity of an outbox. An outbox below half of it takes one frame of any size, so it holds at most `bytes` and
/// one more frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxCapacity {
    /// Bytes of frames.
    pub bytes: usize,
    /// Frames.
    pub frames: usize,
}

impl OutboxCapacity {
    /// Half of the capacity.
    #[must_use]
    pub fn half(self) -> Self {
        Self { bytes: self.bytes / 2, frames: self.frames / 2 }
    }
}

/// A frame's bytes, shared by the outboxes of one worker without an atomic.
pub type Frame = Rc<Bytes>;

/// The result of an offered frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It waits to be written.
    Queued,
    /// It did not fit. The outbox dropped all unwritten frames and this one, and takes no more.
    Overflowed {
        /// Frames that will not be written.
        dropped: usize,
    },
    /// The outbox is closed.
    Closed,
}

/// Capacity that an empty queue keeps, in frames.
const IDLE_CAPACITY: usize = 8;

/// The frames for one client.
#[derive(Debug)]
pub struct Outbox {
    bound: OutboxCapacity,
    /// Ready to be written, in order.
    ready: VecDeque<Frame>,
    /// Bytes of the first ready frame that are written.
    written: usize,
    /// Frames that wait for a reply, with the number of the reply.
    held: VecDeque<(u64, Frame)>,
    /// Bytes in `ready` and `held`, with the written part of the first frame.
    bytes: usize,
    /// Measures the wait of one ready frame.
    mark: LatencyMark,
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
            mark: LatencyMark::default(),
            closed: false,
        }
    }

    /// Offers a frame; with `behind`, it waits until that reply is released.
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
            Some(reply) => self.held.push_back((reply, frame)),
            None => self.ready.push_back(frame),
        }
        Offer::Queued
    }

    /// Marks the last ready frame with the time at which its publication was accepted, in µs. Once the frame is written
    /// or taken, [`Outbox::advance`] or [`Outbox::take`] returns that time. While a frame is marked, this does nothing.
    pub fn mark(&mut self, accepted_us: u64) {
        self.mark.set(self.ready.len(), accepted_us);
    }

    /// Releases the frames that wait for a reply: the messages of a joined room follow the join reply.
    pub fn release(&mut self, reply: u64) {
        for (behind, frame) in std::mem::take(&mut self.held) {
            if behind == reply {
                self.ready.push_back(frame);
            } else {
                self.held.push_back((behind, frame));
            }
        }
    }

    /// Whether `frames` more frames of `bytes` bytes leave half of the capacity free.
    pub fn fits_within_half(&self, frames: usize, bytes: usize) -> bool {
        let waiting = self.ready.len() + self.held.len();
        let half = self.bound.half();
        waiting.saturating_add(frames) <= half.frames && self.bytes.saturating_add(bytes) <= half.bytes
    }

    /// Whether it is less than half full. Then it takes one frame of any size.
    pub fn is_under_half(&self) -> bool {
        let (waiting, half) = (self.ready.len() + self.held.len(), self.bound.half());
        waiting == 0 || (waiting < half.frames && self.bytes < half.bytes)
    }

    /// Drops all unwritten frames and closes, as after an overflow.
    pub fn overflow(&mut self) -> Offer {
        Offer::Overflowed { dropped: self.drop_unwritten() }
    }

    /// Frees the memory of empty queues. `true` when both are empty.
    pub fn release_idle_memory(&mut self) -> bool {
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
        self.is_empty() && self.held.is_empty()
    }

    /// Takes no more frames. Ready frames are still written. Held frames are dropped, because the reply before them is
    /// not sent.
    pub fn close(&mut self) {
        self.closed = true;
        let held = std::mem::take(&mut self.held);
        self.bytes -= held.iter().map(|(_, frame)| frame.len()).sum::<usize>();
    }

    /// Adds the last frame regardless of the capacity, and closes.
    pub fn close_with(&mut self, frame: Frame) {
        self.close();
        self.bytes += frame.len();
        self.ready.push_back(frame);
    }

    /// Drops unwritten frames except a partly written one, and closes. Returns the number of dropped frames.
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

    /// Drops the frames that `wants` selects, except a partly written one.
    pub fn recall(&mut self, wants: &mut dyn FnMut(&Frame) -> bool) {
        let mut begun = self.written > 0;
        let mut freed = 0;
        let mut keeps = |frame: &Frame| {
            let keeps = std::mem::take(&mut begun) || !wants(frame);
            freed += if keeps { 0 } else { frame.len() };
            keeps
        };
        self.ready.retain(&mut keeps);
        self.held.retain(|(_, frame)| keeps(frame));
        self.bytes -= freed;
        if freed > 0 {
            // The marked frame, or a frame before it, may be dropped.
            self.mark.clear();
        }
    }

    /// Drops the held frames that `wants` selects.
    pub fn recall_held(&mut self, wants: &mut dyn FnMut(&Frame) -> bool) {
        let mut freed = 0;
        self.held.retain(|(_, frame)| {
            let keeps = !wants(frame);
            freed += if keeps { 0 } else { frame.len() };
            keeps
        });
        self.bytes -= freed;
    }

    /// Drops everything and closes: no transport writes it.
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

    /// Takes the next whole frame to forward it, with the value of its [mark](Outbox::mark).
    pub fn take(&mut self) -> Option<(Frame, Option<u64>)> {
        debug_assert_eq!(self.written, 0, "a partly written frame is not forwarded");
        let Some(frame) = self.ready.pop_front() else {
            self.shrink();
            return None;
        };
        self.bytes -= frame.len();
        Some((frame, self.mark.pass(1)))
    }

    fn shrink(&mut self) {
        if self.ready.capacity() > IDLE_CAPACITY {
            self.ready.shrink_to(IDLE_CAPACITY);
        }
    }

    /// The bytes to write: the rest of the first frame, then whole frames.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.written;
        self.ready.iter().map(move |frame| &frame[std::mem::take(&mut skip)..])
    }

    /// Records that `written` bytes of [`Outbox::slices`] were written. Returns the value of the [mark](Outbox::mark)
    /// if its frame is written completely.
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
