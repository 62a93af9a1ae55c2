//! What was said to whom, and who heard it in which order. Every publication bears a mark that nothing else bears.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// To whom something was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Audience {
    /// Who said it alone: it is an echo, or nobody may be told.
    Nobody,
    User(String),
    Room(String),
    Everybody,
}

#[derive(Debug)]
pub(super) struct Publication {
    pub(super) audience: Audience,
    /// The user that said it, and the connection; none for a backend.
    pub(super) by: Option<(&'static str, u64)>,
    /// The connections that have to hear it, should it be accepted.
    reply_slot: Vec<u64>,
    is_accepted: bool,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    marks: usize,
    signs: usize,
    connections: u64,
    said: HashMap<String, Publication>,
    /// By connection, room, and how often it was told again: the marks in the order in which they came.
    heard: BTreeMap<(u64, String, u32), Vec<String>>,
    /// Those that were cut off, and may come back for what is owed to them.
    away: BTreeSet<u64>,
}

impl Ledger {
    /// A mark that nothing bears yet.
    pub(super) fn next_mark(&mut self) -> String {
        self.marks += 1;
        format!("~{}~", self.marks)
    }

    /// A sign that says that all before it came.
    pub(super) fn next_sign(&mut self) -> String {
        self.signs += 1;
        format!("^{}^", self.signs)
    }

    pub(super) fn next_connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    pub(super) fn publish(&mut self, mark: &str, audience: Audience, by: Option<(&'static str, u64)>) {
        self.said.insert(mark.to_owned(), Publication { audience, by, reply_slot: Vec::new(), is_accepted: false });
    }

    /// These connections are surely in the room.
    pub(super) fn owe(&mut self, mark: &str, connections: Vec<u64>) {
        if let Some(publication) = self.said.get_mut(mark) {
            publication.reply_slot = connections;
        }
    }

    pub(super) fn accepted(&mut self, mark: &str) {
        if let Some(publication) = self.said.get_mut(mark) {
            publication.is_accepted = true;
        }
    }

    /// Nothing is owed to the connection any more.
    pub(super) fn forgive_all(&mut self, connection: u64) {
        self.away.remove(&connection);
        for publication in self.said.values_mut() {
            publication.reply_slot.retain(|&reply_slot| reply_slot != connection);
        }
    }

    /// The connection was cut off: what is owed to it comes when it is back.
    pub(super) fn is_away(&mut self, connection: u64) {
        self.away.insert(connection);
    }

    pub(super) fn is_back(&mut self, connection: u64) {
        self.away.remove(&connection);
    }

    /// The connection leaves this room: what was said there need not reach it.
    pub(super) fn forgive_room(&mut self, connection: u64, room: &str) {
        for publication in self.said.values_mut() {
            if publication.audience == Audience::Room(room.to_owned()) {
                publication.reply_slot.retain(|&reply_slot| reply_slot != connection);
            }
        }
    }

    pub(super) fn publication(&self, mark: &str) -> Option<&Publication> {
        self.said.get(mark)
    }

    /// A connection heard a mark as an event of its own.
    pub(super) fn hear(&mut self, connection: u64, telling: u32, mark: &str) {
        let Some(Publication { audience: Audience::Room(room), by, .. }) = self.said.get(mark) else { return };
        // What a room keeps is told again to who said it, when that is asked for.
        let is_kept = ["kept.", "feed.", "chat:"].iter().any(|kept| room.starts_with(kept));
        assert!(is_kept || by.is_none_or(|(_, by)| by != connection), "{mark} in {room} came to who said it");
        let marks = self.heard.entry((connection, room.clone(), telling)).or_default();
        assert!(!marks.iter().any(|heard| heard == mark), "{mark} came twice in {room}");
        marks.push(mark.to_owned());
    }

    /// Everything that was accepted reached all who were surely in its room.
    pub(super) fn check_owed(&mut self) {
        let Self { said, heard, away, .. } = self;
        for (mark, publication) in said.iter_mut() {
            let Audience::Room(room) = &publication.audience else { continue };
            let all = std::mem::take(&mut publication.reply_slot);
            let (later, now): (Vec<_>, Vec<_>) = all.into_iter().partition(|connection| away.contains(connection));
            publication.reply_slot = later;
            for connection in now {
                let mut tellings = heard.range((connection, room.clone(), 0)..=(connection, room.clone(), u32::MAX));
                let came = tellings.any(|(_, marks)| marks.contains(mark));
                assert!(came || !publication.is_accepted, "{mark} in {room} did not reach connection {connection}");
            }
        }
    }

    /// A room has one order: what two connections both heard of it, they heard alike.
    pub(super) fn check_orders(&self) {
        let heard: Vec<_> = self.heard.iter().collect();
        for (place, ((_, room, _), marks)) in heard.iter().enumerate() {
            for ((_, other_room, _), others) in &heard[place + 1..] {
                if room == other_room {
                    let common: Vec<_> = marks.iter().filter(|mark| others.contains(mark)).collect();
                    let alike: Vec<_> = others.iter().filter(|mark| marks.contains(mark)).collect();
                    assert_eq!(common, alike, "two orders in {room}");
                }
            }
        }
    }
}
