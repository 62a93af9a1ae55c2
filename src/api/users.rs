//! `POST /api/users`: creates accounts that can sign in.

use actix_web::web;
use hubbub_actors::events::timestamp::Iso;
use hubbub_actors::model::fault::Code;
use hubbub_actors::model::ids::UserId;
use hubbub_actors::store::Account;
use log::Level;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::audit;
use super::call::Call;
use super::request::{Body, body_types};
use crate::accounts::{EMAIL_MAX, GRANTS_MAX, NAME_MAX, NewUser, PASSWORD_BYTES, USERNAME_MAX};
use crate::error::HttpError;
use crate::openapi::{Created, Example, Operation, Tag, True};
use crate::state::SharedState;

/// A new account.
#[derive(Deserialize, JsonSchema)]
pub(super) struct NewUserBody {
    /// The name to sign in with. Names are compared without regard to case.
    #[schemars(length(min = 1, max = USERNAME_MAX))]
    username: String,
    /// The password: 8 to 1,024 bytes.
    #[schemars(schema_with = "password")]
    password: String,
    /// The roles in the user's tokens, each of 1 to 100 characters.
    #[schemars(length(max = GRANTS_MAX))]
    roles: Option<Vec<String>>,
    /// The permissions in the user's tokens, each of 1 to 100 characters.
    #[schemars(length(max = GRANTS_MAX))]
    permissions: Option<Vec<String>>,
    /// The name to show.
    #[schemars(length(min = 1, max = NAME_MAX))]
    name: Option<String>,
    /// The mail address.
    #[schemars(length(min = 1, max = EMAIL_MAX))]
    email: Option<String>,
}

body_types!(NewUserBody);

/// A character has up to 4 bytes, so 8 bytes are no least number of characters.
fn password(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "string", "format": "password", "maxLength": PASSWORD_BYTES.end()})
}

/// An account.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AccountReply {
    /// The id of the user: `sub` of the tokens.
    #[schemars(with = "String")]
    id: UserId,
    /// The name to sign in with.
    username: String,
    /// The roles.
    roles: Vec<String>,
    /// The permissions; absent without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<String>,
}

impl AccountReply {
    pub(super) fn of(account: Account) -> Self {
        let Account { id, username, roles, permissions, .. } = account;
        Self { id, username, roles, permissions }
    }
}

/// A created account.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NewUserReply {
    /// `true`.
    success: True,
    /// The account.
    user: AccountReply,
    /// The time of the response.
    timestamp: Iso,
}

pub(super) const ADD: Operation = Operation {
    id: "createUser",
    tag: Tag::Management,
    summary: "Creates an account that can sign in.",
    description: "A taken name is refused with `CONFLICT`. Roles, permissions and names of an account have at most 4,096 bytes \
        together, so that they fit into a token.",
    errors: &[Code::Conflict, Code::StoreUnavailable, Code::OutcomeUnknown],
    example: Example {
        target: "/api/users",
        body: r#"{"username": "alice", "password": "correct horse", "roles": ["admin"], "permissions": ["connect"]}"#,
        status: 201,
        answer: r#"{"success": true, "user": {"id": "user_94c4c4ca8d0f4b0f9d1f1f0e4dfb1b2a", "username": "alice",
            "roles": ["admin"], "permissions": ["connect"]}, "timestamp": "2026-01-02T03:04:05.678Z"}"#,
    },
};

/// `POST /api/users`.
pub(super) async fn add(
    state: web::Data<SharedState>,
    call: Call,
    body: Body<NewUserBody>,
) -> Result<Created<NewUserReply>, HttpError> {
    let NewUserBody { username, password, roles, permissions, name, email } = body.parse()?;
    let (roles, permissions) = (roles.unwrap_or_default(), permissions.unwrap_or_default());
    let new = NewUser { username, password, roles, permissions, name, email };
    let account = state.accounts.add(new, state.now_ms()).await?;
    let (roles, permissions) = (account.roles.join(","), account.permissions.join(","));
    let mut fields = vec![("user", account.id.as_str().into()), ("username", account.username.as_str().into())];
    // An API key can grant any role and permission, so the log names them.
    let granted = [("roles", roles.as_str()), ("permissions", permissions.as_str())];
    fields.extend(granted.iter().filter(|(_, names)| !names.is_empty()).map(|(name, names)| (*name, (*names).into())));
    audit::log(Level::Info, &call, "account created", &fields);
    let (user, timestamp) = (AccountReply::of(account), Iso(state.now_ms()));
    Ok(Created(NewUserReply { success: True, user, timestamp }))
}
