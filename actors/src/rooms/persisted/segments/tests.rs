use super::*;

const HEAD: u64 = 100;
const STOPPED_AT: i64 = 5_000;

fn room(name: &str) -> RoomName {
    RoomName::parse(name, "room").unwrap()
}

fn event(name: &'static str, data: &str) -> Event {
    Event { name: EventName::of_hub(name), topic: None, data: data.to_owned().into(), timestamp: 7, offset: None }
}

fn entry_of(name: &str, sequence: u64, publication: Publication) -> SavedEntry {
    let publication = publication.with_number(sequence).into();
    let appended = Appended { room: room(name), publication, except: None, kind: EntryKind::Event };
    SavedEntry { appended, message: 0, age_ms: 30 }
}

fn entry(name: &str, sequence: u64) -> SavedEntry {
    entry_of(name, sequence, Publication::new(event("x", "1")))
}

/// A log with the rooms `a` and `chat:b`, and these entries, the newest first.
fn saved(entries: Vec<SavedEntry>) -> SavedLog {
    let of = |name, messages| SavedRoom { room: room(name), evicted: 2, messages };
    SavedLog { head: HEAD, rooms: vec![of("a", 0), of("chat:b", 9)], entries }
}

/// The stored log, with all its segments. Records need all entries after the sequence 2.
fn stored_of(saved: SavedLog) -> StoredLog {
    let cursors: Vec<_> =
        saved.rooms.iter().map(|of| RoomCursor { room: of.room.clone(), sequence: 2, messages: 0 }).collect();
    let (mut log, segments) = stored(saved, cursors.iter(), STOPPED_AT);
    log.segments = segments.collect();
    log
}

fn sequences(log: &SavedLog) -> Vec<u64> {
    log.entries.iter().map(|entry| entry.appended.publication.number()).collect()
}

/// The last evicted sequences of the rooms `a` and `chat:b`.
fn evicted(log: &SavedLog) -> [u64; 2] {
    ["a", "chat:b"].map(|name| log.rooms.iter().find(|of| of.room.as_str() == name).unwrap().evicted)
}

/// The stored log after a replacement in the text of its only segment.
fn damaged(entries: Vec<SavedEntry>, from: &str, to: &str) -> SavedLog {
    let mut log = stored_of(saved(entries));
    let text = String::from_utf8(log.segments[0].entries.to_vec()).unwrap();
    assert!(text.contains(from), "{text}");
    log.segments[0].entries = text.replacen(from, to, 1).into();
    restored(log, STOPPED_AT)
}

#[test]
fn entries_are_restored_as_they_were_saved() {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let all = Event { topic: Some(room("a")), offset: Some(4), ..event("é", "{\"a\":\n [1.0, \"\u{2028}\"]}") };
    let about = NotificationId::parse("n\"1", "id").unwrap();
    let (publisher, typist) = (SessionId::random(), SessionId::random());
    let mut first = entry_of("a", 60, Publication::for_notification(all, Some(about.clone())));
    first.appended.except = Some(publisher);
    let mut second = entry_of("chat:b", 59, Publication::new(event("typing", &deep)));
    (second.appended.except, second.appended.kind) = (Some(typist), EntryKind::State);
    let mut third = entry_of("chat:b", 58, Publication::new(event("m", "2")).with_message(9));
    (third.message, third.appended.kind) = (9, EntryKind::Message);
    let log = stored_of(saved(vec![first, second, third]));
    assert_eq!((log.segments.len(), log.is_complete()), (1, true));
    let log = restored(log, STOPPED_AT);
    assert_eq!((log.head, log.rooms, log.entries.len()), (HEAD, saved(vec![]).rooms, 3));
    let [first, second, third] = &log.entries[..] else { panic!() };
    let publication = &first.appended.publication;
    assert_eq!((first.appended.room.as_str(), publication.number(), first.age_ms, first.message), ("a", 60, 30, 0));
    assert_eq!(
        (publication.name().as_str(), publication.topic(), publication.offset()),
        ("é", Some(&room("a")), Some(4))
    );
    assert_eq!((publication.timestamp(), publication.notification()), (7, Some(&about)));
    assert_eq!(*publication.data(), "{\"a\":\n [1.0, \"\u{2028}\"]}");
    assert_eq!((first.appended.except, first.appended.kind), (Some(publisher), EntryKind::Event));
    assert_eq!((second.appended.except, second.appended.kind), (Some(typist), EntryKind::State));
    assert_eq!((second.appended.publication.topic(), second.appended.publication.data()), (None, &Bytes::from(deep)));
    assert_eq!((third.message, third.appended.publication.message()), (9, 9));
    assert_eq!((third.appended.except, third.appended.kind), (None, EntryKind::Message));
}

#[test]
fn a_message_of_a_room_that_is_no_chat_bears_no_number() {
    let mut message = entry("a", 60);
    (message.message, message.appended.kind) = (1, EntryKind::Message);
    let mut log = saved(vec![message]);
    log.rooms[0].messages = 1;
    let log = restored(stored_of(log), STOPPED_AT);
    assert_eq!((log.entries[0].message, log.entries[0].appended.publication.message()), (1, 0));
}

#[test]
fn a_log_without_entries_is_complete() {
    let log = stored_of(saved(vec![]));
    assert_eq!(log.segments, [StoredSegment { is_last: true, entries: Bytes::new() }]);
    assert_eq!(evicted(&restored(log, STOPPED_AT)), [2, 2]);
}

#[test]
fn a_segment_has_at_most_256_kib_unless_one_entry_is_larger() {
    let large = |sequence, size: usize| {
        let data = format!("\"{}\"", "x".repeat(size));
        entry_of("a", sequence, Publication::new(event("x", &data)))
    };
    let sizes = [100_000, 100_000, 100_000, 10, 300_000, 10, 600_000];
    let entries = sizes.iter().zip((0..).map(|n| 90 - n)).map(|(&size, sequence)| large(sequence, size)).collect();
    let log = stored_of(saved(entries));
    let lengths: Vec<_> = log.segments.iter().map(|segment| segment.entries.len() / 100_000).collect();
    assert_eq!(lengths, [2, 1, 3, 0, 6]);
    let is_last: Vec<_> = log.segments.iter().map(|segment| segment.is_last).collect();
    assert_eq!(is_last, [false, false, false, false, true]);
    assert_eq!(sequences(&restored(log, STOPPED_AT)), [90, 89, 88, 87, 86, 85, 84]);
}

#[test]
fn what_no_record_needs_is_not_stored() {
    let mut log = saved(vec![entry("a", 60), entry("chat:b", 59), entry("a", 58), entry("a", 57), entry("c", 56)]);
    log.rooms.push(SavedRoom { room: room("c"), evicted: 3, messages: 0 });
    let cursor = |name, sequence| RoomCursor { room: room(name), sequence, messages: 0 };
    let cursors = [cursor("a", 90), cursor("a", 57), cursor("a", 58), cursor("chat:b", 1)];
    let (mut log, segments) = stored(log, cursors.iter(), STOPPED_AT);
    log.segments = segments.collect();
    let log = restored(log, STOPPED_AT);
    assert_eq!((sequences(&log), evicted(&log)), (vec![60, 59, 58], [57, 2]));
    assert_eq!(log.rooms.len(), 2);
}

#[test]
fn without_its_older_segments_the_log_of_every_room_begins_later() {
    let entries = || vec![entry("a", 60), entry("chat:b", 50), entry("a", 40)];
    let all = stored_of(saved(entries())).segments.remove(0).entries;
    let lines: Vec<_> = all.split_inclusive(|&byte| byte == b'\n').map(Bytes::copy_from_slice).collect();
    for (count, first) in [(0, 101), (1, 60), (2, 50), (3, 40)] {
        let mut log = stored_of(saved(entries()));
        let segment = |entries: &Bytes| StoredSegment { is_last: false, entries: entries.clone() };
        log.segments = lines[..count].iter().map(segment).collect();
        let log = restored(log, STOPPED_AT);
        assert_eq!((log.entries.len(), evicted(&log)), (count, [first - 1; 2]));
    }
}

#[test]
fn a_damaged_segment_ends_the_log() {
    let entries = || vec![entry("a", 60), entry("chat:b", 50), entry("a", 40)];
    for (from, to, read, until) in [
        ("{\"sequence\":60", "\u{fffd}", vec![], 100),
        ("{\"sequence\":50", "{\"sequence\":5x", vec![60], 59),
        ("{\"sequence\":50", "{\"sequence\":60", vec![60], 59),
        ("{\"sequence\":50", "{\"sequence\":-1", vec![60], 59),
        ("{\"sequence\":40", "{\"sequence\":51", vec![60, 50], 49),
        ("{\"sequence\":60", "{\"sequence\":101", vec![], 100),
        ("{\"sequence\":40", "{\"sequence\":40.5", vec![60, 50], 49),
        ("\"data\":1}\n{", "\"data\":1", vec![], 100),
        ("\"chat:b\"", "\"chat:c\"", vec![60], 59),
    ] {
        let log = damaged(entries(), from, to);
        assert_eq!((sequences(&log), evicted(&log)), (read, [until; 2]), "{from} {to}");
    }
    let mut log = stored_of(saved(entries()));
    let length = log.segments[0].entries.len();
    log.segments[0].entries.truncate(length - 5);
    let log = restored(log, STOPPED_AT);
    assert_eq!((sequences(&log), evicted(&log)), (vec![60, 50], [49; 2]));
}

#[test]
fn an_entry_that_cannot_be_read_ends_the_log_of_its_room() {
    let message = || {
        let mut message = entry("a", 50);
        (message.message, message.appended.kind) = (1, EntryKind::Message);
        message
    };
    let entries = || vec![entry("a", 60), message(), entry("chat:b", 45), entry("a", 40), entry("chat:b", 3)];
    let mut log = saved(entries());
    log.rooms[0].messages = 1;
    assert_eq!(sequences(&restored(stored_of(log), STOPPED_AT)).len(), 5);
    // The room `a` has no messages here.
    let log = restored(stored_of(saved(entries())), STOPPED_AT);
    assert_eq!((sequences(&log), evicted(&log)), (vec![60, 45, 3], [50, 2]));
    let events = || vec![entry("a", 60), entry("chat:b", 45), entry("a", 40), entry("chat:b", 3)];
    for (from, to) in [
        ("\"name\":\"x\"", "\"name\":\"connect\""),
        ("\"name\":\"x\"", "\"name\":\"\""),
        ("\"message\":0", "\"message\":1"),
        ("\"kind\":\"event\"", "\"kind\":\"message\""),
        ("\"kind\":\"event\"", "\"notification\":\"\",\"kind\":\"event\""),
    ] {
        let log = damaged(events(), from, to);
        assert_eq!((sequences(&log), evicted(&log)), (vec![45, 3], [60, 2]), "{from} {to}");
    }
}

#[test]
fn an_entry_that_cannot_be_encoded_ends_the_stored_log() {
    let invalid = entry_of("a", 50, Publication::new(event("x", "{")));
    let log = stored_of(saved(vec![entry("a", 60), invalid, entry("chat:b", 40)]));
    assert_eq!((log.segments.len(), log.is_complete()), (1, false));
    let log = restored(log, STOPPED_AT);
    assert_eq!((sequences(&log), evicted(&log)), (vec![60], [59; 2]));
}

#[test]
fn entries_grow_older_while_the_hub_is_stopped() {
    for (now, age_ms) in [(STOPPED_AT, 30), (STOPPED_AT + 20, 50), (STOPPED_AT - 20, 30), (i64::MIN, 30)] {
        assert_eq!(restored(stored_of(saved(vec![entry("a", 60)])), now).entries[0].age_ms, age_ms);
    }
    let largest = format!("\"age_ms\":{}", i64::MAX);
    assert_eq!(damaged(vec![entry("a", 60)], "\"age_ms\":30", &largest).entries[0].age_ms, i64::MAX);
    assert_eq!(damaged(vec![entry("a", 60)], "\"age_ms\":30", "\"age_ms\":-30").entries[0].age_ms, 0);
}
