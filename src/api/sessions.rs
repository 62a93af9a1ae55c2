//! `POST /sessions`, `POST /sessions/refresh`, `DELETE /sessions/{session_id}`: sign in with a password, renew an access token,
//! sign out. These need no API key: a password, a refresh token or an access token takes its place.

use actix_web::{HttpRequest, HttpResponse, web};
use hubbub_actors::events::text;
use hubbub_actors::hub::LimitKey;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::UserId;
use log::Level;
use serde::Deserialize;
use serde_json::json;

use super::call::Call;
use super::cors::{self, PageAccess};
use super::{HandlerResult, audit, json, users};
use crate::accounts::{PASSWORD_BYTES, Username};
use crate::admission::{client_address, policies_of};
use crate::bearer;
use crate::peer::limit_key;
use crate::request_body;
use crate::state::SharedState;

/// Longest body of a sign-in or a refresh, in bytes. The caller is not authenticated yet, so the bound is small.
const BODY_MAX: usize = 8_192;

/// The token type of RFC 6750.
const TOKEN_TYPE: &str = "Bearer";

#[derive(Deserialize)]
struct SignInBody {
    username: String,
    password: String,
}

#[derive(Deserialize)]
struct RefreshBody {
    refresh_token: String,
}

/// `POST /sessions`.
pub(super) async fn sign_in(
    request: HttpRequest,
    call: Call,
    state: web::Data<SharedState>,
    payload: web::Payload,
) -> HandlerResult {
    check_access(&state, &request)?;
    state.accounts.check_sign_in()?;
    let per_minute = policies_of(&state, &request).config.limits.login.attempts_per_minute;
    state.hub.admit(LimitKey::Login(limit_address(&state, &request)), per_minute).await?;
    let body = text::resolve(request_body::read(&request, payload, BODY_MAX).await?);
    let credentials: SignInBody = json::parse(&body)?;
    let username = Username::parse(&credentials.username, "username")?;
    let most = *PASSWORD_BYTES.end();
    if credentials.password.len() > most {
        return Err(Fault::field("password", format!("`password` is longer than {most} bytes")).into());
    }
    state.hub.admit(LimitKey::LoginName(username.digest()), per_minute).await?;
    let signed_in = state.accounts.sign_in(&username, credentials.password, state.hub.clock()).await?;
    let fields = [("user", signed_in.account.id.as_str().into()), ("session", signed_in.session_id.as_str().into())];
    audit::log(Level::Debug, &call, "signed in", &fields);
    Ok(HttpResponse::Ok().json(json!({
        "access_token": signed_in.access_token,
        "refresh_token": signed_in.refresh_token,
        "expires_in": signed_in.expires_in,
        "token_type": TOKEN_TYPE,
        "session_id": signed_in.session_id,
        "user": users::account_json(&signed_in.account),
    })))
}

/// `POST /sessions/refresh`. The refresh token stays the same.
pub(super) async fn refresh(
    request: HttpRequest,
    state: web::Data<SharedState>,
    payload: web::Payload,
) -> HandlerResult {
    check_access(&state, &request)?;
    state.accounts.check_sign_in()?;
    count(&state, &request).await?;
    let body = text::resolve(request_body::read(&request, payload, BODY_MAX).await?);
    let body: RefreshBody = json::parse(&body)?;
    let refreshed = state.accounts.refresh(&body.refresh_token, state.now_ms()).await?;
    Ok(HttpResponse::Ok().json(json!({
        "access_token": refreshed.access_token,
        "expires_in": refreshed.expires_in,
        "token_type": TOKEN_TYPE,
    })))
}

/// `DELETE /sessions/{session_id}`: for the user of the session, or an admin.
pub(super) async fn end(
    request: HttpRequest,
    call: Call,
    state: web::Data<SharedState>,
    id: web::Path<String>,
) -> HandlerResult {
    check_access(&state, &request)?;
    count(&state, &request).await?;
    let caller = identify(&state, &request).await?;
    call.set_user(caller.user.as_str());
    let holder = state.accounts.user_of(&id).await?;
    // To other users the session does not exist.
    let may_end = |holder: &UserId| *holder == caller.user || caller.has_role("admin");
    let holder = holder.filter(may_end).ok_or_else(no_such_session)?;
    // In a task of its own, so that the connections are closed even if the caller disconnects.
    let ended = actix_rt::spawn(async move {
        let revocation = state.accounts.end(&id, state.now_ms()).await?.ok_or_else(no_such_session)?;
        let closed = state.hub.revoke(&revocation).await as u64;
        let fields = [("session", id.as_str().into()), ("user", holder.as_str().into()), ("closed", closed.into())];
        audit::log(Level::Info, &call, "session ended", &fields);
        Ok::<_, Fault>(())
    });
    ended.await.map_err(|_| Fault::outcome_unknown())??;
    Ok(HttpResponse::NoContent().finish())
}

fn no_such_session() -> Fault {
    Fault::new(Code::NotFound, "There is no such session")
}

/// Checks the origin, and that the hub accepts requests.
fn check_access(state: &SharedState, request: &HttpRequest) -> Result<(), Fault> {
    if cors::check(request.headers(), &policies_of(state, request).origins) == PageAccess::Foreign {
        return Err(Fault::origin_not_allowed());
    }
    state.hub.accepting()
}

fn limit_address(state: &SharedState, request: &HttpRequest) -> std::net::IpAddr {
    limit_key(client_address(state, request).ip)
}

/// Counts a request without a password for its address, like any request without an API key.
async fn count(state: &SharedState, request: &HttpRequest) -> Result<(), Fault> {
    let per_minute = policies_of(state, request).config.limits.http.requests_per_minute;
    state.hub.admit(LimitKey::Address(limit_address(state, request)), per_minute).await
}

/// The identity in the access token of the request.
async fn identify(state: &SharedState, request: &HttpRequest) -> Result<Identity, Fault> {
    let token = bearer::token(request.headers()).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| Fault::new(Code::InvalidToken, "Authentication token is missing").by("token"))?;
    policies_of(state, request).tokens.verify(&token, state.now_ms()).await
}
