//! Token keys that change in the configuration and in their files.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

use crate::support::hub::configuration;
use crate::support::token::{now, signed};
use crate::support::{Client, DEADLINE, Hub, MockUpstream, UpstreamReply, Wire, token, wait_until};

fn ec(text: &str) -> EncodingKey {
    EncodingKey::from_ec_pem(text.as_bytes()).unwrap()
}

fn first() -> EncodingKey {
    ec(include_str!("../keys/p256.private.pem"))
}

fn other() -> EncodingKey {
    ec(include_str!("../keys/p256-other.private.pem"))
}

fn token_by(key: &EncodingKey) -> String {
    encode(&Header::new(Algorithm::ES256), &json!({"sub": "alice", "exp": now() + 3600}), key).unwrap()
}

fn key_set(key: &EncodingKey) -> Value {
    json!({"keys": [serde_json::to_value(Jwk::from_encoding_key(key, Algorithm::ES256).unwrap()).unwrap()]})
}

/// Requests an upgrade with this token. Returns the status.
async fn upgrade(hub: &Hub, token: &str) -> u16 {
    let (answer, _) = Wire::upgrade(hub, &format!("/ws?token={token}"), &[]).await;
    answer.status
}

fn hub_in(files: &[(&str, &str)], config: &str) -> Hub {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    fs::write(dir.path().join("config.toml"), configuration(config)).unwrap();
    Hub::in_dir(dir)
}

/// Replaces a file atomically, as a key rotation does.
fn replace(dir: &Path, name: &str, content: &str) {
    fs::write(dir.join("draft"), content).unwrap();
    fs::rename(dir.join("draft"), dir.join(name)).unwrap();
}

#[tokio::test]
async fn a_reload_reads_the_pem_file_and_an_invalid_one_changes_nothing() {
    let public = include_str!("../keys/p256.public.pem");
    let hub = hub_in(&[("issuer.pem", public)], "[auth]\nalgorithm = \"ES256\"\npublic_key_file = \"issuer.pem\"");
    let mut alice = Client::connect(&hub, &token_by(&first())).await;
    assert_eq!(upgrade(&hub, &token_by(&other())).await, 401);

    replace(hub.dir(), "issuer.pem", "no key");
    let log = hub.sighup();
    assert!(
        log.contains("the configuration was not reloaded") && log.contains("auth.public_key_file: issuer.pem"),
        "{log}"
    );
    assert_eq!(upgrade(&hub, &token_by(&first())).await, 101);

    // The key and the algorithm change together.
    let rotated = include_str!("../keys/ed25519.public.pem");
    replace(hub.dir(), "issuer.pem", rotated);
    hub.reload("[auth]\nalgorithm = \"EdDSA\"\npublic_key_file = \"issuer.pem\"");
    assert_eq!(upgrade(&hub, &token_by(&first())).await, 401);
    let ed = EncodingKey::from_ed_pem(include_str!("../keys/ed25519.private.pem").as_bytes()).unwrap();
    let fresh = encode(&Header::new(Algorithm::EdDSA), &json!({"sub": "bob", "exp": now() + 3600}), &ed).unwrap();
    assert_eq!(upgrade(&hub, &fresh).await, 101);
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_reload_reads_the_key_set_file_and_an_invalid_one_keeps_the_old_keys() {
    let set = key_set(&first()).to_string();
    let hub = hub_in(&[("keys.json", &set)], "[auth]\nalgorithm = \"ES256\"\njwks = \"keys.json\"");
    let mut alice = Client::connect(&hub, &token_by(&first())).await;
    replace(hub.dir(), "keys.json", &key_set(&other()).to_string());
    hub.sighup();
    assert_eq!((upgrade(&hub, &token_by(&first())).await, upgrade(&hub, &token_by(&other())).await), (401, 101));
    replace(hub.dir(), "keys.json", "{");
    let log = hub.sighup();
    assert!(log.contains("the previous keys stay in use") && !log.contains("not reloaded"), "{log}");
    assert_eq!(upgrade(&hub, &token_by(&other())).await, 101);
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_reload_fetches_the_key_set_at_a_url() {
    let issuer = MockUpstream::replying(UpstreamReply::Json(200, key_set(&first())));
    let config = |issuer: &MockUpstream| format!("[auth]\nalgorithm = \"ES256\"\njwks = \"{}\"", issuer.url("/keys"));
    let hub = Hub::with(&config(&issuer));
    assert_eq!(upgrade(&hub, &token_by(&first())).await, 101);
    let requests = issuer.count();
    issuer.set_reply(UpstreamReply::Json(200, key_set(&other())));
    hub.sighup();
    assert_eq!((issuer.count(), upgrade(&hub, &token_by(&other())).await), (requests + 1, 101));

    // While the URL is down, its keys stay, and the other changes apply.
    issuer.go_down();
    let log = hub.reload(&format!("{}\n[limits]\nrooms_per_session = 7", config(&issuer)));
    assert!(log.contains("reloaded changed=limits.rooms_per_session\n"), "{log}");
    assert_eq!(upgrade(&hub, &token_by(&other())).await, 101);

    // A new URL must answer, else the reload fails.
    let silent = MockUpstream::replying(UpstreamReply::Json(500, json!({})));
    let log = hub.reload(&config(&silent));
    assert!(log.contains("not reloaded") && log.contains("answered 500"), "{log}");
    assert_eq!(upgrade(&hub, &token_by(&other())).await, 101);
    silent.set_reply(UpstreamReply::Json(200, key_set(&first())));
    hub.reload(&config(&silent));
    assert_eq!((upgrade(&hub, &token_by(&first())).await, upgrade(&hub, &token_by(&other())).await), (101, 401));
}

#[tokio::test]
async fn a_new_secret_applies_to_new_tokens_and_keeps_connected_clients() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    let secret = "another secret that only tests know, of more than 32 bytes";
    let log = hub.reload(&format!("[auth]\njwt_secret = \"{secret}\""));
    assert!(log.contains("auth.jwt_secret") && !log.contains(secret), "{log}");
    assert_eq!(upgrade(&hub, &token::token("bob")).await, 401);
    let fresh = signed(Algorithm::HS256, secret, &json!({"sub": "bob", "exp": now() + 3600}));
    assert_eq!(upgrade(&hub, &fresh).await, 101);
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_missing_file_of_a_generated_secret_fails_the_reload() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), "[server]\nport = 0\n").unwrap();
    let hub = Hub::in_dir(dir);
    let secret = fs::read_to_string(hub.data().join("jwt.secret")).unwrap();
    let token = signed(Algorithm::HS256, secret.trim(), &json!({"sub": "alice", "exp": now() + 3600}));
    for name in ["jwt.secret", "api.key"] {
        let path = hub.data().join(name);
        let secret = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let log = hub.sighup();
        assert!(log.contains("not reloaded") && log.contains(&format!("{name}: does not exist; put it back")), "{log}");
        assert!(!path.exists() && !log.contains(secret.trim()), "{log}");
        assert_eq!(upgrade(&hub, &token).await, 101);
        fs::write(&path, secret).unwrap();
        assert!(!hub.sighup().contains("not reloaded"));
    }
}

#[tokio::test]
async fn a_metrics_signal_is_served_while_a_reload_waits_for_a_key_set() {
    let hub = Hub::start();
    let issuer = MockUpstream::replying(UpstreamReply::Silence);
    let config = format!("[auth]\nalgorithm = \"ES256\"\njwks = \"{}\"\n", issuer.url("/keys"));
    fs::write(hub.dir().join("config.toml"), configuration(&config)).unwrap();
    hub.signal("HUP");
    wait_until(DEADLINE, "the key set is requested", || issuer.count() > 0);
    hub.signal("USR1");
    wait_until(DEADLINE, "the metrics are logged", || hub.output().contains(" metrics "));
    let log = hub.output();
    assert!(!log.contains("not reloaded"), "the reload ended first: {log}");
    assert_eq!(upgrade(&hub, &token::token("alice")).await, 101, "nothing has changed yet");
}
