//! The commands of the push API: what each one does in the hub, its response and its line in the audit log.
//!
//! [`super::push`] reads a command from a request.

use bytes::Bytes;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::hub::{PendingStore, PublishTarget};
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::ids::{EventName, IdText, UserId};
use hubbub_actors::notifications::Notification;
use log::Level;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::audit::{self, AuditEntry};
use super::call::Call;
use crate::auth::scope::Scope;
use crate::openapi::True;
use crate::state::SharedState;

/// The command of one request, or one command of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PushCommand {
    /// Send an event.
    Publish(PublishTarget, EventName, Bytes),
    /// Send a notification to a user, and store it.
    Notify(UserId, Notification),
    /// Close a user's sessions.
    Disconnect(UserId),
}

impl PushCommand {
    /// Executes the command and logs it for `call`; `item` is its index in a batch. The result may still have to reach the
    /// disk, but later commands need not wait for that.
    ///
    /// # Errors
    /// As [`hubbub_actors::hub::Hub::notify`].
    pub(super) async fn execute(
        self,
        state: &SharedState,
        call: &Call,
        item: Option<usize>,
    ) -> Result<ExecutedCommand, Fault> {
        let entry = self.audit_entry();
        let (recipients, stored) = match self {
            Self::Publish(target, event, data) => (state.hub.publish(target, event, data).await?.recipients, None),
            Self::Notify(user, notification) => {
                let id = notification.written_id();
                let (published, safe) = state.hub.notify(user, notification).await?;
                (published.recipients, Some((id, safe)))
            }
            Self::Disconnect(user) => (state.hub.disconnect(&user).await?, None),
        };
        if let Some(entry) = entry {
            entry.log(call, item, recipients);
        }
        Ok(ExecutedCommand { recipients, stored })
    }

    /// The scope that it needs.
    pub(super) fn scope(&self) -> Scope {
        match self {
            Self::Publish(..) | Self::Notify(..) => Scope::Push,
            Self::Disconnect(_) => Scope::Sessions,
        }
    }

    /// The line for the audit log; `None` if its level is not logged.
    fn audit_entry(&self) -> Option<AuditEntry> {
        let level = if matches!(self, Self::Disconnect(_)) { Level::Info } else { Level::Debug };
        if !audit::is_logged(level) {
            return None;
        }
        let (what, event, to) = match self {
            Self::Publish(target, event, _) => {
                let to = match target {
                    PublishTarget::Everybody => None,
                    PublishTarget::User(user) => Some(("user", user.to_string())),
                    PublishTarget::Room(room) => Some(("room", room.to_string())),
                };
                ("event pushed", Some(event.as_str().to_owned()), to)
            }
            Self::Notify(user, _) => ("notification pushed", None, Some(("user", user.to_string()))),
            Self::Disconnect(user) => ("user disconnected", None, Some(("user", user.to_string()))),
        };
        Some(AuditEntry { level, what, event, to })
    }
}

/// The response to a command.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommandReply {
    /// `true`.
    success: True,
    /// The sessions that the event was sent to; in a batch also those that a `disconnect` closed.
    recipients: usize,
    /// Whether there was any.
    delivered: bool,
    /// The time of the response.
    timestamp: Iso,
    /// The id of a stored notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IdText>")]
    notification_id: Option<Box<RawValue>>,
}

/// The response to a disconnect.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DisconnectReply {
    /// `true`.
    success: True,
    /// The sessions that were closed.
    recipients: usize,
    /// Whether there was any.
    delivered: bool,
    /// The time of the response.
    timestamp: Iso,
}

impl From<CommandReply> for DisconnectReply {
    fn from(CommandReply { success, recipients, delivered, timestamp, .. }: CommandReply) -> Self {
        Self { success, recipients, delivered, timestamp }
    }
}

/// An executed command. A notification may not be on disk yet.
pub(super) struct ExecutedCommand {
    recipients: usize,
    stored: Option<(Box<RawValue>, PendingStore)>,
}

impl ExecutedCommand {
    /// The response, once a notification is on disk.
    ///
    /// # Errors
    /// [`hubbub_actors::model::fault::Code::StoreUnavailable`].
    pub(super) async fn answer(self, state: &SharedState) -> Result<CommandReply, Fault> {
        let Self { recipients, stored } = self;
        let notification_id = match stored {
            Some((id, safe)) => safe.await.map(|()| Some(id))?,
            None => None,
        };
        let timestamp = Iso(state.now_ms());
        Ok(CommandReply { success: True, recipients, delivered: recipients > 0, timestamp, notification_id })
    }
}
