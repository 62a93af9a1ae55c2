//! `GET /api/presence/{userId}`: whether a user is online, and the sessions of the user.

use actix_web::web;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::model::ids::{OWNED_NAME_MAX, SessionId, UserId};
use hubbub_actors::registry::LiveSession;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::HttpError;
use crate::openapi::{Example, JsonReply, Operation, Tag, True};
use crate::state::SharedState;

/// The path.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct UserPath {
    /// The user.
    #[schemars(length(min = 1, max = OWNED_NAME_MAX))]
    #[serde(rename = "userId")]
    user: String,
}

/// The presence of a user.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PresenceReply {
    /// `true`.
    success: True,
    /// The user.
    #[schemars(with = "String")]
    user_id: UserId,
    /// Whether the user has a session.
    online: bool,
    /// `online` or `offline`.
    status: &'static str,
    /// When the user was last seen: now while online, `null` if that is not known.
    last_seen: Option<Iso>,
    /// The user's sessions, oldest first.
    sessions: Vec<SessionReply>,
    /// The time of the response.
    timestamp: Iso,
}

/// A session of a user.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SessionReply {
    /// Its id.
    #[schemars(with = "String")]
    session_id: SessionId,
    /// Its surface: `raw` for `/ws`, or the namespace of Socket.IO, `/` or `/chat`.
    surface: &'static str,
    /// When it connected.
    connected_at: Iso,
}

impl SessionReply {
    fn of(session: &LiveSession) -> Self {
        let (surface, connected_at) = (session.surface.as_str(), Iso(session.connected_at));
        Self { session_id: session.id, surface, connected_at }
    }
}

pub(super) const PRESENCE: Operation = Operation {
    id: "getPresence",
    tag: Tag::Reads,
    summary: "Tells whether a user is online, and lists the user's sessions.",
    description: "An unknown user is offline: the hub has no list of users.",
    errors: &[],
    example: Example {
        target: "/api/presence/u1",
        body: "",
        status: 200,
        answer: r#"{"success": true, "userId": "u1", "online": true, "status": "online",
            "lastSeen": "2026-01-02T03:04:05.678Z", "sessions": [{"sessionId": "4f1c2e9ab0d14c7a8f0e6b5d3c2a1908",
            "surface": "raw", "connectedAt": "2026-01-02T03:00:00.000Z"}], "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `GET /api/presence/{userId}`.
pub(super) async fn presence(
    state: web::Data<SharedState>,
    path: web::Path<UserPath>,
) -> Result<JsonReply<PresenceReply>, HttpError> {
    let user_id = UserId::parse(&path.user, "userId")?;
    let presence = state.hub.presence(&user_id).await?;
    let sessions: Vec<_> = presence.sessions.iter().map(SessionReply::of).collect();
    Ok(JsonReply(PresenceReply {
        success: True,
        user_id,
        online: !sessions.is_empty(),
        status: presence.status,
        last_seen: presence.last_seen.map(Iso),
        sessions,
        timestamp: Iso(state.now_ms()),
    }))
}
