//! `POST /api/revoke`: revoked tokens are refused and their sessions closed at once, on every surface and after restarts.

use serde_json::{Value, json};

use crate::push::untimed;
use crate::support::client::without_time;
use crate::support::http::Response;
use crate::support::token::{now, token, token_with};
use crate::support::{Client, DEADLINE, Hub, Wire, eventually};

#[track_caller]
fn revoke(hub: &Hub, what: &Value) -> Response {
    hub.http().request("POST", "/api/revoke").key().header("X-Request-Id", "r-1").json(what).send()
}

/// Revokes; asserts that it is accepted and closes so many sessions.
#[track_caller]
fn revoked(hub: &Hub, what: &Value, closed: usize) {
    let answer = revoke(hub, what);
    assert_eq!((answer.status, untimed(&answer)), (200, json!({"success": true, "closed": closed})));
}

/// Asserts that this token is refused because it was revoked.
async fn refused(hub: &Hub, token: &str) {
    let (answer, _) = Wire::upgrade(hub, &format!("/ws?token={token}"), &[]).await;
    let body = json!({"error": {"code": "INVALID_TOKEN", "message": "The token was revoked", "details": {}}});
    assert_eq!((answer.status, answer.json()), (401, body));
}

/// Waits until so many sessions are left: the hub counts a closed one until its connection has ended.
async fn wait_left(hub: &Hub, sessions: u64) {
    eventually(DEADLINE, "the closed sessions are gone", || hub.connections() == sessions).await;
}

fn issued(user: &str, at: u64) -> String {
    token_with(json!({"sub": user, "iat": at}))
}

#[tokio::test]
async fn a_revoked_user_is_disconnected_and_reconnects_only_with_a_newer_token() {
    let hub = Hub::start();
    let (old, dateless) = (issued("alice", now() - 60), token("alice"));
    let mut phone = Client::connect(&hub, &old).await;
    let mut laptop = Client::connect(&hub, &dateless).await;
    let mut bob = Client::of(&hub, "bob").await;

    revoked(&hub, &json!({"userId": "alice", "issuedBefore": now()}), 2);
    assert_eq!((phone.close_code().await, laptop.close_code().await), (Some(4401), Some(4401)));

    refused(&hub, &old).await;
    refused(&hub, &dateless).await;
    let mut newer = Client::connect(&hub, &issued("alice", now() + 2)).await;
    newer.expect_silence().await;
    bob.expect_silence().await;
    refused(&hub, &old).await;
}

#[tokio::test]
async fn a_revocation_before_an_instant_spares_tokens_issued_since() {
    let hub = Hub::start();
    let (old, young) = (issued("42", now() - 100), issued("42", now() - 50));
    let mut opened_by_old = Client::connect(&hub, &old).await;
    let mut opened_by_young = Client::connect(&hub, &young).await;
    revoked(&hub, &json!({"userId": 42, "issuedBefore": now() - 75}), 1);
    assert_eq!(opened_by_old.close_code().await, Some(4401));
    opened_by_young.expect_silence().await;
    wait_left(&hub, 1).await;
    refused(&hub, &old).await;

    // An earlier instant changes nothing. A later one, in milliseconds here, revokes the other token too.
    revoked(&hub, &json!({"userId": "42", "issuedBefore": "2020-01-01T00:00:00Z"}), 0);
    refused(&hub, &old).await;
    revoked(&hub, &json!({"userId": "42", "issuedBefore": (now() - 25) * 1000}), 1);
    assert_eq!(opened_by_young.close_code().await, Some(4401));
}

#[tokio::test]
async fn a_sign_in_and_a_single_token_can_be_revoked() {
    let hub = Hub::start();
    let with = |user: &str, claims: Value| {
        let mut all = json!({"sub": user, "iat": now() + 2});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        token_with(all)
    };
    let signed_in = with("alice", json!({"sid": "s-1", "jti": "j-1"}));
    let again = with("alice", json!({"sid": "s-1", "jti": "j-2"}));
    let elsewhere = with("alice", json!({"sid": "s-2", "jti": 3}));
    let mut clients = Vec::new();
    for token in [&signed_in, &again, &elsewhere] {
        clients.push(Client::connect(&hub, token).await);
    }
    revoked(&hub, &json!({"jti": "j-1"}), 1);
    assert_eq!(clients[0].close_code().await, Some(4401));
    refused(&hub, &signed_in).await;
    clients[1].expect_silence().await;
    wait_left(&hub, 2).await;

    revoked(&hub, &json!({"sid": "s-1"}), 1);
    assert_eq!(clients[1].close_code().await, Some(4401));
    refused(&hub, &again).await;
    clients[2].expect_silence().await;
    wait_left(&hub, 1).await;

    revoked(&hub, &json!({"jti": 3}), 1);
    assert_eq!(clients[2].close_code().await, Some(4401));
    revoked(&hub, &json!({"sid": "unknown"}), 0);
}

#[tokio::test]
async fn the_last_token_of_a_session_decides_on_its_revocation() {
    let hub = Hub::start();
    let (first, second) = (issued("alice", now() - 60), issued("alice", now() + 2));
    let authenticate = |token: &str| json!({"type": "Authenticate", "data": {"token": token}, "id": 1});
    let mut client = Client::connect(&hub, &first).await;
    client.ask(authenticate(&second), "Status").await;
    revoked(&hub, &json!({"userId": "alice", "issuedBefore": now()}), 0);
    let refusal = without_time(client.ask(authenticate(&first), "Error").await);
    assert_eq!(
        refusal,
        json!({"type": "Error", "id": 1, "data": {"code": "INVALID_TOKEN", "message": "The token was revoked"}})
    );
    client.expect_silence().await;
}

#[tokio::test]
async fn refresh_tokens_are_revoked_too() {
    let hub = Hub::start();
    let http = hub.http();
    let account = json!({"username": "alice", "password": "correct horse"});
    let user = http.request("POST", "/api/users").key().json(&account).send().json()["user"]["id"].clone();
    let sign_in = || http.post("/sessions", &account).json();
    let refresh = |session: &Value| {
        let answer = http.post("/sessions/refresh", &json!({"refresh_token": session["refresh_token"]}));
        (answer.status, answer.json()["error"]["code"].clone())
    };
    let (first, second) = (sign_in(), sign_in());
    revoked(&hub, &json!({"sid": first["session_id"]}), 0);
    assert_eq!(refresh(&first), (401, json!("INVALID_TOKEN")));
    assert_eq!(refresh(&second).0, 200);
    revoked(&hub, &json!({"userId": user}), 0);
    assert_eq!(refresh(&second), (401, json!("INVALID_TOKEN")));
    assert_eq!(refresh(&sign_in()).0, 200);
}

#[tokio::test]
async fn a_revocation_holds_after_a_crash() {
    let hub = Hub::start();
    let (user, sign_in) = (issued("alice", now() - 60), token_with(json!({"sub": "bob", "sid": "s"})));
    let single = token_with(json!({"sub": "carol", "jti": "j"}));
    for what in [json!({"userId": "alice", "issuedBefore": now()}), json!({"sid": "s"}), json!({"jti": "j"})] {
        revoked(&hub, &what, 0);
    }
    let hub = hub.restart();
    for token in [&user, &sign_in, &single] {
        refused(&hub, token).await;
    }
    Client::connect(&hub, &issued("alice", now() + 2)).await;
    Client::of(&hub, "bob").await;
}

#[tokio::test]
async fn an_invalid_revocation_is_refused_and_revokes_nothing() {
    let hub = Hub::start();
    let mut client = Client::connect(&hub, &token_with(json!({"sub": "1", "sid": "s", "jti": "j"}))).await;
    let one = "Exactly one of userId, sid and jti is needed";
    let long = "x".repeat(256);
    for (what, field, message) in [
        (json!({}), None, one),
        (json!({"userId": null}), None, one),
        (json!({"issuedBefore": 1}), None, one),
        (json!({"userId": 1, "sid": "s"}), None, one),
        (json!({"userId": 1, "sid": "s", "jti": "j"}), None, one),
        (json!({"userId": ""}), Some("userId"), "`userId` is empty"),
        (json!({"sid": ""}), Some("sid"), "`sid` is not 1 to 255 characters"),
        (json!({"jti": long}), Some("jti"), "`jti` is not 1 to 255 characters"),
        (
            json!({"userId": 1, "issuedBefore": "soon"}),
            Some("issuedBefore"),
            "`issuedBefore`: expected an ISO date, or seconds or milliseconds since 1970",
        ),
        (
            json!({"userId": 1, "issuedBefore": now() + 3600}),
            Some("issuedBefore"),
            "`issuedBefore` lies more than 5 minutes in the future",
        ),
        (
            json!({"sid": "s", "issuedBefore": 1}),
            Some("issuedBefore"),
            "`issuedBefore` goes with `userId`: a sid and a jti are revoked whenever their tokens were issued",
        ),
        (
            json!({"userId": true}),
            Some("userId"),
            "`userId`: invalid type: boolean `true`, expected a string or an integer",
        ),
        (
            json!({"userId": 1, "issuedbefore": 1}),
            Some("issuedbefore"),
            "`issuedbefore`: unknown field `issuedbefore`, expected one of `userId`, `sid`, `jti`, `issuedBefore`",
        ),
    ] {
        let mut body = json!({"success": false, "error": message, "code": "INVALID_REQUEST", "requestId": "r-1"});
        if let Some(field) = field {
            body["details"] = json!({"field": field});
        }
        let answer = revoke(&hub, &what);
        assert_eq!((answer.status, answer.json()), (400, body), "{what}");
    }
    client.expect_silence().await;
}

#[tokio::test]
async fn only_a_post_with_a_key_revokes() {
    let hub = Hub::start();
    let what = json!({"userId": "alice"});
    let http = hub.http();
    let request = |method: &str| http.request(method, "/api/revoke").header("X-Request-Id", "r-1").json(&what);
    let refusal = |error: &str, code: &str| json!({"success": false, "error": error, "code": code, "requestId": "r-1"});
    let keyless = request("POST").send();
    let error = "An API key is needed in X-API-Key";
    assert_eq!((keyless.status, keyless.json()), (401, refusal(error, "UNAUTHORIZED")));
    let put = request("PUT").key().send();
    let error = "This path answers POST only";
    assert_eq!((put.status, put.json()), (405, refusal(error, "METHOD_NOT_ALLOWED")));
    Client::connect(&hub, &issued("alice", now() - 60)).await;
}
