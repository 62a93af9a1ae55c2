//! Accounts and sign-ins over HTTP, and the command `hubbub user`.

use std::fs::File;
use std::process::Stdio;

use serde_json::{Value, json};

use super::http::{Http, Response};
use super::hub::Hub;
use super::run::{CommandOutput, finish, hubbub};

/// The password of every account of the tests.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Configuration without limits on sign-ins and requests.
pub(crate) const UNLIMITED: &str = "[limits.login]\nattempts_per_minute = 0\n[limits.http]\nrequests_per_minute = 0";

/// Requests a new account.
#[track_caller]
pub(crate) fn add_user(http: &Http, user: &Value) -> Response {
    http.request("POST", "/api/users").key().json(user).send()
}

/// Creates an account with [`PASSWORD`]; the user's id.
#[track_caller]
pub(crate) fn user(hub: &Hub, name: &str) -> String {
    let answer = add_user(&hub.http(), &json!({"username": name, "password": PASSWORD}));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["user"]["id"].as_str().unwrap().to_owned()
}

/// Tries to sign in.
#[track_caller]
pub(crate) fn try_sign_in(http: &Http, name: &str, password: &str) -> Response {
    http.post("/sessions", &json!({"username": name, "password": password}))
}

/// A sign-in that succeeded.
pub(crate) struct TestSignIn {
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) body: Value,
}

/// Signs in with [`PASSWORD`].
#[track_caller]
pub(crate) fn sign_in(hub: &Hub, name: &str) -> TestSignIn {
    let answer = try_sign_in(&hub.http(), name, PASSWORD);
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let text = |field: &str| body[field].as_str().unwrap_or_else(|| panic!("no {field} in {body}")).to_owned();
    TestSignIn { id: text("session_id"), access: text("access_token"), refresh: text("refresh_token"), body }
}

/// Requests an access token.
#[track_caller]
pub(crate) fn refresh(hub: &Hub, refresh_token: &str) -> Response {
    hub.http().post("/sessions/refresh", &json!({"refresh_token": refresh_token}))
}

/// Requests the end of a session.
#[track_caller]
pub(crate) fn sign_out(hub: &Hub, session: &str, access: &str) -> Response {
    hub.http().request("DELETE", &format!("/sessions/{session}")).bearer(access).send()
}

/// Runs `hubbub user ARGS` in the directory of the hub, with `input` on standard input.
#[track_caller]
pub(crate) fn user_command(hub: &Hub, args: &[&str], input: &str) -> CommandOutput {
    let file = hub.dir().join("standard-input");
    std::fs::write(&file, input).unwrap();
    finish(hubbub(hub.dir()).arg("user").args(args).stdin(Stdio::from(File::open(&file).unwrap())))
}
