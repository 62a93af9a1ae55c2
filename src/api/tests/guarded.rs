//! API keys, limits, idempotency keys and signatures.

use super::*;

#[actix_web::test]
async fn a_request_without_a_key_or_with_a_wrong_one_is_refused() {
    let app = TestApp::start(|_| {});
    let bare = || TestRequest::post().uri("/api/push").insert_header(("x-request-id", "r-1")).set_payload(PUSH);
    for (request, error, code) in [
        (bare(), "An API key is needed in X-API-Key", "UNAUTHORIZED"),
        (bare().insert_header(("x-api-key", "")), "An API key is needed in X-API-Key", "UNAUTHORIZED"),
        (bare().insert_header(("x-api-key", "guess")), "Invalid API key", "INVALID_API_KEY"),
        (bare().insert_header(("x-websocket-api-key", "guess")), "Invalid API key", "INVALID_API_KEY"),
        (
            bare().insert_header(("x-api-key", "guess")).insert_header(("x-websocket-api-key", KEY)),
            "Invalid API key",
            "INVALID_API_KEY",
        ),
    ] {
        let answer = app.answer(request).await;
        assert_eq!((answer.status, answer.json()), (401, refused(error, code)));
    }
    let answer = app.answer(bare().insert_header(("x-websocket-api-key", KEY))).await;
    assert_eq!(answer.status, 200);
}

#[actix_web::test]
async fn an_empty_key_header_hides_no_good_key() {
    let app = TestApp::start(|_| {});
    let bare = || TestRequest::post().uri("/api/push").set_payload(PUSH);
    for request in [
        bare().insert_header(("x-api-key", "")).insert_header(("x-websocket-api-key", KEY)),
        bare().insert_header(("x-api-key", KEY)).insert_header(("x-websocket-api-key", "")),
        bare().append_header(("x-api-key", "")).append_header(("x-api-key", KEY)),
    ] {
        let answer = app.answer(request).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
}

#[actix_web::test]
async fn a_key_over_its_limit_gets_retry_after() {
    let app = TestApp::start(|config| config.limits.http.requests_per_minute = 2);
    let answers = app.answers((0..3).map(|_| post("/api/push", PUSH))).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 429]);
    let mut limited = refused("Rate limit exceeded", "RATE_LIMITED");
    limited["retryAfter"] = 60.into();
    assert_eq!(answers[2].json(), limited);
    assert_eq!(answers[2].header("retry-after"), Some("60"));
    app.clock.advance(60_000);
    assert_eq!(app.answer(post("/api/push", PUSH)).await.status, 200);
}

/// Every endpoint with the scope that it needs, and the status for a key with it.
const SCOPED: &[(&str, &str, &str, Scope, u16)] = &[
    ("POST", "/api/push", PUSH, Scope::Push, 200),
    ("POST", "/api/room", r#"{"room":"lobby","event":"e","data":1}"#, Scope::Push, 200),
    ("POST", "/api/broadcast", r#"{"event":"e","data":1}"#, Scope::Push, 200),
    ("POST", "/api/batch", r#"{"commands":[{"broadcast":{"event":"e","data":1}}]}"#, Scope::Push, 200),
    ("POST", "/api/disconnect", r#"{"userId":"u1"}"#, Scope::Sessions, 200),
    ("POST", "/api/revoke", r#"{"userId":"u1"}"#, Scope::Sessions, 200),
    ("POST", "/api/users", "{}", Scope::Users, 400),
    ("GET", "/api/status", "", Scope::StatusRead, 200),
    ("GET", "/api/events", "", Scope::EventsRead, 200),
    ("GET", "/api/rooms", "", Scope::RoomsRead, 200),
    ("HEAD", "/api/rooms", "", Scope::RoomsRead, 200),
    ("GET", "/api/rooms/lobby", "", Scope::RoomsRead, 404),
    ("GET", "/api/rooms/lobby/history", "", Scope::RoomsRead, 404),
    ("PUT", "/api/chats/c", r#"{"public":true}"#, Scope::Chats, 201),
    ("GET", "/api/chats/c", "", Scope::ChatsRead, 200),
    ("DELETE", "/api/chats/c", "", Scope::Chats, 200),
    ("GET", "/api/presence/u1", "", Scope::PresenceRead, 200),
];

#[actix_web::test]
async fn a_key_with_scopes_opens_only_their_endpoints() {
    let name = |scope: Scope| format!("key with {scope}");
    let app = TestApp::start(|config| {
        config.api.keys.extend(Scope::ALL.iter().map(|&scope| ApiKeyEntry {
            key: Some(Secret::new(name(scope))),
            scopes: Some(vec![scope]),
            per_minute: Some(0),
            ..ApiKeyEntry::named(scope.as_str())
        }));
    });
    for &(method, path, body, needed, status) in SCOPED {
        let request = |held: Scope| {
            let request = TestRequest::with_uri(path).method(method.parse().unwrap()).set_payload(body);
            request.insert_header(("x-api-key", name(held))).insert_header(("x-request-id", "r-1"))
        };
        // Refusals come first: they change nothing.
        for &held in Scope::ALL {
            if !held.includes(needed) {
                let answer = app.answer(request(held)).await;
                assert_eq!(answer.status, 403, "{method} {path} with {held}");
                if method != "HEAD" {
                    let message = format!("This request needs an API key with the scope `{needed}`");
                    assert_eq!(answer.json(), refused(&message, "FORBIDDEN"));
                }
            }
        }
        for &held in Scope::ALL.iter().filter(|held| held.includes(needed)) {
            let answer = app.answer(request(held)).await;
            assert_eq!(answer.status, status, "{method} {path} with {held}: {}", answer.text);
        }
    }
}

#[actix_web::test]
async fn each_command_of_a_batch_needs_its_own_scope() {
    let app = TestApp::start(|config| config.api.keys[0].scopes = Some(vec![Scope::Push]));
    let batch = r#"{"commands":[{"disconnect":{"userId":"u1"}},{"broadcast":{"event":"e","data":1}}]}"#;
    let answer = app.answer(post("/api/batch", batch)).await;
    let results = &answer.json()["results"];
    let message = "This request needs an API key with the scope `sessions`";
    assert_eq!((answer.status, &results[0]), (200, &refused(message, "FORBIDDEN")));
    assert_eq!(results[1]["success"], true, "{results}");
}

#[actix_web::test]
async fn a_key_is_refused_from_its_expiry_on_and_then_counts_for_the_address() {
    let app = TestApp::start(|config| {
        config.api.keys[0].expires = Some(KeyExpiry(NOW + 1_000));
        config.limits.http.requests_per_minute = 2;
    });
    app.clock.advance(999);
    assert_eq!(app.answer(post("/api/push", PUSH)).await.status, 200);
    app.clock.advance(1);
    for _ in 0..2 {
        let answer = app.answer(post("/api/push", PUSH)).await;
        assert_eq!((answer.status, answer.json()), (401, refused("The API key has expired", "INVALID_API_KEY")));
    }
    assert_eq!(app.answer(get("/api/status")).await.status, 429, "of the same address, without a key");
}

#[actix_web::test]
async fn wrong_keys_count_for_the_address_and_not_for_valid_keys() {
    let app = TestApp::start(|config| config.limits.http.requests_per_minute = 2);
    let guess = || get("/api/status").insert_header(("x-api-key", "guess"));
    let answers = app.answers([guess(), get("/api/status"), guess(), get("/api/status")]).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [401, 401, 429, 429]);
    assert_eq!(app.answer(keyed(get("/api/status"))).await.status, 200);
}

#[actix_web::test]
async fn a_repeated_idempotency_key_gets_the_first_answer_for_five_minutes() {
    let app = TestApp::start(|_| {});
    let named = || post("/api/push", PUSH).insert_header(("idempotency-key", "order-1"));
    let first = app.answer(named()).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    app.clock.advance(299_999);
    let again = app.answer(named()).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("content-type"), Some("application/json"));
    assert_eq!(app.state.hub.stats().published.get(), 1);
    app.clock.advance(1);
    assert_ne!(app.answer(named()).await.text, first.text);
    assert_eq!(app.state.hub.stats().published.get(), 2);
}

#[actix_web::test]
async fn an_idempotency_key_belongs_to_one_request_and_a_refusal_frees_it() {
    let app = TestApp::start(|_| {});
    let named = |path: &str, body: &str| post(path, body).insert_header(("idempotency-key", "order-1"));
    for refused in [named("/api/push", "{}"), named("/api/room", "{}"), named("/api/push", "no JSON")] {
        assert_eq!(app.answer(refused).await.status, 400);
    }
    let first = app.answer(named("/api/push", PUSH)).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None));
    for other in [named("/api/push", "{}"), named("/api/room", PUSH), named("/api/push?a=1", PUSH)] {
        let answer = app.answer(other).await;
        let conflict = refused("This Idempotency-Key was used for a different request", "CONFLICT");
        assert_eq!((answer.status, answer.json()), (409, conflict));
    }
}

#[actix_web::test]
async fn a_request_with_an_unknown_outcome_is_not_repeated() {
    let app = TestApp::start(|_| {});
    let named = || post("/api/push", PUSH).insert_header(("idempotency-key", "order-1"));
    app.state.hub.rooms().panic_room_actor();
    let unknown = refused("The outcome is unknown: the request may have been carried out", "OUTCOME_UNKNOWN");
    let answer = app.answer(named()).await;
    assert_eq!((answer.status, answer.json()), (504, unknown));
    // Kept, and stored for the next run.
    let kept = app.state.idempotency.take();
    assert_eq!(
        kept.iter().map(|entry| (&*entry.key.name, &entry.end)).collect::<Vec<_>>(),
        [("order-1", &End::Unknown)]
    );
}

#[actix_web::test]
async fn a_rate_limited_answer_is_not_stored() {
    let app = TestApp::start(|config| config.limits.http.requests_per_minute = 1);
    let named = || post("/api/push", PUSH).insert_header(("idempotency-key", "order-1"));
    assert_eq!(app.answer(post("/api/push", PUSH)).await.status, 200);
    assert_eq!(app.answer(named()).await.status, 429);
    app.clock.advance(60_000);
    assert_eq!(app.answer(named()).await.status, 200);
}

fn signed(method: &str, path: &str, nonce: &str) -> TestRequest {
    let mut mac = Hmac::<Sha256>::new_from_slice(SIGNING_KEY.as_bytes()).unwrap();
    mac.update(format!("{method}{path}{NOW}{nonce}").as_bytes());
    TestRequest::with_uri(path)
        .method(method.parse().unwrap())
        .insert_header(("x-api-key", SIGNING_KEY))
        .insert_header(("x-request-id", "r-1"))
        .insert_header(("x-request-timestamp", NOW.to_string()))
        .insert_header(("x-request-nonce", nonce))
        .insert_header(("x-signature", hex(mac.finalize().into_bytes())))
}

#[actix_web::test]
async fn a_signature_is_valid_once() {
    let app = TestApp::start(|_| {});
    assert_eq!(app.answer(signed("POST", "/api/push", "n-1").set_payload(PUSH)).await.status, 200);
    let again = app.answer(signed("POST", "/api/push", "n-1").set_payload(PUSH)).await;
    assert_eq!((again.status, again.json()), (401, refused("X-Request-Nonce was used before", "INVALID_SIGNATURE")));
    assert_eq!(app.answer(signed("GET", "/api/status", "n-2")).await.status, 200);
}

#[actix_web::test]
async fn a_signature_is_checked_if_the_key_requires_it_or_the_request_has_one() {
    let app = TestApp::start(|_| {});
    let unsigned = get("/api/status").insert_header(("x-api-key", SIGNING_KEY)).insert_header(("x-request-id", "r-1"));
    let wrong = keyed(get("/api/status")).insert_header(("x-signature", "00"));
    for (request, error) in [(unsigned, "X-Signature is missing"), (wrong, "X-Request-Timestamp is missing")] {
        let answer = app.answer(request).await;
        assert_eq!((answer.status, answer.json()), (401, refused(error, "INVALID_SIGNATURE")));
    }
}
