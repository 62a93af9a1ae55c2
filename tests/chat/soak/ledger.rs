//! What each client heard and did, and whether that can be: compared with what the hub kept. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

/// How long after a cut a message may have been said that was lost with the connection: a busy hub takes a while to
/// notice.
const NOTICED: Duration = Duration::from_secs(2);

/// What lies before a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Nothing: what was said next is the first of the stretch.
    None,
    /// The connection was cut then: what was on its way may be missing, and was read afterwards.
    Cut(Instant),
    /// The client was away for longer than a session waits: what was said meanwhile was read afterwards.
    Away,
}

/// How the messages of a stretch came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Live,
    /// By `connection:queued-messages`.
    Queued,
}

/// Messages that came one after the other.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) gap: Gap,
    pub(super) how: How,
    pub(super) ids: Vec<String>,
}

/// A client's time in a chat.
#[derive(Debug, Clone)]
pub(super) struct Stay {
    pub(super) chat: usize,
    /// When the join had been answered.
    pub(super) joined_at: Instant,
    /// The last message at some time right after that; none in a chat without any.
    pub(super) anchor: Option<String>,
    pub(super) stretches: Vec<Stretch>,
    /// Messages that it read of the history.
    pub(super) read: HashSet<String>,
    /// When it asked to leave; never, where it stayed to the end.
    pub(super) left_at: Option<Instant>,
}

impl Stay {
    pub(super) fn new(chat: usize, joined_at: Instant) -> Self {
        let live = Stretch { gap: Gap::None, how: How::Live, ids: Vec::new() };
        Self { chat, joined_at, anchor: None, stretches: vec![live], read: HashSet::new(), left_at: None }
    }

    /// Another stretch begins.
    pub(super) fn go_on(&mut self, gap: Gap, how: How, ids: Vec<String>) {
        self.stretches.push(Stretch { gap, how, ids });
    }

    /// A message came.
    pub(super) fn hear(&mut self, id: String) {
        if let Some(stretch) = self.stretches.last_mut() {
            stretch.ids.push(id);
        }
    }

    /// The last message that it knows.
    pub(super) fn last(&self) -> Option<&String> {
        self.stretches.iter().rev().find_map(|stretch| stretch.ids.last()).or(self.anchor.as_ref())
    }
}

/// A message that a client sent.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) chat: usize,
    pub(super) content: String,
    pub(super) at: Instant,
    /// Its id and when that was told; none where no answer came.
    pub(super) answered: Option<(String, Instant)>,
}

/// A receipt that a client gave.
#[derive(Debug, Clone)]
pub(super) struct Confirmed {
    pub(super) message: String,
    pub(super) read: bool,
    /// Whether that was answered.
    pub(super) answered: bool,
}

/// What happened how often, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(pub(super) BTreeMap<&'static str, u64>);

impl Counts {
    pub(super) fn add(&mut self, what: &'static str, count: usize) {
        *self.0.entry(what).or_default() += count as u64;
    }

    pub(super) fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }
}

/// All that one client heard and did.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub(super) user: String,
    pub(super) stays: Vec<Stay>,
    pub(super) sent: Vec<Sent>,
    pub(super) confirmed: Vec<Confirmed>,
    pub(super) counts: Counts,
    /// What cannot be, as it was noticed.
    pub(super) faults: Vec<String>,
}

/// Who got and who read a message.
#[derive(Debug, Clone, Default)]
pub(super) struct Receipts {
    pub(super) delivered: BTreeSet<String>,
    pub(super) read: BTreeSet<String>,
}

/// What the hub kept: of each chat the messages in their order, as id and content, and the receipts of each message.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    pub(super) chats: Vec<Vec<(String, String)>>,
    pub(super) receipts: HashMap<String, Receipts>,
}

/// When a message was sent, and when that was answered.
#[derive(Debug, Clone, Copy)]
struct Times {
    sent: Instant,
    answered: Option<Instant>,
}

/// The comparison.
pub(super) struct Audit<'a> {
    kept: &'a Kept,
    /// Of each message its chat and place there.
    places: HashMap<&'a str, (usize, usize)>,
    /// Of each place of each chat; none where a client does not know that it sent that.
    times: Vec<Vec<Option<Times>>>,
    pub(super) counts: Counts,
    pub(super) faults: Vec<String>,
}

impl<'a> Audit<'a> {
    /// Compares.
    pub(super) fn of(kept: &'a Kept, records: &'a [Record]) -> Self {
        let mut places = HashMap::new();
        let (mut counts, mut faults) = (Counts::default(), Vec::new());
        for (chat, messages) in kept.chats.iter().enumerate() {
            for (place, (id, _)) in messages.iter().enumerate() {
                if places.insert(id.as_str(), (chat, place)).is_some() {
                    faults.push(format!("{id} is kept twice"));
                }
            }
            counts.add("messages kept", messages.len());
        }
        let times = kept.chats.iter().map(|messages| vec![None; messages.len()]).collect();
        let mut audit = Self { kept, places, times, counts, faults };
        audit.sent(records);
        audit.receipts(records);
        for record in records {
            for (what, count) in &record.counts.0 {
                audit.counts.add(what, *count as usize);
            }
            for stay in &record.stays {
                audit.stay(&record.user, stay);
            }
            audit.faults.extend(record.faults.iter().map(|fault| format!("{}: {fault}", record.user)));
        }
        audit
    }

    fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// Every message that was answered is kept, and none that nobody sent.
    fn sent(&mut self, records: &'a [Record]) {
        let mut unanswered: HashMap<(usize, &str), Instant> = HashMap::new();
        for sent in records.iter().flat_map(|record| &record.sent) {
            let Some((id, answered)) = &sent.answered else {
                unanswered.insert((sent.chat, &sent.content), sent.at);
                continue;
            };
            self.counts.add("messages answered", 1);
            match self.places.get(id.as_str()) {
                Some(&(chat, place)) if chat == sent.chat && self.kept.chats[chat][place].1 == sent.content => {
                    self.times[chat][place] = Some(Times { sent: sent.at, answered: Some(*answered) });
                }
                other => self.fault(format!("{} was answered, and is kept as {other:?}", sent.content)),
            }
        }
        let kept = self.kept;
        for (chat, messages) in kept.chats.iter().enumerate() {
            for (place, (id, content)) in messages.iter().enumerate() {
                if self.times[chat][place].is_some() {
                    continue;
                }
                match unanswered.remove(&(chat, content.as_str())) {
                    Some(sent) => {
                        self.times[chat][place] = Some(Times { sent, answered: None });
                        self.counts.add("messages kept whose sender was cut off before the answer", 1);
                    }
                    None => self.fault(format!("{id} ({content}) is kept, and nobody sent it")),
                }
            }
        }
        self.counts.add("messages not kept whose sender was cut off before the answer", unanswered.len());
    }

    /// Every receipt that was answered is kept, and none that nobody gave.
    fn receipts(&mut self, records: &'a [Record]) {
        let (mut sure, mut perhaps): (HashMap<&str, Receipts>, HashMap<&str, Receipts>) = Default::default();
        for record in records {
            for confirmed in &record.confirmed {
                let into = |receipts: &mut HashMap<&'a str, Receipts>| {
                    let receipts = receipts.entry(&confirmed.message).or_default();
                    receipts.delivered.insert(record.user.clone());
                    if confirmed.read {
                        receipts.read.insert(record.user.clone());
                    }
                };
                into(&mut perhaps);
                if confirmed.answered {
                    into(&mut sure);
                    self.counts.add("receipts answered", 1);
                } else {
                    self.counts.add("receipts without an answer", 1);
                }
            }
        }
        let none = Receipts::default();
        let kept = self.kept;
        for (id, _) in kept.chats.iter().flatten() {
            let kept = kept.receipts.get(id).unwrap_or(&none);
            let of = |receipts: &HashMap<&str, Receipts>| receipts.get(id.as_str()).unwrap_or(&none).clone();
            let (sure, perhaps) = (of(&sure), of(&perhaps));
            let agree = |kept: &BTreeSet<String>, sure: &BTreeSet<String>, perhaps: &BTreeSet<String>| {
                sure.is_subset(kept) && kept.is_subset(perhaps)
            };
            if !agree(&kept.delivered, &sure.delivered, &perhaps.delivered)
                || !agree(&kept.read, &sure.read, &perhaps.read)
            {
                self.fault(format!("the receipts of {id} are {kept:?}; {sure:?} were answered, {perhaps:?} given"));
            }
            self.counts.add("receipts kept: delivered", kept.delivered.len());
            self.counts.add("receipts kept: read", kept.read.len());
        }
    }

    /// A client heard every message of its time in a chat once, in the chat's order.
    fn stay(&mut self, user: &str, stay: &'a Stay) {
        self.counts.add("stays in chats", 1);
        let whose = format!("{user} in chat {}", stay.chat);
        let mut next = match &stay.anchor {
            // It may be one of those that came live right after the join.
            Some(anchor) if !stay.stretches[0].ids.contains(anchor) => match self.places.get(anchor.as_str()) {
                Some(&(_, place)) => Some(place + 1),
                None => return self.fault(format!("{whose}: {anchor} was read and is not kept")),
            },
            Some(_) => None,
            None => Some(0),
        };
        let mut first = next;
        let mut gaps: Vec<Gap> = Vec::new();
        for stretch in &stay.stretches {
            gaps.push(stretch.gap);
            for id in &stretch.ids {
                let Some(&(chat, place)) = self.places.get(id.as_str()) else {
                    self.fault(format!("{whose}: {id} came and is not kept"));
                    continue;
                };
                let expected = next.unwrap_or(place);
                first.get_or_insert(place);
                if chat != stay.chat || place < expected {
                    let how = stretch.how;
                    self.fault(format!(
                        "{whose}: {id} came again, late or in a wrong chat ({how:?}, {place} < {expected})"
                    ));
                    continue;
                }
                self.missing(&whose, stay, expected..place, &gaps);
                gaps.clear();
                self.counts.add(if stretch.how == How::Live { "heard live" } else { "heard queued" }, 1);
                next = Some(place + 1);
            }
        }
        self.edges(&whose, stay, first, next, &gaps);
    }

    /// What is missing between two messages that came: it must have been read, and there must be a reason.
    fn missing(&mut self, whose: &str, stay: &Stay, places: std::ops::Range<usize>, gaps: &[Gap]) {
        let away = gaps.contains(&Gap::Away);
        let cut = gaps.iter().filter_map(|gap| if let Gap::Cut(at) = gap { Some(*at) } else { None }).max();
        for place in places {
            let (id, content) = &self.kept.chats[stay.chat][place];
            let what = format!("{whose}: {id} ({content}, {place})");
            if !away && cut.is_none() {
                self.fault(format!("{what} is missing without a reason"));
            } else if !stay.read.contains(id) {
                self.fault(format!("{what} is missing, and was not read either"));
            } else if away {
                self.counts.add("read that was said while away", 1);
            } else {
                self.counts.add("read that was on its way when the connection was cut", 1);
                let sent = self.times[stay.chat][place].map(|times| times.sent);
                if let (Some(sent), Some(cut)) = (sent, cut)
                    && sent > cut + NOTICED
                {
                    self.fault(format!("{what} was lost, though it was said {:?} after the cut", sent - cut));
                }
            }
        }
    }

    /// Nothing is missing before the first and after the last message of a stay.
    fn edges(&mut self, whose: &str, stay: &Stay, first: Option<usize>, next: Option<usize>, gaps: &[Gap]) {
        let messages = self.kept.chats[stay.chat].len();
        let (first, next) = (first.unwrap_or(messages), next.unwrap_or(messages));
        for place in 0..first {
            if self.times[stay.chat][place].is_some_and(|times| times.sent > stay.joined_at) {
                self.fault(format!("{whose}: place {place} was said after the join, and did not come"));
            }
        }
        // What was lost with the connection that a stay ended with would have been read had it gone on.
        if gaps.iter().any(|gap| *gap != Gap::None) {
            return;
        }
        for place in next..messages {
            let before_leaving = |answered: Instant| stay.left_at.is_none_or(|left_at| answered < left_at);
            let times = self.times[stay.chat][place];
            if times.and_then(|times| times.answered).is_some_and(before_leaving) {
                self.fault(format!("{whose}: place {place} was answered before it left, and did not come"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chat of so many messages, which were sent and answered a second apart from each other.
    fn chat(messages: usize, start: Instant) -> (Kept, Record) {
        let kept = Kept {
            chats: vec![(0..messages).map(|n| (format!("m{n}"), format!("text {n}"))).collect()],
            ..Kept::default()
        };
        let sent = |n: usize| {
            let at = start + Duration::from_secs(n as u64);
            let answered = Some((format!("m{n}"), at + Duration::from_millis(500)));
            Sent { chat: 0, content: format!("text {n}"), at, answered }
        };
        let record = Record { user: "sender".into(), sent: (0..messages).map(sent).collect(), ..Record::default() };
        (kept, record)
    }

    fn ids(of: &[usize]) -> Vec<String> {
        of.iter().map(|n| format!("m{n}")).collect()
    }

    /// The faults of one who joined before all, and heard these one after the other.
    fn faults(start: Instant, stretches: Vec<Stretch>, read: &[usize]) -> usize {
        let (kept, sender) = chat(6, start);
        let mut stay = Stay::new(0, start - Duration::from_secs(1));
        stay.stretches = stretches;
        stay.read = ids(read).into_iter().collect();
        let listener = Record { user: "listener".into(), stays: vec![stay], ..Record::default() };
        Audit::of(&kept, &[sender, listener]).faults.len()
    }

    fn live(gap: Gap, of: &[usize]) -> Stretch {
        Stretch { gap, how: How::Live, ids: ids(of) }
    }

    #[test]
    fn what_is_missing_what_came_twice_and_what_came_late_is_noticed() {
        let start = Instant::now();
        let once = |of: &[usize]| faults(start, vec![live(Gap::None, of)], &[]);
        assert_eq!(once(&[0, 1, 2, 3, 4, 5]), 0);
        assert_eq!(once(&[0, 1, 2, 4, 5]), 1, "one is missing");
        assert_eq!(once(&[0, 1, 2, 2, 3, 4, 5]), 1, "one came twice");
        assert_eq!(once(&[0, 1, 3, 2, 4, 5]), 2, "one came late, and was missing before");
        assert_eq!(once(&[1, 2, 3, 4, 5]), 1, "the first is missing");
        assert_eq!(once(&[0, 1, 2, 3, 4]), 1, "the last is missing");
        assert_eq!(once(&[]), 6);
        let foreign = Stretch { gap: Gap::None, how: How::Live, ids: vec!["other".into()] };
        assert_eq!(faults(start, vec![live(Gap::None, &[0, 1, 2, 3, 4, 5]), foreign], &[]), 1);
    }

    #[test]
    fn what_was_on_its_way_may_be_missing_where_it_was_read_and_not_long_after_the_cut() {
        let start = Instant::now();
        let cut = Gap::Cut(start + Duration::from_secs(1));
        let stretches = |gap: Gap, then: &[usize]| vec![live(Gap::None, &[0, 1]), live(gap, then)];
        assert_eq!(faults(start, stretches(cut, &[4, 5]), &[2, 3]), 0);
        assert_eq!(faults(start, stretches(cut, &[4, 5]), &[2]), 1, "one was not read");
        assert_eq!(faults(start, stretches(cut, &[5]), &[2, 3, 4]), 1, "one was said long after");
        assert_eq!(faults(start, stretches(Gap::Away, &[5]), &[2, 3, 4]), 0);
        assert_eq!(faults(start, stretches(Gap::None, &[4, 5]), &[2, 3]), 2, "there was no cut");
        assert_eq!(faults(start, stretches(cut, &[1, 2, 3, 4, 5]), &[]), 1, "one came again");
    }

    #[test]
    fn messages_and_receipts_that_are_not_as_they_were_answered_are_noticed() {
        let start = Instant::now();
        let (mut kept, mut sender) = chat(2, start);
        sender.confirmed.push(Confirmed { message: "m0".into(), read: true, answered: true });
        sender.confirmed.push(Confirmed { message: "m1".into(), read: false, answered: false });
        let user = || BTreeSet::from(["sender".to_owned()]);
        let both = Receipts { delivered: user(), read: user() };
        let audit = |kept: &Kept, sender: &Record| Audit::of(kept, std::slice::from_ref(sender)).faults.len();
        assert_eq!(audit(&kept, &sender), 1, "the receipt was answered, and is not kept");
        kept.receipts.insert("m0".into(), both.clone());
        assert_eq!(audit(&kept, &sender), 0);
        kept.receipts.insert("m1".into(), Receipts { delivered: user(), read: BTreeSet::new() });
        assert_eq!(audit(&kept, &sender), 0, "it may be kept that was not answered");
        kept.receipts.insert("m1".into(), both);
        assert_eq!(audit(&kept, &sender), 1, "nobody read that");
        kept.receipts.remove("m1");
        kept.chats[0].pop();
        assert_eq!(audit(&kept, &sender), 1, "it was answered, and is not kept");
        kept.chats[0].push(("m9".into(), "unsaid".into()));
        assert_eq!(audit(&kept, &sender), 2, "and nobody sent the other");
    }
}
