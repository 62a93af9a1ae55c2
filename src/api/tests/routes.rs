//! The answers of the routes: commands, refusals, pages, origins, sign-in.

use super::*;

#[actix_web::test]
async fn a_push_without_recipients_succeeds() {
    let app = TestApp::start(|_| {});
    let nobody = json!({
        "success": true,
        "recipients": 0,
        "delivered": false,
        "timestamp": "2025-07-19T10:30:00.000Z",
    });
    for (path, body) in [
        ("/api/push", PUSH),
        ("/api/broadcast", r#"{"event":"e","data":1}"#),
        ("/api/broadcast", r#"{"event":"e","to":"thread","thread_id":456,"data":1}"#),
        ("/api/room", r#"{"room":"lobby","event":"e","data":1}"#),
        ("/api/disconnect", r#"{"userId":1}"#),
    ] {
        let answer = app.answer(post(path, body)).await;
        assert_eq!((answer.status, answer.json()), (200, nobody.clone()), "{path}");
        assert_eq!(answer.header("x-request-id"), Some("r-1"));
    }
}

#[actix_web::test]
async fn commands_of_a_batch_are_answered_one_by_one() {
    let app = TestApp::start(|_| {});
    let body = format!(r#"{{"commands":[{{"push":{PUSH}}},{{"push":{{}}}},{{"disconnect":{{"userId":1}}}}]}}"#);
    let nobody = json!({"success": true, "recipients": 0, "delivered": false, "timestamp": "2025-07-19T10:30:00.000Z"});
    let mut missing = refused("`userId` is missing", "INVALID_REQUEST");
    missing["details"] = json!({"field": "userId"});
    let answer = app.answer(post("/api/batch", &body)).await;
    assert_eq!(
        answer.json(),
        json!({"success": true, "results": [nobody, missing, nobody], "timestamp": "2025-07-19T10:30:00.000Z"})
    );
}

#[actix_web::test]
async fn a_hub_that_shuts_down_refuses_commands() {
    let app = TestApp::start(|_| {});
    app.state.hub.drain(DrainRate { per_sec: 0, within: std::time::Duration::ZERO }).await;
    let mut refused = refused("The hub is shutting down", "SHUTTING_DOWN");
    refused["retryAfter"] = 1.into();
    for path in ["/api/push", "/api/broadcast", "/api/room", "/api/disconnect", "/api/batch"] {
        let answer = app.answer(post(path, PUSH)).await;
        assert_eq!((answer.status, answer.json()), (503, refused.clone()), "{path}");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let ready = app.answer(get("/health/ready")).await;
    assert_eq!(
        (ready.status, ready.json()),
        (503, json!({"status": "not ready", "reason": "Draining", "timestamp": "2025-07-19T10:30:00.000Z"}))
    );
    let health = app.answer(get("/health")).await;
    assert_eq!(
        (health.status, &health.json()["status"], &health.json()["reason"]),
        (503, &json!("unhealthy"), &json!("Draining"))
    );
    assert_eq!(app.answer(get("/health/live")).await.status, 200);
    assert_eq!(app.answer(get("/status")).await.json()["status"], "draining");
    assert_eq!(app.answer(keyed(get("/api/status"))).await.json()["status"], "draining");
}

#[actix_web::test]
async fn a_panic_is_answered_in_the_shape_of_its_path() {
    let app = TestApp::start(|_| {});
    let answers = app
        .answers([get("/panic"), get("/api/panic").insert_header(("x-request-id", "r-1")), get("/health/live")])
        .await;
    assert_eq!(
        (answers[0].status, answers[0].json()),
        (500, json!({"error": {"code": "INTERNAL_ERROR", "message": "Internal error", "details": {}}}))
    );
    assert!(answers[0].header("x-request-id").is_some());
    assert_eq!((answers[1].status, answers[1].json()), (500, refused("Internal error", "INTERNAL_SERVER_ERROR")));
    assert_eq!(answers[2].status, 200);
}

#[actix_web::test]
async fn an_unknown_path_or_method_is_refused_without_a_key() {
    let app = TestApp::start(|_| {});
    let nothing = app.answer(get("/nothing")).await;
    assert_eq!(
        (nothing.status, nothing.json()),
        (404, json!({"error": {"code": "NOT_FOUND", "message": "No endpoint at this path", "details": {}}}))
    );
    let nothing = app.answer(get("/api/nothing").insert_header(("x-request-id", "r-1"))).await;
    assert_eq!((nothing.status, nothing.json()), (404, refused("No endpoint at this path", "NOT_FOUND")));
    let wrong = app.answer(TestRequest::delete().uri("/health")).await;
    assert_eq!(
        (wrong.status, wrong.json()),
        (
            405,
            json!({"error": {"code": "METHOD_NOT_ALLOWED", "message": "This path answers GET, HEAD only", "details": {}}})
        )
    );
    assert_eq!(wrong.header("allow"), Some("GET, HEAD"));
    let wrong = app.answer(get("/api/push").insert_header(("x-request-id", "r-1"))).await;
    assert_eq!((wrong.status, wrong.json()), (405, refused("This path answers POST only", "METHOD_NOT_ALLOWED")));
    assert_eq!(wrong.header("allow"), Some("POST"));
}

#[actix_web::test]
async fn a_body_over_the_bound_is_too_large() {
    let app = TestApp::start(|config| config.server.max_body = PUSH.len());
    let answers = app.answers([post("/api/push", PUSH), post("/api/push", &format!("{PUSH} "))]).await;
    assert_eq!(answers[0].status, 200);
    assert_eq!((answers[1].status, answers[1].json()), (413, refused("The body is too large", "PAYLOAD_TOO_LARGE")));
}

#[actix_web::test]
async fn rooms_are_listed_by_pages_and_a_room_without_members_is_not_found() {
    let app = TestApp::start(|_| {});
    let list = app.answer(keyed(get("/api/rooms?limit=1&offset=0"))).await;
    assert_eq!(
        (list.status, list.json()),
        (200, json!({"success": true, "rooms": [], "total": 0, "timestamp": "2025-07-19T10:30:00.000Z"}))
    );
    let mut bad = refused("`limit` is not 1 to 1000", "INVALID_REQUEST");
    bad["details"] = json!({"field": "limit"});
    let answer = app.answer(keyed(get("/api/rooms?limit=0"))).await;
    assert_eq!((answer.status, answer.json()), (400, bad));
    for room in ["lobby", "user:1", "$all", "a%2Fb", "a/b"] {
        let answer = app.answer(keyed(get(&format!("/api/rooms/{room}")))).await;
        assert_eq!((answer.status, answer.json()), (404, refused("No such room", "NOT_FOUND")), "{room}");
    }
}

#[actix_web::test]
async fn an_unknown_user_is_offline() {
    let app = TestApp::start(|_| {});
    let answer = app.answer(keyed(get("/api/presence/u%201"))).await;
    assert_eq!(
        answer.json(),
        json!({
            "success": true,
            "userId": "u 1",
            "online": false,
            "status": "offline",
            "lastSeen": null,
            "sessions": [],
            "timestamp": "2025-07-19T10:30:00.000Z",
        })
    );
}

#[actix_web::test]
async fn a_page_of_a_listed_origin_is_allowed_and_a_foreign_one_is_refused() {
    let app = TestApp::start(|config| config.server.allowed_origins = vec!["https://app.example".into()]);
    let preflight = |origin: &'static str| {
        TestRequest::with_uri("/api/push")
            .method("OPTIONS".parse().unwrap())
            .insert_header(("origin", origin))
            .insert_header(("access-control-request-method", "POST"))
    };
    let allowed = app.answer(preflight("https://app.example")).await;
    assert_eq!(allowed.status, StatusCode::NO_CONTENT);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(allowed.header("access-control-allow-methods"), Some("GET, HEAD, POST, PUT, DELETE"));
    let foreign = app.answer(preflight("https://evil.example")).await;
    assert_eq!(foreign.status, StatusCode::NO_CONTENT);
    assert!(foreign.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    assert!(foreign.headers.get_all("vary").any(|vary| vary == "Origin"));
    let refusal = app.answer(post("/api/push", PUSH).insert_header(("origin", "https://evil.example"))).await;
    assert_eq!((refusal.status, refusal.json()), (403, refused("This origin is not allowed", "FORBIDDEN")));
    let answer = app.answer(post("/api/push", PUSH).insert_header(("origin", "https://app.example"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
}

#[actix_web::test]
async fn a_refresh_token_expires() {
    let app = TestApp::start(|config| config.auth.refresh_ttl_secs = 100);
    let user = post("/api/users", r#"{"username":"alice","password":"password"}"#);
    assert_eq!(app.answer(user).await.status, 201);
    let open = |path: &str, body: &str| TestRequest::post().uri(path).set_payload(body.to_owned());
    let signed_in = app.answer(open("/sessions", r#"{"username":"alice","password":"password"}"#)).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    let refresh = json!({"refresh_token": signed_in.json()["refresh_token"]}).to_string();
    app.clock.advance(99_999);
    assert_eq!(app.answer(open("/sessions/refresh", &refresh)).await.status, 200);
    app.clock.advance(1);
    let expired = app.answer(open("/sessions/refresh", &refresh)).await;
    let error = json!({"error": {"code": "TOKEN_EXPIRED", "message": "The refresh token has expired", "details": {}}});
    assert_eq!((expired.status, expired.json()), (401, error));
}

#[actix_web::test]
async fn sign_in_needs_a_signing_algorithm_and_an_allowed_origin() {
    let app = TestApp::start(|config| config.auth.algorithm = crate::config::Algorithm::Rs256);
    for path in ["/sessions", "/sessions/refresh"] {
        let answer = app.answer(TestRequest::post().uri(path).set_payload("{}")).await;
        let message = "Sign-in is off: auth.algorithm is not one that the hub signs tokens with";
        let error = json!({"error": {"code": "NOT_FOUND", "message": message, "details": {}}});
        assert_eq!((answer.status, answer.json()), (404, error), "{path}");
    }
    let app = TestApp::start(|_| {});
    let foreign = TestRequest::post().uri("/sessions").insert_header(("origin", "https://evil.example"));
    assert_eq!(app.answer(foreign.set_payload("{}")).await.json()["error"]["code"], "FORBIDDEN");
}

#[actix_web::test]
async fn only_a_trusted_proxy_makes_the_websocket_url_secure() {
    let app = TestApp::start(|config| config.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]);
    let from = |peer: &str| {
        get("/")
            .peer_addr(format!("{peer}:4711").parse().unwrap())
            .insert_header(("host", "hub.example"))
            .insert_header(("x-forwarded-for", "203.0.113.7"))
            .insert_header(("x-forwarded-proto", "https"))
    };
    let answers = app.answers([from("10.0.0.1"), from("203.0.113.9")]).await;
    assert_eq!(answers[0].json()["websocket"]["url"], "wss://hub.example");
    assert_eq!(answers[1].json()["websocket"]["url"], "ws://hub.example");
    // `X-Forwarded-For` is not needed, and there may be several proxies.
    for (proto, scheme) in [("https", "wss"), ("https, http", "wss"), ("WSS", "wss"), ("http, https", "ws"), ("", "ws")]
    {
        let from = get("/").peer_addr("10.0.0.1:4711".parse().unwrap()).insert_header(("host", "hub.example:8443"));
        let answer = app.answer(from.insert_header(("x-forwarded-proto", proto))).await;
        assert_eq!(answer.json()["websocket"]["raw"], format!("{scheme}://hub.example:8443/ws"), "{proto}");
    }
    // An empty `Host` is no address.
    let answer = app.answer(get("/").insert_header(("host", ""))).await;
    assert_ne!(answer.json()["websocket"]["url"], "ws://");
}
