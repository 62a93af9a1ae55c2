//! What a recovered session missed, read from the log.

use std::cell::Cell;
use std::collections::BinaryHeap;
use std::sync::Arc;

use ahash::AHashSet;

use super::chains::Entry;
use super::{EntryKind, Lost, PublicationLog, RoomCursor};
use crate::connection::outbox::OutboxCapacity;
use crate::model::ids::SessionId;
use crate::publication::Publication;

impl PublicationLog {
    /// The entries that one replay reads, at most: 1,024 and four times the bound of a room.
    pub(super) fn walk_max(&self) -> usize {
        self.limits.publications.saturating_mul(4).saturating_add(1_024)
    }

    /// The publications after the cursors, in the order of their sequences, each once. The ones that `session`
    /// published are left out. Of [`EntryKind::State`], only the last one of each room, event name and publishing
    /// session is there.
    ///
    /// # Errors
    /// [`Lost`] when a room is not watched or has evicted a publication after its cursor, when the publications
    /// exceed `most` entries or bytes of data, or when more than 1,024 entries and four times the bound of a room
    /// were read.
    pub fn missed(
        &self,
        cursors: &[RoomCursor],
        session: SessionId,
        most: OutboxCapacity,
    ) -> Result<Vec<Arc<Publication>>, Lost> {
        let mut unread = self.walk_max();
        let mut found = Vec::new();
        let mut states = AHashSet::new();
        for cursor in cursors {
            let (index, room) = self.watched(&cursor.room).ok_or(Lost)?;
            if room.evicted > cursor.sequence {
                return Err(Lost);
            }
            let missed = self.chains.newest_first_of(index).take_while(|entry| entry.sequence > cursor.sequence);
            for entry in missed {
                unread = unread.checked_sub(1).ok_or(Lost)?;
                let is_own = entry.except == Some(session);
                let is_replaced =
                    entry.kind == EntryKind::State && !states.insert((index, entry.publication.name(), entry.except));
                if !is_own && !is_replaced {
                    found.push(entry);
                }
            }
        }
        found.sort_unstable_by_key(|entry| entry.sequence);
        found.dedup_by_key(|entry| entry.sequence);
        let bytes: usize = found.iter().map(|entry| entry.data_len()).sum();
        if found.len() > most.entries || bytes > most.bytes {
            return Err(Lost);
        }
        Ok(found.into_iter().map(|entry| entry.publication.clone()).collect())
    }

    /// The newest [`EntryKind::Message`]s of the ranges, in the order of their sequences, and the number of messages
    /// of the ranges that are not among them: they were evicted, or exceed `most` entries or bytes of data, or more
    /// than 1,024 entries and four times the bound of a room were read. A range begins after its cursor and ends with
    /// a sequence, [`u64::MAX`] for the newest. Ranges do not overlap. A room that is not watched has no messages.
    ///
    /// The number is exact unless a range ends before the last evicted sequence of its room: then it may include
    /// evicted messages after the range.
    pub fn missed_messages(&self, ranges: &[(RoomCursor, u64)], most: OutboxCapacity) -> (Vec<Arc<Publication>>, u64) {
        let unread = Cell::new(self.walk_max());
        let mut walks: Vec<_> = ranges.iter().map(|range| self.messages_of(range, &unread).peekable()).collect();
        let first = |(index, walk): (usize, &mut std::iter::Peekable<_>)| {
            let entry: &&Entry = walk.peek()?;
            Some((entry.sequence, index))
        };
        let mut newest: BinaryHeap<_> = walks.iter_mut().enumerate().filter_map(first).collect();
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        while let Some((_, index)) = newest.pop() {
            let Some(entry) = walks[index].next() else { continue };
            bytes = bytes.saturating_add(entry.data_len());
            if found.len() == most.entries || bytes > most.bytes {
                break;
            }
            found.push(entry.publication.clone());
            newest.extend(walks[index].peek().map(|entry| (entry.sequence, index)));
        }
        found.reverse();
        let missed = |(cursor, until): &(RoomCursor, u64)| {
            self.message_count(&cursor.room, *until).saturating_sub(cursor.messages)
        };
        let missed: u64 = ranges.iter().map(missed).sum();
        let dropped = missed.saturating_sub(found.len() as u64);
        (found, dropped)
    }

    /// The messages of a range, the newest first. `unread` is the number of entries that may still be read.
    fn messages_of<'a>(
        &'a self,
        (cursor, until): &'a (RoomCursor, u64),
        unread: &'a Cell<usize>,
    ) -> impl Iterator<Item = &'a Entry> {
        let entries = self.watched(&cursor.room).into_iter().flat_map(|(index, _)| self.chains.newest_first_of(index));
        entries
            .take_while(|entry| {
                let left = unread.get();
                unread.set(left.saturating_sub(1));
                left > 0 && entry.sequence > cursor.sequence
            })
            .filter(|entry| entry.sequence <= *until && entry.kind == EntryKind::Message)
    }
}
