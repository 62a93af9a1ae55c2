//! Records a refusal: one line in the log, the counters, and an event for `monitoring:events`.

use super::Hub;
use crate::events::chat::monitoring::{AskEvents, ConnectionEvent};
use crate::facts::{ConnectionRefused, Fact};
use crate::model::client::Peer;
use crate::model::fault::Fault;
use crate::model::ids::UserId;
use crate::monitor::event_log::Viewer;
use crate::monitor::{FindEvents, kind_of_connection};
use crate::refusal_log::counts::{Reason, RefusedAt};
use crate::refusal_log::{Refusal, RefusalLog};

impl Hub {
    /// The log of refusals.
    pub fn refusal_log(&self) -> &RefusalLog {
        &self.refusal_log
    }

    /// Logs a refusal.
    pub fn log_refusal(&self, refusal: &Refusal<'_>) {
        self.refusal_log.log(refusal);
    }

    /// Counts a refused connection, and reports it when its client caused the refusal.
    pub fn note_refused(&self, at: RefusedAt, peer: &Peer, fault: &Fault) {
        let code = fault.code;
        self.stats.connections_refused.count(at, Reason::of(code));
        // A flood of refusals for a reason of the hub must not fill the monitor's mailbox.
        if kind_of_connection(code).is_some() {
            let user = fault.user().and_then(|user| UserId::parse(user, "user").ok());
            let refused = ConnectionRefused { surface: at.as_str(), peer: peer.clone(), user, code };
            self.observe(Fact::ConnectionRefused(&refused));
        }
    }

    /// All recent connection events, for administrators.
    ///
    /// # Errors
    /// [`Code::Overloaded`](crate::model::fault::Code::Overloaded) when the queue is full.
    pub async fn connection_events(&self, ask: AskEvents) -> Result<Vec<ConnectionEvent>, Fault> {
        let events = self.monitor.ask(|reply| FindEvents { ask, viewer: Viewer::Operator, reply });
        events.inspect_err(|fault| self.count(fault))?.await
    }
}
