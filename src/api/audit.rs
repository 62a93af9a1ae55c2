//! Log lines about changes made over HTTP: the API key or user, the request id and the change. They contain no payload.

use hubbub_actors::hub::PublishTarget;
use hubbub_actors::runtime::log_line::{self, Field};
use log::Level;
use log::kv::Value;

use super::call::Call;
use super::push::PushCommand;

/// The target of the lines.
const TARGET: &str = "hubbub::audit";

/// Logs that `call` did `what`, with `fields`.
pub(super) fn log(level: Level, call: &Call, what: &str, fields: &[Field<'_>]) {
    if !log::log_enabled!(target: TARGET, level) {
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
    level: Level,
    what: &'static str,
    event: Option<String>,
    /// The kind of target, `user` or `room`, and its name.
    to: Option<(&'static str, String)>,
}

impl AuditEntry {
    /// The line for `command`; `None` if its level is not logged.
    pub(super) fn of(command: &PushCommand) -> Option<Self> {
        let level = if matches!(command, PushCommand::Disconnect(_)) { Level::Info } else { Level::Debug };
        if !log::log_enabled!(target: TARGET, level) {
            return None;
        }
        let (what, event, to) = match command {
            PushCommand::Publish(target, event, _) => {
                let to = match target {
                    PublishTarget::Everybody => None,
                    PublishTarget::User(user) => Some(("user", user.to_string())),
                    PublishTarget::Room(room) => Some(("room", room.to_string())),
                };
                ("event pushed", Some(event.as_str().to_owned()), to)
            }
            PushCommand::Notify(user, _) => ("notification pushed", None, Some(("user", user.to_string()))),
            PushCommand::Disconnect(user) => ("user disconnected", None, Some(("user", user.to_string()))),
        };
        Some(Self { level, what, event, to })
    }

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
