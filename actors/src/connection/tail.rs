//! The publications that were sent to a session last, pure. A client that recovers its session names the last one that
//! it received, and gets the later ones.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::connection::outbox::OutboxCapacity;
use crate::connection::retained::Retained;

/// The last publications, in the order of writing.
#[derive(Debug)]
pub struct Tail {
    bound: OutboxCapacity,
    entries: VecDeque<Rc<Retained>>,
    /// Bytes in `entries`, each counted in full, even if other buffers share it.
    bytes: usize,
    /// Publications that wait for a reply, with its number.
    held: Vec<(u64, Rc<Retained>)>,
    /// The last publication that is no longer buffered.
    left: Option<u64>,
    /// How many of the first were written before the last pong.
    written_before_pong: usize,
    /// Whether the client has sent a pong.
    answered: bool,
    is_confirmed: bool,
}

impl Tail {
    /// An empty buffer. `last` is the last publication that the client received.
    pub fn behind(last: Option<u64>, bound: OutboxCapacity) -> Self {
        Self {
            bound,
            entries: VecDeque::new(),
            bytes: 0,
            held: Vec::new(),
            left: last,
            written_before_pong: 0,
            is_confirmed: false,
            answered: false,
        }
    }

    /// As [`Tail::behind`]. `is_confirmed`: the client is known to have received its first messages.
    pub fn of(last: Option<u64>, is_confirmed: bool, bound: OutboxCapacity) -> Self {
        Self { is_confirmed, answered: is_confirmed, ..Self::behind(last, bound) }
    }

    /// Adds publications before all that were written since the buffer began.
    pub fn resume(&mut self, sent: impl IntoIterator<Item = Rc<Retained>>) {
        let since = std::mem::take(&mut self.entries);
        self.bytes = 0;
        sent.into_iter().chain(since).for_each(|delivery| self.push(delivery));
    }

    /// Adds a sent publication. With `behind`, it is sent when that reply is [released](Tail::release).
    pub fn add(&mut self, delivery: Rc<Retained>, behind: Option<u64>) {
        match behind {
            Some(answer) => self.held.push((answer, delivery)),
            None => self.push(delivery),
        }
    }

    /// Records a sent publication that is not buffered. Drops the earlier ones, to leave no gap.
    pub fn pass_over(&mut self, number: u64) {
        self.give_up();
        self.left = Some(number);
    }

    fn push(&mut self, delivery: Rc<Retained>) {
        self.bytes += delivery.payload.len();
        self.entries.push_back(delivery);
        while self.entries.len() > self.bound.entries || self.bytes > self.bound.bytes {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(oldest) = self.entries.pop_front() {
            self.bytes -= oldest.payload.len();
            self.left = Some(oldest.number);
            self.written_before_pong = self.written_before_pong.saturating_sub(1);
        }
    }

    /// Releases the publications behind that reply.
    pub fn release(&mut self, reply: u64) {
        for (behind, delivery) in std::mem::take(&mut self.held) {
            if behind == reply {
                self.push(delivery);
            } else {
                self.held.push((behind, delivery));
            }
        }
    }

    /// Releases all waiting publications, because no reply follows.
    pub fn release_all(&mut self) {
        std::mem::take(&mut self.held).into_iter().for_each(|(_, delivery)| self.push(delivery));
    }

    /// Records a pong. Its ping was sent after the previous pong, and the client reads in order. So the client has
    /// received all that was written before the previous pong.
    pub fn confirm(&mut self) {
        for _ in 0..self.written_before_pong {
            self.pop();
        }
        self.written_before_pong = self.entries.len();
        self.is_confirmed = std::mem::replace(&mut self.answered, true);
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    /// Whether the client is known to have received its first messages.
    pub fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// Drops all written publications to free memory.
    pub fn give_up(&mut self) {
        while !self.entries.is_empty() {
            self.pop();
        }
        self.entries = VecDeque::new();
    }

    /// Buffers nothing from here on.
    pub fn keep_nothing(&mut self) {
        self.bound = OutboxCapacity { bytes: 0, entries: 0 };
    }

    /// Whether dropping the buffer frees memory: no other buffer shares one of its publications.
    pub fn frees(&self) -> bool {
        let held = self.held.iter().map(|(_, delivery)| delivery);
        self.entries.iter().chain(held).any(|delivery| Rc::strong_count(delivery) == 1)
    }

    /// The number of buffered publications.
    pub fn len(&self) -> usize {
        self.entries.len() + self.held.len()
    }

    /// Whether no publication is buffered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffered publications, in order, and the last one before them.
    pub fn into_parts(mut self) -> (Option<u64>, VecDeque<Rc<Retained>>) {
        self.release_all();
        (self.left, self.entries)
    }
}

/// The buffered publications after `last`. `left` is the last one that is no longer buffered. `None` when more may be
/// missing. `number` returns the number of a publication.
pub fn lacking<T>(
    last: Option<u64>,
    left: Option<u64>,
    mut kept: VecDeque<T>,
    number: impl Fn(&T) -> u64,
) -> Option<VecDeque<T>> {
    if last == left {
        return Some(kept);
    }
    let place = kept.iter().position(|delivery| Some(number(delivery)) == last)?;
    Some(kept.split_off(place + 1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connection::retained::Ledger;
    use crate::connection::retained::tests::retained;
    use crate::runtime::counters::Stats;

    fn tail(entries: usize, numbers: std::ops::RangeInclusive<u64>) -> (Rc<Ledger>, Tail) {
        let ledger = Ledger::new(1_000, Arc::new(Stats::default()));
        let mut tail = Tail::behind(None, OutboxCapacity { bytes: 20, entries });
        numbers.for_each(|number| tail.add(retained(&ledger, number, "x"), None));
        (ledger, tail)
    }

    fn lacks(tail: Tail, last: Option<u64>) -> Option<Vec<u64>> {
        let (left, kept) = tail.into_parts();
        let lacking = lacking(last, left, kept, |delivery| delivery.number);
        lacking.map(|lacking| lacking.iter().map(|delivery| delivery.number).collect())
    }

    #[test]
    fn a_client_lacks_the_publications_after_the_last_that_it_received() {
        assert_eq!(lacks(tail(9, 1..=3).1, None), Some(vec![1, 2, 3]));
        assert_eq!(lacks(tail(9, 1..=3).1, Some(1)), Some(vec![2, 3]));
        assert_eq!(lacks(tail(9, 1..=3).1, Some(3)), Some(vec![]));
        assert_eq!(lacks(tail(9, 1..=3).1, Some(7)), None, "7 was never sent");
    }

    #[test]
    fn publications_beyond_the_bound_are_reported_as_lost() {
        assert_eq!(lacks(tail(3, 1..=5).1, None), None);
        assert_eq!(lacks(tail(3, 1..=5).1, Some(1)), None);
        assert_eq!(
            lacks(tail(3, 1..=5).1, Some(2)),
            Some(vec![3, 4, 5]),
            "the last dropped publication is the last received one"
        );
        assert_eq!(lacks(tail(3, 1..=5).1, Some(4)), Some(vec![5]));
        let (ledger, mut tail) = tail(3, 1..=2);
        tail.give_up();
        tail.add(retained(&ledger, 3, "x"), None);
        assert_eq!(lacks(tail, Some(1)), None);
        let (ledger, mut tail) = self::tail(3, 1..=2);
        tail.give_up();
        tail.keep_nothing();
        tail.add(retained(&ledger, 3, "x"), None);
        assert_eq!((tail.len(), lacks(tail, Some(2))), (0, None));
        let (_, mut tail) = self::tail(3, 1..=2);
        tail.pass_over(3);
        assert_eq!((tail.len(), lacks(tail, Some(2))), (0, None));
        let (ledger, mut tail) = self::tail(9, 1..=2);
        tail.add(retained(&ledger, 3, "nineteen bytes more"), None);
        assert_eq!(lacks(tail, Some(2)), Some(vec![3]), "twenty bytes are kept");
    }

    #[test]
    fn a_pong_confirms_publications_written_before_the_previous_pong() {
        let (ledger, mut tail) = tail(9, 1..=2);
        tail.confirm();
        assert_eq!((tail.len(), tail.is_confirmed()), (2, false), "the ping may have been written before them");
        tail.add(retained(&ledger, 3, "x"), None);
        tail.confirm();
        assert_eq!((tail.len(), tail.is_confirmed()), (1, true));
        assert_eq!(lacks(tail, Some(2)), Some(vec![3]));
    }

    #[test]
    fn held_publications_stay_after_the_buffer_is_dropped() {
        let (ledger, mut tail) = tail(9, 1..=1);
        tail.add(retained(&ledger, 2, "x"), Some(7));
        tail.give_up();
        tail.add(retained(&ledger, 3, "x"), None);
        tail.release(7);
        assert_eq!(lacks(tail, Some(2)), Some(vec![]), "it was written last");
    }

    #[test]
    fn held_publications_follow_those_written_meanwhile() {
        let (ledger, mut tail) = tail(9, 1..=1);
        tail.add(retained(&ledger, 2, "x"), Some(7));
        tail.add(retained(&ledger, 3, "x"), Some(8));
        tail.add(retained(&ledger, 4, "x"), None);
        tail.release(7);
        tail.add(retained(&ledger, 5, "x"), None);
        assert_eq!(lacks(tail, Some(4)), Some(vec![2, 5, 3]));
    }
}
