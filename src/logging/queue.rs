//! The queue of lines that wait to be written, and its writer.
//!
//! Logging only adds a line to the queue and never waits for the output. If the queue is full, the line is dropped and counted.
//! Once the queue is half empty again, one line reports how many were dropped.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::line::LINE_MAX;

/// Most lines that wait.
pub(super) const LINES_MAX: usize = 16_384;

/// Most bytes that wait.
pub(super) const BYTES_MAX: usize = 4 << 20;

/// Most bytes of one write; it ends at a line. After each write the counts are updated.
const PIECE: usize = 64 * 1_024;

/// Capacity of an empty buffer, in bytes.
const IDLE_CAPACITY: usize = 64 * 1_024;

/// Delay before another write to a non-blocking descriptor that accepts nothing now.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// Counts of lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Lines that wait to be written.
    pub lines: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Lines that were dropped because the queue was full or the write failed.
    pub dropped: u64,
}

#[derive(Debug)]
struct QueueState {
    pending: Vec<u8>,
    /// Includes the lines that are being written.
    counts: QueueCounts,
    /// How many of the dropped lines were reported.
    reported: u64,
    /// The writer waits for a line.
    is_idle: bool,
}

/// The queue. Each line in it contains one line end, at its end.
#[derive(Debug)]
pub(super) struct LineQueue {
    state: Mutex<QueueState>,
    filled: Condvar,
    emptied: Condvar,
}

impl LineQueue {
    /// An empty queue.
    pub(super) const fn new() -> Self {
        let state = QueueState {
            pending: Vec::new(),
            counts: QueueCounts { lines: 0, bytes: 0, dropped: 0 },
            reported: 0,
            is_idle: false,
        };
        Self { state: Mutex::new(state), filled: Condvar::new(), emptied: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, or drops it if there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.counts.lines >= LINES_MAX || state.counts.bytes + line.len() > BYTES_MAX {
            state.counts.dropped += 1;
            return;
        }
        state.pending.extend_from_slice(line);
        state.counts.lines += 1;
        state.counts.bytes += line.len();
        let wake = std::mem::take(&mut state.is_idle);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// Counts a line as dropped, before it is formatted, if there may be no room for it; `false` if there is room.
    pub(super) fn drop_when_full(&self) -> bool {
        let mut state = self.lock();
        let is_full = state.counts.lines >= LINES_MAX || state.counts.bytes + LINE_MAX > BYTES_MAX;
        state.counts.dropped += u64::from(is_full);
        is_full
    }

    pub(super) fn counts(&self) -> QueueCounts {
        self.lock().counts
    }

    /// Waits until all lines are written, at most for `most`.
    pub(super) fn wait_empty(&self, most: Duration) {
        let end = Instant::now() + most;
        let mut state = self.lock();
        while !(state.is_idle && state.counts.bytes == 0) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (state, _) = self.emptied.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for a line, then swaps `written`, an empty buffer, with all waiting lines.
    fn take(&self, written: &mut Vec<u8>) {
        let mut state = self.lock();
        while state.pending.is_empty() {
            state.is_idle = true;
            self.emptied.notify_all();
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        std::mem::swap(&mut state.pending, written);
    }

    /// Counts that the first `written` bytes of `lines` were written and the rest was lost.
    fn count_written(&self, lines: &[u8], written: usize) {
        let count = |bytes| memchr::memchr_iter(b'\n', bytes).count();
        let lost = lines.get(written..).map_or(0, count);
        let mut state = self.lock();
        state.counts.lines = state.counts.lines.saturating_sub(count(lines));
        state.counts.bytes = state.counts.bytes.saturating_sub(lines.len());
        state.counts.dropped += lost as u64;
    }

    /// The dropped lines to report: none while the queue is more than half full.
    fn unreported(&self) -> u64 {
        let state = self.lock();
        let is_low = state.counts.lines <= LINES_MAX / 2 && state.counts.bytes <= BYTES_MAX / 2;
        if is_low { state.counts.dropped - state.reported } else { 0 }
    }

    /// Writes lines to `sink`; never returns. `notice` makes the line about dropped lines; `None` if it is not logged.
    pub(super) fn write_to(&self, sink: &mut dyn Write, notice: &dyn Fn(u64) -> Option<String>) {
        let mut lines = Vec::new();
        let mut sink = Sink { out: sink, is_incomplete: false };
        loop {
            self.take(&mut lines);
            self.write_taken(&lines, &mut sink, notice);
            lines.clear();
            lines.shrink_to(IDLE_CAPACITY);
        }
    }

    fn write_taken(&self, lines: &[u8], sink: &mut Sink<'_>, notice: &dyn Fn(u64) -> Option<String>) {
        let mut rest = lines;
        while !rest.is_empty() {
            let within = rest
                .get(..PIECE)
                .map_or(rest.len(), |piece| memchr::memrchr(b'\n', piece).map_or(rest.len(), |end| end + 1));
            let (piece, after) = rest.split_at(within);
            let written = sink.write(piece);
            self.count_written(piece, written);
            rest = after;
        }
        let unreported = self.unreported();
        if unreported > 0 && notice(unreported).is_none_or(|line| sink.write(line.as_bytes()) == line.len()) {
            self.lock().reported += unreported;
        }
    }
}

/// The output of the lines.
struct Sink<'a> {
    out: &'a mut dyn Write,
    /// Its last line is incomplete, because the disk was full.
    is_incomplete: bool,
}

impl Sink<'_> {
    /// Writes lines; returns how many bytes were written. Ends an incomplete line first.
    fn write(&mut self, lines: &[u8]) -> usize {
        if self.is_incomplete && self.write_bytes(b"\n") == 0 {
            return 0;
        }
        let written = self.write_bytes(lines);
        let last = lines.get(..written).and_then(<[u8]>::last);
        self.is_incomplete = last.is_some_and(|&byte| byte != b'\n');
        written
    }

    /// Writes `bytes` until a write fails. This thread may wait for a non-blocking descriptor.
    fn write_bytes(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest @ [_, ..]) = bytes.get(written..) {
            match self.out.write(rest) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_DELAY),
                Err(_) => break,
            }
        }
        written
    }
}

#[cfg(test)]
mod tests;
