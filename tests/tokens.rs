//! Tokens of every kind against a running hub, and those it asks about them: what they answer when they are slow, down
//! or wrong lets nobody in, keeps nobody else waiting, and is forgotten once they are back.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::client::without_time;
use crate::support::http::Response;
use crate::support::hub::configuration;
use crate::support::run::run;
use crate::support::token::{now, token};
use crate::support::{Client, DEADLINE, Hub, Reply, Upstream, Wire, eventually};

pub(crate) mod algorithms;
mod answers;
mod application;
mod empty;

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("keys/", $name, ".pem"))
    };
}

/// The hub's words for a token that nobody can judge now.
const UNAVAILABLE: &str = "The token cannot be verified at the moment; try again";

/// Its words for a token about which the application gave an answer that it cannot read.
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

fn with_backend(backend: &Upstream, more: &str) -> String {
    format!("[auth.backend]\nurl = \"{}\"\n{more}", backend.url("/api/user"))
}

/// Asks to come in with this token.
async fn knock(hub: &Hub, token: &str) -> Response {
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

/// That nothing invites another attempt, which would get the same answer.
#[track_caller]
fn assert_not_understood(answer: &Response) {
    let error = json!({"code": "AUTH_FAILED", "message": NOT_UNDERSTOOD, "details": {}});
    assert_eq!((answer.status, answer.json()), (503, json!({ "error": error })));
    assert_eq!(answer.header("retry-after"), None);
}

/// Whether a client that is connected is answered at once.
async fn assert_answered_at_once(client: &mut Client) {
    let asked = Instant::now();
    client.ask(json!({"type": "Ping", "data": {"timestamp": 1}}), "Pong").await;
    assert!(asked.elapsed() < Duration::from_secs(3), "a pong took {:?}", asked.elapsed());
}

/// A backend that knows tokens of the form `N|name` as those of the user `name`.
fn backend() -> Upstream {
    Upstream::new(|asked| match asked.token().and_then(|token| token.split_once('|')) {
        Some((_, name)) if name != "nobody" => Reply::Json(200, json!({"user": {"id": name, "name": "A name"}})),
        _ => Reply::Json(401, json!({"message": "Unauthenticated."})),
    })
}

#[test]
fn check_live_fetches_the_keys_and_reaches_the_applications() {
    let (first, second) = (key(Algorithm::ES256), other());
    let issuer = Upstream::replying(Reply::Json(200, key_set(&[("a", &first), ("b", &second)])));
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
    let issuer = Upstream::replying(Reply::Json(200, json!({"keys": []})));
    let empty = live(&issuer.url("/keys"));
    assert_eq!(empty.status, Some(1), "{empty:?}");
    assert!(empty.stdout.contains("auth.jwks: failed, no key is for ES256\n"), "{empty:?}");
}

#[tokio::test]
async fn a_public_key_lets_in_whom_its_owner_signed_and_nobody_else() {
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
        // The shared secret counts for nothing here, nor does the public key when it is taken for one.
        let expected = match algorithm {
            Algorithm::EdDSA => "Ed25519 (EdDSA)".to_owned(),
            _ => format!("{algorithm:?}"),
        };
        let message = format!("The token is not signed with {expected}, but with HS256");
        assert_refused(&knock(&hub, &token("alice")).await, 401, "INVALID_TOKEN", &message);
        let secret = EncodingKey::from_secret(file.as_bytes());
        let confused = signed("alice", &secret, Algorithm::HS256, None);
        assert_refused(&knock(&hub, &confused).await, 401, "INVALID_TOKEN", &message);
        let opaque = knock(&hub, "12|abc").await;
        assert_refused(&opaque, 401, "INVALID_TOKEN", "The token is malformed");
        let printed = run(hub.dir(), &["token", "--user", "alice"]);
        assert_eq!((printed.status, printed.stdout.as_str()), (Some(1), ""), "{printed:?}");
    }
}

#[test]
fn a_key_that_cannot_be_used_stops_the_start_with_one_line() {
    for (config, content, line) in [
        ("algorithm = \"RS256\"\npublic_key_file = \"key\"", None, "auth.public_key_file: key: cannot be read: "),
        ("algorithm = \"RS256\"\npublic_key_file = \"key\"", Some("garbage"), "is no PEM file with one public key"),
        ("algorithm = \"RS256\"\npublic_key_file = \"key\"", Some(pem!("rsa-2048.private")), "holds a private key"),
        ("algorithm = \"RS256\"\npublic_key_file = \"key\"", Some(pem!("rsa-1024.public")), "of other than 2048 to"),
        ("algorithm = \"RS256\"\npublic_key_file = \"key\"", Some(pem!("p256.public")), "RS256 needs an RSA key"),
        (
            "algorithm = \"ES384\"\npublic_key_file = \"key\"",
            Some(pem!("p256.public")),
            "ES384 needs an EC key on P-384",
        ),
        ("algorithm = \"EdDSA\"\npublic_key_file = \"key\"", Some(pem!("ed448.public")), "EdDSA needs an Ed25519 key"),
        ("algorithm = \"ES256\"\njwks = \"key\"", None, "auth.jwks: key: cannot be read: "),
        ("algorithm = \"ES256\"\njwks = \"key\"", Some("garbage"), "auth.jwks: key: is no JSON Web Key Set"),
        ("algorithm = \"ES256\"\njwks = \"key\"", Some("{\"keys\": []}"), "has no key for ES256: it is empty"),
        (
            "algorithm = \"ES256\"\njwks = \"key\"",
            Some("{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}]}"),
            "has no key for ES256: key 0 does not serve ES256: it is a shared secret",
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
        // `check` says first which configuration it reads.
        for (args, lines) in [(&[][..], 1), (&["check"], 2)] {
            let ended = run(dir.path(), args);
            let said = ended.stderr.lines().filter(|line| !line.contains("warning: ")).count();
            assert_eq!((ended.status, said), (Some(1), lines), "{config}: {ended:?}");
            assert!(ended.stderr.contains(line), "{config}: {ended:?}");
            assert!(!ended.stderr.contains("c2VjcmV0"), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn keys_rotate_by_their_kid_without_a_restart_and_made_up_ones_ask_nobody() {
    let (first, second) = (key(Algorithm::ES256), other());
    let issuer = Upstream::replying(Reply::Json(200, key_set(&[("first", &first)])));
    let hub = Hub::with(&with_jwks(&issuer.url("/jwks.json")));
    let mut old = Client::connect(&hub, &signed("alice", &first, Algorithm::ES256, Some("first"))).await;
    Client::connect(&hub, &signed("alice", &first, Algorithm::ES256, None)).await;
    assert_eq!(issuer.count(), 1);
    let agent = format!("hubbub/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(issuer.requests()[0].header("user-agent"), Some(agent.as_str()));

    // Everybody comes with the new key at once; the issuer is asked once for all of them, and takes its time.
    let both = key_set(&[("first", &first), ("second", &second)]);
    issuer.set_reply(Reply::Delayed(Duration::from_millis(500), Box::new(Reply::Json(200, both))));
    let fresh = signed("bob", &second, Algorithm::ES256, Some("second"));
    let (mut one, _, _) =
        tokio::join!(Client::connect(&hub, &fresh), Client::connect(&hub, &fresh), Client::connect(&hub, &fresh));
    assert_eq!(issuer.count(), 2);
    assert_answered_at_once(&mut old).await;
    assert_answered_at_once(&mut one).await;

    let unknown = "The token is signed with an unknown key";
    for kid in ["third", "", "../../jwks", "' OR 1=1 --", "\u{202e}", &"k".repeat(3_000)] {
        let token = signed("mallory", &first, Algorithm::ES256, Some(kid));
        assert_refused(&knock(&hub, &token).await, 401, "INVALID_TOKEN", unknown);
    }
    let unnamed = signed("alice", &first, Algorithm::ES256, None);
    let several = "The token does not say which of several keys it is signed with";
    assert_refused(&knock(&hub, &unnamed).await, 401, "INVALID_TOKEN", several);
    let crossed = signed("mallory", &second, Algorithm::ES256, Some("first"));
    let wrong = "The token's signature does not hold";
    assert_refused(&knock(&hub, &crossed).await, 401, "INVALID_TOKEN", wrong);
    assert_eq!(issuer.count(), 2, "at most once a minute");
    assert_eq!(hub.metric("hubbub_jwks_keys"), 2.0);
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_lets_nobody_in_until_it_is_back() {
    let es256 = key(Algorithm::ES256);
    let issuer = Upstream::replying(Reply::Json(200, key_set(&[("first", &es256)])));
    issuer.go_down();
    let hub = Hub::unready(&with_jwks(&issuer.url("/jwks.json")));
    let token = signed("alice", &es256, Algorithm::ES256, Some("first"));
    assert_unavailable(&knock(&hub, &token).await);
    let ready = hub.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["reason"]), (503, &json!("The keys of auth.jwks are not there yet")));
    assert_eq!(hub.get("/health/live").status, 200);
    // What cannot hold whatever the keys are is told so.
    let message = "The token is not signed with ES256, but with HS256";
    assert_refused(&knock(&hub, &crate::support::token::token("alice")).await, 401, "INVALID_TOKEN", message);

    issuer.come_back();
    hub.wait_ready();
    Client::connect(&hub, &token).await;
    assert!(hub.output().contains("auth.jwks: "), "{}", hub.output());
}

#[tokio::test]
async fn a_hub_whose_issuer_has_no_keys_is_not_ready() {
    let es256 = key(Algorithm::ES256);
    let issuer = Upstream::replying(Reply::Json(200, json!({"keys": []})));
    let hub = Hub::unready(&with_jwks(&issuer.url("/jwks.json")));
    eventually(DEADLINE, "the issuer is asked", || hub.output().contains("auth.jwks: 0 keys")).await;
    let ready = hub.get("/health/ready");
    let reason = "auth.jwks has no key that fits auth.algorithm";
    assert_eq!((ready.status, &ready.json()["reason"]), (503, &json!(reason)));
    issuer.set_reply(Reply::Json(200, key_set(&[("first", &es256)])));
    Client::connect(&hub, &signed("alice", &es256, Algorithm::ES256, Some("first"))).await;
    assert_eq!(hub.get("/health/ready").status, 200);
}

#[tokio::test]
async fn an_issuer_that_answers_nonsense_at_the_start_is_asked_again() {
    let es256 = key(Algorithm::ES256);
    let issuer = Upstream::replying(Reply::Text(500, "down".into()));
    let hub = Hub::unready(&with_jwks(&issuer.url("/jwks.json")));
    let token = signed("alice", &es256, Algorithm::ES256, Some("first"));
    let endless = format!("{{\"keys\": [{}{{}}]}}", "{},".repeat(200));
    for reply in [
        Reply::Text(200, "<html>".into()),
        Reply::Text(200, " ".repeat(300 * 1024)),
        Reply::Text(200, endless),
        Reply::Json(404, key_set(&[("first", &es256)])),
        Reply::Redirect("https://127.0.0.1:1/jwks.json".into()),
        Reply::HangUp,
    ] {
        assert_unavailable(&knock(&hub, &token).await);
        let before = issuer.count();
        issuer.set_reply(reply);
        if before < 3 {
            eventually(DEADLINE, "asked again", || issuer.count() > before).await;
        }
    }
    // Elsewhere, by the same scheme, is followed.
    let elsewhere = Upstream::replying(Reply::Json(200, key_set(&[("first", &es256)])));
    issuer.set_reply(Reply::Redirect(elsewhere.url("/keys")));
    hub.wait_ready();
    Client::connect(&hub, &token).await;
    assert_eq!(elsewhere.requests()[0].path, "/keys");
}

#[tokio::test]
async fn an_issuer_that_fails_later_leaves_the_keys_there_were() {
    let es256 = key(Algorithm::ES256);
    let issuer = Upstream::replying(Reply::Json(200, key_set(&[("first", &es256)])));
    let hub = Hub::with(&with_jwks(&issuer.url("/jwks.json")));
    let token = signed("alice", &es256, Algorithm::ES256, Some("first"));
    let mut client = Client::connect(&hub, &token).await;
    issuer.set_reply(Reply::Silence);
    // One that waits for the issuer, which may have a new key, while all others go on.
    let unknown = signed("alice", &other(), Algorithm::ES256, Some("second"));
    let waiting = tokio::join!(knock(&hub, &unknown), async {
        eventually(DEADLINE, "the issuer is asked", || issuer.count() == 2).await;
        assert_answered_at_once(&mut client).await;
        Client::connect(&hub, &token).await;
    });
    assert_unavailable(&waiting.0);
    Client::connect(&hub, &token).await;
    assert_eq!(hub.get("/health/ready").status, 200);
}

#[tokio::test]
async fn a_key_set_that_cannot_be_read_to_its_end_does_not_keep_the_hub_from_ending() {
    const NONBLOCK: i32 = 0o4000;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), configuration(&with_jwks("jwks.json"))).unwrap();
    fs::write(dir.path().join("jwks.json"), key_set(&[("first", &key(Algorithm::ES256))]).to_string()).unwrap();
    let mut hub = Hub::in_dir(dir);
    // A pipe in its place into which nobody writes, as a file on a server that is gone.
    let (path, pipe) = (hub.dir().join("jwks.json"), hub.dir().join("pipe"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::rename(&pipe, &path).unwrap();
    let mut held = None;
    eventually(DEADLINE, "the hub reads it", || {
        held = fs::OpenOptions::new().write(true).custom_flags(NONBLOCK).open(&path).ok();
        held.is_some()
    })
    .await;
    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0), "{}", hub.output());
}

#[tokio::test]
async fn a_key_set_in_a_file_is_read_again_when_it_changes() {
    let (first, second) = (key(Algorithm::ES256), other());
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), configuration(&with_jwks("jwks.json"))).unwrap();
    fs::write(dir.path().join("jwks.json"), key_set(&[("first", &first)]).to_string()).unwrap();
    let hub = Hub::in_dir(dir);
    let old = signed("alice", &first, Algorithm::ES256, Some("first"));
    Client::connect(&hub, &old).await;
    // A file that is no key set changes nothing, and is said once.
    fs::write(hub.dir().join("jwks.json"), "half a fi").unwrap();
    eventually(DEADLINE, "it is said", || hub.output().contains("is no JSON Web Key Set")).await;
    Client::connect(&hub, &old).await;
    fs::write(hub.dir().join("jwks.json"), key_set(&[("second", &second)]).to_string()).unwrap();
    let new = signed("alice", &second, Algorithm::ES256, Some("second"));
    eventually(DEADLINE, "it is read", || hub.output().matches("auth.jwks: 1 keys").count() >= 2).await;
    Client::connect(&hub, &new).await;
    let unknown = "The token is signed with an unknown key";
    assert_refused(&knock(&hub, &old).await, 401, "INVALID_TOKEN", unknown);
}

#[tokio::test]
async fn the_application_says_whose_an_opaque_token_is() {
    let backend = backend();
    let hub = Hub::with(&with_backend(&backend, ""));
    let client = Client::connect(&hub, "12|alice").await;
    let user = json!({"id": "alice", "name": "A name", "roles": []});
    assert_eq!(client.welcome["data"]["details"]["user"], user);
    let asked = &backend.requests()[0];
    assert_eq!((asked.path.as_str(), asked.token()), ("/api/user", Some("12|alice")));
    let agent = format!("hubbub/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!((asked.header("accept"), asked.header("user-agent")), (Some("application/json"), Some(agent.as_str())));

    // A bare user object, in the query and in the subprotocol.
    backend.set_reply(Reply::Json(200, json!({"id": 7, "username": "bob", "role": "admin"})));
    let mut bob = Client::open(&hub, "/ws?token=13%7Cbob", &[]).await;
    let user = json!({"id": "7", "name": "bob", "roles": ["admin"]});
    assert_eq!(bob.welcome["data"]["details"]["user"], user);
    // JWTs are judged as before, and the application never sees one.
    Client::of(&hub, "carol").await;
    assert_refused(&knock(&hub, "a.b.c").await, 401, "INVALID_TOKEN", "The token is malformed");
    let long = "x".repeat(8 * 1024 + 1);
    assert_refused(&knock(&hub, &long).await, 401, "INVALID_TOKEN", "The token is longer than 8192 bytes");
    let odd = Wire::upgrade(&hub, "/ws?token=a%0D%0AX-Admin:%201", &[]).await.0;
    assert_refused(&odd, 401, "INVALID_TOKEN", "The token is malformed");
    assert_eq!(backend.count(), 2);
    // While connected as well.
    let authenticate = json!({"type": "Authenticate", "data": {"token": "14|bob"}});
    let status = without_time(bob.ask(authenticate, "Status").await);
    assert_eq!(status["data"]["details"], json!({"user": user, "expires_at": null}));
}

#[tokio::test]
async fn an_answer_is_remembered_and_one_question_serves_all_who_wait() {
    let backend = backend();
    let hub = Hub::with(&with_backend(&backend, "cache_secs = 4"));
    let user = Reply::Json(200, json!({"id": "alice"}));
    backend.set_reply(Reply::Delayed(Duration::from_millis(500), Box::new(user)));
    let clients = futures_util::future::join_all((0..20).map(|_| Client::connect(&hub, "12|alice"))).await;
    assert_eq!((clients.len(), backend.count()), (20, 1));
    Client::connect(&hub, "12|alice").await;
    assert_eq!(backend.count(), 1);
    assert_eq!(hub.metric("hubbub_auth_backend_remembered"), 1.0);

    // A no is remembered, too, so that a client that tries again and again is no burden.
    backend.set_reply(Reply::Json(401, json!({})));
    for _ in 0..10 {
        let refused = "The token is not known to the application";
        assert_refused(&knock(&hub, "12|nobody").await, 401, "INVALID_TOKEN", refused);
    }
    assert_eq!(backend.count(), 2);
    // And when its time is over, the application is asked again: it may have withdrawn the token.
    let started = Instant::now();
    while knock(&hub, "12|alice").await.status == 101 {
        assert!(started.elapsed() < DEADLINE, "remembered for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(backend.count(), 3);
}

#[tokio::test]
async fn whatever_is_no_clear_yes_lets_nobody_in_and_keeps_nobody_else_waiting() {
    let backend = backend();
    let hub = Hub::with(&with_backend(&backend, "cache_secs = 0"));
    let mut client = Client::connect(&hub, "12|alice").await;
    for (number, reply) in [
        Reply::Text(500, "{\"id\": \"alice\"}".into()),
        Reply::HangUp,
        Reply::Text(200, "<html>{\"id\": \"alice\"}</html>".into()),
        Reply::Json(200, json!({"user": null})),
        Reply::Json(200, json!({"user": {"name": "no id"}})),
        Reply::Json(200, json!([{"id": "alice"}])),
        Reply::Json(201, json!({"id": "alice"})),
        Reply::Json(200, json!({"id": "alice", "expires_at": "one day"})),
        Reply::Json(200, json!({"id": "alice", "pad": "x".repeat(64 * 1024)})),
        Reply::Redirect(backend.url("/elsewhere")),
    ]
    .into_iter()
    .enumerate()
    {
        backend.set_reply(reply);
        let answer = knock(&hub, &format!("{number}|alice")).await;
        if number < 2 {
            assert_unavailable(&answer)
        } else {
            assert_not_understood(&answer)
        }
        assert_answered_at_once(&mut client).await;
    }
    assert!(backend.requests().iter().all(|asked| asked.path == "/api/user"), "a token goes nowhere else");
    // Tokens that the application stumbles over keep nobody else out.
    backend.set_reply(Reply::Text(500, "a token that is no number".into()));
    for number in 0..10 {
        assert_unavailable(&knock(&hub, &format!("odd-{number}|alice")).await);
    }
    assert_eq!(hub.metric("hubbub_auth_backend_shed_total"), 0.0);
    let told = hub.output().lines().filter(|line| line.contains("did not tell whose a token is")).count();
    assert!((2..7).contains(&told), "at most two lines a minute, and not {told} of 20");
    for status in [401, 403, 404] {
        backend.set_reply(Reply::Json(status, json!({"id": "alice"})));
        let answer = knock(&hub, &format!("{status}|alice")).await;
        assert_refused(&answer, 401, "INVALID_TOKEN", "The token is not known to the application");
    }
    // One that says nothing, or half of it, is waited for, by those who asked alone.
    for reply in [Reply::Silence, Reply::PartialBody] {
        let before = backend.count();
        backend.set_reply(reply);
        let asked = Instant::now();
        let (refused, ()) = tokio::join!(knock(&hub, "12|alice"), async {
            eventually(DEADLINE, "it is asked", || backend.count() > before).await;
            for _ in 0..20 {
                assert_answered_at_once(&mut client).await;
            }
            Client::of(&hub, "bob").await;
        });
        assert_unavailable(&refused);
        assert!(asked.elapsed() >= Duration::from_secs(4), "after {:?}", asked.elapsed());
    }
    // A failure is not remembered.
    backend.set_reply(Reply::Json(200, json!({"id": "alice"})));
    Client::connect(&hub, "12|alice").await;
    client.expect_silence().await;
}

#[tokio::test]
async fn a_backend_that_is_down_is_left_alone_and_found_again() {
    let backend = backend();
    let hub = Hub::with(&with_backend(&backend, ""));
    let mut client = Client::connect(&hub, "12|alice").await;
    backend.go_down();
    for number in 0..5 {
        assert_unavailable(&knock(&hub, &format!("{number}|bob")).await);
    }
    assert_eq!(hub.metric("hubbub_auth_backend_open"), 1.0);
    assert_eq!(hub.metric("hubbub_auth_backend_requests_total{result=\"failed\"}"), 5.0);
    let ready = hub.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["reason"]), (503, &json!("auth.backend.url does not answer")));
    assert_unavailable(&knock(&hub, "6|bob").await);
    assert_eq!(hub.metric("hubbub_auth_backend_requests_total{result=\"failed\"}"), 5.0, "not asked");
    assert_eq!(hub.metric("hubbub_auth_backend_shed_total"), 1.0);
    // Who is known still comes in, and who is in is told when a fresh token cannot be judged.
    Client::connect(&hub, "12|alice").await;
    let mut authenticate = json!({"type": "Authenticate", "data": {"token": "7|alice"}, "id": 1});
    let error = without_time(client.ask(authenticate.clone(), "Error").await);
    let data = json!({"code": "AUTH_FAILED", "message": UNAVAILABLE, "details": {"retryAfter": 3}});
    assert_eq!(error, json!({"type": "Error", "id": 1, "data": data}));
    assert_answered_at_once(&mut client).await;

    backend.come_back();
    hub.wait_ready();
    Client::connect(&hub, "6|bob").await;
    authenticate["id"] = json!(2);
    client.ask(authenticate, "Status").await;
    assert_eq!(hub.metric("hubbub_auth_backend_open"), 0.0);
    assert!(hub.output().contains("auth.backend.url answers again"), "{}", hub.output());
    assert!(!hub.output().contains("|bob"), "no token is in the log");
}

#[tokio::test]
async fn a_silent_backend_is_asked_by_so_many_at_once_and_all_the_others_are_refused_in_time() {
    let backend = Upstream::replying(Reply::Silence);
    let hub = Hub::with(&with_backend(&backend, ""));
    let mut client = Client::of(&hub, "alice").await;
    let asked = Instant::now();
    let tokens: Vec<_> = (0..100).map(|number| format!("{number}|bob")).collect();
    let knocking = futures_util::future::join_all(tokens.iter().map(|token| knock(&hub, token)));
    let (answers, ()) = tokio::join!(knocking, async {
        let waiting = || hub.metric("hubbub_auth_backend_waiting");
        eventually(DEADLINE, "all wait", || waiting() == 100.0 && backend.count() >= 64).await;
        for _ in 0..20 {
            assert_answered_at_once(&mut client).await;
        }
        Client::of(&hub, "carol").await;
        assert_eq!(backend.count(), 64);
    });
    answers.iter().for_each(assert_unavailable);
    assert!(asked.elapsed() < Duration::from_secs(20), "after {:?}", asked.elapsed());
    assert_eq!(hub.metric("hubbub_auth_backend_waiting"), 0.0);
}

#[tokio::test]
async fn a_session_lasts_as_long_as_the_application_says() {
    let end = now() + 3;
    let backend = Upstream::replying(Reply::Json(200, json!({"user": {"id": "alice"}, "expires_at": end})));
    let hub = Hub::with(&format!("[auth]\nleeway_secs = 0\n{}", with_backend(&backend, "")));
    let mut client = Client::connect(&hub, "12|alice").await;
    let (messages, code) = client.until_closed().await;
    assert_eq!((messages.len(), code), (1, Some(4401)), "{messages:?}");
    assert!(now() >= end, "ended too early");
    let answer = knock(&hub, "12|alice").await;
    assert_refused(&answer, 401, "TOKEN_EXPIRED", "The token has expired");
    assert_eq!(backend.count(), 1, "what is remembered is judged by the time");
}

#[tokio::test]
async fn a_token_of_the_application_needs_the_permissions_that_all_need() {
    let backend = Upstream::new(|asked| match asked.token() {
        Some("1|alice") => Reply::Json(200, json!({"id": "alice", "permissions": ["connect"]})),
        _ => Reply::Json(200, json!({"id": "bob"})),
    });
    let hub = Hub::with(&format!("[auth]\nrequired_permissions = [\"connect\"]\n{}", with_backend(&backend, "")));
    Client::connect(&hub, "1|alice").await;
    let answer = knock(&hub, "2|bob").await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (403, &json!("FORBIDDEN")));
}
