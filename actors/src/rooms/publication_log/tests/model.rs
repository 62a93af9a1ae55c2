//! The log against a simple model, in random sequences of calls. The model remembers all messages since a room is
//! watched, and all publications that are kept. Of each room it has the sequence up to which publications are gone.

use ahash::AHashMap;

use super::*;

const ROOMS: [&str; 5] = ["a", "b", "c", "d", "e"];
const WATCHERS: [Watcher; 2] = [Watcher::Session, Watcher::Record];
const EVENTS: [&str; 2] = ["typing", "stopped"];
/// Most publications that a worker has not read: so that one append can evict all that is due.
const LAG: u64 = 20;
const WINDOW_MS: i64 = 100;
const STEPS: usize = 500;

/// Repeatable random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// A number from `low` to `high`.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below((high - low) as usize + 1) as u64
    }
}

/// A publication of the run, kept or not.
#[derive(Clone)]
struct Published {
    sequence: u64,
    room: &'static str,
    event: &'static str,
    kind: EntryKind,
    except: Option<SessionId>,
    bytes: usize,
    elapsed: i64,
}

/// A room with watchers.
#[derive(Default)]
struct ModelRoom {
    /// What was published up to here was never counted.
    begun: u64,
    /// What was published up to here is gone.
    evicted: u64,
    sessions: u32,
    records: u32,
    /// The messages that all records have.
    received: u64,
}

impl ModelRoom {
    fn watchers(&mut self, watcher: Watcher) -> &mut u32 {
        match watcher {
            Watcher::Session => &mut self.sessions,
            Watcher::Record => &mut self.records,
        }
    }
}

struct Model {
    limits: LogLimits,
    published: Vec<Published>,
    rooms: AHashMap<&'static str, ModelRoom>,
    /// The last sequence.
    head: u64,
    read: u64,
    evicted: u64,
}

impl Model {
    /// The kept publications, oldest first.
    fn kept(&self) -> impl DoubleEndedIterator<Item = &Published> {
        let is_kept = |one: &&Published| {
            let evicted = self.rooms.get(one.room).map_or(u64::MAX, |room| room.evicted);
            one.sequence > evicted && one.sequence <= self.head
        };
        self.published.iter().filter(is_kept)
    }

    fn kept_of(&self, name: &str) -> impl DoubleEndedIterator<Item = &Published> {
        self.kept().filter(move |one| one.room == name)
    }

    fn bytes(&self) -> usize {
        self.kept().map(|one| 512 + 2 * one.bytes).sum()
    }

    fn remove(&mut self, name: &str, sequence: u64) {
        self.rooms.get_mut(name).unwrap().evicted = sequence;
    }

    /// Forgets what nothing asks for: without it, a long run is slow.
    fn prune(&mut self) {
        let rooms = &self.rooms;
        self.published.retain(|one| {
            rooms.get(one.room).is_some_and(|room| one.sequence > room.evicted || one.kind == EntryKind::Message)
        });
    }

    /// Evicts what is beyond the bounds after a publication to a room.
    fn evict(&mut self, name: &str, read: u64) {
        loop {
            let bytes: usize = self.kept_of(name).map(|one| one.bytes).sum();
            let is_over = self.kept_of(name).count() > self.limits.publications || bytes > self.limits.room_bytes;
            let oldest = self.kept_of(name).next().filter(|one| is_over && one.sequence <= read).cloned();
            let Some(oldest) = oldest else { break };
            self.remove(name, oldest.sequence);
            self.evicted += 1;
        }
        while self.evict_oldest(read) {}
    }

    fn evict_oldest(&mut self, read: u64) -> bool {
        let is_over = self.bytes() > self.limits.bytes;
        let oldest = self.kept().next().filter(|one| is_over && one.sequence <= read).cloned();
        self.evicted += u64::from(oldest.is_some());
        oldest.inspect(|oldest| self.remove(oldest.room, oldest.sequence)).is_some()
    }

    fn expire_oldest(&mut self, elapsed: i64) -> bool {
        let expired = self.kept().next().filter(|one| one.elapsed + self.limits.window_ms <= elapsed).cloned();
        expired.inspect(|one| self.remove(one.room, one.sequence)).is_some()
    }

    /// The messages of a room after `begun`, up to and including `until`.
    fn messages(&self, name: &str, until: u64) -> u64 {
        let Some(room) = self.rooms.get(name) else { return 0 };
        let is_counted = |one: &&Published| {
            one.room == name && one.kind == EntryKind::Message && one.sequence > room.begun && one.sequence <= until
        };
        self.published.iter().filter(is_counted).count() as u64
    }

    /// Messages that are kept and that a record may miss.
    fn queued(&self) -> usize {
        let is_queued = |one: &&Published| {
            let room = &self.rooms[one.room];
            let is_message = one.kind == EntryKind::Message && room.records > 0;
            is_message && self.messages(one.room, one.sequence) > room.received
        };
        self.kept().filter(is_queued).count()
    }

    fn missed(&self, cursors: &[RoomCursor], session: SessionId, most: OutboxCapacity) -> Result<Vec<u64>, Lost> {
        for cursor in cursors {
            if self.rooms.get(cursor.room.as_str()).is_none_or(|room| room.evicted > cursor.sequence) {
                return Err(Lost);
            }
        }
        let is_after = |one: &&Published| {
            cursors.iter().any(|cursor| cursor.room.as_str() == one.room && one.sequence > cursor.sequence)
        };
        let after: Vec<_> = self.kept().filter(is_after).collect();
        let state = |one: &Published| (one.room, one.event, one.except);
        let is_replaced = |at: usize, one: &Published| {
            let mut later = after[at + 1..].iter().filter(|later| later.kind == EntryKind::State);
            one.kind == EntryKind::State && later.any(|later| state(later) == state(one))
        };
        let missed = after.iter().enumerate().filter(|&(at, one)| !is_replaced(at, one) && one.except != Some(session));
        let missed: Vec<_> = missed.map(|(_, one)| one).collect();
        let fits = missed.len() <= most.entries && missed.iter().map(|one| one.bytes).sum::<usize>() <= most.bytes;
        fits.then(|| missed.iter().map(|one| one.sequence).collect()).ok_or(Lost)
    }

    fn missed_messages(&self, ranges: &[(RoomCursor, u64)], most: OutboxCapacity) -> (Vec<u64>, u64) {
        let is_in = |one: &&Published| {
            let mut ranges = ranges.iter().filter(|(cursor, _)| cursor.room.as_str() == one.room);
            one.kind == EntryKind::Message
                && ranges.any(|(cursor, until)| one.sequence > cursor.sequence && one.sequence <= *until)
        };
        let total: u64 =
            ranges.iter().map(|(cursor, until)| self.messages(cursor.room.as_str(), *until) - cursor.messages).sum();
        let mut bytes = 0;
        let newest = self.kept().rev().filter(is_in).take(most.entries);
        let newest = newest.take_while(|one| {
            bytes += one.bytes;
            bytes <= most.bytes
        });
        let mut found: Vec<_> = newest.map(|one| one.sequence).collect();
        found.reverse();
        let dropped = total - found.len() as u64;
        (found, dropped)
    }
}

/// The log and its model, which receive the same calls.
struct Pair {
    log: PublicationLog,
    model: Model,
    random: Random,
    sessions: [SessionId; 3],
    elapsed: i64,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let limits = limits(&mut random);
        Self {
            log: PublicationLog::new(limits),
            model: Model { limits, published: Vec::new(), rooms: AHashMap::new(), head: 0, read: 0, evicted: 0 },
            random,
            sessions: [(); 3].map(|()| SessionId::random()),
            elapsed: 0,
        }
    }

    fn step(&mut self) {
        let name = self.random.pick(&ROOMS);
        let watcher = self.random.pick(&WATCHERS);
        match self.random.below(100) {
            0..10 => self.watch(name, watcher),
            10..18 => self.unwatch(name, watcher),
            18..22 => self.suspend(name),
            22..26 => self.recover(name),
            26..34 => self.elapsed += self.random.below(30) as i64,
            34..40 => self.sweep(),
            40 => self.set_limits(),
            41 => self.restart(),
            _ => self.append(name),
        }
    }

    fn watch(&mut self, name: &'static str, watcher: Watcher) {
        let head = self.model.head;
        self.log.watch(&room(name), watcher, head);
        let new = || ModelRoom { begun: head, evicted: head, ..ModelRoom::default() };
        let room = self.model.rooms.entry(name).or_insert_with(new);
        *room.watchers(watcher) += 1;
        if watcher == Watcher::Record {
            room.received = 0;
        }
    }

    fn unwatch(&mut self, name: &'static str, watcher: Watcher) {
        self.log.unwatch(&room(name), watcher);
        let Some(room) = self.model.rooms.get_mut(name) else { return };
        *room.watchers(watcher) = room.watchers(watcher).saturating_sub(1);
        if (room.sessions, room.records) == (0, 0) {
            self.model.rooms.remove(name);
        }
    }

    fn suspend(&mut self, name: &'static str) {
        let sequence = self.random.between(0, self.model.head + 1);
        let received = self.model.messages(name, sequence);
        self.log.suspend(&room(name), received);
        if let Some(room) = self.model.rooms.get_mut(name).filter(|room| room.sessions > 0) {
            room.received = if room.records == 0 { received } else { room.received.min(received) };
            (room.sessions, room.records) = (room.sessions - 1, room.records + 1);
        }
    }

    fn recover(&mut self, name: &'static str) {
        self.log.recover(&room(name));
        if let Some(room) = self.model.rooms.get_mut(name).filter(|room| room.records > 0) {
            (room.sessions, room.records) = (room.sessions + 1, room.records - 1);
        }
    }

    fn sweep(&mut self) {
        let most = self.random.below(6);
        let read = self.model.read;
        let is_more = self.log.sweep(self.elapsed, most);
        let is_done = (0..most).any(|_| !self.model.expire_oldest(self.elapsed) && !self.model.evict_oldest(read));
        let is_due = self.model.kept().next().is_some_and(|oldest| {
            let is_over = self.model.bytes() > self.model.limits.bytes && oldest.sequence <= read;
            is_over || oldest.elapsed + self.model.limits.window_ms <= self.elapsed
        });
        assert_eq!(is_more, is_due);
        assert!(!(is_done && is_due));
    }

    fn set_limits(&mut self) {
        self.model.limits = limits(&mut self.random);
        self.log.set_limits(self.model.limits);
    }

    fn append(&mut self, name: &'static str) {
        let random = &mut self.random;
        let kind = random.pick(&[EntryKind::Event, EntryKind::State, EntryKind::Message]);
        let except = random.pick(&[None, Some(0), Some(1), Some(2)]).map(|index: usize| self.sessions[index]);
        let bytes = if random.below(20) == 0 { 120 } else { random.below(20) };
        let (sequence, event) = (self.model.head + random.between(1, 2), random.pick(&EVENTS));
        let read = random.between(self.model.read.max(sequence.saturating_sub(LAG)), sequence);
        let publication = publication(sequence, event, bytes);
        self.log.append(Appended { room: room(name), publication, except, kind }, self.elapsed, read);
        let elapsed = self.elapsed;
        self.model.published.push(Published { sequence, room: name, event, kind, except, bytes, elapsed });
        (self.model.head, self.model.read) = (sequence, read);
        if self.model.rooms.contains_key(name) {
            self.model.evict(name, read);
        }
    }

    /// The log of the next run has what the records need.
    fn restart(&mut self) {
        self.take_evicted();
        let mut next = PublicationLog::new(self.model.limits);
        for (room, evicted, messages) in self.log.rooms_with_records() {
            next.restore_room(room.clone(), evicted, messages);
        }
        let mut kept: Vec<_> = self.log.kept_for_records().collect();
        kept.reverse();
        for (message, Kept { room, publication, except, kind, elapsed }) in kept {
            let appended = Appended { room: room.clone(), publication: publication.clone(), except, kind };
            next.restore(appended, message, elapsed);
        }
        let records: Vec<_> = self.model.rooms.iter().map(|(name, room)| (*name, room.records)).collect();
        for (name, _) in records.iter().filter(|(_, records)| *records > 1) {
            next.watch(&room(name), Watcher::Record, self.model.head);
        }
        next.drop_unwatched();
        self.log = next;
        self.model_restart();
    }

    /// Each room with two records or more gets one of them again, and the bounds apply to one entry after the other.
    fn model_restart(&mut self) {
        self.model.rooms.retain(|_, room| room.records > 0);
        let kept: Vec<_> = self.model.kept().cloned().collect();
        let head = self.model.head;
        for one in kept {
            self.model.head = one.sequence;
            self.model.evict(one.room, u64::MAX);
        }
        (self.model.head, self.model.read) = (head, 0);
        self.model.rooms.retain(|_, room| room.records > 1);
        self.model.rooms.values_mut().for_each(|room| (room.sessions, room.records, room.received) = (0, 1, 0));
    }

    fn take_evicted(&mut self) {
        assert_eq!(self.log.take_evicted(), std::mem::take(&mut self.model.evicted));
    }

    /// Checks everything that can be asked.
    fn check(&mut self) {
        self.take_evicted();
        let kept: Vec<_> = self.log.chains.newest_first().map(|entry| entry.sequence).collect();
        assert_eq!(kept, self.model.kept().rev().map(|one| one.sequence).collect::<Vec<_>>());
        assert_eq!((self.log.len(), self.log.bytes()), (kept.len(), self.model.bytes()));
        assert_eq!(self.log.queued(), self.model.queued() as u64);
        let due = self.model.kept().next().map(|oldest| oldest.elapsed + self.model.limits.window_ms);
        assert_eq!(self.log.next_due(), due);
        for name in ROOMS {
            let (room, model) = (room(name), self.model.rooms.get(name));
            assert_eq!(self.log.is_watched(&room), model.is_some());
            assert_eq!(self.log.has_records(&room), model.is_some_and(|model| model.records > 0));
            let next = model.map_or(0, |_| self.model.messages(name, u64::MAX) + 1);
            assert_eq!(self.log.next_message(&room), next);
            let sequence = self.random.between(0, self.model.head + 1);
            let evicted = model.map_or(0, |model| model.evicted);
            assert_eq!(
                self.log.message_count(&room, sequence),
                self.model.messages(name, sequence.max(evicted)),
                "{name} up to {sequence}"
            );
        }
        self.check_replay();
    }

    fn check_replay(&mut self) {
        let most = OutboxCapacity { bytes: 40 + self.random.below(400), entries: 2 + self.random.below(40) };
        let (mut cursors, mut ranges) = (Vec::new(), Vec::new());
        for name in ROOMS {
            let head = self.model.head;
            let evicted = self.model.rooms.get(name).map_or(0, |room| room.evicted);
            // Often near the end of what is gone.
            let low = self.random.pick(&[evicted.saturating_sub(30), evicted.saturating_sub(1), evicted, evicted]);
            let sequence = self.random.between(low, head.max(low));
            let messages = self.model.messages(name, sequence);
            let cursor = RoomCursor { room: room(name), sequence, messages };
            let until = sequence.max(evicted);
            let until = [u64::MAX, self.random.between(until, head.max(until))][self.random.below(2)];
            if self.random.below(3) == 0 {
                cursors.push(cursor.clone());
                ranges.push((cursor, until));
            }
        }
        let session = self.random.pick(&self.sessions);
        let missed = self.log.missed(&cursors, session, most).map(|missed| sequences(&missed));
        assert_eq!(missed, self.model.missed(&cursors, session, most), "{cursors:?} {most:?}");
        let (missed, dropped) = self.log.missed_messages(&ranges, most);
        assert_eq!((sequences(&missed), dropped), self.model.missed_messages(&ranges, most), "{ranges:?} {most:?}");
    }

    fn finish(mut self) {
        for name in ROOMS {
            for watcher in WATCHERS {
                while self.log.is_watched(&room(name)) && *self.model.rooms.get_mut(name).unwrap().watchers(watcher) > 0
                {
                    self.unwatch(name, watcher);
                }
            }
        }
        assert_eq!((self.log.len(), self.log.bytes(), self.log.queued(), self.log.next_due()), (0, 0, 0, None));
        assert_eq!(self.log.chains.room_count(), 0);
    }
}

fn limits(random: &mut Random) -> LogLimits {
    let publications = random.below(9);
    let (room_bytes, bytes) = (60 + random.below(60), 300 + random.below(9_000));
    LogLimits { publications, room_bytes, bytes, window_ms: random.pick(&[WINDOW_MS, 2 * WINDOW_MS]) }
}

#[test]
fn the_log_agrees_with_a_simple_model_in_any_sequence() {
    for seed in 1..=40_u64 {
        let mut pair = Pair::new(seed);
        for _ in 0..STEPS {
            pair.step();
            pair.check();
            pair.model.prune();
        }
        pair.finish();
    }
}
