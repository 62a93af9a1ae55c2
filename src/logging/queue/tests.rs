//! The queue with a fast, a slow and a failing output.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};

use super::*;

/// An output in which each write waits for a permit. A test can read the output.
struct Gate {
    permits: Receiver<()>,
    out: Arc<Mutex<Vec<u8>>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.permits.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.out.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A queue with its writer thread and the permits.
struct TestLog {
    queue: Arc<LineQueue>,
    permits: SyncSender<()>,
    out: Arc<Mutex<Vec<u8>>>,
}

impl TestLog {
    fn start() -> Self {
        let (permits, allowed) = mpsc::sync_channel(1 << 16);
        let (queue, out) = (Arc::new(LineQueue::new()), Arc::new(Mutex::default()));
        let (written, mut gate) = (queue.clone(), Gate { permits: allowed, out: Arc::clone(&out) });
        thread::spawn(move || written.write_to(&mut gate, &|dropped| Some(format!("{dropped} dropped\n"))));
        Self { queue, permits, out }
    }

    /// Lets the writer write everything, and waits for it.
    fn read_on(&self) -> String {
        while self.permits.try_send(()).is_ok() {}
        self.queue.wait_empty(Duration::from_secs(10));
        String::from_utf8(self.out.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn lines_are_written_in_order() {
    let log = TestLog::start();
    for n in 0..1_000 {
        log.queue.push(format!("line {n}\n").as_bytes());
    }
    let expected: String = (0..1_000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(log.read_on(), expected);
    assert_eq!(log.queue.counts(), QueueCounts::default());
}

#[test]
fn lines_beyond_the_bound_are_dropped_counted_and_reported_once() {
    let log = TestLog::start();
    // Lines count until they are written, also after the writer has taken them.
    for _ in 0..LINES_MAX + 500 {
        log.queue.push(b"x\n");
    }
    assert_eq!(log.queue.counts(), QueueCounts { lines: LINES_MAX, bytes: 2 * LINES_MAX, dropped: 500 });
    let read = log.read_on();
    // The report is written once half of the queue is free; its position is not fixed.
    let (before, after) = read.split_once("500 dropped\n").unwrap();
    assert!(before.len() + after.len() == 2 * LINES_MAX && !after.contains("dropped"));
    assert!(!log.queue.drop_when_full());
    log.queue.push(b"y\n");
    assert!(log.read_on().strip_prefix(&read) == Some("y\n"), "there is room again, and no further report");
}

#[test]
fn bytes_are_bounded_too() {
    let log = TestLog::start();
    let line = "z".repeat(8_191) + "\n";
    for _ in 0..BYTES_MAX / line.len() + 3 {
        log.queue.push(line.as_bytes());
    }
    let counts = log.queue.counts();
    assert_eq!((counts.bytes, counts.dropped), (BYTES_MAX, 3));
    assert!(log.queue.drop_when_full(), "the longest line would not fit");
    assert_eq!(log.read_on().matches("\n4 dropped\n").count(), 1);
}

#[test]
fn lines_that_cannot_be_written_are_counted_as_dropped() {
    let TestLog { queue, permits, .. } = TestLog::start();
    drop(permits);
    for _ in 0..10 {
        queue.push(b"x\n");
    }
    queue.wait_empty(Duration::from_secs(10));
    assert_eq!(queue.counts(), QueueCounts { dropped: 10, ..QueueCounts::default() });
}

#[test]
fn the_wait_for_the_output_is_bounded() {
    let log = TestLog::start();
    log.queue.push(b"x\n");
    log.queue.wait_empty(Duration::from_millis(1));
    assert_eq!(log.queue.counts().lines, 1);
}

#[test]
fn a_write_to_a_busy_non_blocking_descriptor_is_repeated() {
    struct Busy(u32, Vec<u8>);
    impl Write for Busy {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(io::ErrorKind::WouldBlock.into()),
                2 => Err(io::ErrorKind::Interrupted.into()),
                _ => {
                    self.1.extend_from_slice(&bytes[..1]);
                    Ok(1)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Busy(0, Vec::new());
    assert_eq!(Sink { out: &mut sink, is_incomplete: false }.write(b"abc"), 3);
    assert_eq!(sink.1, b"abc");
}

/// A disk with `room` free bytes.
struct Disk {
    room: usize,
    out: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = bytes.len().min(self.room);
        if written == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.room -= written;
        self.out.extend_from_slice(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_cut_by_a_full_disk_is_ended_before_the_next_line() {
    let queue = LineQueue::new();
    let mut disk = Disk { room: 8, out: Vec::new() };
    let mut is_incomplete = false;
    for room in [8, 0, 100] {
        disk.room = room;
        let mut sink = Sink { out: &mut disk, is_incomplete };
        queue.push(b"line 1\n");
        queue.push(b"line 2\n");
        let mut lines = Vec::new();
        queue.take(&mut lines);
        queue.write_taken(&lines, &mut sink, &|dropped| Some(format!("{dropped} dropped\n")));
        is_incomplete = sink.is_incomplete;
    }
    assert_eq!(String::from_utf8(disk.out).unwrap(), "line 1\nl\nline 1\nline 2\n3 dropped\n");
    assert_eq!(queue.counts(), QueueCounts { lines: 0, bytes: 0, dropped: 3 });
}
