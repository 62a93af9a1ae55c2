//! Every connection asks, waits for the answer, and asks again.

use std::time::Instant;

use crate::dialect::{Dialect, Heard, JOIN};
use crate::latency::Histogram;
use crate::load::Load;
use crate::swarm::{Driver, Mail};

#[derive(Debug)]
struct Asker {
    /// Questions asked.
    asked: u64,
    asked_at: Instant,
    waits: bool,
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Questions {
    dialect: Dialect,
    askers: Vec<Asker>,
    stopping: bool,
    answered: u64,
    latency: Histogram,
}

impl Questions {
    pub(crate) fn new(dialect: Dialect, connections: usize) -> Self {
        let asker = || Asker { asked: 0, asked_at: Instant::now(), waits: false };
        let askers = std::iter::repeat_with(asker).take(connections).collect();
        Self { dialect, askers, stopping: false, answered: 0, latency: Histogram::new() }
    }
}

impl Asker {
    fn ask(&mut self, who: usize, dialect: Dialect, now: Instant, mail: &mut Mail) {
        self.asked += 1;
        self.asked_at = now;
        self.waits = true;
        mail.text(who, dialect, dialect.ask(self.asked).as_bytes());
    }
}

impl Driver for Questions {
    fn message(&mut self, who: usize, heard: Heard<'_>, now: Instant, mail: &mut Mail) -> Result<(), String> {
        if matches!(heard, Heard::Answer(Some(JOIN), _)) {
            // What was asked twice at the start.
            return Ok(());
        }
        let wrong = || format!("not the answer that was due: {heard:?}");
        let asker = self.askers.get_mut(who).ok_or_else(wrong)?;
        if !asker.waits || !matches!(heard, Heard::Answer(Some(number), _) if number == asker.asked) {
            return Err(wrong());
        }
        asker.waits = false;
        self.answered += 1;
        self.latency.note(asker.asked_at, now);
        if !self.stopping {
            asker.ask(who, self.dialect, now, mail);
        }
        Ok(())
    }
}

impl Load for Questions {
    fn start(&mut self, now: Instant, mail: &mut Mail) {
        for (who, asker) in self.askers.iter_mut().enumerate() {
            asker.ask(who, self.dialect, now, mail);
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn is_settled(&self) -> bool {
        self.askers.iter().all(|asker| !asker.waits)
    }

    fn delivered(&self) -> u64 {
        self.answered
    }

    fn latency(&mut self) -> &mut Histogram {
        &mut self.latency
    }

    fn verify(&self) -> Result<(), String> {
        let asked: u64 = self.askers.iter().map(|asker| asker.asked).sum();
        if asked == self.answered { Ok(()) } else { Err(format!("{asked} questions, {} answers", self.answered)) }
    }
}
