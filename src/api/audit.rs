//! Log lines about changes over HTTP: the API key or user, the request id and the change. They contain no payload.

use hubbub_actors::runtime::log_line::{self, Field};
use log::Level;
use log::kv::Value;

use super::call::Call;

/// The target of the lines.
const TARGET: &str = "hubbub::audit";

/// Whether lines of `level` are logged.
pub(super) fn is_logged(level: Level) -> bool {
    log::log_enabled!(target: TARGET, level)
}

/// Logs that `call` did `what`, with `fields`.
pub(super) fn log(level: Level, call: &Call, what: &str, fields: &[Field<'_>]) {
    if !is_logged(level) {
        return;
    }
    let address = call.address();
    let mut all = vec![("requestId", Value::from(call.id().as_str()))];
    all.extend(address.as_ref().map(|address| ("address", Value::from_display(address))));
    all.extend(call.key().map(|key| ("key", Value::from(key))));
    all.extend(call.user().map(|user| ("by", Value::from(user))));
    all.extend(fields.iter().cloned());
    log_line::write(level, TARGET, what, &all);
}

/// The log line of a command of the push API.
#[derive(Debug)]
pub(super) struct AuditEntry {
    pub(super) level: Level,
    pub(super) what: &'static str,
    /// The event that was pushed.
    pub(super) event: Option<String>,
    /// The kind of target, `user` or `room`, and its name.
    pub(super) to: Option<(&'static str, String)>,
}

impl AuditEntry {
    /// Logs that `call` executed the command; `item` is its index in a batch.
    pub(super) fn log(&self, call: &Call, item: Option<usize>, recipients: usize) {
        let mut fields = Vec::new();
        fields.extend(item.map(|item| ("item", Value::from(item as u64))));
        fields.extend(self.event.as_deref().map(|event| ("event", Value::from(event))));
        fields.extend(self.to.as_ref().map(|(name, to)| (*name, Value::from(to.as_str()))));
        fields.push(("recipients", Value::from(recipients as u64)));
        log(self.level, call, self.what, &fields);
    }
}
