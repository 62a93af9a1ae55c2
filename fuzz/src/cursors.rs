//! The positions in client requests: `since` of `Subscribe`, and the offset of Socket.IO's recovery.

use std::sync::Arc;

use bytes::Bytes;
use hubbub::codec::namespace;
use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::events::json::Readable as _;
use hubbub_actors::events::raw::Subscribe;
use hubbub_actors::model::fault::Code;
use hubbub_actors::model::ids::{EventName, RoomName, SessionId};
use hubbub_actors::model::position::Position;
use hubbub_actors::publication::{Event, Offset, Publication};
use hubbub_actors::rooms::publication_log::{Appended, EntryKind, LogLimits, PublicationLog, RoomCursor, Watcher};
use serde_json::{Value, json};

/// The data of `Subscribe`, or the offset of a session to recover.
pub(crate) fn cursors(bytes: &[u8]) {
    subscribe(bytes);
    offset(&String::from_utf8_lossy(bytes));
    missed(bytes);
}

fn subscribe(bytes: &[u8]) {
    let value = serde_json::from_slice::<Value>(bytes).ok();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Subscribe::read(text) {
        Ok(Subscribe { topics, since }) => {
            // Numbers beyond 64 bits and duplicate members are no positions.
            for Position { epoch, offset } in since.values() {
                let text = json!({ "epoch": epoch, "offset": offset }).to_string();
                let again: Position = serde_json::from_str(&text).expect("a position");
                assert_eq!((&again.epoch, again.offset), (epoch, *offset));
                let unknown = json!({ "epoch": epoch, "offset": offset, "offsets": 1 }).to_string();
                assert!(serde_json::from_str::<Position>(&unknown).is_err(), "a misspelt member is no position");
            }
            let Some(value) = value else { return };
            let given = |topic: &str| value["since"].get(topic).cloned();
            assert!(since.iter().all(|(topic, at)| given(topic) == serde_json::to_value(at).ok()));
            assert_eq!(value["since"].as_object().map_or(0, serde_json::Map::len), since.len());
            assert_eq!(value["topics"], json!(topics));
        }
        Err(fault) => {
            assert_eq!(fault.code, Code::InvalidRequest);
            assert!(fault.field.is_some(), "the invalid field");
            let is_plain = value.is_some_and(|value| {
                let is_text = |topic: &Value| topic.is_string();
                value.as_object().is_some_and(|members| members.len() == 1)
                    && value["topics"].as_array().is_some_and(|topics| topics.iter().all(is_text))
            });
            assert!(!is_plain, "topics without `since` are refused");
        }
    }
}

/// An offset of the hub is read as it was written. Another text is no offset.
fn offset(text: &str) {
    let written = match namespace::offset(text) {
        offset if offset == namespace::NO_OFFSET => return,
        Offset { number, notice: None } => format!("{number:x}"),
        Offset { number, notice: Some(notice) } => format!("{number:x}.{notice:x}"),
    };
    assert_eq!(namespace::offset(&written), namespace::offset(text));
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'.');
    assert!(digits, "{text:?} was read as {written}");
}

/// A client missed the publications after its cursor. Some are lost if one of them was evicted.
fn missed(bytes: &[u8]) {
    let &[cursor, most, ref gaps @ ..] = bytes else { return };
    let most = usize::from(most);
    let limits = LogLimits { publications: most, room_bytes: 1 << 20, bytes: 1 << 20, window_ms: 1_000 };
    let (mut log, room) = (PublicationLog::new(limits), RoomName::everybody());
    log.watch(&room, Watcher::Record, 0);
    let mut number = 0;
    for gap in gaps {
        number += 1 + u64::from(gap % 4);
        let event = Event { name: EventName::of_hub("e"), topic: None, data: Bytes::new(), timestamp: 0, offset: None };
        let publication = Arc::new(Publication::new(event).with_number(number));
        let appended = Appended { room: room.clone(), publication, except: None, kind: EntryKind::Event };
        log.append(appended, 0, number);
    }
    let numbers = gaps.iter().scan(0, |number, gap| {
        *number += 1 + u64::from(gap % 4);
        Some(*number)
    });
    let after: Vec<u64> = numbers.filter(|&number| number > u64::from(cursor)).collect();
    let cursor = RoomCursor { room, sequence: u64::from(cursor), messages: 0 };
    let bound = OutboxCapacity { bytes: 1 << 20, entries: most };
    match log.missed(&[cursor], SessionId::random(), bound) {
        Ok(missed) => assert!(missed.iter().map(|publication| publication.number()).eq(after), "all, once"),
        Err(_) => assert!(after.len() > most, "{} of {most} are lost", after.len()),
    }
}
