//! The records of a client, and the hub's stored state. Pure data.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;

/// The reason for a gap before a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GapCause {
    /// No gap: the stretch begins with the next message of the chat.
    None,
    /// The connection was cut at this time. Messages in flight may be missing; the client read them afterwards.
    Cut(Instant),
    /// The client was away for too long to recover. It read the messages sent meanwhile afterwards.
    Away,
}

/// How the messages of a stretch arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    Live,
    /// In `connection:queued-messages`.
    Queued,
}

/// Messages that arrived without a gap.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) gap: GapCause,
    pub(super) arrival: Arrival,
    pub(super) ids: Vec<String>,
}

/// One membership of a client in a chat, from a join to a leave.
#[derive(Debug, Clone)]
pub(super) struct MembershipRecord {
    pub(super) chat: usize,
    /// When the join was answered.
    pub(super) joined_at: Instant,
    /// The last message of the chat right after the join; `None` in an empty chat.
    pub(super) anchor: Option<String>,
    pub(super) stretches: Vec<Stretch>,
    /// Messages that the client read from the history.
    pub(super) read: HashSet<String>,
    /// When the client sent its leave; `None` if it stayed to the end.
    pub(super) left_at: Option<Instant>,
}

impl MembershipRecord {
    pub(super) fn new(chat: usize, joined_at: Instant) -> Self {
        let live = Stretch { gap: GapCause::None, arrival: Arrival::Live, ids: Vec::new() };
        Self { chat, joined_at, anchor: None, stretches: vec![live], read: HashSet::new(), left_at: None }
    }

    pub(super) fn begin_stretch(&mut self, gap: GapCause, arrival: Arrival, ids: Vec<String>) {
        self.stretches.push(Stretch { gap, arrival, ids });
    }

    pub(super) fn receive(&mut self, id: String) {
        if let Some(stretch) = self.stretches.last_mut() {
            stretch.ids.push(id);
        }
    }

    /// The last message that the client knows.
    pub(super) fn last(&self) -> Option<&String> {
        self.stretches.iter().rev().find_map(|stretch| stretch.ids.last()).or(self.anchor.as_ref())
    }
}

/// A message that a client sent.
#[derive(Debug, Clone)]
pub(super) struct SentMessage {
    pub(super) chat: usize,
    pub(super) content: String,
    pub(super) at: Instant,
    /// The id in the answer and the time of the answer; `None` without an answer.
    pub(super) answered: Option<(String, Instant)>,
}

/// A receipt that a client sent.
#[derive(Debug, Clone)]
pub(super) struct SentReceipt {
    pub(super) message: String,
    pub(super) read: bool,
    /// Whether it was answered.
    pub(super) answered: bool,
}

/// Event counts by name.
#[derive(Debug, Clone, Default)]
pub(super) struct EventCounts(pub(super) BTreeMap<&'static str, u64>);

impl EventCounts {
    pub(super) fn add(&mut self, name: &'static str, count: usize) {
        *self.0.entry(name).or_default() += count as u64;
    }

    pub(super) fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// Everything that one client received and sent.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientRecord {
    pub(super) user: String,
    pub(super) memberships: Vec<MembershipRecord>,
    pub(super) sent: Vec<SentMessage>,
    pub(super) receipts: Vec<SentReceipt>,
    pub(super) counts: EventCounts,
    /// Violations that the client detected.
    pub(super) faults: Vec<String>,
}

/// The users that received a message, and the users that read it.
#[derive(Debug, Clone, Default)]
pub(super) struct Receipts {
    pub(super) delivered: BTreeSet<String>,
    pub(super) read: BTreeSet<String>,
}

/// The hub's stored state: the messages of each chat in order, as id and content, and the receipts of each message.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredChats {
    pub(super) chats: Vec<Vec<(String, String)>>,
    pub(super) receipts: HashMap<String, Receipts>,
}
