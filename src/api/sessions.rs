//! `POST /sessions`, `POST /sessions/refresh`, `DELETE /sessions/{session_id}`: sign in with a password, renew an access token,
//! sign out. These need no API key: a password, a refresh token or an access token takes its place.

use actix_web::{HttpRequest, web};
use hubbub_actors::hub::LimitKey;
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::UserId;
use log::Level;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::audit;
use super::call::Call;
use super::cors::{self, PageAccess};
use super::request::{BearerToken, UnreadBody, body_types};
use super::users::AccountReply;
use crate::accounts::{self, PASSWORD_BYTES, USERNAME_MAX, Username};
use crate::admission::{client_address, policies_of};
use crate::error::HttpError;
use crate::openapi::{Example, JsonReply, NoContent, Operation, Tag};
use crate::peer::limit_key;
use crate::state::SharedState;

/// Longest body of a sign-in or a refresh, in bytes. The caller is not authenticated yet, so the bound is small.
const BODY_MAX: usize = 8_192;

/// The token type of RFC 6750.
const TOKEN_TYPE: &str = "Bearer";

/// A user name and a password.
#[derive(Deserialize, JsonSchema)]
pub(super) struct SignInBody {
    /// The name of the account, in any case.
    #[schemars(length(min = 1, max = USERNAME_MAX))]
    username: String,
    /// The password.
    #[schemars(length(max = 1_024), extend("format" = "password"))]
    password: String,
}

/// A refresh token.
#[derive(Deserialize, JsonSchema)]
pub(super) struct RefreshBody {
    /// The refresh token of a sign-in.
    refresh_token: String,
}

body_types!(SignInBody, RefreshBody);

/// The tokens of a sign-in.
#[derive(Serialize, JsonSchema)]
pub(super) struct SignInReply {
    /// Authenticates a client and its requests.
    access_token: String,
    /// Gets further access tokens. It does not change.
    refresh_token: String,
    /// Seconds until the access token expires.
    expires_in: i64,
    /// `Bearer`.
    token_type: &'static str,
    /// The id of the sign-in session.
    session_id: String,
    /// The account.
    user: AccountReply,
}

/// A further access token.
#[derive(Serialize, JsonSchema)]
pub(super) struct RefreshReply {
    /// The new access token.
    access_token: String,
    /// Seconds until it expires.
    expires_in: i64,
    /// `Bearer`.
    token_type: &'static str,
}

/// The path.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct SessionPath {
    /// The id of the sign-in session.
    #[serde(rename = "session_id")]
    session: String,
}

pub(super) const SIGN_IN: Operation = Operation {
    id: "signIn",
    tag: Tag::Sessions,
    summary: "Signs a user in with a password.",
    description: "An unknown name, a wrong password and a disabled account get the same response after the same time. \
        Attempts are limited for each address and for each name by `limits.login.attempts_per_minute`. The body has at \
        most 8 KiB. With a public-key `auth.algorithm` the hub cannot sign: `NOT_FOUND`.",
    errors: &[
        Code::OriginNotAllowed,
        Code::RateLimited,
        Code::Overloaded,
        Code::ShuttingDown,
        Code::InvalidCredentials,
        Code::NotFound,
        Code::PayloadTooLarge,
        Code::UnsupportedEncoding,
        Code::StoreUnavailable,
        Code::OutcomeUnknown,
    ],
    example: Example {
        target: "/sessions",
        body: r#"{"username": "alice", "password": "correct horse"}"#,
        status: 200,
        answer: r#"{"access_token": "eyJ0…", "refresh_token": "7929…", "expires_in": 3600, "token_type": "Bearer",
            "session_id": "session_a5de5a1e0f4a4d5bb4b6a0b9b8a1c2d3", "user": {"id":
            "user_94c4c4ca8d0f4b0f9d1f1f0e4dfb1b2a", "username": "alice", "roles": ["admin"], "permissions": ["connect"]}}"#,
    },
};

/// `POST /sessions`.
pub(super) async fn sign_in(
    request: HttpRequest,
    call: Call,
    state: web::Data<SharedState>,
    body: UnreadBody<SignInBody>,
) -> Result<JsonReply<SignInReply>, HttpError> {
    check_access(&state, &request)?;
    state.accounts.check_sign_in()?;
    let per_minute = policies_of(&state, &request).config.limits.login.attempts_per_minute;
    state.hub.admit(LimitKey::Login(limit_address(&state, &request)), per_minute).await?;
    let credentials = body.read(BODY_MAX).await?.parse()?;
    let username = Username::parse(&credentials.username, "username")?;
    let most = *PASSWORD_BYTES.end();
    if credentials.password.len() > most {
        return Err(Fault::field("password", format!("`password` is longer than {most} bytes")).into());
    }
    state.hub.admit(LimitKey::LoginName(username.digest()), per_minute).await?;
    let signed_in = state.accounts.sign_in(&username, credentials.password, state.hub.clock()).await?;
    let fields = [("user", signed_in.account.id.as_str().into()), ("session", signed_in.session_id.as_str().into())];
    audit::log(Level::Debug, &call, "signed in", &fields);
    Ok(JsonReply(SignInReply {
        access_token: signed_in.access_token,
        refresh_token: signed_in.refresh_token,
        expires_in: signed_in.expires_in,
        token_type: TOKEN_TYPE,
        session_id: signed_in.session_id,
        user: AccountReply::of(signed_in.account),
    }))
}

pub(super) const REFRESH: Operation = Operation {
    id: "refreshToken",
    tag: Tag::Sessions,
    summary: "Gets a further access token for a refresh token.",
    description: "The refresh token is valid until `auth.refresh_ttl_secs` have passed or the session ends. The body has at \
        most 8 KiB. With a public-key `auth.algorithm` the hub cannot sign: `NOT_FOUND`.",
    errors: &[
        Code::OriginNotAllowed,
        Code::RateLimited,
        Code::Overloaded,
        Code::ShuttingDown,
        Code::InvalidToken,
        Code::TokenExpired,
        Code::NotFound,
        Code::PayloadTooLarge,
        Code::UnsupportedEncoding,
        Code::StoreUnavailable,
        Code::OutcomeUnknown,
    ],
    example: Example {
        target: "/sessions/refresh",
        body: r#"{"refresh_token": "7929…"}"#,
        status: 200,
        answer: r#"{"access_token": "eyJ0…", "expires_in": 3600, "token_type": "Bearer"}"#,
    },
};

/// `POST /sessions/refresh`. The refresh token stays the same.
pub(super) async fn refresh(
    request: HttpRequest,
    state: web::Data<SharedState>,
    body: UnreadBody<RefreshBody>,
) -> Result<JsonReply<RefreshReply>, HttpError> {
    check_access(&state, &request)?;
    state.accounts.check_sign_in()?;
    count(&state, &request).await?;
    let body = body.read(BODY_MAX).await?.parse()?;
    let refreshed = state.accounts.refresh(&body.refresh_token, state.now_ms()).await?;
    let accounts::RefreshedToken { access_token, expires_in } = refreshed;
    Ok(JsonReply(RefreshReply { access_token, expires_in, token_type: TOKEN_TYPE }))
}

pub(super) const END: Operation = Operation {
    id: "signOut",
    tag: Tag::Sessions,
    summary: "Ends a sign-in session: closes its connections and revokes its tokens.",
    description: "The caller is the user of the session, or a user with the role `admin`. To other users the session does \
        not exist. Its connections close with 4401.",
    errors: &[
        Code::OriginNotAllowed,
        Code::RateLimited,
        Code::Overloaded,
        Code::ShuttingDown,
        Code::InvalidToken,
        Code::TokenExpired,
        Code::AuthUnavailable,
        Code::NotFound,
        Code::StoreUnavailable,
        Code::OutcomeUnknown,
    ],
    example: Example {
        target: "/sessions/session_a5de5a1e0f4a4d5bb4b6a0b9b8a1c2d3",
        body: "",
        status: 204,
        answer: "",
    },
};

/// `DELETE /sessions/{session_id}`: for the user of the session, or an admin.
pub(super) async fn end(
    request: HttpRequest,
    call: Call,
    state: web::Data<SharedState>,
    path: web::Path<SessionPath>,
    token: BearerToken,
) -> Result<NoContent, HttpError> {
    let id = path.into_inner().session;
    check_access(&state, &request)?;
    count(&state, &request).await?;
    let caller = identify(&state, &request, token).await?;
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
    Ok(NoContent)
}

fn no_such_session() -> Fault {
    Fault::new(Code::NotFound, "There is no such session")
}

/// Checks the origin, and that the hub accepts requests.
fn check_access(state: &SharedState, request: &HttpRequest) -> Result<(), Fault> {
    if cors::check(request.headers(), &policies_of(state, request).origins) == PageAccess::Foreign {
        return Err(cors::refusal(request.headers()));
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
async fn identify(state: &SharedState, request: &HttpRequest, token: BearerToken) -> Result<Identity, Fault> {
    let token = token.0.ok_or_else(|| Fault::new(Code::InvalidToken, "Authentication token is missing").by("token"))?;
    policies_of(state, request).tokens.verify(&token, state.now_ms()).await
}
