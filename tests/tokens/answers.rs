//! Unusual answers of `auth.backend.url` and `auth.jwks`: wrapped, compressed, or not as expected.

use crate::support::{Sio, SioTransport, wait_until};

use super::*;

/// Asserts that a line of the log has all of these.
#[track_caller]
fn assert_logged(hub: &Hub, words: &[&str]) {
    let has_all = |line: &str| words.iter().all(|word| line.contains(word));
    wait_until(DEADLINE, &format!("a line has {words:?}"), || hub.output().lines().any(has_all));
}

#[tokio::test]
async fn a_user_in_the_wrapper_of_a_laravel_resource_is_accepted() {
    // The answer of `return new UserResource($user)`.
    let user = json!({"id": 42, "name": "Ann", "email": "ann@example.com", "permissions": ["connect"]});
    let backend = MockUpstream::replying(UpstreamReply::Json(200, json!({ "data": user })));
    let hub = Hub::with(&format!("[auth]\nrequired_permissions = [\"connect\"]\n{}", with_backend(&backend, "")));
    let client = Client::connect(&hub, "12|abc").await;
    assert_eq!(client.welcome["data"]["details"]["user"], json!({"id": "42", "name": "Ann", "roles": []}));
    let mut guest = Sio::guest(&hub, SioTransport::WebSocket).await;
    let answer = guest.emit_and_expect("authenticated", "authenticate", json!({"token": "12|abc"})).await;
    assert_eq!(answer["user"]["id"], 42);
}

#[tokio::test]
async fn an_unreadable_answer_is_refused_without_a_retry_and_logged_with_its_reason() {
    let backend = MockUpstream::replying(UpstreamReply::Json(200, json!({"user": {"login": "s3cret-login"}})));
    let hub = Hub::with(&with_backend(&backend, "cache_secs = 0"));
    assert_not_understood(&upgrade_with(&hub, "12|s3cret-token").await);
    let lacks = "no user: `user` has none of `id`, `sub`, `userId`, `user_id`";
    assert_logged(&hub, &["WARN", "auth.backend.url returned no usable result for a token", lacks]);
    assert_logged(&hub, &["refused", "code=AUTH_FAILED", "rule=auth.backend.url"]);

    let mut guest = Sio::guest(&hub, SioTransport::Polling).await;
    let refused =
        guest.emit_and_expect("authentication_error", "authenticate", json!({"token": "12|s3cret-token"})).await;
    assert_eq!(refused, json!({"error": NOT_UNDERSTOOD, "code": "AUTH_FAILED"}));
    let mut client = Client::of(&hub, "alice").await;
    let late = client.ask(json!({"type": "Authenticate", "data": {"token": "12|s3cret-token"}}), "Error").await;
    assert_eq!(late["data"]["code"], "AUTH_FAILED");
    assert!(late["data"]["details"].get("retryAfter").is_none(), "{late}");

    // A failure of the application can be retried.
    backend.set_reply(UpstreamReply::Text(500, "s3cret-body".into()));
    assert_unavailable(&upgrade_with(&hub, "12|s3cret-token").await);
    assert!(!hub.output().contains("s3cret"), "{}", hub.output());
}

#[tokio::test]
async fn an_unrequested_content_encoding_is_logged() {
    let backend = MockUpstream::replying(UpstreamReply::WithHeader("Content-Encoding: gzip", json!({"id": 1})));
    let hub = Hub::with(&with_backend(&backend, ""));
    assert_not_understood(&upgrade_with(&hub, "12|abc").await);
    let reason = "an answer in the content encoding gzip, although the request had `Accept-Encoding: identity`";
    assert_logged(&hub, &["auth.backend.url returned no usable result for a token", reason]);
    assert_eq!(backend.requests()[0].header("accept-encoding"), Some("identity"));

    let es256 = key(Algorithm::ES256);
    let set = key_set(&[("first", &es256)]);
    let issuer = MockUpstream::replying(UpstreamReply::WithHeader("Content-Encoding: br", set.clone()));
    let hub = Hub::unready(&with_jwks(&issuer.url("/jwks.json")));
    assert_unavailable(&upgrade_with(&hub, &signed("alice", &es256, Algorithm::ES256, Some("first"))).await);
    assert_logged(&hub, &["auth.jwks: an answer in the content encoding br, although"]);
    assert!(issuer.requests().iter().all(|request| request.header("accept-encoding") == Some("identity")));
    // `identity` means no encoding.
    issuer.set_reply(UpstreamReply::WithHeader("Content-Encoding: identity", set));
    hub.wait_ready();
}

#[tokio::test]
async fn a_token_that_introspection_reports_as_inactive_is_refused() {
    let backend = MockUpstream::new(|request| match request.token() {
        Some("good") => UpstreamReply::Json(200, json!({"active": true, "sub": "alice"})),
        _ => UpstreamReply::Json(200, json!({"active": false, "sub": "alice"})),
    });
    let hub = Hub::with(&with_backend(&backend, ""));
    Client::connect(&hub, "good").await;
    let answer = upgrade_with(&hub, "bad").await;
    assert_refused(&answer, 401, "INVALID_TOKEN", "The token is not known to the application");
}
