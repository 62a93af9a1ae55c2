//! Compares the records of the clients with the hub's stored state. Pure.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::records::{Arrival, ClientRecord, EventCounts, GapCause, MembershipRecord, Receipts, StoredChats};

/// A message may be lost with its connection if it was sent within this time after the cut: a busy hub detects the cut
/// late.
const DETECTED: Duration = Duration::from_secs(2);

/// When a message was sent, and when the hub answered.
#[derive(Debug, Clone, Copy)]
struct SendTimes {
    sent: Instant,
    answered: Option<Instant>,
}

/// Compares the records of the clients with the hub's stored state.
pub(super) struct ChatAudit<'a> {
    stored: &'a StoredChats,
    /// The chat and position of each message.
    positions: HashMap<&'a str, (usize, usize)>,
    /// By chat and position; `None` for a message without a sender.
    times: Vec<Vec<Option<SendTimes>>>,
    pub(super) counts: EventCounts,
    pub(super) faults: Vec<String>,
}

impl<'a> ChatAudit<'a> {
    /// Runs all checks.
    pub(super) fn of(stored: &'a StoredChats, records: &'a [ClientRecord]) -> Self {
        let mut positions = HashMap::new();
        let (mut counts, mut faults) = (EventCounts::default(), Vec::new());
        for (chat, messages) in stored.chats.iter().enumerate() {
            for (position, (id, _)) in messages.iter().enumerate() {
                if positions.insert(id.as_str(), (chat, position)).is_some() {
                    faults.push(format!("{id} is stored twice"));
                }
            }
            counts.add("messages stored", messages.len());
        }
        let times = stored.chats.iter().map(|messages| vec![None; messages.len()]).collect();
        let mut audit = Self { stored, positions, times, counts, faults };
        audit.check_sent(records);
        audit.check_receipts(records);
        for record in records {
            for (name, count) in &record.counts.0 {
                audit.counts.add(name, *count as usize);
            }
            for membership in &record.memberships {
                audit.check_membership(&record.user, membership);
            }
            audit.faults.extend(record.faults.iter().map(|fault| format!("{}: {fault}", record.user)));
        }
        audit
    }

    fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Every acknowledged message is stored, and every stored message was sent.
    fn check_sent(&mut self, records: &'a [ClientRecord]) {
        let mut unanswered: HashMap<(usize, &str), Instant> = HashMap::new();
        for sent in records.iter().flat_map(|record| &record.sent) {
            let Some((id, answered)) = &sent.answered else {
                unanswered.insert((sent.chat, &sent.content), sent.at);
                continue;
            };
            self.counts.add("messages acknowledged", 1);
            match self.positions.get(id.as_str()) {
                Some(&(chat, position)) if chat == sent.chat && self.stored.chats[chat][position].1 == sent.content => {
                    self.times[chat][position] = Some(SendTimes { sent: sent.at, answered: Some(*answered) });
                }
                other => self.fault(format!("{} was acknowledged, but is stored as {other:?}", sent.content)),
            }
        }
        let stored = self.stored;
        for (chat, messages) in stored.chats.iter().enumerate() {
            for (position, (id, content)) in messages.iter().enumerate() {
                if self.times[chat][position].is_some() {
                    continue;
                }
                match unanswered.remove(&(chat, content.as_str())) {
                    Some(sent) => {
                        self.times[chat][position] = Some(SendTimes { sent, answered: None });
                        self.counts.add("messages stored without an answer", 1);
                    }
                    None => self.fault(format!("{id} ({content}) is stored, but nobody sent it")),
                }
            }
        }
        self.counts.add("messages lost without an answer", unanswered.len());
    }

    /// Every acknowledged receipt is stored, and every stored receipt was sent.
    fn check_receipts(&mut self, records: &'a [ClientRecord]) {
        let (mut acknowledged, mut sent): (HashMap<&str, Receipts>, HashMap<&str, Receipts>) = Default::default();
        for record in records {
            for receipt in &record.receipts {
                let add_to = |receipts: &mut HashMap<&'a str, Receipts>| {
                    let receipts = receipts.entry(&receipt.message).or_default();
                    receipts.delivered.insert(record.user.clone());
                    if receipt.read {
                        receipts.read.insert(record.user.clone());
                    }
                };
                add_to(&mut sent);
                if receipt.answered {
                    add_to(&mut acknowledged);
                    self.counts.add("receipts acknowledged", 1);
                } else {
                    self.counts.add("receipts without an answer", 1);
                }
            }
        }
        let none = Receipts::default();
        let stored = self.stored;
        for (id, _) in stored.chats.iter().flatten() {
            let stored = stored.receipts.get(id).unwrap_or(&none);
            let of = |receipts: &HashMap<&str, Receipts>| receipts.get(id.as_str()).unwrap_or(&none).clone();
            let (acknowledged, sent) = (of(&acknowledged), of(&sent));
            let agree = |stored: &BTreeSet<String>, acknowledged: &BTreeSet<String>, sent: &BTreeSet<String>| {
                acknowledged.is_subset(stored) && stored.is_subset(sent)
            };
            if !agree(&stored.delivered, &acknowledged.delivered, &sent.delivered)
                || !agree(&stored.read, &acknowledged.read, &sent.read)
            {
                self.fault(format!(
                    "the receipts of {id} are {stored:?}; acknowledged: {acknowledged:?}, sent: {sent:?}"
                ));
            }
            self.counts.add("receipts stored: delivered", stored.delivered.len());
            self.counts.add("receipts stored: read", stored.read.len());
        }
    }

    /// A client received every message of a membership once, in the order of the chat.
    fn check_membership(&mut self, user: &str, membership: &'a MembershipRecord) {
        self.counts.add("memberships", 1);
        let subject = format!("{user} in chat {}", membership.chat);
        let mut next = match &membership.anchor {
            // The anchor may have arrived live right after the join.
            Some(anchor) if !membership.stretches[0].ids.contains(anchor) => {
                match self.positions.get(anchor.as_str()) {
                    Some(&(_, position)) => Some(position + 1),
                    None => return self.fault(format!("{subject}: {anchor} was read, but is not stored")),
                }
            }
            Some(_) => None,
            None => Some(0),
        };
        let mut first = next;
        let mut gaps: Vec<GapCause> = Vec::new();
        for stretch in &membership.stretches {
            gaps.push(stretch.gap);
            for id in &stretch.ids {
                let Some(&(chat, position)) = self.positions.get(id.as_str()) else {
                    self.fault(format!("{subject}: {id} arrived, but is not stored"));
                    continue;
                };
                let expected = next.unwrap_or(position);
                first.get_or_insert(position);
                if chat != membership.chat || position < expected {
                    let arrival = stretch.arrival;
                    self.fault(format!(
                        "{subject}: {id} arrived again, late or in a wrong chat ({arrival:?}, {position} < {expected})"
                    ));
                    continue;
                }
                self.check_missing(&subject, membership, expected..position, &gaps);
                gaps.clear();
                self.counts.add(if stretch.arrival == Arrival::Live { "received live" } else { "received queued" }, 1);
                next = Some(position + 1);
            }
        }
        self.check_edges(&subject, membership, first, next, &gaps);
    }

    /// A message missing between two received ones has a reason, and the client read it from the history.
    fn check_missing(
        &mut self,
        subject: &str,
        membership: &MembershipRecord,
        positions: std::ops::Range<usize>,
        gaps: &[GapCause],
    ) {
        let away = gaps.contains(&GapCause::Away);
        let cut = gaps.iter().filter_map(|gap| if let GapCause::Cut(at) = gap { Some(*at) } else { None }).max();
        for position in positions {
            let (id, content) = &self.stored.chats[membership.chat][position];
            let message = format!("{subject}: {id} ({content}, {position})");
            if !away && cut.is_none() {
                self.fault(format!("{message} is missing without a reason"));
            } else if !membership.read.contains(id) {
                self.fault(format!("{message} is missing, and was not read"));
            } else if away {
                self.counts.add("read after an absence", 1);
            } else {
                self.counts.add("read after a cut", 1);
                let sent = self.times[membership.chat][position].map(|times| times.sent);
                if let (Some(sent), Some(cut)) = (sent, cut)
                    && sent > cut + DETECTED
                {
                    self.fault(format!("{message} was lost, although it was sent {:?} after the cut", sent - cut));
                }
            }
        }
    }

    /// No message is missing before the first or after the last one of a membership.
    fn check_edges(
        &mut self,
        subject: &str,
        membership: &MembershipRecord,
        first: Option<usize>,
        next: Option<usize>,
        gaps: &[GapCause],
    ) {
        let messages = self.stored.chats[membership.chat].len();
        let (first, next) = (first.unwrap_or(messages), next.unwrap_or(messages));
        for position in 0..first {
            if self.times[membership.chat][position].is_some_and(|times| times.sent > membership.joined_at) {
                self.fault(format!("{subject}: position {position} was sent after the join, and did not arrive"));
            }
        }
        // The membership ended with a cut connection, so the client could not read the lost messages.
        if gaps.iter().any(|gap| *gap != GapCause::None) {
            return;
        }
        for position in next..messages {
            let before_leaving = |answered: Instant| membership.left_at.is_none_or(|left_at| answered < left_at);
            let times = self.times[membership.chat][position];
            if times.and_then(|times| times.answered).is_some_and(before_leaving) {
                self.fault(format!(
                    "{subject}: position {position} was acknowledged before the leave, and did not arrive"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::{SentMessage, SentReceipt, Stretch};
    use super::*;

    /// A chat of messages that were sent one second apart, each answered after half a second.
    fn chat(messages: usize, start: Instant) -> (StoredChats, ClientRecord) {
        let stored = StoredChats {
            chats: vec![(0..messages).map(|n| (format!("m{n}"), format!("text {n}"))).collect()],
            ..StoredChats::default()
        };
        let sent = |n: usize| {
            let at = start + Duration::from_secs(n as u64);
            let answered = Some((format!("m{n}"), at + Duration::from_millis(500)));
            SentMessage { chat: 0, content: format!("text {n}"), at, answered }
        };
        let record =
            ClientRecord { user: "sender".into(), sent: (0..messages).map(sent).collect(), ..ClientRecord::default() };
        (stored, record)
    }

    fn ids(of: &[usize]) -> Vec<String> {
        of.iter().map(|n| format!("m{n}")).collect()
    }

    /// The number of faults of a client that joined before the first message and received these stretches.
    fn faults(start: Instant, stretches: Vec<Stretch>, read: &[usize]) -> usize {
        let (stored, sender) = chat(6, start);
        let mut membership = MembershipRecord::new(0, start - Duration::from_secs(1));
        membership.stretches = stretches;
        membership.read = ids(read).into_iter().collect();
        let listener =
            ClientRecord { user: "listener".into(), memberships: vec![membership], ..ClientRecord::default() };
        ChatAudit::of(&stored, &[sender, listener]).faults.len()
    }

    fn live(gap: GapCause, of: &[usize]) -> Stretch {
        Stretch { gap, arrival: Arrival::Live, ids: ids(of) }
    }

    #[test]
    fn missing_repeated_and_late_messages_are_faults() {
        let start = Instant::now();
        let once = |of: &[usize]| faults(start, vec![live(GapCause::None, of)], &[]);
        assert_eq!(once(&[0, 1, 2, 3, 4, 5]), 0);
        assert_eq!(once(&[0, 1, 2, 4, 5]), 1, "one is missing");
        assert_eq!(once(&[0, 1, 2, 2, 3, 4, 5]), 1, "one arrived twice");
        assert_eq!(once(&[0, 1, 3, 2, 4, 5]), 2, "one arrived late, and was missing before");
        assert_eq!(once(&[1, 2, 3, 4, 5]), 1, "the first is missing");
        assert_eq!(once(&[0, 1, 2, 3, 4]), 1, "the last is missing");
        assert_eq!(once(&[]), 6);
        let foreign = Stretch { gap: GapCause::None, arrival: Arrival::Live, ids: vec!["other".into()] };
        assert_eq!(faults(start, vec![live(GapCause::None, &[0, 1, 2, 3, 4, 5]), foreign], &[]), 1);
    }

    #[test]
    fn messages_may_be_missing_shortly_after_a_cut_if_they_were_read() {
        let start = Instant::now();
        let cut = GapCause::Cut(start + Duration::from_secs(1));
        let stretches = |gap: GapCause, then: &[usize]| vec![live(GapCause::None, &[0, 1]), live(gap, then)];
        assert_eq!(faults(start, stretches(cut, &[4, 5]), &[2, 3]), 0);
        assert_eq!(faults(start, stretches(cut, &[4, 5]), &[2]), 1, "one was not read");
        assert_eq!(faults(start, stretches(cut, &[5]), &[2, 3, 4]), 1, "one was sent long after the cut");
        assert_eq!(faults(start, stretches(GapCause::Away, &[5]), &[2, 3, 4]), 0);
        assert_eq!(faults(start, stretches(GapCause::None, &[4, 5]), &[2, 3]), 2, "there was no cut");
        assert_eq!(faults(start, stretches(cut, &[1, 2, 3, 4, 5]), &[]), 1, "one arrived again");
    }

    #[test]
    fn lost_and_invented_messages_and_receipts_are_faults() {
        let start = Instant::now();
        let (mut stored, mut sender) = chat(2, start);
        sender.receipts.push(SentReceipt { message: "m0".into(), read: true, answered: true });
        sender.receipts.push(SentReceipt { message: "m1".into(), read: false, answered: false });
        let user = || BTreeSet::from(["sender".to_owned()]);
        let both = Receipts { delivered: user(), read: user() };
        let audit = |stored: &StoredChats, sender: &ClientRecord| {
            ChatAudit::of(stored, std::slice::from_ref(sender)).faults.len()
        };
        assert_eq!(audit(&stored, &sender), 1, "the receipt was acknowledged, but is not stored");
        stored.receipts.insert("m0".into(), both.clone());
        assert_eq!(audit(&stored, &sender), 0);
        stored.receipts.insert("m1".into(), Receipts { delivered: user(), read: BTreeSet::new() });
        assert_eq!(audit(&stored, &sender), 0, "an unanswered receipt may be stored");
        stored.receipts.insert("m1".into(), both);
        assert_eq!(audit(&stored, &sender), 1, "nobody sent this receipt");
        stored.receipts.remove("m1");
        stored.chats[0].pop();
        assert_eq!(audit(&stored, &sender), 1, "the message was acknowledged, but is not stored");
        stored.chats[0].push(("m9".into(), "unsent".into()));
        assert_eq!(audit(&stored, &sender), 2, "nobody sent the other message");
    }
}
