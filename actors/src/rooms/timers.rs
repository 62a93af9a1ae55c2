//! The timers of all chats, in the order of time. Pure. One actor timer serves all of them, because each timer of
//! an actor adds a cost to each of its messages.

use std::collections::BTreeMap;

use ahash::AHashSet;

use crate::model::ids::RoomName;

/// What a timer of a chat starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TimerKind {
    /// The users of the chat are announced.
    Online,
    /// Typing without a new event for [`SILENCE_MS`](crate::rooms::chat_members::SILENCE_MS) ends.
    Silence,
}

/// The timers by their time, ms by [`crate::runtime::clock::Clock::elapsed_ms`], and then in the order of adding. A
/// chat has at most one timer of each kind: a chat that loses all members and gets new ones does not collect timers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(i64, u64), (RoomName, TimerKind)>,
    known: AHashSet<(RoomName, TimerKind)>,
    number: u64,
}

impl Timers {
    /// Adds a timer at `at`, unless the chat has one of this kind.
    pub(crate) fn add(&mut self, at: i64, room: RoomName, kind: TimerKind) {
        if !self.known.insert((room.clone(), kind)) {
            return;
        }
        self.number += 1;
        self.due.insert((at, self.number), (room, kind));
    }

    /// Removes and returns a timer that is due at `elapsed`.
    pub(crate) fn take(&mut self, elapsed: i64) -> Option<(RoomName, TimerKind)> {
        let first = self.due.first_entry().filter(|first| first.key().0 <= elapsed)?.remove();
        self.known.remove(&first);
        Some(first)
    }

    /// The time of the next timer.
    pub(crate) fn next(&self) -> Option<i64> {
        self.due.first_key_value().map(|(&(at, _), _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_are_taken_in_the_order_of_their_time_and_not_before() {
        let room = |name| RoomName::parse(name, "room").unwrap();
        let mut timers = Timers::default();
        timers.add(20, room("late"), TimerKind::Silence);
        timers.add(10, room("a"), TimerKind::Online);
        timers.add(10, room("b"), TimerKind::Silence);
        timers.add(15, room("b"), TimerKind::Silence);
        assert_eq!((timers.next(), timers.take(9)), (Some(10), None));
        assert_eq!(timers.take(10), Some((room("a"), TimerKind::Online)));
        assert_eq!(timers.take(10), Some((room("b"), TimerKind::Silence)));
        assert_eq!((timers.take(10), timers.next()), (None, Some(20)));
        timers.add(19, room("b"), TimerKind::Silence);
        assert_eq!(timers.next(), Some(19), "a taken timer can be added again");
    }
}
