//! Tokens of every issuer with each supported version of `socket.io-client`: a library that names its algorithm `Ed25519`,
//! a Laravel application, and an account.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;
use std::fs;

use super::socketio::{VERSIONS, node_with};
use crate::support::account::{PASSWORD, sign_in, user_command};
use crate::support::hub::configuration;
use crate::support::tools::Program;
use crate::support::{Hub, MockUpstream, UpstreamReply};
use crate::tokens::algorithms::named;

/// Asserts that every version connects with `token` by every transport.
fn assert_all_connect(hub: &Hub, token: &str) {
    let base = format!("http://{}", hub.address());
    for version in VERSIONS {
        for transports in ["polling", "websocket"] {
            let driver = Program::start(node_with(version, "versions.js").args([&base, transports, token]));
            let joined = json!({"joined": {"success": true, "room": "first"}});
            assert_eq!(driver.report(), joined, "{version} {transports}");
        }
    }
}

#[test]
fn every_version_connects_with_an_ed25519_token_and_with_a_laravel_token() {
    let ed = EncodingKey::from_ed_pem(include_bytes!("../keys/ed25519.private.pem")).unwrap();
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&ed, Algorithm::EdDSA).unwrap()).unwrap();
    jwk.as_object_mut().unwrap().extend([("kid".to_owned(), json!("k")), ("alg".to_owned(), json!("Ed25519"))]);
    let application = MockUpstream::replying(UpstreamReply::Json(200, json!({"data": {"id": 42, "name": "Ann"}})));
    let url = application.url("/api/user");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("keys"), json!({"keys": [jwk]}).to_string()).unwrap();
    let config = format!("[auth]\nalgorithm = \"Ed25519\"\njwks = \"keys\"\n[auth.backend]\nurl = \"{url}\"");
    fs::write(dir.path().join("config.toml"), configuration(&config)).unwrap();
    let hub = Hub::in_dir(dir);
    assert_all_connect(&hub, &named("alice", "Ed25519", &ed, Algorithm::EdDSA));
    assert_all_connect(&hub, "12|abcdef");
}

#[test]
fn every_version_connects_with_an_account_that_has_the_required_permission() {
    let hub = Hub::with("[auth]\nrequired_permissions = [\"connect\"]");
    let added = user_command(&hub, &["add", "alice", "--permission", "connect"], PASSWORD);
    assert_eq!(added.status, Some(0), "{added:?}");
    assert_all_connect(&hub, &sign_in(&hub, "alice").access);
}
