//! The recovery events of the chat document, on `/chat` and `/ws`: a new session continues a session that lost its
//! connection.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Success;
use crate::events::json::Json;
use crate::events::timestamp::Iso;
use crate::events::{PrecedingEvent, ServerEvent, acknowledgements};
use crate::model::ids::{ChatId, RecoveryToken, SessionId, UserId};
use crate::model::surface::Surface;

const RECOVERED: &str = "Connection recovered successfully";

/// Requests a token that recovers the session after a lost connection. A session has one token at a time.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateSession {}

/// Recovers a session of the same user that lost its connection: joins its chats and returns the messages sent there
/// since.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recover {
    /// The token of that session. It is valid once.
    pub recovery_token: String,
}

/// Requests the state of the session.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskSession {}

/// Requests the hub's recovery metrics.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskRecoveryStats {}

/// Answers `connection:create-session`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedSession {
    #[serde(flatten)]
    success: Success,
    recovery_token: RecoveryToken,
    #[serde(skip)]
    expires_at: Iso,
}

impl CreatedSession {
    /// The reply with this token. If the session lost its connection now, the token would expire at `expires_at`.
    pub fn new(recovery_token: RecoveryToken, expires_at: i64) -> Self {
        Self { success: Success::DONE, recovery_token, expires_at: Iso(expires_at) }
    }
}

impl ServerEvent for CreatedSession {
    const NAME: &'static str = "";
    const ON: &'static [Surface] = &[];

    fn preceding_events(&self) -> Vec<PrecedingEvent> {
        vec![PrecedingEvent::of(&RecoveryTokenIssued {
            token: self.recovery_token.clone(),
            expires_at: self.expires_at,
        })]
    }
}

/// A recovery token and its earliest expiry. The hub extends the expiry while the session is connected.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryTokenIssued {
    token: RecoveryToken,
    expires_at: Iso,
}

/// The state of a session, as its client receives it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionState {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The session.
    #[schemars(with = "String")]
    pub socket_id: SessionId,
    /// When it connected; for a recovered session, when the first of the sessions that it continues connected.
    pub connected_at: Iso,
    /// When its client last sent a request.
    pub last_activity: Iso,
    /// The chats it is in.
    #[schemars(with = "Vec<String>")]
    pub rooms: Vec<ChatId>,
    /// Always empty: no message is queued for a connected session.
    pub message_queue: [(); 0],
    /// Its recovery token, if it requested one.
    pub recovery_token: Option<RecoveryToken>,
}

/// Answers `connection:recover`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecoveredSession {
    #[serde(flatten)]
    success: Success,
    session: SessionState,
    #[serde(skip)]
    queued: QueuedMessages,
}

impl RecoveredSession {
    /// The reply with the session, the missed messages, and the number of dropped messages.
    pub fn new(session: SessionState, messages: Vec<Json>, dropped: u64) -> Self {
        let queued = QueuedMessages { count: messages.len(), messages, dropped };
        Self { success: Success::with_message(RECOVERED), session, queued }
    }
}

impl ServerEvent for RecoveredSession {
    const NAME: &'static str = "";
    const ON: &'static [Surface] = &[];

    fn preceding_events(&self) -> Vec<PrecedingEvent> {
        let rooms = self.session.rooms.clone();
        let recovered = Recovered { message: RECOVERED, rooms, queued_messages: self.queued.count };
        let mut preceding_events = vec![PrecedingEvent::of(&recovered)];
        if self.queued.count > 0 || self.queued.dropped > 0 {
            preceding_events.push(PrecedingEvent::of(&self.queued));
        }
        preceding_events
    }
}

/// The session is recovered: its chats, and the number of missed messages.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recovered {
    message: &'static str,
    #[schemars(with = "Vec<String>")]
    rooms: Vec<ChatId>,
    queued_messages: usize,
}

/// The messages that the chats of a session received while it had no connection, in the form of `message:new`.
/// `dropped` is the number of older messages that exceeded the bound, if any.
#[derive(Debug, Serialize, JsonSchema)]
pub struct QueuedMessages {
    #[schemars(with = "Vec<crate::model::message::ChatMessage>")]
    messages: Vec<Json>,
    count: usize,
    #[serde(skip_serializing_if = "is_none")]
    #[schemars(with = "Option<u64>")]
    dropped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_none(dropped: &u64) -> bool {
    *dropped == 0
}

/// Answers `connection:session-info`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionInfo {
    #[serde(flatten)]
    success: Success,
    session_info: SessionState,
}

impl SessionInfo {
    /// The session.
    pub fn new(session_info: SessionState) -> Self {
        Self { success: Success::DONE, session_info }
    }
}

/// The hub's recovery metrics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryMetrics {
    /// Open sessions.
    pub active_sessions: u64,
    /// Valid tokens of open and of suspended sessions.
    pub recovery_tokens: usize,
    /// Messages buffered for suspended sessions.
    pub queued_messages: u64,
    /// The average age of the open sessions, in minutes.
    pub average_session_age: f64,
}

/// Answers `connection:stats`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecoveryStats {
    #[serde(flatten)]
    success: Success,
    stats: RecoveryMetrics,
}

impl RecoveryStats {
    /// The reply with these metrics.
    pub fn new(stats: RecoveryMetrics) -> Self {
        Self { success: Success::DONE, stats }
    }
}

acknowledgements!(SessionInfo, RecoveryStats);
