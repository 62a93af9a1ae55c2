//! What a shard comes back to, pure: chats in the order of time. One timer serves all of them, for every timer of an actor
//! costs each of its messages something.

use std::collections::BTreeMap;

use ahash::AHashSet;

use crate::model::ids::RoomName;

/// What is to be done in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TimerKind {
    /// All are told who is there.
    Online,
    /// Those who fell silent stop typing.
    Silence,
}

/// The chats by when it is to be done, ms by [`crate::runtime::clock::Clock::elapsed_ms`], and in the order it was noted. Of a chat
/// there is each matter at most once: who empties a chat and fills it again leaves nothing behind that adds up.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(i64, u64), (RoomName, TimerKind)>,
    noted: AHashSet<(RoomName, TimerKind)>,
    number: u64,
}

impl Timers {
    /// Notes what is to be done at `at`, unless it is noted already.
    pub(crate) fn note(&mut self, at: i64, room: RoomName, matter: TimerKind) {
        if !self.noted.insert((room.clone(), matter)) {
            return;
        }
        self.number += 1;
        self.due.insert((at, self.number), (room, matter));
    }

    /// Takes something whose time has come at `elapsed`.
    pub(crate) fn take(&mut self, elapsed: i64) -> Option<(RoomName, TimerKind)> {
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
        let mut timers = Timers::default();
        timers.note(20, room("late"), TimerKind::Silence);
        timers.note(10, room("a"), TimerKind::Online);
        timers.note(10, room("b"), TimerKind::Silence);
        timers.note(15, room("b"), TimerKind::Silence);
        assert_eq!((timers.next(), timers.take(9)), (Some(10), None));
        assert_eq!(timers.take(10), Some((room("a"), TimerKind::Online)));
        assert_eq!(timers.take(10), Some((room("b"), TimerKind::Silence)));
        assert_eq!((timers.take(10), timers.next()), (None, Some(20)));
        timers.note(19, room("b"), TimerKind::Silence);
        assert_eq!(timers.next(), Some(19), "what was done can be noted again");
    }
}
