//! The names of algorithms: two for Ed25519, and the error for a token of another algorithm.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::{Sio, SioTransport, wait_until};

use super::*;

/// A token of `user` for an hour with this `alg` in its header, signed by `algorithm`.
pub(crate) fn named(user: &str, alg: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": alg, "kid": "k"}));
    let message = format!("{header}.{}", part(json!({"sub": user, "exp": now() + 3600})));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// jose 6 and joserfc use the name of RFC 9864; older libraries use the earlier name.
#[tokio::test]
async fn ed25519_and_eddsa_are_one_in_tokens_key_sets_and_the_configuration() {
    let ed = key(Algorithm::EdDSA);
    for name in ["EdDSA", "Ed25519"] {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&ed, Algorithm::EdDSA).unwrap()).unwrap();
        jwk.as_object_mut().unwrap().extend([("kid".to_owned(), json!("k")), ("alg".to_owned(), json!(name))]);
        for keys in ["jwks = \"keys\"", "public_key_file = \"keys\""] {
            let dir = tempfile::tempdir().unwrap();
            let is_set = keys.starts_with("jwks");
            let content = if is_set {
                json!({"keys": [jwk]}).to_string()
            } else {
                include_str!("../keys/ed25519.public.pem").into()
            };
            fs::write(dir.path().join("keys"), content).unwrap();
            let config = format!("[auth]\nalgorithm = \"{name}\"\n{keys}");
            fs::write(dir.path().join("config.toml"), configuration(&config)).unwrap();
            let hub = Hub::in_dir(dir);
            for alg in ["EdDSA", "Ed25519"] {
                Client::connect(&hub, &named("alice", alg, &ed, Algorithm::EdDSA)).await;
            }
            let answer = upgrade_with(&hub, &named("alice", "Ed448", &ed, Algorithm::EdDSA)).await;
            let message = "The token is not signed with Ed25519 (EdDSA), but with Ed448";
            assert_refused(&answer, 401, "INVALID_TOKEN", message);
        }
    }
}

#[tokio::test]
async fn the_error_for_a_token_of_another_algorithm_names_the_expected_one_on_every_surface() {
    let hub = Hub::start();
    let secret = EncodingKey::from_secret(crate::support::hub::JWT_SECRET.as_bytes());
    let mut client = Client::of(&hub, "alice").await;
    let mut guest = Sio::guest(&hub, SioTransport::Polling).await;
    for (alg, message) in [
        ("HS384", "The token is not signed with HS256, but with HS384"),
        ("ES256K", "The token is not signed with HS256, but with ES256K"),
        ("none", "The token is not signed; expected a signature with HS256"),
        ("\u{202e}x", "The token is not signed with HS256"),
    ] {
        let token = named("alice", alg, &secret, Algorithm::HS384);
        assert_refused(&upgrade_with(&hub, &token).await, 401, "INVALID_TOKEN", message);
        let late = client.ask(json!({"type": "Authenticate", "data": {"token": token}}), "Error").await;
        assert_eq!((&late["data"]["code"], &late["data"]["message"]), (&json!("INVALID_TOKEN"), &json!(message)));
        let refused = guest.emit_and_expect("authentication_error", "authenticate", json!({"token": token})).await;
        assert_eq!((&refused["code"], &refused["error"]), (&json!("AUTH_FAILED"), &json!(message)));
        wait_until(DEADLINE, "the refusals are logged", || {
            let is_logged =
                |line: &&str| line.contains(&format!("reason=\"{message}\"")) && line.contains("rule=auth.algorithm");
            hub.output().lines().filter(is_logged).count() == 3
        });
        assert!(!hub.output().contains(&token));
    }
}
