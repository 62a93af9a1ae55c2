//! Compares the published messages with the messages that each reader received. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

/// The number of the publisher of the last message of each topic. Readers stop at its first message and may or may not
/// receive its later ones.
pub(super) const LAST_PUBLISHER: usize = 999;

/// A message, named by its publisher and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PublishedId {
    pub(super) publisher: usize,
    pub(super) n: u64,
}

/// The reply that a publisher received for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PublishResult {
    Accepted,
    /// The message was refused. No reader may receive it.
    Refused,
    /// No reply arrived. A reader may receive the message once.
    Unknown,
}

/// An attempt to publish a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct PublishAttempt {
    pub(super) topic: usize,
    pub(super) message: PublishedId,
    pub(super) result: PublishResult,
}

/// One event of a reader in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderEvent {
    Received(PublishedId),
    /// The reader reconnected, and the hub promised to replay all missed messages.
    Recovered,
    /// The reader reconnected, and the hub reported that messages are lost.
    Lost,
}

/// Counts by name.
pub(super) type NamedCounts = BTreeMap<String, u64>;

/// The events of one reader.
#[derive(Debug, Clone, Default)]
pub(super) struct ReaderRecord {
    pub(super) name: String,
    /// By topic.
    pub(super) events: BTreeMap<usize, Vec<ReaderEvent>>,
    /// The number of received messages that were replayed.
    pub(super) replayed: u64,
    pub(super) connections: u64,
    pub(super) counts: NamedCounts,
    /// Violations of the protocol that the reader noticed.
    pub(super) faults: Vec<String>,
}

impl ReaderRecord {
    pub(super) fn add(&mut self, topic: usize, event: ReaderEvent) {
        self.events.entry(topic).or_default().push(event);
    }

    pub(super) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    pub(super) fn count(&mut self, name: &str) {
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    /// Whether the reader received the last message of this topic.
    pub(super) fn has_received_last(&self, topic: usize) -> bool {
        let is_last = |event: &ReaderEvent| matches!(event, ReaderEvent::Received(message) if message.publisher == LAST_PUBLISHER);
        self.events.get(&topic).is_some_and(|events| events.iter().rev().any(is_last))
    }
}

/// Counts of one reader, or of all.
#[derive(Debug, Clone, Copy, Default)]
struct ReaderTotals {
    received: u64,
    duplicates: u64,
    reordered: u64,
    missing: u64,
    /// Reported losses.
    losses: u64,
    /// Messages missing at a reported loss.
    lost: u64,
}

/// The interval between two received messages of a publisher in a topic.
struct MessageGap {
    topic: usize,
    publisher: usize,
    /// The number of the message before the gap, and the losses reported until then.
    after: Option<(u64, u64)>,
    /// The number of the message after the gap.
    before: Option<u64>,
    /// The losses reported until now.
    losses: u64,
}

/// The result of the comparison.
pub(super) struct DeliveryAudit {
    results: HashMap<(usize, PublishedId), PublishResult>,
    /// The accepted messages of each topic and publisher, in order.
    accepted: BTreeMap<(usize, usize), Vec<u64>>,
    received: HashSet<(usize, PublishedId)>,
    lines: Vec<String>,
    sum: ReaderTotals,
    counts: NamedCounts,
    faults: Vec<String>,
}

impl DeliveryAudit {
    /// Compares. `histories` is the hub's history of each topic, oldest first; it states the order for all readers. `None`
    /// where losses are allowed.
    pub(super) fn of(
        attempts: &[PublishAttempt],
        histories: Option<&[Vec<PublishedId>]>,
        records: &[ReaderRecord],
    ) -> Self {
        let mut audit = Self {
            results: attempts.iter().map(|attempt| ((attempt.topic, attempt.message), attempt.result)).collect(),
            accepted: BTreeMap::new(),
            received: HashSet::new(),
            lines: Vec::new(),
            sum: ReaderTotals::default(),
            counts: NamedCounts::new(),
            faults: Vec::new(),
        };
        for PublishAttempt { topic, message, result } in attempts {
            let name = match result {
                PublishResult::Accepted => {
                    audit.accepted.entry((*topic, message.publisher)).or_default().push(message.n);
                    "published: accepted"
                }
                PublishResult::Refused => "published: refused",
                PublishResult::Unknown => "published: no reply",
            };
            audit.count(name, 1);
        }
        for record in records {
            audit.check_reader(record, histories);
        }
        let unknown = attempts.iter().filter(|attempt| attempt.result == PublishResult::Unknown);
        let delivered = unknown.filter(|attempt| audit.received.contains(&(attempt.topic, attempt.message))).count();
        audit.count("published: no reply, but delivered", delivered as u64);
        audit
    }

    pub(super) fn count(&mut self, name: &str, count: u64) {
        *self.counts.entry(name.to_owned()).or_default() += count;
    }

    fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    fn check_reader(&mut self, record: &ReaderRecord, histories: Option<&[Vec<PublishedId>]>) {
        let mut totals = ReaderTotals::default();
        for (&topic, events) in &record.events {
            let label = format!("{}, topic {topic}", record.name);
            self.check_topic(&label, topic, events, &mut totals);
            if !record.has_received_last(topic) {
                self.fault(format!("{label}: the last message did not arrive"));
            }
            if let Some(histories) = histories {
                self.check_order(&label, events, &histories[topic]);
            }
        }
        if histories.is_some() && totals.losses > 0 {
            self.fault(format!("{}: the hub reported a loss where none is allowed", record.name));
        }
        self.faults.extend(record.faults.iter().map(|fault| format!("{}: {fault}", record.name)));
        for (name, count) in &record.counts {
            self.count(name, *count);
        }
        let ReaderTotals { received, duplicates, reordered, missing, losses, lost } = totals;
        self.lines.push(format!(
            "{:<14}{received:>6} received ({:>5} of them replayed, {:>2} connections), {duplicates} twice, \
             {reordered} out of order, {missing} missing, {lost} lost in {losses} reported losses",
            record.name, record.replayed, record.connections
        ));
        let sum = &mut self.sum;
        for (sum, count) in [
            (&mut sum.received, received),
            (&mut sum.duplicates, duplicates),
            (&mut sum.reordered, reordered),
            (&mut sum.missing, missing),
            (&mut sum.losses, losses),
            (&mut sum.lost, lost),
        ] {
            *sum += count;
        }
        self.count("replayed messages", record.replayed);
        self.count("connections of readers", record.connections);
    }

    /// Checks that each accepted message arrived once and in its publisher's order, except at reported losses, and that no
    /// other message arrived.
    fn check_topic(&mut self, label: &str, topic: usize, events: &[ReaderEvent], totals: &mut ReaderTotals) {
        // Of each publisher the last received message, and the losses reported until then.
        let mut last: HashMap<usize, (u64, u64)> = HashMap::new();
        let mut received = HashSet::new();
        let mut losses = 0;
        for event in events {
            let message = match event {
                ReaderEvent::Recovered => continue,
                ReaderEvent::Lost => {
                    losses += 1;
                    continue;
                }
                ReaderEvent::Received(message) => *message,
            };
            totals.received += 1;
            self.received.insert((topic, message));
            match self.results.get(&(topic, message)) {
                Some(PublishResult::Accepted | PublishResult::Unknown) => {}
                Some(PublishResult::Refused) => self.fault(format!("{label}: {message:?} arrived, but was refused")),
                None => self.fault(format!("{label}: {message:?} arrived, but was never published")),
            }
            if !received.insert(message) {
                totals.duplicates += 1;
                self.fault(format!("{label}: {message:?} arrived twice"));
                continue;
            }
            let before = last.get(&message.publisher).copied();
            if before.is_some_and(|(n, _)| message.n < n) {
                totals.reordered += 1;
                self.fault(format!("{label}: {message:?} arrived out of order"));
                continue;
            }
            let gap =
                MessageGap { topic, publisher: message.publisher, after: before, before: Some(message.n), losses };
            self.check_gap(label, &gap, totals);
            last.insert(message.publisher, (message.n, losses));
        }
        let publishers: Vec<_> = self.accepted.keys().filter(|(of, _)| *of == topic).map(|(_, by)| *by).collect();
        for publisher in publishers {
            let gap = MessageGap { topic, publisher, after: last.get(&publisher).copied(), before: None, losses };
            self.check_gap(label, &gap, totals);
        }
        totals.losses += losses;
    }

    /// Counts the accepted messages in a gap as lost or as missing.
    fn check_gap(&mut self, label: &str, gap: &MessageGap, totals: &mut ReaderTotals) {
        if gap.publisher == LAST_PUBLISHER {
            return;
        }
        let accepted = self.accepted.get(&(gap.topic, gap.publisher)).map(Vec::as_slice).unwrap_or_default();
        let from = gap.after.map_or(0, |(n, _)| accepted.partition_point(|&number| number <= n));
        let to = gap.before.map_or(accepted.len(), |n| accepted.partition_point(|&number| number < n));
        let missing = &accepted[from.min(to)..to];
        if missing.is_empty() {
            return;
        }
        if gap.losses > gap.after.map_or(0, |(_, losses)| losses) {
            totals.lost += missing.len() as u64;
            return;
        }
        totals.missing += missing.len() as u64;
        let fault =
            format!("{label}: {missing:?} of publisher {} did not arrive, and no loss was reported", gap.publisher);
        self.fault(fault);
    }

    /// Checks that the received messages are a contiguous part of the hub's history, in its order.
    fn check_order(&mut self, label: &str, events: &[ReaderEvent], history: &[PublishedId]) {
        let received: Vec<_> = events
            .iter()
            .filter_map(|event| if let ReaderEvent::Received(message) = event { Some(*message) } else { None })
            .collect();
        let Some(first) = received.first() else { return };
        let from = history.iter().position(|message| message == first).unwrap_or(history.len());
        if !history[from..].starts_with(&received) {
            let differs = received.iter().zip(&history[from..]).position(|(received, stored)| received != stored);
            self.fault(format!("{label}: the order differs from the hub's history from index {differs:?} on"));
        }
    }

    /// The count of this name.
    pub(super) fn counted(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// The number of losses reported to all readers.
    pub(super) fn losses(&self) -> u64 {
        self.sum.losses
    }

    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    pub(super) fn print(&self) {
        for line in &self.lines {
            println!("{line}");
        }
        println!("in total:");
        for (name, count) in &self.counts {
            println!("{count:>10}  {name}");
        }
        let ReaderTotals { received, duplicates, reordered, missing, losses, lost } = self.sum;
        for (count, name) in [
            (received, "received, by all readers together"),
            (duplicates, "received twice"),
            (reordered, "received out of order"),
            (missing, "missing without a reported loss"),
            (losses, "reported losses"),
            (lost, "missing at a reported loss"),
        ] {
            println!("{count:>10}  {name}");
        }
        for fault in self.faults.iter().take(30) {
            println!("     FAULT  {fault}");
        }
    }
}

#[cfg(test)]
mod tests;
