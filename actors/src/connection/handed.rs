//! Recent publications of one event on a connection, pure: their frames may not be written yet. They can be taken back
//! from a dead connection until they are written.

use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use ahash::AHashMap;
use bytes::Bytes;

use crate::connection::outbox::Frame;
use crate::connection::retained::Retained;

/// The publications, in order, each with its frame. Older publications have only their frame.
#[derive(Debug)]
pub struct Handed {
    most: usize,
    deliveries: VecDeque<(Weak<Bytes>, Option<Rc<Retained>>)>,
}

/// Unwritten publications.
#[derive(Debug, Default)]
pub struct TakenBack {
    /// The newest ones.
    pub deliveries: Vec<Rc<Retained>>,
    /// The number of older ones.
    pub dropped: u64,
}

impl Handed {
    /// An empty list of at most `most` publications with data.
    pub fn new(most: usize) -> Self {
        Self { most, deliveries: VecDeque::new() }
    }

    /// Adds a publication; without its copy it cannot be taken back. Entries with released frames were written, and are
    /// dropped.
    pub fn add(&mut self, frame: &Frame, delivery: Option<Rc<Retained>>) {
        while self.deliveries.front().is_some_and(|(frame, _)| frame.strong_count() == 0) {
            self.deliveries.pop_front();
        }
        self.deliveries.push_back((Rc::downgrade(frame), delivery));
        let too_old = self.deliveries.len().checked_sub(self.most + 1);
        if let Some((_, delivery)) = too_old.and_then(|place| self.deliveries.get_mut(place)) {
            *delivery = None;
        }
    }

    /// Drops all data to free memory. No publication can be taken back after that.
    pub fn give_up(&mut self) {
        self.deliveries.iter_mut().for_each(|(_, delivery)| *delivery = None);
    }

    /// Takes back unwritten publications. `recall` calls its argument with every unwritten frame, and drops the frame
    /// if the result is `true`.
    pub fn take_back(self, recall: impl FnOnce(&mut dyn FnMut(&Frame) -> bool)) -> TakenBack {
        let places = self.deliveries.iter().enumerate().map(|(place, (frame, _))| (frame.as_ptr(), place));
        let places: AHashMap<*const Bytes, usize> = places.collect();
        let mut is_back = vec![false; self.deliveries.len()];
        recall(&mut |frame| match places.get(&Rc::as_ptr(frame)).and_then(|&place| is_back.get_mut(place)) {
            Some(is_back) => {
                *is_back = true;
                true
            }
            None => false,
        });
        let mut taken_back = TakenBack::default();
        for ((_, delivery), _) in self.deliveries.into_iter().zip(is_back).filter(|(_, is_back)| *is_back) {
            match delivery {
                Some(delivery) => taken_back.deliveries.push(delivery),
                None => taken_back.dropped += 1,
            }
        }
        taken_back
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connection::retained::Ledger;
    use crate::connection::retained::tests::retained;
    use crate::runtime::counters::Stats;

    fn hand(handed: &mut Handed, text: &'static str) -> Frame {
        let ledger = Ledger::new(1_000, Arc::new(Stats::default()));
        let frame = Rc::new(Bytes::from_static(b"frame"));
        handed.add(&frame, Some(retained(&ledger, 0, text)));
        frame
    }

    fn taken_back(handed: Handed, unwritten: &[&Frame]) -> (Vec<String>, u64) {
        let back = handed.take_back(|wants| {
            for frame in unwritten {
                wants(frame);
            }
        });
        let text = |delivery: &Rc<Retained>| String::from_utf8_lossy(&delivery.bytes).into_owned();
        (back.deliveries.iter().map(text).collect(), back.dropped)
    }

    fn texts(of: &[&str]) -> Vec<String> {
        of.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn unwritten_publications_are_taken_back_in_order() {
        let mut handed = Handed::new(9);
        let [one, two, three] = ["1", "2", "3"].map(|text| hand(&mut handed, text));
        let other = Rc::new(Bytes::from_static(b"frame"));
        assert_eq!(taken_back(handed, &[&three, &other, &two]), (texts(&["2", "3"]), 0));
        drop(one);
    }

    #[test]
    fn written_publications_are_dropped_and_excess_ones_are_counted() {
        let mut handed = Handed::new(2);
        drop(hand(&mut handed, "1"));
        let two = hand(&mut handed, "2");
        assert_eq!(handed.deliveries.len(), 1, "the first was written");
        let (three, four) = (hand(&mut handed, "3"), hand(&mut handed, "4"));
        assert_eq!(taken_back(handed, &[&two, &three, &four]), (texts(&["3", "4"]), 1));
    }
}
