//! The mailboxes of the fan-outs, by worker.

use std::sync::OnceLock;

use super::Fanout;
use crate::runtime::mailbox::Mailbox;

/// One mailbox per worker, added when the worker starts.
#[derive(Debug)]
pub(crate) struct FanoutMailboxes(Box<[OnceLock<Mailbox<Fanout>>]>);

impl FanoutMailboxes {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| OnceLock::new()).collect())
    }

    pub(crate) fn get(&self, worker: usize) -> Option<&Mailbox<Fanout>> {
        self.0.get(worker)?.get()
    }

    /// Adds the mailbox of a worker; `false` when it has one already.
    pub(crate) fn add(&self, worker: usize, fanout: Mailbox<Fanout>) -> bool {
        self.0.get(worker).is_some_and(|slot| slot.set(fanout).is_ok())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mailbox<Fanout>> {
        self.0.iter().filter_map(OnceLock::get)
    }
}
