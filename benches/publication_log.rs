//! The time of the publication log: appends at its bounds, and what a recovered session missed.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::model::ids::{EventName, RoomName, SessionId};
use hubbub_actors::publication::{Event, Publication};
use hubbub_actors::rooms::publication_log::{Appended, EntryKind, LogLimits, PublicationLog, RoomCursor, Watcher};

const ROOMS: u64 = 100;
/// Bytes of data of each publication.
const DATA: usize = 200;
/// Appends in one measurement.
const BATCH: u64 = 1_000;
/// Publications that a session missed.
const MISSED: u64 = 500;

const LIMITS: LogLimits = LogLimits { publications: 500, room_bytes: 1 << 19, bytes: 64 << 20, window_ms: 120_000 };

/// What is appended: to one room after the other.
struct Source {
    rooms: Vec<RoomName>,
    /// The last sequence.
    sequence: u64,
}

impl Source {
    fn new() -> Self {
        let name = |number| RoomName::parse(&format!("room-{number}"), "room").ok();
        Self { rooms: (0..ROOMS).filter_map(name).collect(), sequence: 0 }
    }

    /// A log at its bounds. Each room is watched by a session.
    fn fill(&mut self, limits: LogLimits) -> PublicationLog {
        let mut log = PublicationLog::new(limits);
        self.rooms.iter().for_each(|room| log.watch(room, Watcher::Session, 0));
        while log.take_evicted() == 0 {
            append(&mut log, self.batch());
        }
        log
    }

    fn batch(&mut self) -> Vec<Appended> {
        let mut next = || {
            self.sequence += 1;
            let room = self.rooms[(self.sequence % ROOMS) as usize].clone();
            Appended { room, publication: publication(self.sequence), except: None, kind: EntryKind::Message }
        };
        (0..BATCH).map(|_| next()).collect()
    }

    /// Cursors before the last publications, in so many rooms.
    fn cursors(&self, rooms: u64) -> Vec<RoomCursor> {
        let sequence = self.sequence - MISSED / rooms * ROOMS;
        let rooms = self.rooms.iter().take(rooms as usize);
        rooms.map(|room| RoomCursor { room: room.clone(), sequence, messages: 0 }).collect()
    }
}

fn publication(sequence: u64) -> Arc<Publication> {
    let (name, data) = (EventName::of_hub("news"), Bytes::from(vec![b'1'; DATA]));
    Arc::new(Publication::new(Event { name, topic: None, data, timestamp: 0, offset: None }).with_number(sequence))
}

fn append(log: &mut PublicationLog, batch: Vec<Appended>) {
    for appended in batch {
        let read = appended.publication.number();
        log.append(appended, 0, read);
    }
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(BATCH));
    let beyond_rooms = LogLimits { publications: 10_000, room_bytes: 64 << 20, ..LIMITS };
    for (name, limits) in [("publications", LIMITS), ("bytes", beyond_rooms)] {
        let mut source = Source::new();
        let mut log = source.fill(limits);
        group.bench_function(format!("at the bound of {name}"), |bencher| {
            bencher.iter_batched(|| source.batch(), |batch| append(&mut log, batch), BatchSize::LargeInput);
        });
    }
    let (mut source, mut log) = (Source::new(), PublicationLog::new(LIMITS));
    group.bench_function("to rooms without watchers", |bencher| {
        bencher.iter_batched(|| source.batch(), |batch| append(&mut log, batch), BatchSize::LargeInput);
    });
    group.finish();
}

fn replays(criterion: &mut Criterion) {
    let mut source = Source::new();
    let log = source.fill(LIMITS);
    let most = OutboxCapacity { bytes: 1 << 19, entries: 8_192 };
    let session = SessionId::random();
    let mut group = criterion.benchmark_group(format!("{MISSED} missed publications"));
    group.throughput(Throughput::Elements(MISSED));
    for rooms in [1, 10, 100] {
        let cursors = source.cursors(rooms);
        let found = log.missed(&cursors, session, most).map(|missed| missed.len() as u64);
        assert_eq!(found, Ok(MISSED), "of {rooms} rooms");
        group.bench_function(format!("of {rooms} rooms"), |bencher| {
            bencher.iter(|| black_box(log.missed(black_box(&cursors), session, most)));
        });
    }
    group.finish();
}

criterion_group!(publication_log, appends, replays);
criterion_main!(publication_log);
