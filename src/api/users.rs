//! `POST /api/users`: creates accounts that can sign in.

use actix_web::{HttpResponse, web};
use hubbub_actors::store::Account;
use log::Level;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::Call;
use super::guard::AdmittedBody;
use super::{HandlerResult, audit, iso, json};
use crate::accounts::NewUser;
use crate::state::SharedState;

#[derive(Deserialize)]
struct NewUserBody {
    username: String,
    password: String,
    #[serde(default)]
    roles: Option<Vec<String>>,
    #[serde(default)]
    permissions: Option<Vec<String>>,
    name: Option<String>,
    email: Option<String>,
}

/// `POST /api/users`.
pub(super) async fn add(state: web::Data<SharedState>, call: Call, AdmittedBody(body): AdmittedBody) -> HandlerResult {
    let NewUserBody { username, password, roles, permissions, name, email } = json::parse(&body)?;
    let (roles, permissions) = (roles.unwrap_or_default(), permissions.unwrap_or_default());
    let new = NewUser { username, password, roles, permissions, name, email };
    let account = state.accounts.add(new, state.now_ms()).await?;
    let (roles, permissions) = (account.roles.join(","), account.permissions.join(","));
    let mut fields = vec![("user", account.id.as_str().into()), ("username", account.username.as_str().into())];
    // An API key can grant any role and permission, so the log names them.
    let granted = [("roles", roles.as_str()), ("permissions", permissions.as_str())];
    fields.extend(granted.iter().filter(|(_, names)| !names.is_empty()).map(|(name, names)| (*name, (*names).into())));
    audit::log(Level::Info, &call, "account created", &fields);
    Ok(HttpResponse::Created().json(json!({
        "success": true,
        "user": account_json(&account),
        "timestamp": iso(state.now_ms()),
    })))
}

/// An account in a response; `permissions` only if it has any.
pub(super) fn account_json(account: &Account) -> Value {
    let mut user = json!({"id": account.id, "username": account.username, "roles": account.roles});
    if !account.permissions.is_empty() {
        user["permissions"] = json!(account.permissions);
    }
    user
}
