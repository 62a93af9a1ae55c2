//! `auth.issuer` and `auth.audience`: tokens for another application are refused.

use crate::support::{Sio, SioTransport, account, wait_until};

use super::*;

/// The issuer and the audiences that the hub of these tests accepts.
const APPLICATION: &str = "issuer = \"https://id.example\"\naudience = [\"chat\", \"push\"]";

/// Asserts that a token is refused in a handshake and in an `Authenticate`, with this message.
async fn assert_foreign(hub: &Hub, connected: &mut Client, token: &str, message: &str) {
    assert_refused(&upgrade_with(hub, token).await, 401, "INVALID_TOKEN", message);
    let late = connected.ask(json!({"type": "Authenticate", "data": {"token": token}}), "Error").await;
    assert_eq!((&late["data"]["code"], &late["data"]["message"]), (&json!("INVALID_TOKEN"), &json!(message)));
}

#[tokio::test]
async fn a_token_of_the_same_key_set_for_another_application_is_refused() {
    let es256 = key(Algorithm::ES256);
    let issuer = MockUpstream::replying(UpstreamReply::Json(200, key_set(&[("first", &es256)])));
    let hub = Hub::with(&format!("{}\n{APPLICATION}", with_jwks(&issuer.url("/jwks.json"))));
    let token = |iss: Value, aud: Value| {
        let header = Header { kid: Some("first".into()), ..Header::new(Algorithm::ES256) };
        encode(&header, &json!({"sub": "alice", "exp": now() + 3600, "iss": iss, "aud": aud}), &es256).unwrap()
    };
    let ours = token(json!("https://id.example"), json!(["mail", "push"]));
    let mut client = Client::connect(&hub, &ours).await;
    for (token, message) in [
        (token(json!("https://id.example"), json!("mail")), "The token's `aud` is not accepted here"),
        (token(json!("https://id.example"), json!(null)), "The token has no `aud`"),
        (token(json!("https://other.example"), json!("chat")), "The token's `iss` is not accepted here"),
        (signed("alice", &es256, Algorithm::ES256, Some("first")), "The token has no `iss`"),
    ] {
        assert_foreign(&hub, &mut client, &token, message).await;
    }
    let renewed = client.ask(json!({"type": "Authenticate", "data": {"token": ours}}), "Status").await;
    assert_eq!(renewed["data"]["status"], "authenticated");
    let mut guest = Sio::guest(&hub, SioTransport::Polling).await;
    let foreign = token(json!("https://id.example"), json!("mail"));
    let refused = guest.emit_and_expect("authentication_error", "authenticate", json!({"token": foreign})).await;
    assert_eq!(refused["error"], "The token's `aud` is not accepted here");
}

#[tokio::test]
async fn tokens_that_the_hub_signs_have_the_issuer_and_audience() {
    let hub = Hub::with(&format!("[auth]\n{APPLICATION}"));
    let mut client = {
        account::user(&hub, "alice");
        let signed_in = account::sign_in(&hub, "alice");
        let refreshed = account::refresh(&hub, &signed_in.refresh).json();
        Client::connect(&hub, refreshed["access_token"].as_str().unwrap()).await;
        Client::connect(&hub, &signed_in.access).await
    };
    let printed = run(hub.dir(), &["token", "--user", "bob"]);
    Client::connect(&hub, printed.stdout.trim()).await;
    assert_foreign(&hub, &mut client, &token("alice"), "The token has no `iss`").await;
}

#[test]
fn a_key_set_without_issuer_and_audience_is_a_warning_of_check_and_of_the_start() {
    let warning = "auth.jwks: neither auth.issuer nor auth.audience is set";
    let issuer = MockUpstream::replying(UpstreamReply::Json(200, key_set(&[("first", &key(Algorithm::ES256))])));
    let hub = Hub::with(&with_jwks(&issuer.url("/jwks.json")));
    wait_until(DEADLINE, "the start warns", || hub.output().contains(&format!(" WARN  hubbub::cli: {warning}")));
    let checked = run(hub.dir(), &["check"]);
    assert_eq!((checked.status, checked.stdout.as_str()), (Some(0), "the configuration is valid\n"));
    assert!(checked.stderr.contains(&format!("\nhubbub: warning: {warning}")), "{checked:?}");

    let hub = Hub::with(&format!("{}\n{APPLICATION}", with_jwks(&issuer.url("/jwks.json"))));
    let checked = run(hub.dir(), &["check"]);
    assert!(!checked.stderr.contains("warning: "), "{checked:?}");
    assert!(!hub.output().contains(warning), "{}", hub.output());
}
