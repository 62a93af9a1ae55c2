//! `auth.jwks`: keys from an issuer or a file that rotate, are missing, or cannot be read.

use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;
use std::time::Duration;

use super::*;

#[tokio::test]
async fn keys_rotate_by_their_kid_without_a_restart_and_unknown_kids_cause_no_request() {
    let (first, second) = (key(Algorithm::ES256), other());
    let issuer = MockUpstream::replying(UpstreamReply::Json(200, key_set(&[("first", &first)])));
    let hub = Hub::with(&with_jwks(&issuer.url("/jwks.json")));
    let mut old = Client::connect(&hub, &signed("alice", &first, Algorithm::ES256, Some("first"))).await;
    Client::connect(&hub, &signed("alice", &first, Algorithm::ES256, None)).await;
    assert_eq!(issuer.count(), 1);
    let agent = format!("hubbub/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(issuer.requests()[0].header("user-agent"), Some(agent.as_str()));

    // Many tokens of the new key come at once. The issuer gets one request for all of them, and answers late.
    let both = key_set(&[("first", &first), ("second", &second)]);
    issuer.set_reply(UpstreamReply::Delayed(Duration::from_millis(500), Box::new(UpstreamReply::Json(200, both))));
    let fresh = signed("bob", &second, Algorithm::ES256, Some("second"));
    let (mut one, _, _) =
        tokio::join!(Client::connect(&hub, &fresh), Client::connect(&hub, &fresh), Client::connect(&hub, &fresh));
    assert_eq!(issuer.count(), 2);
    ping(&mut old).await;
    ping(&mut one).await;

    let unknown = "The token is signed with an unknown key";
    for kid in ["third", "", "../../jwks", "' OR 1=1 --", "\u{202e}", &"k".repeat(3_000)] {
        let token = signed("mallory", &first, Algorithm::ES256, Some(kid));
        assert_refused(&upgrade_with(&hub, &token).await, 401, "INVALID_TOKEN", unknown);
    }
    let unnamed = signed("alice", &first, Algorithm::ES256, None);
    let several = "Several keys match the token; its `kid` must name one";
    assert_refused(&upgrade_with(&hub, &unnamed).await, 401, "INVALID_TOKEN", several);
    let crossed = signed("mallory", &second, Algorithm::ES256, Some("first"));
    let wrong = "The token's signature is invalid";
    assert_refused(&upgrade_with(&hub, &crossed).await, 401, "INVALID_TOKEN", wrong);
    assert_eq!(issuer.count(), 2, "at most once a minute");
    assert_eq!(hub.metric("hubbub_jwks_keys"), 2.0);
}

#[tokio::test]
async fn tokens_are_refused_while_the_issuer_is_down_at_the_start() {
    let es256 = key(Algorithm::ES256);
    let issuer = MockUpstream::replying(UpstreamReply::Json(200, key_set(&[("first", &es256)])));
    issuer.go_down();
    let hub = Hub::unready(&with_jwks(&issuer.url("/jwks.json")));
    let token = signed("alice", &es256, Algorithm::ES256, Some("first"));
    assert_unavailable(&upgrade_with(&hub, &token).await);
    let ready = hub.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["reason"]), (503, &json!("auth.jwks is not loaded yet")));
    assert_eq!(hub.get("/health/live").status, 200);
    // A token that no key could verify is refused as invalid.
    let message = "The token is not signed with ES256, but with HS256";
    assert_refused(&upgrade_with(&hub, &crate::support::token::token("alice")).await, 401, "INVALID_TOKEN", message);

    issuer.come_back();
    hub.wait_ready();
    Client::connect(&hub, &token).await;
    assert!(hub.output().contains("auth.jwks: "), "{}", hub.output());
}

#[tokio::test]
async fn a_hub_without_keys_of_its_issuer_is_not_ready() {
    let es256 = key(Algorithm::ES256);
    let issuer = MockUpstream::replying(UpstreamReply::Json(200, json!({"keys": []})));
    let hub = Hub::unready(&with_jwks(&issuer.url("/jwks.json")));
    eventually(DEADLINE, "the issuer receives the request", || hub.output().contains("auth.jwks: 0 keys")).await;
    let ready = hub.get("/health/ready");
    let reason = "auth.jwks has no key that fits auth.algorithm";
    assert_eq!((ready.status, &ready.json()["reason"]), (503, &json!(reason)));
    issuer.set_reply(UpstreamReply::Json(200, key_set(&[("first", &es256)])));
    Client::connect(&hub, &signed("alice", &es256, Algorithm::ES256, Some("first"))).await;
    assert_eq!(hub.get("/health/ready").status, 200);
}

#[tokio::test]
async fn an_issuer_with_an_invalid_response_at_the_start_is_requested_again() {
    let es256 = key(Algorithm::ES256);
    let issuer = MockUpstream::replying(UpstreamReply::Text(500, "down".into()));
    let hub = Hub::unready(&with_jwks(&issuer.url("/jwks.json")));
    let token = signed("alice", &es256, Algorithm::ES256, Some("first"));
    let endless = format!("{{\"keys\": [{}{{}}]}}", "{},".repeat(200));
    for reply in [
        UpstreamReply::Text(200, "<html>".into()),
        UpstreamReply::Text(200, " ".repeat(300 * 1024)),
        UpstreamReply::Text(200, endless),
        UpstreamReply::Json(404, key_set(&[("first", &es256)])),
        UpstreamReply::Redirect("https://127.0.0.1:1/jwks.json".into()),
        UpstreamReply::HangUp,
    ] {
        assert_unavailable(&upgrade_with(&hub, &token).await);
        let before = issuer.count();
        issuer.set_reply(reply);
        if before < 3 {
            eventually(DEADLINE, "the issuer receives another request", || issuer.count() > before).await;
        }
    }
    // A redirect by the same scheme is followed.
    let elsewhere = MockUpstream::replying(UpstreamReply::Json(200, key_set(&[("first", &es256)])));
    issuer.set_reply(UpstreamReply::Redirect(elsewhere.url("/keys")));
    hub.wait_ready();
    Client::connect(&hub, &token).await;
    assert_eq!(elsewhere.requests()[0].path, "/keys");
}

#[tokio::test]
async fn known_keys_stay_valid_when_the_issuer_fails_later() {
    let es256 = key(Algorithm::ES256);
    let issuer = MockUpstream::replying(UpstreamReply::Json(200, key_set(&[("first", &es256)])));
    let hub = Hub::with(&with_jwks(&issuer.url("/jwks.json")));
    let token = signed("alice", &es256, Algorithm::ES256, Some("first"));
    let mut client = Client::connect(&hub, &token).await;
    issuer.set_reply(UpstreamReply::Silence);
    // A token of an unknown key waits for the issuer; other clients are not delayed.
    let unknown = signed("alice", &other(), Algorithm::ES256, Some("second"));
    let answer = ends_after(upgrade_with(&hub, &unknown), async {
        eventually(DEADLINE, "the issuer receives the request", || issuer.count() == 2).await;
        ping(&mut client).await;
        Client::connect(&hub, &token).await;
    })
    .await;
    assert_unavailable(&answer);
    Client::connect(&hub, &token).await;
    assert_eq!(hub.get("/health/ready").status, 200);
}

#[tokio::test]
async fn a_key_set_file_that_blocks_does_not_delay_the_shutdown() {
    const NONBLOCK: i32 = 0o4000;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), configuration(&with_jwks("jwks.json"))).unwrap();
    fs::write(dir.path().join("jwks.json"), key_set(&[("first", &key(Algorithm::ES256))]).to_string()).unwrap();
    let mut hub = Hub::in_dir(dir);
    // A pipe without a writer blocks its reader, as a file on an unreachable server does.
    let (path, fifo) = (hub.dir().join("jwks.json"), hub.dir().join("pipe"));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::rename(&fifo, &path).unwrap();
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
    // A file that is no key set changes nothing; the log says so.
    fs::write(hub.dir().join("jwks.json"), "half a fi").unwrap();
    eventually(DEADLINE, "it is logged", || hub.output().contains("is not a JSON Web Key Set")).await;
    Client::connect(&hub, &old).await;
    fs::write(hub.dir().join("jwks.json"), key_set(&[("second", &second)]).to_string()).unwrap();
    let new = signed("alice", &second, Algorithm::ES256, Some("second"));
    eventually(DEADLINE, "it is read", || hub.output().matches("auth.jwks: 1 keys").count() >= 2).await;
    Client::connect(&hub, &new).await;
    let unknown = "The token is signed with an unknown key";
    assert_refused(&upgrade_with(&hub, &old).await, 401, "INVALID_TOKEN", unknown);
}
