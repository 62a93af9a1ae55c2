//! Sends facts about sessions to the monitor.

use std::sync::Arc;

use super::Monitor;
use crate::facts::{Fact, Observer};
use crate::runtime::counters::Stats;
use crate::runtime::mailbox::Mailbox;

/// Posts facts to the monitor. When its mailbox is full, a fact is dropped and counted.
#[derive(Debug)]
pub(crate) struct MonitorObserver {
    monitor: Mailbox<Monitor>,
    stats: Arc<Stats>,
}

impl MonitorObserver {
    pub(crate) fn new(monitor: Mailbox<Monitor>, stats: Arc<Stats>) -> Self {
        Self { monitor, stats }
    }
}

impl Observer for MonitorObserver {
    fn observe(&self, fact: Fact<'_>) {
        let is_posted = match fact {
            Fact::SessionOpened(opened) => self.monitor.post(opened.clone()).is_ok(),
            Fact::SessionClosed(closed) => self.monitor.post(closed.clone()).is_ok(),
            Fact::RequestRefused(refused) => self.monitor.post(refused.clone()).is_ok(),
            Fact::ConnectionRefused(refused) => self.monitor.post(refused.clone()).is_ok(),
            Fact::Joined { .. }
            | Fact::Left { .. }
            | Fact::Online(_)
            | Fact::Offline(_)
            | Fact::Published { .. }
            | Fact::ChatChanged { .. } => true,
        };
        if !is_posted {
            self.stats.observations_dropped.add(1);
        }
    }
}
