//! Counts requests against shared limits.

use super::Hub;
use crate::limits::concurrency::{ConcurrencyKey, ConcurrencySlot};
use crate::limits::fixed_window::{Decision, Rule};
use crate::limits::{Admit, LimitKey};
use crate::model::fault::Fault;
use crate::runtime::mailbox::ReplyReceiver;

impl Hub {
    /// Counts one event under `key` against `per_minute` (0: no limit).
    ///
    /// # Errors
    /// As [`Hub::admit_by`].
    pub async fn admit(&self, key: LimitKey, per_minute: u32) -> Result<(), Fault> {
        self.admit_by(key, Rule::a_minute(per_minute)).await
    }

    /// Counts one event under `key` against `rule`.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::RateLimited`] with the seconds to wait, [`crate::model::fault::Code::Overloaded`]
    /// when the queue is full.
    pub async fn admit_by(&self, key: LimitKey, rule: Rule) -> Result<(), Fault> {
        if rule.most == 0 {
            return Ok(());
        }
        let counted = key.clone();
        let decision = self.check_limit(key, rule).inspect_err(|fault| self.count(fault))?;
        match decision.await? {
            Decision::Within => Ok(()),
            Decision::Over(seconds) | Decision::Flood(seconds) => {
                self.stats.rate_limited.add(1);
                Err(Fault::rate_limited(seconds).by(counted.rule()))
            }
        }
    }

    /// As [`Hub::admit_by`], for a caller that applies and counts the decision itself.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when the queue is full.
    pub(crate) fn check_limit(&self, key: LimitKey, rule: Rule) -> Result<ReplyReceiver<Decision>, Fault> {
        self.limits.ask(|reply| Admit { key, rule, reply })
    }

    /// Takes one of `most` slots of `key` (0: no limit); dropping the slot frees it.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::LimitReached`] when all are in use.
    pub fn take_slot(&self, key: ConcurrencyKey, most: u32) -> Result<ConcurrencySlot, Fault> {
        self.concurrency.take(key, most)
    }
}
