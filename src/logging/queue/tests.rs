//! The queue with and without somebody who reads.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};

use super::*;

/// A sink whose writes each wait for a permit; what was written can be read.
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

/// A queue with its thread, and what lets that write.
struct Written {
    queue: Arc<LineQueue>,
    permits: SyncSender<()>,
    out: Arc<Mutex<Vec<u8>>>,
}

impl Written {
    fn start() -> Self {
        let (permits, allowed) = mpsc::sync_channel(1 << 16);
        let (queue, out) = (Arc::new(LineQueue::new()), Arc::new(Mutex::default()));
        let (written, mut gate) = (queue.clone(), Gate { permits: allowed, out: Arc::clone(&out) });
        thread::spawn(move || written.write_to(&mut gate, &|dropped| Some(format!("{dropped} dropped\n"))));
        Self { queue, permits, out }
    }

    /// Lets the sink take everything, and waits until it has.
    fn read_on(&self) -> String {
        while self.permits.try_send(()).is_ok() {}
        self.queue.wait_empty(Duration::from_secs(10));
        String::from_utf8(self.out.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn lines_come_in_their_order() {
    let log = Written::start();
    for n in 0..1_000 {
        log.queue.push(format!("line {n}\n").as_bytes());
    }
    let expected: String = (0..1_000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(log.read_on(), expected);
    assert_eq!(log.queue.counts(), QueueCounts::default());
}

#[test]
fn while_nobody_reads_lines_beyond_the_bound_are_dropped_and_counted_and_told_of_once() {
    let log = Written::start();
    // The writer holds lines too: they count until they are written.
    for _ in 0..LINES_MAX + 500 {
        log.queue.push(b"x\n");
    }
    assert_eq!(log.queue.counts(), QueueCounts { lines: LINES_MAX, bytes: 2 * LINES_MAX, dropped: 500 });
    let read = log.read_on();
    // It comes once half of the queue is free, wherever that is.
    let (before, behind) = read.split_once("500 dropped\n").unwrap();
    assert!(before.len() + behind.len() == 2 * LINES_MAX && !behind.contains("dropped"));
    assert!(!log.queue.drop_when_full());
    log.queue.push(b"y\n");
    assert!(log.read_on().strip_prefix(&read) == Some("y\n"), "there is room again, and nothing more to tell");
}

#[test]
fn bytes_are_bounded_too() {
    let log = Written::start();
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
    let Written { queue, permits, .. } = Written::start();
    drop(permits);
    for _ in 0..10 {
        queue.push(b"x\n");
    }
    queue.wait_empty(Duration::from_secs(10));
    assert_eq!(queue.counts(), QueueCounts { dropped: 10, ..QueueCounts::default() });
}

#[test]
fn nobody_waits_longer_than_allowed_for_a_reader() {
    let log = Written::start();
    log.queue.push(b"x\n");
    log.queue.wait_empty(Duration::from_millis(1));
    assert_eq!(log.queue.counts().lines, 1);
}

#[test]
fn a_descriptor_that_does_not_block_is_asked_again() {
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
    assert_eq!(Sink { out: &mut sink, is_torn: false }.write(b"abc"), 3);
    assert_eq!(sink.1, b"abc");
}

/// A disk with room for so many bytes.
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
fn a_line_that_a_full_disk_tore_does_not_run_into_the_next_one() {
    let queue = LineQueue::new();
    let mut disk = Disk { room: 8, out: Vec::new() };
    let mut is_torn = false;
    for room in [8, 0, 100] {
        disk.room = room;
        let mut sink = Sink { out: &mut disk, is_torn };
        queue.push(b"line 1\n");
        queue.push(b"line 2\n");
        let mut lines = Vec::new();
        queue.take(&mut lines);
        queue.write_taken(&lines, &mut sink, &|dropped| Some(format!("{dropped} dropped\n")));
        is_torn = sink.is_torn;
    }
    assert_eq!(String::from_utf8(disk.out).unwrap(), "line 1\nl\nline 1\nline 2\n3 dropped\n");
    assert_eq!(queue.counts(), QueueCounts { lines: 0, bytes: 0, dropped: 3 });
}
