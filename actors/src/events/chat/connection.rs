//! Connection recovery: how a session that was cut off goes on in another one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Success;
use crate::events::json::Json;
use crate::events::moment::Iso;
use crate::events::{PrecedingEvent, ServerEvent, acknowledgements};
use crate::model::ids::{ChatId, RecoveryToken, SessionId, UserId};
use crate::model::surface::Surface;

const RECOVERED: &str = "Connection recovered successfully";

/// Asks for a token by which the session can be recovered when it is cut off. A session has one at a time.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateSession {}

/// Goes on with a session of the same user that was cut off: joins its chats, and brings the messages that were said
/// there meanwhile.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recover {
    /// The token of that session. It serves once.
    pub recovery_token: String,
}

/// Asks what the hub knows of the session.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskSession {}

/// Asks for the hub's figures of recovery.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct AskRecovery {}

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
    /// The token; were the session cut off now, it would hold until `expires_at`.
    pub fn new(recovery_token: RecoveryToken, expires_at: i64) -> Self {
        Self { success: Success::DONE, recovery_token, expires_at: Iso(expires_at) }
    }
}

impl ServerEvent for CreatedSession {
    const NAME: &'static str = "";
    const ON: &'static [Surface] = &[];

    fn preceding_events(&self) -> Vec<PrecedingEvent> {
        vec![PrecedingEvent::of(&TokenMade { token: self.recovery_token.clone(), expires_at: self.expires_at })]
    }
}

/// Brings a token for recovery, and until when it holds at least: longer while the session lasts.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenMade {
    token: RecoveryToken,
    expires_at: Iso,
}

/// A session as its client sees it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionState {
    /// The user.
    #[schemars(with = "String")]
    pub user_id: UserId,
    /// The session.
    #[schemars(with = "String")]
    pub socket_id: SessionId,
    /// When it connected; of one that was recovered, when the first did of those that it goes on with.
    pub connected_at: Iso,
    /// When its client last asked something.
    pub last_activity: Iso,
    /// The chats it is in.
    #[schemars(with = "Vec<String>")]
    pub rooms: Vec<ChatId>,
    /// Nothing waits for a session that is connected.
    pub message_queue: [(); 0],
    /// Its token for recovery, where it asked for one.
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
    /// The session that goes on, the messages that came meanwhile, and how many of those were dropped.
    pub fn new(session: SessionState, messages: Vec<Json>, dropped: u64) -> Self {
        let queued = QueuedMessages { count: messages.len(), messages, dropped };
        Self { success: Success::saying(RECOVERED), session, queued }
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

/// Says that a session was recovered: the chats that it is in, and how many messages came meanwhile.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recovered {
    message: &'static str,
    #[schemars(with = "Vec<String>")]
    rooms: Vec<ChatId>,
    queued_messages: usize,
}

/// Brings the messages that were said in the chats of a session while it was cut off, as `message:new` would have; with
/// `dropped` where they were too many: so many older ones are not among them.
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

/// The hub's figures of recovery.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Sessions there are.
    pub active_sessions: u64,
    /// Tokens that hold: of sessions there are, and of sessions that were cut off.
    pub recovery_tokens: usize,
    /// Messages that wait for sessions that were cut off.
    pub queued_messages: u64,
    /// How long ago the sessions that there are connected, on average, in minutes.
    pub average_session_age: f64,
}

/// Answers `connection:stats`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Stats {
    #[serde(flatten)]
    success: Success,
    stats: Figures,
}

impl Stats {
    /// The figures.
    pub fn new(stats: Figures) -> Self {
        Self { success: Success::DONE, stats }
    }
}

acknowledgements!(SessionInfo, Stats);
