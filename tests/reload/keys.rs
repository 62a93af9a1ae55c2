//! Keys of tokens that change: in the configuration, and in their files.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

use crate::support::hub::configuration;
use crate::support::token::{now, signed};
use crate::support::{Client, DEADLINE, Hub, Reply, Upstream, Wire, token, wait_until};

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

async fn enter(hub: &Hub, token: &str) -> u16 {
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

/// Replaces a file in one step, as a rotation of keys does.
fn replace(dir: &Path, name: &str, content: &str) {
    fs::write(dir.join("draft"), content).unwrap();
    fs::rename(dir.join("draft"), dir.join(name)).unwrap();
}

#[tokio::test]
async fn a_pem_file_is_read_again_and_one_that_cannot_be_used_changes_nothing() {
    let public = include_str!("../keys/p256.public.pem");
    let hub = hub_in(&[("issuer.pem", public)], "[auth]\nalgorithm = \"ES256\"\npublic_key_file = \"issuer.pem\"");
    let mut alice = Client::connect(&hub, &token_by(&first())).await;
    assert_eq!(enter(&hub, &token_by(&other())).await, 401);

    replace(hub.dir(), "issuer.pem", "no key");
    let said = hub.sighup();
    assert!(
        said.contains("the configuration was not reloaded") && said.contains("auth.public_key_file: issuer.pem"),
        "{said}"
    );
    assert_eq!(enter(&hub, &token_by(&first())).await, 101);

    // The key and the algorithm change together.
    let rotated = include_str!("../keys/ed25519.public.pem");
    replace(hub.dir(), "issuer.pem", rotated);
    hub.reload("[auth]\nalgorithm = \"EdDSA\"\npublic_key_file = \"issuer.pem\"");
    assert_eq!(enter(&hub, &token_by(&first())).await, 401);
    let ed = EncodingKey::from_ed_pem(include_str!("../keys/ed25519.private.pem").as_bytes()).unwrap();
    let fresh = encode(&Header::new(Algorithm::EdDSA), &json!({"sub": "bob", "exp": now() + 3600}), &ed).unwrap();
    assert_eq!(enter(&hub, &fresh).await, 101);
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_key_set_in_a_file_is_loaded_again_and_one_that_cannot_be_used_leaves_its_keys() {
    let set = key_set(&first()).to_string();
    let hub = hub_in(&[("keys.json", &set)], "[auth]\nalgorithm = \"ES256\"\njwks = \"keys.json\"");
    let mut alice = Client::connect(&hub, &token_by(&first())).await;
    replace(hub.dir(), "keys.json", &key_set(&other()).to_string());
    hub.sighup();
    assert_eq!((enter(&hub, &token_by(&first())).await, enter(&hub, &token_by(&other())).await), (401, 101));
    replace(hub.dir(), "keys.json", "{");
    let said = hub.sighup();
    assert!(said.contains("the keys that were loaded before stay") && !said.contains("not reloaded"), "{said}");
    assert_eq!(enter(&hub, &token_by(&other())).await, 101);
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_key_set_at_a_url_is_asked_for_again() {
    let issuer = Upstream::replying(Reply::Json(200, key_set(&first())));
    let config = |issuer: &Upstream| format!("[auth]\nalgorithm = \"ES256\"\njwks = \"{}\"", issuer.url("/keys"));
    let hub = Hub::with(&config(&issuer));
    assert_eq!(enter(&hub, &token_by(&first())).await, 101);
    let asked = issuer.count();
    issuer.set_reply(Reply::Json(200, key_set(&other())));
    hub.sighup();
    assert_eq!((issuer.count(), enter(&hub, &token_by(&other())).await), (asked + 1, 101));

    // One that is down keeps its keys, and holds up nothing else.
    issuer.go_down();
    let said = hub.reload(&format!("{}\n[limits]\nrooms_per_session = 7", config(&issuer)));
    assert!(said.contains("reloaded changed=limits.rooms_per_session\n"), "{said}");
    assert_eq!(enter(&hub, &token_by(&other())).await, 101);

    // Another one has to answer.
    let silent = Upstream::replying(Reply::Json(500, json!({})));
    let said = hub.reload(&config(&silent));
    assert!(said.contains("not reloaded") && said.contains("answered 500"), "{said}");
    assert_eq!(enter(&hub, &token_by(&other())).await, 101);
    silent.set_reply(Reply::Json(200, key_set(&first())));
    hub.reload(&config(&silent));
    assert_eq!((enter(&hub, &token_by(&first())).await, enter(&hub, &token_by(&other())).await), (101, 401));
}

#[tokio::test]
async fn another_secret_is_that_of_new_tokens_and_who_is_in_stays() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    let secret = "another secret that only tests know, of more than 32 bytes";
    let said = hub.reload(&format!("[auth]\njwt_secret = \"{secret}\""));
    assert!(said.contains("auth.jwt_secret") && !said.contains(secret), "{said}");
    assert_eq!(enter(&hub, &token::token("bob")).await, 401);
    let fresh = signed(Algorithm::HS256, secret, &json!({"sub": "bob", "exp": now() + 3600}));
    assert_eq!(enter(&hub, &fresh).await, 101);
    alice.expect_silence().await;
}

#[tokio::test]
async fn a_secret_that_the_hub_made_is_not_replaced_because_its_file_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), "[server]\nport = 0\n").unwrap();
    let hub = Hub::in_dir(dir);
    let secret = fs::read_to_string(hub.data().join("jwt.secret")).unwrap();
    let token = signed(Algorithm::HS256, secret.trim(), &json!({"sub": "alice", "exp": now() + 3600}));
    for name in ["jwt.secret", "api.key"] {
        let path = hub.data().join(name);
        let kept = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let said = hub.sighup();
        assert!(
            said.contains("not reloaded") && said.contains(&format!("{name}: does not exist; put it back")),
            "{said}"
        );
        assert!(!path.exists() && !said.contains(kept.trim()), "{said}");
        assert_eq!(enter(&hub, &token).await, 101);
        fs::write(&path, kept).unwrap();
        assert!(!hub.sighup().contains("not reloaded"));
    }
}

#[tokio::test]
async fn metrics_do_not_wait_for_a_reload_that_waits_for_a_key_set() {
    let hub = Hub::start();
    let issuer = Upstream::replying(Reply::Silence);
    let config = format!("[auth]\nalgorithm = \"ES256\"\njwks = \"{}\"\n", issuer.url("/keys"));
    fs::write(hub.dir().join("config.toml"), configuration(&config)).unwrap();
    hub.signal("HUP");
    wait_until(DEADLINE, "the key set is asked for", || issuer.count() > 0);
    hub.signal("USR1");
    wait_until(DEADLINE, "the metrics are logged", || hub.output().contains("metrics uptimeSecs="));
    let said = hub.output();
    assert!(!said.contains("not reloaded"), "the reload ended first: {said}");
    assert_eq!(enter(&hub, &token::token("alice")).await, 101, "nothing has changed yet");
}
