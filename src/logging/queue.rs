//! The lines that wait to be written, and the one thread that writes them.
//!
//! Who logs puts a line into the queue and goes on: nobody waits for whoever reads the log. When the queue is full, the
//! line is dropped and counted; when the reader has caught up, one line says how many were dropped.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::line::LINE_MAX;

/// Most lines that wait.
pub(super) const LINES_MAX: usize = 16_384;

/// Most bytes that wait.
pub(super) const BYTES_MAX: usize = 4 << 20;

/// Bytes that are written at once, and up to one line less: so often the queue learns what was written.
const PIECE: usize = 64 * 1_024;

/// Capacity that an empty buffer keeps.
const KEPT: usize = 64 * 1_024;

/// How long to wait for a descriptor that does not block and takes nothing now.
const RETRY: Duration = Duration::from_millis(10);

/// What became of the lines so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Lines that wait to be written.
    pub lines: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Lines that were dropped, because the queue was full or because they could not be written.
    pub dropped: u64,
}

#[derive(Debug)]
struct QueueState {
    pending: Vec<u8>,
    /// Of what is pending and of what is being written.
    counts: QueueCounts,
    /// How many of the dropped lines were told of.
    reported: u64,
    /// The writer waits for a line.
    is_idle: bool,
}

/// The queue. Each line in it ends with a line end and has no other.
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

    /// Takes a line, or drops it where there is no room.
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

    /// Counts a line as dropped where there may be no room for it, before it is made; `false` where there is room.
    pub(super) fn drop_when_full(&self) -> bool {
        let mut state = self.lock();
        let is_full = state.counts.lines >= LINES_MAX || state.counts.bytes + LINE_MAX > BYTES_MAX;
        state.counts.dropped += u64::from(is_full);
        is_full
    }

    pub(super) fn counts(&self) -> QueueCounts {
        self.lock().counts
    }

    /// Waits until all is written, or for `most`.
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

    /// Exchanges `written`, an empty buffer, for all lines that wait; waits for one.
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

    /// The first `written` bytes of some lines were written; the others are lost.
    fn count_written(&self, lines: &[u8], written: usize) {
        let count = |bytes| memchr::memchr_iter(b'\n', bytes).count();
        let lost = lines.get(written..).map_or(0, count);
        let mut state = self.lock();
        state.counts.lines = state.counts.lines.saturating_sub(count(lines));
        state.counts.bytes = state.counts.bytes.saturating_sub(lines.len());
        state.counts.dropped += lost as u64;
    }

    /// How many dropped lines are to be told of: none while the queue is more than half full.
    fn unreported(&self) -> u64 {
        let state = self.lock();
        let is_low = state.counts.lines <= LINES_MAX / 2 && state.counts.bytes <= BYTES_MAX / 2;
        if is_low { state.counts.dropped - state.reported } else { 0 }
    }

    /// Writes lines to `sink` for ever. `notice` makes the line that says how many lines were dropped; none where that
    /// is not logged.
    pub(super) fn write_to(&self, sink: &mut dyn Write, notice: &dyn Fn(u64) -> Option<String>) {
        let mut lines = Vec::new();
        let mut sink = Sink { out: sink, is_torn: false };
        loop {
            self.take(&mut lines);
            self.write_taken(&lines, &mut sink, notice);
            lines.clear();
            lines.shrink_to(KEPT);
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

/// Where the lines go.
struct Sink<'a> {
    out: &'a mut dyn Write,
    /// Its last line has no end: the disk was full in the middle of it.
    is_torn: bool,
}

impl Sink<'_> {
    /// Writes lines; how many of their bytes were written. Behind a torn line they begin on a line of their own.
    fn write(&mut self, lines: &[u8]) -> usize {
        if self.is_torn && self.write_bytes(b"\n") == 0 {
            return 0;
        }
        let written = self.write_bytes(lines);
        let last = lines.get(..written).and_then(<[u8]>::last);
        self.is_torn = last.is_some_and(|&byte| byte != b'\n');
        written
    }

    /// Writes `bytes` until it fails, also to a descriptor that does not block: this thread may wait.
    fn write_bytes(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest @ [_, ..]) = bytes.get(written..) {
            match self.out.write(rest) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
                Err(_) => break,
            }
        }
        written
    }
}

#[cfg(test)]
mod tests;
