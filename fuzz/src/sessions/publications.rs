//! All publications of a run, and the deliveries of each connection in order. Every publication has a unique tag.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The possible receivers of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PossibleReceivers {
    /// Only the publisher, in replies: an echo, or a publication that the rules refuse.
    PublisherOnly,
    User(String),
    Room(String),
    Everyone,
}

#[derive(Debug)]
pub(super) struct PublicationRecord {
    pub(super) target: PossibleReceivers,
    /// The user and the connection of the publisher; `None` for a backend.
    pub(super) by: Option<(&'static str, u64)>,
    /// The connections that must receive it, if it is accepted.
    expected: Vec<u64>,
    is_accepted: bool,
}

#[derive(Debug, Default)]
pub(super) struct Publications {
    tags: usize,
    barriers: usize,
    connections: u64,
    published: HashMap<String, PublicationRecord>,
    /// By connection, room and number of replays: the received tags, in order.
    received: BTreeMap<(u64, String, u32), Vec<String>>,
    /// Connections without a client, which can recover and then receive the expected publications.
    suspended: BTreeSet<u64>,
}

impl Publications {
    /// A new unique tag.
    pub(super) fn next_tag(&mut self) -> String {
        self.tags += 1;
        format!("~{}~", self.tags)
    }

    /// A new barrier: when it arrives, all earlier publications have arrived.
    pub(super) fn next_barrier(&mut self) -> String {
        self.barriers += 1;
        format!("^{}^", self.barriers)
    }

    pub(super) fn next_connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    pub(super) fn publish(&mut self, tag: &str, target: PossibleReceivers, by: Option<(&'static str, u64)>) {
        self.published
            .insert(tag.to_owned(), PublicationRecord { target, by, expected: Vec::new(), is_accepted: false });
    }

    /// These connections are certainly in the room and must receive the publication.
    pub(super) fn expect_deliveries(&mut self, tag: &str, connections: Vec<u64>) {
        if let Some(publication) = self.published.get_mut(tag) {
            publication.expected = connections;
        }
    }

    pub(super) fn accepted(&mut self, tag: &str) {
        if let Some(publication) = self.published.get_mut(tag) {
            publication.is_accepted = true;
        }
    }

    /// The connection need not receive any publication so far.
    pub(super) fn expect_none(&mut self, connection: u64) {
        self.suspended.remove(&connection);
        for publication in self.published.values_mut() {
            publication.expected.retain(|&expected| expected != connection);
        }
    }

    /// The client has disconnected. It receives the expected publications after a recovery.
    pub(super) fn suspend(&mut self, connection: u64) {
        self.suspended.insert(connection);
    }

    pub(super) fn resume(&mut self, connection: u64) {
        self.suspended.remove(&connection);
    }

    /// The connection leaves this room and need not receive its publications.
    pub(super) fn expect_none_in_room(&mut self, connection: u64, room: &str) {
        for publication in self.published.values_mut() {
            if publication.target == PossibleReceivers::Room(room.to_owned()) {
                publication.expected.retain(|&expected| expected != connection);
            }
        }
    }

    pub(super) fn publication(&self, tag: &str) -> Option<&PublicationRecord> {
        self.published.get(tag)
    }

    /// A connection received an event that delivers the tag.
    pub(super) fn receive(&mut self, connection: u64, replays: u32, tag: &str) {
        let Some(PublicationRecord { target: PossibleReceivers::Room(room), by, .. }) = self.published.get(tag) else {
            return;
        };
        // A room with a history replays publications to their publisher on request.
        let has_history = ["kept.", "feed.", "chat:"].iter().any(|prefix| room.starts_with(prefix));
        assert!(has_history || by.is_none_or(|(_, by)| by != connection), "{tag} in {room} arrived at its publisher");
        let tags = self.received.entry((connection, room.clone(), replays)).or_default();
        assert!(!tags.iter().any(|received| received == tag), "{tag} arrived twice in {room}");
        tags.push(tag.to_owned());
    }

    /// Asserts that every accepted publication reached all connections that were certainly in its room.
    pub(super) fn check_deliveries(&mut self) {
        let Self { published, received, suspended, .. } = self;
        for (tag, publication) in published.iter_mut() {
            let PossibleReceivers::Room(room) = &publication.target else { continue };
            let all = std::mem::take(&mut publication.expected);
            let (later, now): (Vec<_>, Vec<_>) = all.into_iter().partition(|connection| suspended.contains(connection));
            publication.expected = later;
            for connection in now {
                let mut replays = received.range((connection, room.clone(), 0)..=(connection, room.clone(), u32::MAX));
                let arrived = replays.any(|(_, tags)| tags.contains(tag));
                assert!(arrived || !publication.is_accepted, "{tag} in {room} did not reach connection {connection}");
            }
        }
    }

    /// Asserts one order for each room: two connections receive their common publications in the same order.
    pub(super) fn check_orders(&self) {
        let received: Vec<_> = self.received.iter().collect();
        for (index, ((_, room, _), tags)) in received.iter().enumerate() {
            for ((_, other_room, _), others) in &received[index + 1..] {
                if room == other_room {
                    let common: Vec<_> = tags.iter().filter(|tag| others.contains(tag)).collect();
                    let other_common: Vec<_> = others.iter().filter(|tag| tags.contains(tag)).collect();
                    assert_eq!(common, other_common, "two orders in {room}");
                }
            }
        }
    }
}
