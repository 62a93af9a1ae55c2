//! The token of a handshake: its places, which of several counts, and every refusal.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::*;
use crate::support::token::{now, signed, token_with, unsigned};
use crate::support::{Client, JWT_SECRET};

/// The id of the user in the welcome.
fn user(client: &Client) -> &Value {
    &client.welcome["data"]["details"]["user"]["id"]
}

#[tokio::test]
async fn a_token_in_the_authorization_header_is_accepted() {
    let hub = Hub::start();
    let bearer = format!("Bearer {}", token("alice"));
    let client = Client::open(&hub, "/ws", &[("Authorization", &bearer)]).await;
    assert_eq!(user(&client), "alice");
}

#[tokio::test]
async fn a_token_in_the_query_is_accepted() {
    let hub = Hub::start();
    let client = Client::open(&hub, &format!("/ws?token={}", token("alice")), &[]).await;
    assert_eq!(user(&client), "alice");
}

#[tokio::test]
async fn a_token_as_a_subprotocol_is_accepted_and_echoed() {
    let hub = Hub::start();
    let protocol = format!("access_token.{}", token("alice"));
    let offer = format!("chat, {protocol}");
    let (answer, mut wire) = Wire::upgrade(&hub, "/ws", &[("Sec-WebSocket-Protocol", &offer)]).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), Some(protocol.as_str()));
    assert_eq!(answer.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(wire.message().await["data"]["details"]["user"]["id"], "alice");
}

#[tokio::test]
async fn the_first_subprotocol_is_chosen_when_none_has_a_token() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    for (offer, chosen) in
        [("my-protocol", Some("my-protocol")), ("v2.chat, v1.chat", Some("v2.chat")), ("not a token", None)]
    {
        let (answer, _) = Wire::upgrade(&hub, &path, &[("Sec-WebSocket-Protocol", offer)]).await;
        assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), (101, chosen), "{offer}");
    }
}

#[tokio::test]
async fn no_subprotocol_is_chosen_when_none_was_offered() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    let (answer, _) = Wire::upgrade(&hub, &path, &[]).await;
    assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), (101, None));
}

#[tokio::test]
async fn the_header_overrides_the_subprotocol_and_the_subprotocol_overrides_the_query() {
    let hub = Hub::start();
    let bearer = format!("Bearer {}", token("header"));
    let protocol = format!("access_token.{}", token("subprotocol"));
    let path = format!("/ws?token={}", token("query"));
    let header = ("Authorization", bearer.as_str());
    let subprotocol = ("Sec-WebSocket-Protocol", protocol.as_str());

    assert_eq!(user(&Client::open(&hub, &path, &[header, subprotocol]).await), "header");
    assert_eq!(user(&Client::open(&hub, &path, &[subprotocol]).await), "subprotocol");
    assert_eq!(user(&Client::open(&hub, &path, &[]).await), "query");
}

#[tokio::test]
async fn a_bad_token_is_refused_even_with_a_good_one_in_another_position() {
    let hub = Hub::start();
    let path = format!("/ws?token={}", token("alice"));
    let answer = refused(&hub, &path, &[("Authorization", "Bearer nonsense")]).await;
    assert_refusal(&answer, 401, "INVALID_TOKEN");
}

#[tokio::test]
async fn a_handshake_without_a_token_is_refused() {
    let hub = Hub::start();
    assert_refusal(&refused(&hub, "/ws", &[]).await, 401, "INVALID_TOKEN");
    assert_refusal(&refused(&hub, "/ws?token=", &[]).await, 401, "INVALID_TOKEN");
    let protocol = [("Sec-WebSocket-Protocol", "access_token.")];
    assert_refusal(&refused(&hub, "/ws", &protocol).await, 401, "INVALID_TOKEN");
    assert_eq!(hub.counters()["total_connections"], 0);
}

#[tokio::test]
async fn an_invalid_token_is_refused() {
    let hub = Hub::start();
    let good = token("alice");
    let (body, _) = good.rsplit_once('.').unwrap();
    let claims = json!({"sub": "alice", "exp": now() + 3600});
    let bad = [
        ("not a JWT", "nonsense".to_owned()),
        ("no signature", format!("{body}.")),
        ("another secret", signed(Algorithm::HS256, "another secret", &claims)),
        ("an algorithm that is not the configured one", signed(Algorithm::HS512, JWT_SECRET, &claims)),
        ("no algorithm", unsigned(json!({"sub": "alice"}))),
        ("an empty user", token_with(json!({"sub": ""}))),
        ("a user that is no name", token_with(json!({"sub": {"id": 1}}))),
        ("an expiry that is no time", token_with(json!({"sub": "alice", "exp": "tomorrow"}))),
        ("no user", token_with(json!({"name": "alice"}))),
        ("no expiry", token_with(json!({"sub": "alice", "exp": null}))),
        ("not valid yet", token_with(json!({"sub": "alice", "nbf": now() + 600}))),
    ];
    for (what, token) in bad {
        let answer = refused(&hub, &format!("/ws?token={token}"), &[]).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_refusal(&answer, 401, "INVALID_TOKEN");
        assert!(!answer.body.contains(JWT_SECRET) && !hub.output().contains(JWT_SECRET));
    }
}

#[tokio::test]
async fn an_expired_token_has_an_error_code_of_its_own() {
    let hub = Hub::start();
    let token = token_with(json!({"sub": "alice", "exp": now() - 60}));
    let answer = refused(&hub, &format!("/ws?token={token}"), &[]).await;
    assert_refusal(&answer, 401, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn times_of_a_token_may_be_off_by_the_leeway() {
    let hub = Hub::with("[auth]\nleeway_secs = 60");
    let expired = token_with(json!({"sub": "alice", "exp": now() - 30}));
    Client::connect(&hub, &expired).await;
    let early = token_with(json!({"sub": "alice", "nbf": now() + 30}));
    Client::connect(&hub, &early).await;
}

#[tokio::test]
async fn a_token_without_an_expiry_is_accepted_where_the_configuration_allows_it() {
    let hub = Hub::with("[auth]\nrequire_exp = false");
    Client::connect(&hub, &token_with(json!({"sub": "alice", "exp": null}))).await;
}

#[tokio::test]
async fn an_expiry_may_have_a_fraction_and_may_be_far_away() {
    let hub = Hub::start();
    for exp in [json!(now() as f64 + 3600.5), json!(253_402_300_799_u64)] {
        let mut client = Client::connect(&hub, &token_with(json!({"sub": "alice", "exp": exp}))).await;
        client.expect_silence().await;
    }
}

#[tokio::test]
async fn a_token_that_lacks_a_required_permission_is_forbidden() {
    let hub = Hub::with("[auth]\nrequired_permissions = [\"realtime\", \"chat\"]");
    for permissions in [json!([]), json!(["realtime"]), json!(["chat", "admin"])] {
        let token = token_with(json!({"sub": "alice", "permissions": permissions}));
        let answer = refused(&hub, &format!("/ws?token={token}"), &[]).await;
        assert_refusal(&answer, 403, "FORBIDDEN");
    }
    let permissions = json!(["chat", "other", "realtime"]);
    Client::connect(&hub, &token_with(json!({"sub": "alice", "permissions": permissions}))).await;
}
