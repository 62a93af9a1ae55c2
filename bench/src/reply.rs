//! Every connection asks, waits for the answer, and asks again.

use std::time::Instant;

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
    askers: Vec<Asker>,
    stopping: bool,
    answered: u64,
    latency: Histogram,
}

impl Questions {
    pub(crate) fn new(connections: usize) -> Self {
        let asker = || Asker { asked: 0, asked_at: Instant::now(), waits: false };
        let askers = std::iter::repeat_with(asker).take(connections).collect();
        Self { askers, stopping: false, answered: 0, latency: Histogram::new() }
    }
}

impl Asker {
    fn ask(&mut self, who: usize, now: Instant, mail: &mut Mail) {
        self.asked += 1;
        self.asked_at = now;
        self.waits = true;
        mail.text(who, format!(r#"{{"type":"Ping","data":{{"timestamp":{}}}}}"#, self.asked).as_bytes());
    }
}

impl Driver for Questions {
    fn message(&mut self, who: usize, text: &[u8], now: Instant, mail: &mut Mail) -> Result<(), String> {
        let wrong = || format!("connection {who}: not the answer that was due: {}", String::from_utf8_lossy(text));
        let asker = self.askers.get_mut(who).ok_or_else(wrong)?;
        let due = format!(r#"{{"type":"Pong","data":{{"timestamp":{}}},"#, asker.asked);
        if !asker.waits || !text.starts_with(due.as_bytes()) {
            return Err(wrong());
        }
        asker.waits = false;
        self.answered += 1;
        self.latency.record(now.saturating_duration_since(asker.asked_at));
        if !self.stopping {
            asker.ask(who, now, mail);
        }
        Ok(())
    }
}

impl Load for Questions {
    fn start(&mut self, now: Instant, mail: &mut Mail) {
        for (who, asker) in self.askers.iter_mut().enumerate() {
            asker.ask(who, now, mail);
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
