//! The publication log on the disk over a planned restart: its entries as JSON texts in segments, the newest entry
//! first. Pure. It does not know the tables of the store.
//!
//! Entries may be missing: the stop had no time for them, or they cannot be read. Each room says up to which sequence
//! its entries are evicted. That includes the missing ones, so no session counts as complete without them.

use std::borrow::Cow;
use std::vec;

use ahash::AHashMap;
use bytes::Bytes;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::fault::Fault;
use crate::model::ids::{EventName, NotificationId, RoomName, SessionId};
use crate::publication::{Event, Publication};
use crate::rooms::publication_log::{Appended, EntryKind, RoomCursor};
use crate::store::{StoredLog, StoredRoom, StoredSegment};

/// The most bytes of a segment with several entries. An entry that is larger alone has a segment of its own.
const SEGMENT_MAX: usize = 256 << 10;

/// The part of the log that records of suspended sessions may need.
#[derive(Debug, Default)]
pub(crate) struct SavedLog {
    /// The sequence of the last publication of the run.
    pub(crate) head: u64,
    /// The rooms.
    pub(crate) rooms: Vec<SavedRoom>,
    /// The publications, the newest first.
    pub(crate) entries: Vec<SavedEntry>,
}

/// A room of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedRoom {
    pub(crate) room: RoomName,
    /// The sequence of its last evicted publication.
    pub(crate) evicted: u64,
    /// The number of its last message.
    pub(crate) messages: u64,
}

/// A publication of the log.
#[derive(Debug)]
pub(crate) struct SavedEntry {
    pub(crate) appended: Appended,
    /// Its number among the messages of its room, or 0.
    pub(crate) message: u64,
    /// The time since it was appended, ms.
    pub(crate) age_ms: i64,
}

/// The stored form of an entry.
#[derive(Debug, Serialize, Deserialize)]
struct StoredEntry<'a> {
    sequence: u64,
    age_ms: i64,
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    /// Whether recipients receive the room's name with the data.
    names_topic: bool,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    except: Option<SessionId>,
    kind: EntryKind,
    message: u64,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Encodes an entry: one line of JSON, unless its data have line breaks.
fn encode(entry: &SavedEntry) -> Result<Vec<u8>, serde_json::Error> {
    let SavedEntry { appended: Appended { room, publication, except, kind }, message, age_ms } = entry;
    let stored = StoredEntry {
        sequence: publication.number(),
        age_ms: *age_ms,
        room: room.as_str().into(),
        name: publication.name().as_str().into(),
        names_topic: publication.topic().is_some(),
        timestamp: publication.timestamp(),
        offset: publication.offset(),
        notification: publication.notification().map(|id| id.as_str().into()),
        except: *except,
        kind: *kind,
        message: *message,
        data: serde_json::from_slice(publication.data())?,
    };
    let mut text = serde_json::to_vec(&stored)?;
    text.push(b'\n');
    Ok(text)
}

impl StoredEntry<'_> {
    /// Reads an entry of `room`. `messages` is the number of the last message of the room.
    fn restored(&self, room: &RoomName, messages: u64) -> Result<SavedEntry, Fault> {
        let has_number = (1..=messages).contains(&self.message);
        if has_number != (self.kind == EntryKind::Message) || !has_number && self.message > 0 {
            return Err(Fault::field("message", "`message` is not the number of a message"));
        }
        let about = self.notification.as_deref().map(|id| NotificationId::parse(id, "notification")).transpose()?;
        let event = Event {
            name: EventName::parse(&self.name, "name")?,
            topic: self.names_topic.then(|| room.clone()),
            data: Bytes::copy_from_slice(self.data.get().as_bytes()),
            timestamp: self.timestamp,
            offset: self.offset,
        };
        let number = if room.chat().is_some() { self.message } else { 0 };
        let publication = Publication::for_notification(event, about).with_number(self.sequence).with_message(number);
        let appended =
            Appended { room: room.clone(), publication: publication.into(), except: self.except, kind: self.kind };
        Ok(SavedEntry { appended, message: self.message, age_ms: self.age_ms.max(0) })
    }
}

/// The segments of the log, encoded one by one, the newest first.
#[derive(Debug)]
pub(crate) struct Segments {
    entries: vec::IntoIter<SavedEntry>,
    /// The encoded entry that the last segment had no space for.
    next: Vec<u8>,
    is_over: bool,
}

impl Iterator for Segments {
    type Item = StoredSegment;

    fn next(&mut self) -> Option<StoredSegment> {
        if self.is_over {
            return None;
        }
        let mut segment = std::mem::take(&mut self.next);
        for entry in self.entries.by_ref() {
            match encode(&entry) {
                Ok(text) if segment.is_empty() || segment.len() + text.len() <= SEGMENT_MAX => segment.extend(text),
                Ok(text) => {
                    self.next = text;
                    return Some(StoredSegment { is_last: false, entries: segment.into() });
                }
                Err(error) => {
                    // Without a last segment, all older publications count as missing.
                    log::error!("a publication cannot be encoded for the store: {error}");
                    self.is_over = true;
                    return Some(StoredSegment { is_last: false, entries: segment.into() });
                }
            }
        }
        self.is_over = true;
        Some(StoredSegment { is_last: true, entries: segment.into() })
    }
}

/// Converts the log for the store, at the time `now` in ms since the epoch. It keeps what the cursors may need: the
/// entries of their rooms after the smallest cursor of each. The stored log has no segments yet.
pub(crate) fn stored<'a>(
    log: SavedLog,
    cursors: impl Iterator<Item = &'a RoomCursor>,
    now: i64,
) -> (StoredLog, Segments) {
    let mut needed = AHashMap::new();
    for cursor in cursors {
        let after = needed.entry(&cursor.room).or_insert(cursor.sequence);
        *after = cursor.sequence.min(*after);
    }
    let SavedLog { head, rooms, mut entries } = log;
    entries.retain(|SavedEntry { appended, .. }| {
        needed.get(&appended.room).is_some_and(|&after| appended.publication.number() > after)
    });
    let room = |SavedRoom { room, evicted, messages }: SavedRoom| {
        let evicted = evicted.max(*needed.get(&room)?);
        Some(StoredRoom { room: room.as_str().to_owned(), evicted, messages })
    };
    let rooms = rooms.into_iter().filter_map(room).collect();
    let segments = Segments { entries: entries.into_iter(), next: Vec::new(), is_over: false };
    (StoredLog { head, stopped_at: now, rooms, segments: Vec::new() }, segments)
}

/// Reads the stored log, at the time `now` in ms since the epoch. Of a room with an entry that cannot be read, older
/// entries are left out. When it is unknown which entries are missing, all rooms begin with the oldest entry that was
/// read before.
pub(crate) fn restored(stored: StoredLog, now: i64) -> SavedLog {
    let is_complete = stored.is_complete();
    let StoredLog { head, stopped_at, rooms, segments } = stored;
    let rooms = rooms.into_iter().map(|StoredRoom { room, evicted, messages }| {
        let room = RoomName::of_store(&room);
        (room.clone(), SavedRoom { room, evicted, messages })
    });
    // The clock may have been set back.
    let passed = now.saturating_sub(stopped_at).max(0);
    let mut reader = Reader { rooms: rooms.collect(), entries: Vec::new(), oldest: head.saturating_add(1) };
    let is_read = segments.iter().all(|segment| reader.read(&segment.entries));
    let Reader { mut rooms, mut entries, oldest } = reader;
    if !(is_complete && is_read) {
        let missing = oldest.saturating_sub(1);
        log::warn!("the stored publications up to {missing} are missing; sessions that need one are not recovered");
        rooms.values_mut().for_each(|room| room.evicted = room.evicted.max(missing));
    }
    entries.iter_mut().for_each(|entry: &mut SavedEntry| entry.age_ms = entry.age_ms.saturating_add(passed));
    SavedLog { head, rooms: rooms.into_values().collect(), entries }
}

/// Reads segments, the newest first.
#[derive(Debug)]
struct Reader {
    rooms: IndexMap<RoomName, SavedRoom>,
    entries: Vec<SavedEntry>,
    /// The sequence of the last entry that was read, or the one after the head.
    oldest: u64,
}

impl Reader {
    /// Reads a segment; `false` when it is unknown which entries are missing.
    fn read(&mut self, segment: &[u8]) -> bool {
        for entry in serde_json::Deserializer::from_slice(segment).into_iter::<StoredEntry<'_>>() {
            let added = entry.map_err(|error| error.to_string()).and_then(|entry| self.add(&entry));
            if let Err(why) = added {
                log::error!("a segment of the stored log cannot be read: {why}");
                return false;
            }
        }
        true
    }

    /// Adds an entry, unless its room has lost it.
    fn add(&mut self, entry: &StoredEntry<'_>) -> Result<(), String> {
        if entry.sequence >= self.oldest {
            return Err(format!("the sequence {} is in a wrong place", entry.sequence));
        }
        let Some((name, room)) = self.rooms.get_key_value_mut(&*entry.room) else {
            return Err(format!("the room {:?} is unknown", entry.room));
        };
        self.oldest = entry.sequence;
        if entry.sequence <= room.evicted {
            return Ok(());
        }
        match entry.restored(name, room.messages) {
            Ok(entry) => self.entries.push(entry),
            Err(fault) => {
                log::error!("the stored publication {} of the room {name:?} is left out: {fault}", entry.sequence);
                room.evicted = entry.sequence;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
