mod model;

use super::*;
use crate::connection::outbox::OutboxCapacity;
use crate::model::ids::EventName;
use crate::publication::Event;

const ANY: usize = usize::MAX;
const ALL: OutboxCapacity = OutboxCapacity { bytes: ANY, entries: ANY };
const UNBOUNDED: LogLimits = LogLimits { publications: ANY, room_bytes: ANY, bytes: ANY, window_ms: 1_000 };

pub(super) fn room(name: &str) -> RoomName {
    RoomName::parse(name, "room").unwrap()
}

/// A publication with so many bytes of data.
pub(super) fn publication(sequence: u64, name: &'static str, bytes: usize) -> Arc<Publication> {
    let (name, data) = (EventName::of_hub(name), vec![b'1'; bytes].into());
    Arc::new(Publication::new(Event { name, topic: None, data, timestamp: 0, offset: None }).with_number(sequence))
}

pub(super) fn sequences(publications: &[Arc<Publication>]) -> Vec<u64> {
    publications.iter().map(|publication| publication.number()).collect()
}

fn cursor(name: &str, sequence: u64, messages: u64) -> RoomCursor {
    RoomCursor { room: room(name), sequence, messages }
}

/// A log with the next sequence. All workers read at once.
struct Log {
    log: PublicationLog,
    next: u64,
}

impl Log {
    /// A log with these rooms, each watched by a session.
    fn new(limits: LogLimits, rooms: &[&str]) -> Self {
        let mut log = PublicationLog::new(limits);
        rooms.iter().for_each(|name| log.watch(&room(name), Watcher::Session, 0));
        Self { log, next: 1 }
    }

    /// Appends an entry of an event, and returns its sequence.
    fn append_as(&mut self, name: &str, event: &'static str, kind: EntryKind, except: Option<SessionId>) -> u64 {
        let (sequence, publication) = (self.next, publication(self.next, event, 10));
        self.next += 1;
        self.log.append(Appended { room: room(name), publication, except, kind }, 0, sequence);
        sequence
    }

    fn append(&mut self, name: &str, bytes: usize, elapsed: i64, read: u64) {
        let publication = publication(self.next, "x", bytes);
        self.next += 1;
        let (room, kind) = (room(name), EntryKind::Event);
        self.log.append(Appended { room, publication, except: None, kind }, elapsed, read);
    }

    fn event(&mut self, name: &str) -> u64 {
        self.append_as(name, "x", EntryKind::Event, None)
    }

    fn events(&mut self, names: &[&str], kind: EntryKind) {
        for name in names {
            self.append_as(name, "x", kind, None);
        }
    }

    fn message(&mut self, name: &str) -> u64 {
        self.append_as(name, "m", EntryKind::Message, None)
    }

    fn missed(&self, cursors: &[(&str, u64)]) -> Result<Vec<u64>, Lost> {
        self.missed_by(SessionId::random(), cursors, ALL)
    }

    fn missed_by(&self, session: SessionId, cursors: &[(&str, u64)], most: OutboxCapacity) -> Result<Vec<u64>, Lost> {
        let cursors: Vec<_> = cursors.iter().map(|&(name, sequence)| cursor(name, sequence, 0)).collect();
        self.log.missed(&cursors, session, most).map(|missed| sequences(&missed))
    }

    fn missed_messages(&self, ranges: &[(RoomCursor, u64)], entries: usize, bytes: usize) -> (Vec<u64>, u64) {
        let (missed, dropped) = self.log.missed_messages(ranges, OutboxCapacity { bytes, entries });
        (sequences(&missed), dropped)
    }
}

#[test]
fn a_room_without_watchers_keeps_nothing() {
    let mut log = Log::new(UNBOUNDED, &["a"]);
    log.event("b");
    assert_eq!((log.log.len(), log.log.bytes(), log.log.is_watched(&room("b"))), (0, 0, false));
    assert_eq!((log.log.next_message(&room("b")), log.log.message_count(&room("b"), ANY as u64)), (0, 0));
    log.event("a");
    log.log.watch(&room("a"), Watcher::Record, 1);
    log.log.unwatch(&room("a"), Watcher::Session);
    assert_eq!((log.log.len(), log.log.bytes()), (1, 512 + 2 * 10));
    log.log.unwatch(&room("a"), Watcher::Record);
    assert_eq!((log.log.len(), log.log.bytes(), log.log.next_due()), (0, 0, None));
    assert_eq!(log.missed(&[("a", 1)]), Err(Lost));
}

#[test]
fn the_log_of_a_room_begins_with_its_first_watcher() {
    let mut log = Log::new(UNBOUNDED, &[]);
    log.log.watch(&room("a"), Watcher::Session, 7);
    log.next = 8;
    log.message("a");
    log.log.watch(&room("a"), Watcher::Session, 8);
    assert_eq!((log.missed(&[("a", 7)]), log.missed(&[("a", 6)])), (Ok(vec![8]), Err(Lost)));
    assert_eq!((log.missed(&[("a", 8)]), log.missed(&[("a", 99)])), (Ok(vec![]), Ok(vec![])));
    assert_eq!(log.log.next_message(&room("a")), 2);
}

#[test]
fn a_watcher_that_becomes_a_record_keeps_the_entries() {
    let mut log = Log::new(UNBOUNDED, &["a"]);
    log.event("a");
    log.log.recover(&room("a"));
    assert!(!log.log.has_records(&room("a")), "there is no record");
    log.log.suspend(&room("a"), 0);
    log.log.unwatch(&room("a"), Watcher::Session);
    assert_eq!((log.log.has_records(&room("a")), log.missed(&[("a", 0)])), (true, Ok(vec![1])));
    log.log.recover(&room("a"));
    assert!(log.log.is_watched(&room("a")) && !log.log.has_records(&room("a")));
}

#[test]
fn messages_that_a_record_may_miss_are_queued() {
    let mut log = Log::new(LogLimits { publications: 4, ..UNBOUNDED }, &["a", "a", "b"]);
    let a = room("a");
    log.events(&["a", "b", "a"], EntryKind::Message);
    log.event("a");
    assert_eq!(log.log.queued(), 0, "no record misses anything");
    log.log.suspend(&a, 1);
    assert_eq!(log.log.queued(), 1);
    log.message("a");
    log.message("b");
    assert_eq!(log.log.queued(), 2);
    log.log.suspend(&a, 0);
    assert_eq!(log.log.queued(), 3, "this one misses all of them");
    log.event("a");
    assert_eq!(log.log.queued(), 2, "one is evicted");
    log.log.recover(&a);
    assert_eq!(log.log.queued(), 2, "the other one is still suspended");
    log.log.unwatch(&a, Watcher::Record);
    assert_eq!(log.log.queued(), 0);
    log.log.suspend(&a, 3);
    assert_eq!(log.log.queued(), 0, "this one misses nothing");
}

#[test]
fn a_replay_merges_the_rooms_by_sequence() {
    let mut log = Log::new(UNBOUNDED, &["a", "b", "c"]);
    log.events(&["a", "b", "c", "b", "a", "c"], EntryKind::Event);
    assert_eq!(log.missed(&[("a", 1), ("b", 0)]), Ok(vec![2, 4, 5]));
    assert_eq!(log.missed(&[("b", 3), ("a", 0), ("c", 6), ("a", 4)]), Ok(vec![1, 4, 5]), "each once");
    assert_eq!(log.missed(&[("a", 0), ("d", 9)]), Err(Lost), "a room without watchers");
}

#[test]
fn a_replay_leaves_out_what_the_session_published() {
    let mut log = Log::new(UNBOUNDED, &["a"]);
    let (own, other) = (SessionId::random(), SessionId::random());
    for except in [Some(own), None, Some(other)] {
        log.append_as("a", "x", EntryKind::Event, except);
    }
    assert_eq!(log.missed_by(own, &[("a", 0)], ALL), Ok(vec![2, 3]));
}

#[test]
fn a_replay_has_the_last_state_of_each_room_event_and_session() {
    let mut log = Log::new(UNBOUNDED, &["a", "b"]);
    let (one, two) = (Some(SessionId::random()), Some(SessionId::random()));
    for (name, event, except) in [
        ("a", "typing", one),
        ("a", "typing", two),
        ("b", "typing", one),
        ("a", "stopped", one),
        ("a", "typing", one),
        ("a", "typing", None),
    ] {
        log.append_as(name, event, EntryKind::State, except);
    }
    assert_eq!(log.missed(&[("a", 0), ("b", 0)]), Ok(vec![2, 3, 4, 5, 6]));
    assert_eq!(log.missed_by(one.unwrap(), &[("a", 0), ("b", 0)], ALL), Ok(vec![2, 6]));
    log.append_as("a", "typing", EntryKind::Event, one);
    assert_eq!(log.missed(&[("a", 4)]), Ok(vec![5, 6, 7]), "an event replaces nothing");
}

#[test]
fn a_replay_beyond_its_bound_is_lost() {
    let mut log = Log::new(UNBOUNDED, &["a", "b"]);
    log.events(&["a", "b", "a"], EntryKind::Event);
    for (bytes, entries, fits) in [(30, 3, true), (29, 3, false), (30, 2, false)] {
        let missed = log.missed_by(SessionId::random(), &[("a", 0), ("b", 0)], OutboxCapacity { bytes, entries });
        assert_eq!(missed.is_ok(), fits, "{bytes} {entries}");
    }
}

#[test]
fn a_replay_reads_a_bounded_number_of_entries() {
    let limits = LogLimits { publications: 100, ..UNBOUNDED };
    let names: Vec<_> = (0..15).map(|number| format!("room-{number}")).collect();
    let mut log = Log::new(limits, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let own = SessionId::random();
    for name in &names {
        (0..100).for_each(|_| _ = log.append_as(name, "x", EntryKind::Event, Some(own)));
    }
    let cursors: Vec<_> = names.iter().map(|name| (name.as_str(), 0)).collect();
    assert_eq!(log.missed_by(own, &cursors[..14], ALL), Ok(vec![]), "1,400 entries");
    assert_eq!(log.missed_by(own, &[&cursors[..14], &[("room-14", 1_476)]].concat(), ALL), Ok(vec![]), "1,424");
    assert_eq!(log.missed_by(own, &[&cursors[..14], &[("room-14", 1_475)]].concat(), ALL), Err(Lost), "1,425");
}

#[test]
fn a_room_keeps_its_newest_publications() {
    let mut log = Log::new(LogLimits { publications: 2, ..UNBOUNDED }, &["a", "b"]);
    log.events(&["a", "b", "a", "a"], EntryKind::Event);
    assert_eq!((log.missed(&[("a", 1)]), log.missed(&[("a", 0)])), (Ok(vec![3, 4]), Err(Lost)));
    assert_eq!(log.missed(&[("b", 0)]), Ok(vec![2]), "another room loses nothing");
    assert_eq!((log.log.take_evicted(), log.log.take_evicted()), (1, 0));
}

#[test]
fn the_bytes_of_a_room_and_of_the_hub_are_bounded() {
    let mut log = Log::new(LogLimits { room_bytes: 100, bytes: 2 * 512 + 2 * 150, ..UNBOUNDED }, &["a", "b"]);
    log.append("a", 50, 0, 1);
    log.append("a", 50, 0, 2);
    assert_eq!((log.missed(&[("a", 0)]), log.log.bytes()), (Ok(vec![1, 2]), 2 * 512 + 2 * 100));
    log.append("a", 60, 0, 3);
    assert_eq!((log.missed(&[("a", 2)]), log.missed(&[("a", 1)])), (Ok(vec![3]), Err(Lost)));
    log.append("b", 90, 0, 4);
    assert_eq!((log.missed(&[("a", 2)]), log.missed(&[("b", 0)])), (Ok(vec![3]), Ok(vec![4])));
    log.append("b", 1, 0, 5);
    assert_eq!(log.missed(&[("a", 2)]), Err(Lost), "the oldest of the hub is evicted");
    assert_eq!((log.missed(&[("a", 3)]), log.missed(&[("b", 0)])), (Ok(vec![]), Ok(vec![4, 5])));
    assert_eq!(log.log.take_evicted(), 3);
}

#[test]
fn a_publication_that_exceeds_a_bound_alone_is_evicted() {
    for limits in [
        LogLimits { room_bytes: 100, ..UNBOUNDED },
        LogLimits { bytes: 512 + 200, ..UNBOUNDED },
        LogLimits { publications: 0, ..UNBOUNDED },
    ] {
        let mut log = Log::new(limits, &["a"]);
        log.event("a");
        log.append("a", 101, 0, 2);
        assert_eq!((log.log.len(), log.log.bytes(), log.log.take_evicted()), (0, 0, 2));
        assert_eq!((log.missed(&[("a", 2)]), log.missed(&[("a", 1)])), (Ok(vec![]), Err(Lost)));
    }
}

#[test]
fn a_publication_that_a_worker_has_not_read_is_not_evicted() {
    for limits in [LogLimits { publications: 1, ..UNBOUNDED }, LogLimits { bytes: 600, ..UNBOUNDED }] {
        let mut log = Log::new(limits, &["a"]);
        (0..4).for_each(|_| log.append("a", 10, 0, 1));
        assert_eq!((log.missed(&[("a", 1)]), log.missed(&[("a", 0)])), (Ok(vec![2, 3, 4]), Err(Lost)));
        log.append("a", 10, 0, 5);
        assert_eq!((log.missed(&[("a", 4)]), log.missed(&[("a", 3)])), (Ok(vec![5]), Err(Lost)));
    }
}

#[test]
fn one_append_evicts_what_it_needs_and_64_entries_more() {
    let mut log = Log::new(LogLimits { publications: 1, ..UNBOUNDED }, &["a"]);
    (0..200).for_each(|_| log.append("a", 10, 0, 0));
    assert_eq!((log.log.len(), log.log.take_evicted()), (200, 0));
    log.append("a", 10, 0, ANY as u64);
    assert_eq!((log.log.len(), log.log.take_evicted()), (136, 65));
    // A large publication needs many small ones.
    let mut log = Log::new(LogLimits { bytes: 200 * (512 + 2), ..UNBOUNDED }, &["a"]);
    (0..200).for_each(|_| log.append("a", 1, 0, 0));
    log.append("a", 10_000, 0, ANY as u64);
    assert_eq!((log.log.len(), log.log.take_evicted()), (201 - 40, 40), "40 x 514 bytes >= 512 + 2 x 10,000");
    assert!(log.log.bytes() <= 200 * (512 + 2));
}

#[test]
fn a_publication_expires_at_its_time_and_not_before() {
    let mut log = Log::new(UNBOUNDED, &["a", "b"]);
    for (name, elapsed) in [("a", 0), ("b", 0), ("a", 50)] {
        log.append(name, 10, elapsed, 0);
    }
    assert!(!log.log.sweep(999, 9));
    assert_eq!((log.log.next_due(), log.log.len()), (Some(1_000), 3));
    assert!(log.log.sweep(1_000, 1), "one more is due");
    assert_eq!(log.missed(&[("a", 0)]), Err(Lost));
    assert!(!log.log.sweep(1_000, 9));
    assert_eq!(
        (log.missed(&[("a", 1)]), log.missed(&[("b", 0)]), log.log.next_due()),
        (Ok(vec![3]), Err(Lost), Some(1_050))
    );
    assert!(!log.log.sweep(1_050, 1));
    assert_eq!((log.log.len(), log.log.bytes(), log.log.next_due(), log.log.take_evicted()), (0, 0, None, 0));
}

#[test]
fn changed_limits_apply_with_the_next_append_or_sweep() {
    let mut log = Log::new(UNBOUNDED, &["a"]);
    (0..4).for_each(|_| _ = log.event("a"));
    log.log.set_limits(LogLimits { bytes: 3 * 532, ..UNBOUNDED });
    assert_eq!(log.log.len(), 4);
    assert!(!log.log.sweep(0, 9));
    assert_eq!((log.log.len(), log.log.take_evicted()), (3, 1));
    log.log.set_limits(LogLimits { publications: 2, window_ms: 10, ..UNBOUNDED });
    log.event("a");
    assert_eq!((log.log.len(), log.log.next_due()), (2, Some(10)));
}

#[test]
fn messages_of_a_chat_are_counted() {
    let mut log = Log::new(LogLimits { publications: 3, ..UNBOUNDED }, &["a", "b"]);
    log.message("a");
    log.message("b");
    log.event("a");
    log.message("a");
    let count = |log: &Log, sequence| log.log.message_count(&room("a"), sequence);
    assert_eq!([0, 1, 2, 3, 4, 9].map(|sequence| count(&log, sequence)), [0, 1, 1, 1, 2, 2]);
    log.event("a");
    log.event("a");
    assert_eq!([3, 4, 9].map(|sequence| count(&log, sequence)), [1, 2, 2], "the first message is evicted");
    log.message("a");
    assert_eq!(([5, 6, 7].map(|sequence| count(&log, sequence)), log.log.next_message(&room("a"))), ([2, 2, 3], 4));
}

#[test]
fn missed_messages_are_the_newest_and_the_others_are_counted() {
    let mut log = Log::new(LogLimits { publications: 4, ..UNBOUNDED }, &["a", "b"]);
    for name in ["a", "b", "a", "a", "b", "a"] {
        log.message(name);
        log.event("$all");
    }
    log.event("a");
    let ranges = [(cursor("a", 1, 1), u64::MAX), (cursor("b", 0, 0), u64::MAX)];
    assert_eq!(log.missed_messages(&ranges, 9, ANY), (vec![3, 5, 7, 9, 11], 0));
    assert_eq!(log.missed_messages(&ranges, 3, ANY), (vec![7, 9, 11], 2));
    assert_eq!(log.missed_messages(&ranges, 9, 29), (vec![9, 11], 3));
    assert_eq!(log.missed_messages(&ranges, 0, 0), (vec![], 5));
    assert_eq!(log.missed_messages(&[(cursor("a", 1, 1), 10)], 1, ANY), (vec![7], 1));
    assert_eq!(log.missed_messages(&[(cursor("a", 11, 4), u64::MAX), (cursor("c", 0, 0), 9)], 9, ANY), (vec![], 0));
    // An eviction counts as dropped.
    (0..2).for_each(|_| _ = log.event("a"));
    assert_eq!(log.missed_messages(&ranges, 9, ANY), (vec![3, 9, 11], 2));
}

#[test]
fn what_records_need_is_stored_and_restored() {
    let mut log = Log::new(LogLimits { publications: 2, ..UNBOUNDED }, &["a", "b", "c"]);
    let own = SessionId::random();
    log.events(&["a", "b", "a", "a"], EntryKind::Message);
    log.append_as("b", "typing", EntryKind::State, Some(own));
    for name in ["a", "b"] {
        log.log.suspend(&room(name), 0);
    }
    log.event("c");
    let rooms: Vec<_> = log.log.rooms_with_records().collect();
    assert_eq!(rooms, [(&room("a"), 1, 3), (&room("b"), 0, 1)]);
    let mut restored = PublicationLog::new(log.log.limits);
    for (room, evicted, messages) in rooms {
        restored.restore_room(room.clone(), evicted, messages);
    }
    restored.restore_room(room("d"), 0, 0);
    let mut kept: Vec<_> = log.log.kept_for_records().collect();
    let order: Vec<_> = kept.iter().map(|(message, kept)| (*message, kept.publication.number())).collect();
    assert_eq!(order, [(0, 5), (3, 4), (2, 3), (1, 2)], "the newest first");
    kept.reverse();
    for (message, Kept { room, publication, except, kind, elapsed }) in kept {
        let appended = Appended { room: room.clone(), publication: publication.clone(), except, kind };
        restored.restore(appended, message, elapsed - 5_000);
    }
    assert!(!restored.is_watched(&room("a")));
    restored.watch(&room("a"), Watcher::Record, 6);
    restored.watch(&room("b"), Watcher::Record, 6);
    restored.drop_unwatched();
    let log = Log { log: restored, next: 7 };
    assert_eq!((log.missed(&[("a", 1), ("b", 0)]), log.missed(&[("a", 0)])), (Ok(vec![2, 3, 4, 5]), Err(Lost)));
    assert_eq!(log.missed_by(own, &[("b", 2)], ALL), Ok(vec![]));
    assert_eq!((log.log.next_message(&room("a")), log.log.next_due()), (4, Some(-4_000)));
    assert_eq!(log.log.rooms_with_records().count(), 2);
}

#[test]
fn restored_rooms_without_watchers_are_freed() {
    let mut log = PublicationLog::new(UNBOUNDED);
    for (sequence, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        log.restore_room(room(name), 0, 0);
        let publication = publication(sequence as u64 + 1, "x", 10);
        log.restore(Appended { room: room(name), publication, except: None, kind: EntryKind::Event }, 0, 0);
    }
    log.watch(&room("b"), Watcher::Record, 9);
    log.drop_unwatched();
    let log = Log { log, next: 5 };
    assert_eq!((log.log.len(), log.log.bytes(), log.missed(&[("b", 0)])), (1, 532, Ok(vec![2])));
    assert_eq!(log.missed(&[("a", 9)]), Err(Lost));
}

#[test]
fn memory_is_freed_when_the_log_becomes_small() {
    let mut log = Log::new(UNBOUNDED, &["a"]);
    let names: Vec<_> = (0..5_000).map(|number| format!("room-{number}")).collect();
    for name in &names {
        log.log.watch(&room(name), Watcher::Session, 0);
        log.event(name);
    }
    log.event("a");
    assert!(log.log.chains.capacity() >= (5_001, 5_001));
    for name in &names {
        log.log.unwatch(&room(name), Watcher::Session);
    }
    let (entries, rooms) = log.log.chains.capacity();
    assert!(entries <= 1_024 && rooms <= 1_024, "{entries} {rooms}");
    assert_eq!(log.missed(&[("a", 0)]), Ok(vec![5_001]));
}
