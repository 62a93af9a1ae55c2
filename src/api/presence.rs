//! `GET /api/presence/{userId}`: whether a user is online, and the sessions of the user.

use actix_web::{HttpResponse, web};
use hubbub_actors::model::ids::UserId;
use serde_json::{Value, json};

use super::{HandlerResult, iso};
use crate::state::SharedState;

/// `GET /api/presence/{userId}`. An unknown user is offline: the hub has no list of users.
pub(super) async fn presence(state: web::Data<SharedState>, user: web::Path<String>) -> HandlerResult {
    let user = UserId::parse(&user, "userId")?;
    let presence = state.hub.presence(&user).await?;
    let sessions: Vec<Value> = presence
        .sessions
        .iter()
        .map(|session| {
            json!({
                "sessionId": session.id,
                "surface": session.surface.as_str(),
                "connectedAt": iso(session.connected_at),
            })
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({
        "success": true,
        "userId": user,
        "online": !sessions.is_empty(),
        "status": presence.status,
        "lastSeen": presence.last_seen.map(iso),
        "sessions": sessions,
        "timestamp": iso(state.now_ms()),
    })))
}
