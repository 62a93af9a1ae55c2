//! `auth.backend.url`: opaque tokens, about which the hub asks the application.

use std::time::{Duration, Instant};

use super::*;
use crate::support::client::without_time;

#[tokio::test]
async fn the_application_returns_the_user_of_an_opaque_token() {
    let backend = backend();
    let hub = Hub::with(&with_backend(&backend, ""));
    let client = Client::connect(&hub, "12|alice").await;
    let user = json!({"id": "alice", "name": "A name", "roles": []});
    assert_eq!(client.welcome["data"]["details"]["user"], user);
    let request = &backend.requests()[0];
    assert_eq!((request.path.as_str(), request.token()), ("/api/user", Some("12|alice")));
    let agent = format!("hubbub/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (request.header("accept"), request.header("user-agent")),
        (Some("application/json"), Some(agent.as_str()))
    );

    // A bare user object, in the query and in the subprotocol.
    backend.set_reply(UpstreamReply::Json(200, json!({"id": 7, "username": "bob", "role": "admin"})));
    let mut bob = Client::open(&hub, "/ws?token=13%7Cbob", &[]).await;
    let user = json!({"id": "7", "name": "bob", "roles": ["admin"]});
    assert_eq!(bob.welcome["data"]["details"]["user"], user);
    // JWTs are still verified by the hub; the application gets none.
    Client::of(&hub, "carol").await;
    assert_refused(&upgrade_with(&hub, "a.b.c").await, 401, "INVALID_TOKEN", "The token is malformed");
    let long = "x".repeat(8 * 1024 + 1);
    assert_refused(&upgrade_with(&hub, &long).await, 401, "INVALID_TOKEN", "The token is longer than 8192 bytes");
    let odd = Wire::upgrade(&hub, "/ws?token=a%0D%0AX-Admin:%201", &[]).await.0;
    assert_refused(&odd, 401, "INVALID_TOKEN", "The token is malformed");
    assert_eq!(backend.count(), 2);
    // An `Authenticate` asks the application too.
    let authenticate = json!({"type": "Authenticate", "data": {"token": "14|bob"}});
    let status = without_time(bob.ask(authenticate, "Status").await);
    assert_eq!(status["data"]["details"], json!({"user": user, "expires_at": null}));
}

#[tokio::test]
async fn an_answer_is_cached_and_one_request_serves_all_that_wait_for_it() {
    let backend = backend();
    let hub = Hub::with_manual_clock(&with_backend(&backend, "cache_secs = 60"));
    let user = UpstreamReply::Json(200, json!({"id": "alice"}));
    backend.set_reply(UpstreamReply::Delayed(Duration::from_millis(500), Box::new(user)));
    let clients = futures_util::future::join_all((0..20).map(|_| Client::connect(&hub, "12|alice"))).await;
    assert_eq!((clients.len(), backend.count()), (20, 1));
    Client::connect(&hub, "12|alice").await;
    assert_eq!(backend.count(), 1);
    assert_eq!(hub.metric("hubbub_auth_backend_remembered"), 1.0);

    // A refusal is cached too, so that repeated attempts cause no requests.
    backend.set_reply(UpstreamReply::Json(401, json!({})));
    for _ in 0..10 {
        let refused = "The token is not known to the application";
        assert_refused(&upgrade_with(&hub, "12|nobody").await, 401, "INVALID_TOKEN", refused);
    }
    assert_eq!(backend.count(), 2);
    // After the cache time the application is requested again: it may have revoked the token.
    hub.advance(59_000);
    assert_eq!((upgrade_with(&hub, "12|alice").await.status, backend.count()), (101, 2));
    hub.advance(2_000);
    assert_eq!((upgrade_with(&hub, "12|alice").await.status, backend.count()), (401, 3));
}

#[tokio::test]
async fn an_unclear_answer_admits_no_client_and_delays_no_other_client() {
    let backend = backend();
    let hub = Hub::with(&with_backend(&backend, "cache_secs = 0"));
    let mut client = Client::connect(&hub, "12|alice").await;
    for (number, reply) in [
        UpstreamReply::Text(500, "{\"id\": \"alice\"}".into()),
        UpstreamReply::HangUp,
        UpstreamReply::Text(200, "<html>{\"id\": \"alice\"}</html>".into()),
        UpstreamReply::Json(200, json!({"user": null})),
        UpstreamReply::Json(200, json!({"user": {"name": "no id"}})),
        UpstreamReply::Json(200, json!([{"id": "alice"}])),
        UpstreamReply::Json(201, json!({"id": "alice"})),
        UpstreamReply::Json(200, json!({"id": "alice", "expires_at": "one day"})),
        UpstreamReply::Json(200, json!({"id": "alice", "pad": "x".repeat(64 * 1024)})),
        UpstreamReply::Redirect(backend.url("/elsewhere")),
    ]
    .into_iter()
    .enumerate()
    {
        backend.set_reply(reply);
        let answer = upgrade_with(&hub, &format!("{number}|alice")).await;
        if number < 2 {
            assert_unavailable(&answer)
        } else {
            assert_not_understood(&answer)
        }
        ping(&mut client).await;
    }
    assert!(backend.requests().iter().all(|request| request.path == "/api/user"), "a token is sent to no other path");
    // Tokens that make the application fail do not keep other clients out.
    backend.set_reply(UpstreamReply::Text(500, "a token that is no number".into()));
    for number in 0..10 {
        assert_unavailable(&upgrade_with(&hub, &format!("odd-{number}|alice")).await);
    }
    assert_eq!(hub.metric("hubbub_auth_backend_shed_total"), 0.0);
    let logged = hub.output().lines().filter(|line| line.contains("returned no usable result for a token")).count();
    assert!((2..7).contains(&logged), "at most two lines a minute, and not {logged} of 20");
    for status in [401, 403, 404] {
        backend.set_reply(UpstreamReply::Json(status, json!({"id": "alice"})));
        let answer = upgrade_with(&hub, &format!("{status}|alice")).await;
        assert_refused(&answer, 401, "INVALID_TOKEN", "The token is not known to the application");
    }
    // An answer that never comes, or comes in part, is waited for by its own token alone: both at once here.
    let (before, started) = (backend.count(), Instant::now());
    backend.set_reply_by(|request| match request.token() {
        Some("12|alice") => UpstreamReply::Silence,
        _ => UpstreamReply::PartialBody,
    });
    let waiting = futures_util::future::join(upgrade_with(&hub, "12|alice"), upgrade_with(&hub, "13|alice"));
    let (silent, partial) = ends_after(waiting, async {
        eventually(DEADLINE, "both requests arrive", || backend.count() == before + 2).await;
        for _ in 0..3 {
            ping(&mut client).await;
        }
        Client::of(&hub, "bob").await;
    })
    .await;
    assert_unavailable(&silent);
    assert_unavailable(&partial);
    assert!(started.elapsed() >= Duration::from_secs(4), "after {:?}", started.elapsed());
    // A failure is not cached.
    backend.set_reply(UpstreamReply::Json(200, json!({"id": "alice"})));
    Client::connect(&hub, "12|alice").await;
    client.expect_silence().await;
}

#[tokio::test]
async fn requests_to_a_backend_that_is_down_pause_until_it_is_back() {
    let backend = backend();
    let hub = Hub::with(&with_backend(&backend, ""));
    let mut client = Client::connect(&hub, "12|alice").await;
    backend.go_down();
    for number in 0..5 {
        assert_unavailable(&upgrade_with(&hub, &format!("{number}|bob")).await);
    }
    assert_eq!(hub.metric("hubbub_auth_backend_open"), 1.0);
    assert_eq!(hub.metric("hubbub_auth_backend_requests_total{result=\"failed\"}"), 5.0);
    let ready = hub.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["reason"]), (503, &json!("auth.backend.url does not answer")));
    assert_unavailable(&upgrade_with(&hub, "6|bob").await);
    assert_eq!(hub.metric("hubbub_auth_backend_requests_total{result=\"failed\"}"), 5.0, "the backend gets no request");
    assert_eq!(hub.metric("hubbub_auth_backend_shed_total"), 1.0);
    // A cached token still connects. A fresh token of a connected client is refused with a time to retry.
    Client::connect(&hub, "12|alice").await;
    let mut authenticate = json!({"type": "Authenticate", "data": {"token": "7|alice"}, "id": 1});
    let error = without_time(client.ask(authenticate.clone(), "Error").await);
    let data = json!({"code": "AUTH_FAILED", "message": UNAVAILABLE, "details": {"retryAfter": 3}});
    assert_eq!(error, json!({"type": "Error", "id": 1, "data": data}));
    ping(&mut client).await;

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
async fn a_silent_backend_gets_64_requests_at_once_and_all_tokens_are_refused() {
    let backend = MockUpstream::replying(UpstreamReply::Silence);
    let hub = Hub::with(&with_backend(&backend, ""));
    let mut client = Client::of(&hub, "alice").await;
    let tokens: Vec<_> = (0..100).map(|number| format!("{number}|bob")).collect();
    let waiting = futures_util::future::join_all(tokens.iter().map(|token| upgrade_with(&hub, token)));
    let answers = ends_after(waiting, async {
        let all_wait = || hub.metric("hubbub_auth_backend_waiting") == 100.0 && backend.count() >= 64;
        eventually(DEADLINE, "all wait", all_wait).await;
        for _ in 0..3 {
            ping(&mut client).await;
        }
        Client::of(&hub, "carol").await;
        assert_eq!(backend.count(), 64);
    })
    .await;
    answers.iter().for_each(assert_unavailable);
    assert_eq!(hub.metric("hubbub_auth_backend_waiting"), 0.0);
}

#[tokio::test]
async fn a_session_ends_at_the_expiry_that_the_application_names() {
    let backend = MockUpstream::replying(UpstreamReply::Silence);
    let hub = Hub::with_manual_clock(&format!("[auth]\nleeway_secs = 0\n{}", with_backend(&backend, "")));
    let end = hub.now() + 30;
    backend.set_reply(UpstreamReply::Json(200, json!({"user": {"id": "alice"}, "expires_at": end})));
    let mut client = Client::connect(&hub, "12|alice").await;
    hub.advance(29_000);
    client.expect_silence().await;
    hub.advance(1_000);
    let (messages, code) = client.until_closed().await;
    assert_eq!((messages.len(), code), (1, Some(4401)), "{messages:?}");
    let answer = upgrade_with(&hub, "12|alice").await;
    assert_refused(&answer, 401, "TOKEN_EXPIRED", "The token has expired");
    assert_eq!(backend.count(), 1, "the cached answer is judged by the time");
}

#[tokio::test]
async fn an_opaque_token_needs_the_required_permissions() {
    let backend = MockUpstream::new(|request| match request.token() {
        Some("1|alice") => UpstreamReply::Json(200, json!({"id": "alice", "permissions": ["connect"]})),
        _ => UpstreamReply::Json(200, json!({"id": "bob"})),
    });
    let hub = Hub::with(&format!("[auth]\nrequired_permissions = [\"connect\"]\n{}", with_backend(&backend, "")));
    Client::connect(&hub, "1|alice").await;
    let answer = upgrade_with(&hub, "2|bob").await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (403, &json!("FORBIDDEN")));
}
