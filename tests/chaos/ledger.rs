//! What was published and what each reader heard, and whether the one fits the other. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

/// The number of the publisher that says the end. Readers stop after it, so what it says may be heard or not.
pub(super) const THE_END: usize = 999;

/// A message, by who published it and which of theirs it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Message {
    pub(super) by: usize,
    pub(super) n: u64,
}

/// What its publisher was told of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Accepted,
    /// It was refused, and is not to come.
    Refused,
    /// No answer came: it may come, once.
    Unknown,
}

/// A message that was published, or was to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published {
    pub(super) topic: usize,
    pub(super) message: Message,
    pub(super) fate: Fate,
}

/// What a reader met in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    Heard(Message),
    /// It came back, and was told that it gets all that it missed.
    Recovered,
    /// It came back, and was told that it does not.
    Lost,
}

/// What happened how often, by name.
pub(super) type Counts = BTreeMap<String, u64>;

/// All that one reader met.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub(super) name: String,
    /// By topic.
    pub(super) met: BTreeMap<usize, Vec<Met>>,
    /// Of these, messages that it had missed at first.
    pub(super) caught_up: u64,
    pub(super) connections: u64,
    pub(super) counts: Counts,
    /// What cannot be, as it was noticed.
    pub(super) faults: Vec<String>,
}

impl Record {
    pub(super) fn meet(&mut self, topic: usize, met: Met) {
        self.met.entry(topic).or_default().push(met);
    }

    pub(super) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    pub(super) fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// Whether the end of this topic was heard.
    pub(super) fn has_heard_the_end(&self, topic: usize) -> bool {
        let heard = |met: &Met| matches!(met, Met::Heard(message) if message.by == THE_END);
        self.met.get(&topic).is_some_and(|met| met.iter().rev().any(heard))
    }
}

/// How one reader stands.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    heard: u64,
    twice: u64,
    late: u64,
    missing: u64,
    /// Times that it was told of a loss.
    told: u64,
    /// What it missed there.
    lost: u64,
}

/// What lies between two messages of a publisher in a topic.
struct Gap {
    topic: usize,
    by: usize,
    /// The one that was heard before it, and how many losses had been told by then.
    after: Option<(u64, u64)>,
    /// The one that was heard behind it.
    before: Option<u64>,
    /// How many losses have been told by now.
    told: u64,
}

/// The comparison.
pub(super) struct Audit {
    fates: HashMap<(usize, Message), Fate>,
    /// Of each topic and publisher the accepted ones, in order.
    accepted: BTreeMap<(usize, usize), Vec<u64>>,
    heard: HashSet<(usize, Message)>,
    lines: Vec<String>,
    sum: Line,
    counts: Counts,
    faults: Vec<String>,
}

impl Audit {
    /// Compares. Where nothing may be lost, `kept` is what the hub keeps of each topic, oldest first, which is the order for
    /// all; otherwise none.
    pub(super) fn of(published: &[Published], kept: Option<&[Vec<Message>]>, records: &[Record]) -> Self {
        let mut audit = Self {
            fates: published.iter().map(|one| ((one.topic, one.message), one.fate)).collect(),
            accepted: BTreeMap::new(),
            heard: HashSet::new(),
            lines: Vec::new(),
            sum: Line::default(),
            counts: Counts::new(),
            faults: Vec::new(),
        };
        for Published { topic, message, fate } in published {
            let what = match fate {
                Fate::Accepted => {
                    audit.accepted.entry((*topic, message.by)).or_default().push(message.n);
                    "published: accepted"
                }
                Fate::Refused => "published: refused",
                Fate::Unknown => "published: no answer came",
            };
            audit.count(what, 1);
        }
        for record in records {
            audit.reader(record, kept);
        }
        let unknown = published.iter().filter(|one| one.fate == Fate::Unknown);
        let came = unknown.filter(|one| audit.heard.contains(&(one.topic, one.message))).count();
        audit.count("published: no answer came, and somebody heard it", came as u64);
        audit
    }

    pub(super) fn count(&mut self, what: &str, count: u64) {
        *self.counts.entry(what.to_owned()).or_default() += count;
    }

    fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    fn reader(&mut self, record: &Record, kept: Option<&[Vec<Message>]>) {
        let mut line = Line::default();
        for (&topic, met) in &record.met {
            let whose = format!("{}, topic {topic}", record.name);
            self.topic(&whose, topic, met, &mut line);
            if !record.has_heard_the_end(topic) {
                self.fault(format!("{whose}: the end did not come"));
            }
            if let Some(kept) = kept {
                self.is_part_of(&whose, met, &kept[topic]);
            }
        }
        if kept.is_some() && line.told > 0 {
            self.fault(format!("{}: was told of a loss, and nothing was to be lost", record.name));
        }
        self.faults.extend(record.faults.iter().map(|fault| format!("{}: {fault}", record.name)));
        for (what, count) in &record.counts {
            self.count(what, *count);
        }
        let Line { heard, twice, late, missing, told, lost } = line;
        self.lines.push(format!(
            "{:<14}{heard:>6} heard ({:>5} of them late, after {:>2} connections), {twice} twice, {late} out of order, \
             {missing} missing, {lost} lost where it was told so ({told} times)",
            record.name, record.caught_up, record.connections
        ));
        let sum = &mut self.sum;
        for (sum, one) in [
            (&mut sum.heard, heard),
            (&mut sum.twice, twice),
            (&mut sum.late, late),
            (&mut sum.missing, missing),
            (&mut sum.told, told),
            (&mut sum.lost, lost),
        ] {
            *sum += one;
        }
        self.count("heard after it was missed", record.caught_up);
        self.count("connections of readers", record.connections);
    }

    /// Everything that was accepted came once and in its publisher's order, and nothing else, up to the losses it was told of.
    fn topic(&mut self, whose: &str, topic: usize, met: &[Met], line: &mut Line) {
        // Of each publisher the message that was heard last, and how many losses had been told by then.
        let mut last: HashMap<usize, (u64, u64)> = HashMap::new();
        let mut heard = HashSet::new();
        let mut told = 0;
        for met in met {
            let message = match met {
                Met::Recovered => continue,
                Met::Lost => {
                    told += 1;
                    continue;
                }
                Met::Heard(message) => *message,
            };
            line.heard += 1;
            self.heard.insert((topic, message));
            match self.fates.get(&(topic, message)) {
                Some(Fate::Accepted | Fate::Unknown) => {}
                Some(Fate::Refused) => self.fault(format!("{whose}: {message:?} came, and was refused")),
                None => self.fault(format!("{whose}: {message:?} came, and nobody published it")),
            }
            if !heard.insert(message) {
                line.twice += 1;
                self.fault(format!("{whose}: {message:?} came twice"));
                continue;
            }
            let before = last.get(&message.by).copied();
            if before.is_some_and(|(n, _)| message.n < n) {
                line.late += 1;
                self.fault(format!("{whose}: {message:?} came out of order"));
                continue;
            }
            let gap = Gap { topic, by: message.by, after: before, before: Some(message.n), told };
            self.missing(whose, &gap, line);
            last.insert(message.by, (message.n, told));
        }
        let publishers: Vec<_> = self.accepted.keys().filter(|(of, _)| *of == topic).map(|(_, by)| *by).collect();
        for by in publishers {
            let gap = Gap { topic, by, after: last.get(&by).copied(), before: None, told };
            self.missing(whose, &gap, line);
        }
        line.told += told;
    }

    /// Accounts for what was accepted and not heard of a publisher.
    fn missing(&mut self, whose: &str, gap: &Gap, line: &mut Line) {
        if gap.by == THE_END {
            return;
        }
        let accepted = self.accepted.get(&(gap.topic, gap.by)).map(Vec::as_slice).unwrap_or_default();
        let from = gap.after.map_or(0, |(n, _)| accepted.partition_point(|&one| one <= n));
        let to = gap.before.map_or(accepted.len(), |n| accepted.partition_point(|&one| one < n));
        let missing = &accepted[from.min(to)..to];
        if missing.is_empty() {
            return;
        }
        if gap.told > gap.after.map_or(0, |(_, told)| told) {
            line.lost += missing.len() as u64;
            return;
        }
        line.missing += missing.len() as u64;
        let fault = format!("{whose}: {missing:?} of publisher {} did not come, and nothing was said of it", gap.by);
        self.fault(fault);
    }

    /// Heard was what the hub keeps, from some message on, in its order.
    fn is_part_of(&mut self, whose: &str, met: &[Met], kept: &[Message]) {
        let heard: Vec<_> =
            met.iter().filter_map(|met| if let Met::Heard(message) = met { Some(*message) } else { None }).collect();
        let Some(first) = heard.first() else { return };
        let from = kept.iter().position(|message| message == first).unwrap_or(kept.len());
        if !kept[from..].starts_with(&heard) {
            let differs = heard.iter().zip(&kept[from..]).position(|(heard, kept)| heard != kept);
            self.fault(format!("{whose}: heard another order than the hub keeps, from place {differs:?} on"));
        }
    }

    /// How often this was counted.
    pub(super) fn counted(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// How often readers were told of a loss.
    pub(super) fn told(&self) -> u64 {
        self.sum.told
    }

    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Prints all of it.
    pub(super) fn print(&self) {
        for line in &self.lines {
            println!("{line}");
        }
        println!("the ledger:");
        for (what, count) in &self.counts {
            println!("{count:>10}  {what}");
        }
        let Line { heard, twice, late, missing, told, lost } = self.sum;
        for (count, what) in [
            (heard, "heard, by all readers together"),
            (twice, "heard twice"),
            (late, "heard out of order"),
            (missing, "missing, and nothing was said of it"),
            (told, "times that a reader was told of a loss"),
            (lost, "missing where a loss was told"),
        ] {
            println!("{count:>10}  {what}");
        }
        for fault in self.faults.iter().take(30) {
            println!("     FAULT  {fault}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n: u64) -> Message {
        Message { by: 0, n }
    }

    fn published(fates: &[Fate]) -> Vec<Published> {
        let one = |(n, fate): (usize, &Fate)| Published { topic: 0, message: message(n as u64), fate: *fate };
        let end = Published { topic: 0, message: Message { by: THE_END, n: 0 }, fate: Fate::Accepted };
        fates.iter().enumerate().map(one).chain([end]).collect()
    }

    /// A reader that met these, each below 10 the message of that number, and then the end.
    fn record(met: &[Met]) -> Record {
        let mut record = Record { name: "reader".into(), ..Record::default() };
        for met in met {
            record.meet(0, *met);
        }
        record.meet(0, Met::Heard(Message { by: THE_END, n: 0 }));
        record
    }

    fn heard(numbers: &[u64]) -> Vec<Met> {
        numbers.iter().map(|n| Met::Heard(message(*n))).collect()
    }

    fn faults(met: &[Met]) -> usize {
        Audit::of(&published(&[Fate::Accepted; 5]), None, &[record(met)]).faults.len()
    }

    #[test]
    fn what_is_missing_what_came_twice_and_what_came_late_is_noticed() {
        assert_eq!(faults(&heard(&[0, 1, 2, 3, 4])), 0);
        assert_eq!(faults(&heard(&[1, 2, 3, 4])), 1, "the first is missing");
        assert_eq!(faults(&heard(&[0, 1, 3, 4])), 1, "one is missing");
        assert_eq!(faults(&heard(&[0, 1, 2, 3])), 1, "the last is missing");
        assert_eq!(faults(&heard(&[0, 1, 1, 2, 3, 4])), 1, "one came twice");
        assert_eq!(faults(&heard(&[0, 2, 1, 3, 4])), 2, "one came late, and was missing before");
        assert_eq!(faults(&heard(&[0, 1, 2, 3, 4, 5])), 1, "nobody published that");
    }

    #[test]
    fn a_loss_is_no_fault_where_it_was_told_and_only_there() {
        let met = |back: Met, then: &[u64]| [heard(&[0, 1]), vec![back], heard(then)].concat();
        assert_eq!(faults(&met(Met::Lost, &[3, 4])), 0);
        assert_eq!(faults(&met(Met::Lost, &[])), 0);
        assert_eq!(faults(&met(Met::Recovered, &[3, 4])), 1);
        assert_eq!(faults(&met(Met::Lost, &[2, 4])), 1, "it was told before");
        assert_eq!(faults(&met(Met::Lost, &[1, 2, 3, 4])), 1, "one came again");
    }

    #[test]
    fn what_was_refused_is_not_to_come_and_what_was_not_answered_may() {
        use Fate::{Accepted, Refused, Unknown};
        let faults = |third: Fate, met: &[u64]| {
            let published = published(&[Accepted, Accepted, third, Accepted]);
            Audit::of(&published, None, &[record(&heard(met))]).faults.len()
        };
        assert_eq!((faults(Unknown, &[0, 1, 3]), faults(Unknown, &[0, 1, 2, 3])), (0, 0));
        assert_eq!((faults(Refused, &[0, 1, 3]), faults(Refused, &[0, 1, 2, 3])), (0, 1));
    }

    #[test]
    fn where_nothing_may_be_lost_all_hear_what_is_kept_and_no_loss_is_told() {
        let faults = |kept: &[u64], met: &[Met]| {
            let end = [Message { by: THE_END, n: 0 }];
            let kept: Vec<_> = kept.iter().map(|n| message(*n)).chain(end).collect();
            Audit::of(&published(&[Fate::Accepted; 3]), Some(&[kept]), &[record(met)]).faults.len()
        };
        assert_eq!(faults(&[0, 1, 2], &heard(&[0, 1, 2])), 0);
        assert_eq!(faults(&[0, 2, 1], &heard(&[0, 1, 2])), 1);
        assert_eq!(faults(&[0, 1, 2], &[heard(&[0, 1]), vec![Met::Lost], heard(&[2])].concat()), 1);
        assert_eq!(faults(&[0, 1, 2], &[heard(&[0, 1]), vec![Met::Recovered], heard(&[2])].concat()), 0);
    }

    #[test]
    fn a_reader_that_does_not_come_to_the_end_is_noticed() {
        let mut record = record(&heard(&[0, 1, 2, 3, 4]));
        record.met.get_mut(&0).unwrap().pop();
        assert_eq!(Audit::of(&published(&[Fate::Accepted; 5]), None, &[record]).faults.len(), 1);
    }
}
