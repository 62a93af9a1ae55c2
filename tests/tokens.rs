//! Tokens of every kind against a running hub. An issuer or a backend that is slow, down or wrong admits no client, delays
//! no other client, and is used again once it works.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::fs;

use crate::support::http::Response;
use crate::support::hub::configuration;
use crate::support::run::run;
use crate::support::token::{now, token};
use crate::support::{Client, DEADLINE, Hub, MockUpstream, UpstreamReply, Wire, eventually};

pub(crate) mod algorithms;
mod answers;
mod application;
mod empty;
mod key_sets;
mod opaque;

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("keys/", $name, ".pem"))
    };
}

/// The error text for a token that cannot be verified now.
const UNAVAILABLE: &str = "The token cannot be verified at the moment; try again";

/// The error text for a token about which the application gave an answer that the hub cannot read.
const NOT_UNDERSTOOD: &str = "The token cannot be verified: the answer about it was not understood";

fn key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(pem!("p256.private").as_bytes()),
        Algorithm::ES384 => EncodingKey::from_ec_pem(pem!("p384.private").as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem!("ed25519.private").as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem!("rsa-2048.private").as_bytes()),
    }
    .unwrap()
}

/// Another key for ES256.
fn other() -> EncodingKey {
    EncodingKey::from_ec_pem(pem!("p256-other.private").as_bytes()).unwrap()
}

/// A token of `user` for an hour.
fn signed(user: &str, key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, &json!({"sub": user, "exp": now() + 3600}), key).unwrap()
}

/// A key set of these keys for ES256.
fn key_set(keys: &[(&str, &EncodingKey)]) -> Value {
    let keys = keys.iter().map(|(kid, key)| {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = json!(kid);
        jwk
    });
    json!({"keys": keys.collect::<Vec<_>>()})
}

fn with_jwks(from: &str) -> String {
    format!("[auth]\nalgorithm = \"ES256\"\njwks = \"{from}\"")
}

fn with_backend(backend: &MockUpstream, more: &str) -> String {
    format!("[auth.backend]\nurl = \"{}\"\n{more}", backend.url("/api/user"))
}

/// Requests an upgrade with this token.
async fn upgrade_with(hub: &Hub, token: &str) -> Response {
    let bearer = format!("Bearer {token}");
    let (answer, _) = Wire::upgrade(hub, "/ws", &[("Authorization", &bearer)]).await;
    answer
}

#[track_caller]
fn assert_refused(answer: &Response, status: u16, code: &str, message: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    let mut body = answer.json();
    let details = body["error"]["details"].take();
    assert_eq!(body, json!({"error": {"code": code, "message": message, "details": null}}));
    match status {
        503 => {
            let wait = details["retryAfter"].as_u64().unwrap();
            assert!((1..=10).contains(&wait), "{details}");
            assert_eq!(answer.header("retry-after"), Some(wait.to_string().as_str()));
        }
        _ => assert_eq!((details, answer.header("www-authenticate")), (json!({}), Some("Bearer"))),
    }
}

#[track_caller]
fn assert_unavailable(answer: &Response) {
    assert_refused(answer, 503, "AUTH_FAILED", UNAVAILABLE);
}

/// Asserts a refusal that invites no further attempt, which would get the same answer.
#[track_caller]
fn assert_not_understood(answer: &Response) {
    let error = json!({"code": "AUTH_FAILED", "message": NOT_UNDERSTOOD, "details": {}});
    assert_eq!((answer.status, answer.json()), (503, json!({ "error": error })));
    assert_eq!(answer.header("retry-after"), None);
}

/// Sends a Ping and waits for its Pong.
async fn ping(client: &mut Client) {
    client.ask(json!({"type": "Ping", "data": {"timestamp": 1}}), "Pong").await;
}

/// The output of `waiting`, which has to end after `meanwhile`.
async fn ends_after<T>(waiting: impl Future<Output = T>, meanwhile: impl Future<Output = ()>) -> T {
    tokio::pin!(waiting);
    tokio::select! {
        biased;
        () = meanwhile => {}
        _ = &mut waiting => panic!("the others were answered later than a token that waits for a silent upstream"),
    }
    waiting.await
}

/// A backend that accepts a token of the form `N|name` as one of the user `name`.
fn backend() -> MockUpstream {
    MockUpstream::new(|request| match request.token().and_then(|token| token.split_once('|')) {
        Some((_, name)) if name != "nobody" => {
            UpstreamReply::Json(200, json!({"user": {"id": name, "name": "A name"}}))
        }
        _ => UpstreamReply::Json(401, json!({"message": "Unauthenticated."})),
    })
}

#[test]
fn check_live_fetches_the_keys_and_reaches_the_applications() {
    let (first, second) = (key(Algorithm::ES256), other());
    let issuer = MockUpstream::replying(UpstreamReply::Json(200, key_set(&[("a", &first), ("b", &second)])));
    let application = backend();
    let live = |jwks: &str| {
        let config = format!(
            "{}\nbackend.url = \"{}\"\n[backend]\nurl = \"{}\"",
            with_jwks(jwks),
            application.url("/api/user"),
            application.url("/")
        );
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), configuration(&config)).unwrap();
        fs::write(dir.path().join("set.json"), key_set(&[("a", &first)]).to_string()).unwrap();
        run(dir.path(), &["check", "--live"])
    };
    let from_url = live(&issuer.url("/keys"));
    assert_eq!(from_url.status, Some(0), "{from_url:?}");
    assert!(from_url.stdout.contains("auth.jwks: ok, 2 keys are for ES256\n"), "{from_url:?}");
    for key in ["auth.backend.url", "backend.url"] {
        assert!(from_url.stdout.contains(&format!("\n{key}: ok, ")), "{from_url:?}");
    }
    let from_file = live("set.json");
    assert!(from_file.stdout.contains("auth.jwks: ok, 1 key is for ES256\n"), "{from_file:?}");
    let issuer = MockUpstream::replying(UpstreamReply::Json(200, json!({"keys": []})));
    let empty = live(&issuer.url("/keys"));
    assert_eq!(empty.status, Some(1), "{empty:?}");
    assert!(empty.stdout.contains("auth.jwks: failed, no key fits ES256\n"), "{empty:?}");
}

#[tokio::test]
async fn a_public_key_admits_tokens_of_its_private_key_only() {
    for (algorithm, file) in [
        (Algorithm::RS256, pem!("rsa-2048.public")),
        (Algorithm::PS512, pem!("rsa-2048.pkcs1")),
        (Algorithm::ES256, pem!("p256.public")),
        (Algorithm::ES384, pem!("p384.public")),
        (Algorithm::EdDSA, pem!("ed25519.public")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("issuer.pem"), file).unwrap();
        let config = format!("[auth]\nalgorithm = \"{algorithm:?}\"\npublic_key_file = \"issuer.pem\"");
        fs::write(dir.path().join("config.toml"), configuration(&config)).unwrap();
        let hub = Hub::in_dir(dir);
        Client::connect(&hub, &signed("alice", &key(algorithm), algorithm, Some("whatever"))).await;
        // A token by the shared secret is refused, and so is one by the public key taken for a secret.
        let expected = match algorithm {
            Algorithm::EdDSA => "Ed25519 (EdDSA)".to_owned(),
            _ => format!("{algorithm:?}"),
        };
        let message = format!("The token is not signed with {expected}, but with HS256");
        assert_refused(&upgrade_with(&hub, &token("alice")).await, 401, "INVALID_TOKEN", &message);
        let secret = EncodingKey::from_secret(file.as_bytes());
        let confused = signed("alice", &secret, Algorithm::HS256, None);
        assert_refused(&upgrade_with(&hub, &confused).await, 401, "INVALID_TOKEN", &message);
        let opaque = upgrade_with(&hub, "12|abc").await;
        assert_refused(&opaque, 401, "INVALID_TOKEN", "The token is malformed");
        let printed = run(hub.dir(), &["token", "--user", "alice"]);
        assert_eq!((printed.status, printed.stdout.as_str()), (Some(1), ""), "{printed:?}");
    }
}

#[test]
fn a_key_that_cannot_be_used_stops_the_start_with_one_line() {
    for (config, content, line) in [
        ("algorithm = \"RS256\"\npublic_key_file = \"key\"", None, "auth.public_key_file: key: cannot be read: "),
        ("algorithm = \"RS256\"\npublic_key_file = \"key\"", Some("garbage"), "is not a PEM file with one public key"),
        ("algorithm = \"RS256\"\npublic_key_file = \"key\"", Some(pem!("rsa-2048.private")), "contains a private key"),
        ("algorithm = \"RS256\"\npublic_key_file = \"key\"", Some(pem!("rsa-1024.public")), "of other than 2048 to"),
        ("algorithm = \"RS256\"\npublic_key_file = \"key\"", Some(pem!("p256.public")), "RS256 needs an RSA key"),
        (
            "algorithm = \"ES384\"\npublic_key_file = \"key\"",
            Some(pem!("p256.public")),
            "ES384 needs an EC key on P-384",
        ),
        ("algorithm = \"EdDSA\"\npublic_key_file = \"key\"", Some(pem!("ed448.public")), "EdDSA needs an Ed25519 key"),
        ("algorithm = \"ES256\"\njwks = \"key\"", None, "auth.jwks: key: cannot be read: "),
        ("algorithm = \"ES256\"\njwks = \"key\"", Some("garbage"), "auth.jwks: key: is not a JSON Web Key Set"),
        ("algorithm = \"ES256\"\njwks = \"key\"", Some("{\"keys\": []}"), "has no key for ES256: it is empty"),
        (
            "algorithm = \"ES256\"\njwks = \"key\"",
            Some("{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}]}"),
            "has no key for ES256: key 0 is not usable for ES256: it is a shared secret",
        ),
        ("algorithm = \"RS256\"", None, "needs auth.public_key_file or auth.jwks"),
        ("public_key_file = \"key\"", None, "does nothing while auth.algorithm is HS256"),
        ("algorithm = \"RS256\"\njwks = \"ftp://a\"", None, "expected an http:// or https:// URL"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), configuration(&format!("[auth]\n{config}"))).unwrap();
        if let Some(content) = content {
            fs::write(dir.path().join("key"), content).unwrap();
        }
        // `check` first prints which configuration it reads.
        for (args, lines) in [(&[][..], 1), (&["check"], 2)] {
            let ended = run(dir.path(), args);
            let printed = ended.stderr.lines().filter(|line| !line.contains("warning: ")).count();
            assert_eq!((ended.status, printed), (Some(1), lines), "{config}: {ended:?}");
            assert!(ended.stderr.contains(line), "{config}: {ended:?}");
            assert!(!ended.stderr.contains("c2VjcmV0"), "{ended:?}");
        }
    }
}
