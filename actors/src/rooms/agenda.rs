//! What a shard comes back to, pure: chats in the order of time. One timer serves all of them, for every timer of an actor
//! costs each of its messages something.

use std::collections::BTreeMap;

use ahash::AHashSet;

use crate::ids::RoomName;

/// What is to be done in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Matter {
    /// All are told who is there.
    Online,
    /// Those who fell silent stop typing.
    Silence,
}

/// The chats by when it is to be done, ms by [`crate::clock::Clock::elapsed_ms`], and in the order it was noted. Of a chat
/// there is each matter at most once: who empties a chat and fills it again leaves nothing behind that adds up.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    due: BTreeMap<(i64, u64), (RoomName, Matter)>,
    noted: AHashSet<(RoomName, Matter)>,
    number: u64,
}

impl Agenda {
    /// Notes what is to be done at `at`, unless it is noted already.
    pub(crate) fn note(&mut self, at: i64, room: RoomName, matter: Matter) {
        if !self.noted.insert((room.clone(), matter)) {
            return;
        }
        self.number += 1;
        self.due.insert((at, self.number), (room, matter));
    }

    /// Takes something whose time has come at `elapsed`.
    pub(crate) fn take(&mut self, elapsed: i64) -> Option<(RoomName, Matter)> {
        let first = self.due.first_entry().filter(|first| first.key().0 <= elapsed)?.remove();
        self.noted.remove(&first);
        Some(first)
    }

    /// When there is something to do.
    pub(crate) fn next(&self) -> Option<i64> {
        self.due.first_key_value().map(|(&(at, _), _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_is_done_first_and_nothing_before_its_time() {
        let room = |name| RoomName::parse(name, "room").unwrap();
        let mut agenda = Agenda::default();
        agenda.note(20, room("late"), Matter::Silence);
        agenda.note(10, room("a"), Matter::Online);
        agenda.note(10, room("b"), Matter::Silence);
        agenda.note(15, room("b"), Matter::Silence);
        assert_eq!((agenda.next(), agenda.take(9)), (Some(10), None));
        assert_eq!(agenda.take(10), Some((room("a"), Matter::Online)));
        assert_eq!(agenda.take(10), Some((room("b"), Matter::Silence)));
        assert_eq!((agenda.take(10), agenda.next()), (None, Some(20)));
        agenda.note(19, room("b"), Matter::Silence);
        assert_eq!(agenda.next(), Some(19), "what was done can be noted again");
    }
}
