//! The entries of the log and their chains: one chain of all entries, and one for each room. Each chain is in the
//! order of the appends. Adding and removing an entry takes constant time. It knows no bounds and no watchers.
//!
//! Entries lie without gaps: the last one moves into the place of a removed one. So nothing has to be compacted when
//! the log becomes small, and an entry is found by an index of four bytes. Rooms lie without gaps, too.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Appended, EntryKind};
use crate::model::ids::{RoomName, SessionId};
use crate::publication::Publication;
use crate::runtime::hash::Seed;

/// No entry. An index never reaches it: so many entries take 300 GB.
const NONE: u32 = u32::MAX;

/// A table of fewer entries is not shrunk.
const SHRINK_MIN: usize = 1_024;

/// One of the two chains that an entry is in.
#[derive(Debug, Clone, Copy)]
enum Chain {
    /// All entries.
    Hub,
    /// The entries of its room.
    Room,
}

const CHAINS: [Chain; 2] = [Chain::Hub, Chain::Room];

/// The neighbours of an entry in a chain.
#[derive(Debug, Clone, Copy)]
struct Links {
    older: u32,
    newer: u32,
}

/// The ends of a chain.
#[derive(Debug, Clone, Copy)]
struct Ends {
    oldest: u32,
    newest: u32,
}

impl Ends {
    const EMPTY: Self = Self { oldest: NONE, newest: NONE };
}

/// An entry of the log.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    /// Its number among the messages of its room; 0 for other kinds.
    pub(super) message: u64,
    /// When it was appended, ms.
    pub(super) elapsed: i64,
    pub(super) publication: Arc<Publication>,
    pub(super) except: Option<SessionId>,
    pub(super) kind: EntryKind,
    room: u32,
    /// By [`Chain`].
    links: [Links; 2],
}

impl Entry {
    /// The size of its data, bytes.
    pub(super) fn data_len(&self) -> usize {
        self.publication.data().len()
    }
}

/// A room of the log.
#[derive(Debug)]
pub(super) struct Room {
    /// The sequence of its last evicted entry, or where its log began.
    pub(super) evicted: u64,
    /// The number of its last message; 0 before the first.
    pub(super) messages: u64,
    /// Messages among its entries: the last ones of the room.
    kept_messages: u64,
    /// The messages that no record missed since the room has records.
    pub(super) received: u64,
    /// Watchers: live sessions, and records of suspended ones.
    pub(super) sessions: u32,
    pub(super) records: u32,
    /// Its entries.
    pub(super) len: usize,
    /// Bytes of data of its entries.
    pub(super) bytes: usize,
    ends: Ends,
}

impl Room {
    /// A room without entries and watchers.
    pub(super) fn new(evicted: u64, messages: u64) -> Self {
        let (kept_messages, received) = (0, 0);
        Self {
            evicted,
            messages,
            kept_messages,
            received,
            sessions: 0,
            records: 0,
            len: 0,
            bytes: 0,
            ends: Ends::EMPTY,
        }
    }

    /// Messages among its entries that a record may miss.
    pub(super) fn queued(&self) -> u64 {
        match self.records {
            0 => 0,
            _ => self.kept_messages.min(self.messages.saturating_sub(self.received)),
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.sessions > 0 || self.records > 0
    }
}

/// The entries and the rooms.
#[derive(Debug)]
pub(super) struct Chains {
    entries: Vec<Entry>,
    rooms: IndexMap<RoomName, Room, Seed>,
    hub: Ends,
}

impl Chains {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), rooms: IndexMap::default(), hub: Ends::EMPTY }
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A room and its index.
    pub(super) fn room(&self, name: &RoomName) -> Option<(usize, &Room)> {
        let (index, _, room) = self.rooms.get_full(name)?;
        Some((index, room))
    }

    pub(super) fn room_mut(&mut self, name: &RoomName) -> Option<(usize, &mut Room)> {
        let (index, _, room) = self.rooms.get_full_mut(name)?;
        Some((index, room))
    }

    pub(super) fn room_at(&self, index: usize) -> &Room {
        &self.rooms[index]
    }

    pub(super) fn room_or_insert(&mut self, name: &RoomName, new: impl FnOnce() -> Room) -> &mut Room {
        // Most rooms are there already: their names are not copied.
        match self.rooms.get_index_of(name) {
            Some(index) => &mut self.rooms[index],
            None => self.rooms.entry(name.clone()).or_insert_with(new),
        }
    }

    pub(super) fn room_count(&self) -> usize {
        self.rooms.len()
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = (&RoomName, &Room)> {
        self.rooms.iter()
    }

    /// The name of an entry's room, and the room.
    pub(super) fn room_of(&self, entry: &Entry) -> Option<(&RoomName, &Room)> {
        self.rooms.get_index(entry.room as usize)
    }

    /// Removes a room and its entries, and returns their number and the bytes of their data.
    pub(super) fn remove_room(&mut self, index: usize) -> (usize, usize) {
        let (len, bytes) = (self.rooms[index].len, self.rooms[index].bytes);
        while let Some(oldest) = self.oldest_of(index) {
            self.remove(oldest);
        }
        self.rooms.swap_remove_index(index);
        // The last room has the free index now.
        let mut moved = self.rooms.get_index(index).map_or(NONE, |(_, room)| room.ends.newest);
        while moved != NONE {
            let entry = &mut self.entries[moved as usize];
            entry.room = index as u32;
            moved = entry.links[Chain::Room as usize].older;
        }
        if is_sparse(self.rooms.len(), self.rooms.capacity()) {
            self.rooms.shrink_to(self.rooms.len() * 2);
        }
        (len, bytes)
    }

    /// Adds the newest entry. `message` is its number among the messages of the room, or 0.
    pub(super) fn push(&mut self, room: usize, appended: Appended, message: u64, elapsed: i64) {
        let Appended { publication, except, kind, .. } = appended;
        let of_room = &mut self.rooms[room];
        of_room.len += 1;
        of_room.bytes += publication.data().len();
        of_room.kept_messages += u64::from(message > 0);
        of_room.messages = of_room.messages.max(message);
        let links = [self.hub, of_room.ends].map(|ends| Links { older: ends.newest, newer: NONE });
        let (sequence, room) = (publication.number(), room as u32);
        let at = self.entries.len();
        self.entries.push(Entry { sequence, message, elapsed, publication, except, kind, room, links });
        self.link(at);
    }

    /// The index of an entry's room.
    pub(super) fn room_index_of(&self, at: u32) -> usize {
        self.entry(at).room as usize
    }

    /// Removes the entry at `at`, the oldest one of its room. The room's log begins after it.
    pub(super) fn remove_oldest(&mut self, at: u32) -> Entry {
        let entry = self.remove(at);
        self.rooms[entry.room as usize].evicted = entry.sequence;
        entry
    }

    fn remove(&mut self, at: u32) -> Entry {
        let Entry { room, links, .. } = self.entries[at as usize];
        for chain in CHAINS {
            let Links { older, newer } = links[chain as usize];
            self.set_newer(chain, room, older, newer);
            self.set_older(chain, room, newer, older);
        }
        let entry = self.entries.swap_remove(at as usize);
        self.link(at as usize);
        let of_room = &mut self.rooms[room as usize];
        of_room.len -= 1;
        of_room.bytes -= entry.data_len();
        of_room.kept_messages -= u64::from(entry.message > 0);
        if is_sparse(self.entries.len(), self.entries.capacity()) {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        entry
    }

    /// Makes the neighbours of the entry at `at`, if there is one, refer to it.
    fn link(&mut self, at: usize) {
        let Some(&Entry { room, links, .. }) = self.entries.get(at) else { return };
        for chain in CHAINS {
            let Links { older, newer } = links[chain as usize];
            self.set_newer(chain, room, older, at as u32);
            self.set_older(chain, room, newer, at as u32);
        }
    }

    /// Sets what follows `of`; [`NONE`] is the beginning of the chain.
    fn set_newer(&mut self, chain: Chain, room: u32, of: u32, newer: u32) {
        match of {
            NONE => self.ends_mut(chain, room).oldest = newer,
            of => self.entries[of as usize].links[chain as usize].newer = newer,
        }
    }

    /// Sets what precedes `of`; [`NONE`] is the end of the chain.
    fn set_older(&mut self, chain: Chain, room: u32, of: u32, older: u32) {
        match of {
            NONE => self.ends_mut(chain, room).newest = older,
            of => self.entries[of as usize].links[chain as usize].older = older,
        }
    }

    fn ends_mut(&mut self, chain: Chain, room: u32) -> &mut Ends {
        match chain {
            Chain::Hub => &mut self.hub,
            Chain::Room => &mut self.rooms[room as usize].ends,
        }
    }

    /// The index of the hub's oldest entry.
    pub(super) fn oldest(&self) -> Option<u32> {
        some(self.hub.oldest)
    }

    /// The index of a room's oldest entry.
    pub(super) fn oldest_of(&self, room: usize) -> Option<u32> {
        some(self.rooms[room].ends.oldest)
    }

    pub(super) fn entry(&self, at: u32) -> &Entry {
        &self.entries[at as usize]
    }

    /// All entries, the newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Entry> {
        self.walk(Chain::Hub, self.hub.newest)
    }

    /// The entries of a room, the newest first.
    pub(super) fn newest_first_of(&self, room: usize) -> impl Iterator<Item = &Entry> {
        self.walk(Chain::Room, self.rooms[room].ends.newest)
    }

    fn walk(&self, chain: Chain, newest: u32) -> impl Iterator<Item = &Entry> {
        let at = |at| some(at).map(|at| self.entry(at));
        std::iter::successors(at(newest), move |entry| at(entry.links[chain as usize].older))
    }

    /// The entries and rooms that the memory of the log has room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> (usize, usize) {
        (self.entries.capacity(), self.rooms.capacity())
    }
}

fn some(at: u32) -> Option<u32> {
    (at != NONE).then_some(at)
}

/// Whether less than a quarter of a table is used, and it is not small.
fn is_sparse(len: usize, capacity: usize) -> bool {
    capacity > SHRINK_MIN && len < capacity / 4
}
