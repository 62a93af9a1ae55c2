//! The app as it is served, around a hub with a clock that stands still: what needs the time, a drain or a defect. What
//! sockets show is tested from outside.

use std::sync::Arc;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, init_service};
use actix_web::{Error, HttpResponse, body, web};
use arc_swap::ArcSwap;
use hex::encode as hex;
use hmac::{Hmac, KeyInit, Mac};
use hubbub_actors::connection::Heartbeat;
use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::hub::{Authenticator, ChatPerMinute, DebugMode, Hub, MessagesPerMinute, Settings};
use hubbub_actors::idempotency::End;
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::RoomName;
use hubbub_actors::revocations::Revoked;
use hubbub_actors::rooms::rules::Rules;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::shutdown::schedule::DrainRate;
use hubbub_actors::store::{Role, Store};
use hubbub_actors::worker::Worker;
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::accounts::Accounts;
use crate::config::{ApiKey, Config, Secret};
use crate::policies::Policies;
use crate::state::tokens;

const KEY: &str = "a key that only these tests know";
const SIGNING_KEY: &str = "a key whose requests must be signed";
/// 2025-07-19T10:30:00.000Z.
const NOW: i64 = 1_752_921_000_000;

struct NoTokens;

impl Authenticator for NoTokens {
    fn authenticate(&self, _: String) -> std::pin::Pin<Box<dyn Future<Output = Result<Identity, Fault>>>> {
        Box::pin(std::future::ready(Err(Fault::internal())))
    }
}

/// A hub with one worker on this thread, and the state around it.
struct Bench {
    clock: Clock,
    state: web::Data<State>,
    _worker: Worker,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.api.keys = [("laravel", KEY, false), ("signer", SIGNING_KEY, true)]
            .map(|(name, key, require_signature)| ApiKey {
                name: name.into(),
                key: Some(Secret::new(key)),
                sha256: None,
                require_signature,
                per_minute: None,
            })
            .into();
        config.auth.jwt_secret = Some(Secret::new("a secret that only these tests know"));
        change(&mut config);
        let clock = Clock::manual(NOW);
        let settings = Settings {
            workers: 1,
            max_connections: config.server.max_connections,
            mailbox: 64,
            outbox: OutboxCapacity { bytes: 1024, frames: 16 },
            rooms: 100,
            rooms_per_user: 100,
            history_bytes: 1 << 20,
            rooms_per_session: 10,
            payload_max: 65_536,
            topics_per_request: 10,
            messages_per_minute: MessagesPerMinute::default(),
            chat_per_minute: ChatPerMinute::default(),
            notifications_per_minute: 0,
            connections_per_user: 0,
            typing_per_minute: 0,
            typing_ms: 5_000,
            debug: DebugMode { open: false, interval_ms: 5_000, memory: || 0 },
            memory_max: || None,
            presence: hubbub_actors::presence::Settings::default(),
            grace_ms: 10_000,
            heartbeat: Heartbeat { interval_ms: 30_000, timeout_ms: 60_000, ping_frame: b"" },
            shortest_heartbeat_ms: 25_000,
            auto_create_chats: false,
            chats_per_user: 100,
            environment: "production".to_owned(),
            recovery: hubbub_actors::hub::RecoverySettings {
                window_ms: 120_000,
                queue: 500,
                bytes: 1_000_000,
                wire: &crate::codec::namespace::ROOT_NUMBERED,
            },
            rules: Rules(Vec::new()),
            clock: clock.clone(),
        };
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, clock.clone()).unwrap();
        let hub = Hub::start(settings, Arc::new(NoTokens), None, store, Revoked::new(0));
        let worker = Worker::start(&hub).unwrap();
        let tokens = Arc::new(tokens(&config.auth).unwrap());
        let policies = Policies::new(Arc::new(config), tokens, None).unwrap();
        let config = policies.config.clone();
        let accounts = Accounts::new(hub.store().clone(), &config.auth).unwrap();
        let state = State::new(hub, Arc::new(ArcSwap::from_pointee(policies)), accounts);
        Self { clock, state: web::Data::new(state), _worker: worker, _directory: directory }
    }

    /// Answers requests, each by the same app.
    async fn answers(&self, requests: impl IntoIterator<Item = TestRequest>) -> Vec<Answered> {
        let app =
            app(self.state.clone()).route("/panic", web::get().to(panics)).route("/api/panic", web::get().to(panics));
        let app = init_service(app).await;
        let mut answers = Vec::new();
        for request in requests {
            answers.push(Answered::of(app.call(request.to_request()).await).await);
        }
        answers
    }

    async fn answer(&self, request: TestRequest) -> Answered {
        self.answers([request]).await.remove(0)
    }
}

async fn panics() -> HttpResponse {
    panic!("on purpose")
}

/// An answer, read to its end.
struct Answered {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answered {
    async fn of<B: body::MessageBody + 'static>(answer: Result<ServiceResponse<B>, Error>) -> Self {
        let response = match answer {
            Ok(answer) => answer.map_into_boxed_body().into_parts().1,
            Err(error) => error.error_response(),
        };
        let (head, body) = response.into_parts();
        let body = body::to_bytes(body).await.unwrap();
        Self {
            status: head.status().as_u16(),
            headers: head.headers().clone(),
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

fn get(path: &str) -> TestRequest {
    TestRequest::get().uri(path)
}

/// A POST with a good key and a request id.
fn post(path: &str, body: &str) -> TestRequest {
    keyed(TestRequest::post().uri(path)).set_payload(body.to_owned())
}

fn keyed(request: TestRequest) -> TestRequest {
    request.insert_header(("x-api-key", KEY)).insert_header(("x-request-id", "r-1"))
}

fn refused(error: &str, code: &str) -> Value {
    json!({"success": false, "error": error, "code": code, "requestId": "r-1"})
}

const PUSH: &str = r#"{"userId":"u1","event":"greet","data":{}}"#;

#[actix_web::test]
async fn a_push_to_nobody_is_a_success_that_reached_nobody() {
    let bench = Bench::start(|_| {});
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
        let answer = bench.answer(post(path, body)).await;
        assert_eq!((answer.status, answer.json()), (200, nobody.clone()), "{path}");
        assert_eq!(answer.header("x-request-id"), Some("r-1"));
    }
}

#[actix_web::test]
async fn commands_of_a_batch_are_answered_one_by_one() {
    let bench = Bench::start(|_| {});
    let body = format!(r#"{{"commands":[{{"push":{PUSH}}},{{"push":{{}}}},{{"disconnect":{{"userId":1}}}}]}}"#);
    let nobody = json!({"success": true, "recipients": 0, "delivered": false, "timestamp": "2025-07-19T10:30:00.000Z"});
    let mut missing = refused("`userId` is missing", "INVALID_REQUEST");
    missing["details"] = json!({"field": "userId"});
    let answer = bench.answer(post("/api/batch", &body)).await;
    assert_eq!(
        answer.json(),
        json!({"success": true, "results": [nobody, missing, nobody], "timestamp": "2025-07-19T10:30:00.000Z"})
    );
}

#[actix_web::test]
async fn a_request_without_a_key_or_with_a_wrong_one_is_refused() {
    let bench = Bench::start(|_| {});
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
        let answer = bench.answer(request).await;
        assert_eq!((answer.status, answer.json()), (401, refused(error, code)));
    }
    let answer = bench.answer(bare().insert_header(("x-websocket-api-key", KEY))).await;
    assert_eq!(answer.status, 200);
}

#[actix_web::test]
async fn an_empty_key_header_hides_no_good_key() {
    let bench = Bench::start(|_| {});
    let bare = || TestRequest::post().uri("/api/push").set_payload(PUSH);
    for request in [
        bare().insert_header(("x-api-key", "")).insert_header(("x-websocket-api-key", KEY)),
        bare().insert_header(("x-api-key", KEY)).insert_header(("x-websocket-api-key", "")),
        bare().append_header(("x-api-key", "")).append_header(("x-api-key", KEY)),
    ] {
        let answer = bench.answer(request).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
}

#[actix_web::test]
async fn a_key_has_its_requests_a_minute_and_then_its_retry_after() {
    let bench = Bench::start(|config| config.limits.http.requests_per_minute = 2);
    let answers = bench.answers((0..3).map(|_| post("/api/push", PUSH))).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 429]);
    let mut limited = refused("Rate limit exceeded", "RATE_LIMITED");
    limited["retryAfter"] = 60.into();
    assert_eq!(answers[2].json(), limited);
    assert_eq!(answers[2].header("retry-after"), Some("60"));
    bench.clock.advance(60_000);
    assert_eq!(bench.answer(post("/api/push", PUSH)).await.status, 200);
}

#[actix_web::test]
async fn an_address_may_not_guess_keys_fast_nor_spend_those_of_others() {
    let bench = Bench::start(|config| config.limits.http.requests_per_minute = 2);
    let guess = || get("/api/status").insert_header(("x-api-key", "guess"));
    let answers = bench.answers([guess(), get("/api/status"), guess(), get("/api/status")]).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [401, 401, 429, 429]);
    assert_eq!(bench.answer(keyed(get("/api/status"))).await.status, 200);
}

#[actix_web::test]
async fn a_named_request_gets_its_first_answer_again_for_five_minutes() {
    let bench = Bench::start(|_| {});
    let named = || post("/api/push", PUSH).insert_header(("idempotency-key", "order-1"));
    let first = bench.answer(named()).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    bench.clock.advance(299_999);
    let again = bench.answer(named()).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("content-type"), Some("application/json"));
    assert_eq!(bench.state.hub.stats().published.get(), 1);
    bench.clock.advance(1);
    assert_ne!(bench.answer(named()).await.text, first.text);
    assert_eq!(bench.state.hub.stats().published.get(), 2);
}

#[actix_web::test]
async fn a_name_stands_for_one_request_and_a_refused_one_frees_it() {
    let bench = Bench::start(|_| {});
    let named = |path: &str, body: &str| post(path, body).insert_header(("idempotency-key", "order-1"));
    for refused in [named("/api/push", "{}"), named("/api/room", "{}"), named("/api/push", "no JSON")] {
        assert_eq!(bench.answer(refused).await.status, 400);
    }
    let first = bench.answer(named("/api/push", PUSH)).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, None));
    for other in [named("/api/push", "{}"), named("/api/room", PUSH), named("/api/push?a=1", PUSH)] {
        let answer = bench.answer(other).await;
        let conflict = refused("This Idempotency-Key was used for a different request", "CONFLICT");
        assert_eq!((answer.status, answer.json()), (409, conflict));
    }
}

#[actix_web::test]
async fn a_named_request_whose_work_was_lost_is_not_done_again() {
    let bench = Bench::start(|_| {});
    let named = || post("/api/push", PUSH).insert_header(("idempotency-key", "order-1"));
    bench.state.hub.rooms().panic_shard_of(&RoomName::parse("any", "room").unwrap());
    let unknown = refused("The outcome is not known: it may have been done or not", "OUTCOME_UNKNOWN");
    let answer = bench.answer(named()).await;
    assert_eq!((answer.status, answer.json()), (504, unknown));
    // Not forgotten: the hub goes away now, and tells the next one.
    let remembered = bench.state.idempotency.take();
    assert_eq!(
        remembered.iter().map(|one| (&*one.key.name, &one.end)).collect::<Vec<_>>(),
        [("order-1", &End::Unknown)]
    );
}

#[actix_web::test]
async fn a_refusal_that_passes_is_not_remembered() {
    let bench = Bench::start(|config| config.limits.http.requests_per_minute = 1);
    let named = || post("/api/push", PUSH).insert_header(("idempotency-key", "order-1"));
    assert_eq!(bench.answer(post("/api/push", PUSH)).await.status, 200);
    assert_eq!(bench.answer(named()).await.status, 429);
    bench.clock.advance(60_000);
    assert_eq!(bench.answer(named()).await.status, 200);
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
async fn a_signature_holds_once() {
    let bench = Bench::start(|_| {});
    assert_eq!(bench.answer(signed("POST", "/api/push", "n-1").set_payload(PUSH)).await.status, 200);
    let again = bench.answer(signed("POST", "/api/push", "n-1").set_payload(PUSH)).await;
    assert_eq!((again.status, again.json()), (401, refused("X-Request-Nonce was used before", "INVALID_SIGNATURE")));
    assert_eq!(bench.answer(signed("GET", "/api/status", "n-2")).await.status, 200);
}

#[actix_web::test]
async fn a_signature_is_needed_where_the_key_needs_one_and_judged_where_one_comes() {
    let bench = Bench::start(|_| {});
    let unsigned = get("/api/status").insert_header(("x-api-key", SIGNING_KEY)).insert_header(("x-request-id", "r-1"));
    let wrong = keyed(get("/api/status")).insert_header(("x-signature", "00"));
    for (request, error) in [(unsigned, "X-Signature is missing"), (wrong, "X-Request-Timestamp is missing")] {
        let answer = bench.answer(request).await;
        assert_eq!((answer.status, answer.json()), (401, refused(error, "INVALID_SIGNATURE")));
    }
}

#[actix_web::test]
async fn a_hub_that_goes_away_says_so_and_takes_no_work() {
    let bench = Bench::start(|_| {});
    bench.state.hub.drain(DrainRate { per_sec: 0, within: std::time::Duration::ZERO }).await;
    let mut refused = refused("The hub is going away", "SHUTTING_DOWN");
    refused["retryAfter"] = 1.into();
    for path in ["/api/push", "/api/broadcast", "/api/room", "/api/disconnect", "/api/batch"] {
        let answer = bench.answer(post(path, PUSH)).await;
        assert_eq!((answer.status, answer.json()), (503, refused.clone()), "{path}");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let ready = bench.answer(get("/health/ready")).await;
    assert_eq!(
        (ready.status, ready.json()),
        (503, json!({"status": "not ready", "reason": "Draining", "timestamp": "2025-07-19T10:30:00.000Z"}))
    );
    let health = bench.answer(get("/health")).await;
    assert_eq!(
        (health.status, &health.json()["status"], &health.json()["reason"]),
        (503, &json!("unhealthy"), &json!("Draining"))
    );
    assert_eq!(bench.answer(get("/health/live")).await.status, 200);
    assert_eq!(bench.answer(get("/status")).await.json()["status"], "draining");
    assert_eq!(bench.answer(keyed(get("/api/status"))).await.json()["status"], "draining");
}

#[actix_web::test]
async fn a_panic_costs_one_answer_in_the_shape_of_its_path() {
    let bench = Bench::start(|_| {});
    let answers = bench
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
async fn a_path_that_is_not_there_and_a_method_that_is_not_need_no_key() {
    let bench = Bench::start(|_| {});
    let nothing = bench.answer(get("/nothing")).await;
    assert_eq!(
        (nothing.status, nothing.json()),
        (404, json!({"error": {"code": "NOT_FOUND", "message": "There is nothing here", "details": {}}}))
    );
    let nothing = bench.answer(get("/api/nothing").insert_header(("x-request-id", "r-1"))).await;
    assert_eq!((nothing.status, nothing.json()), (404, refused("There is nothing here", "NOT_FOUND")));
    let wrong = bench.answer(TestRequest::delete().uri("/health")).await;
    assert_eq!(
        (wrong.status, wrong.json()),
        (
            405,
            json!({"error": {"code": "METHOD_NOT_ALLOWED", "message": "This path answers GET, HEAD only", "details": {}}})
        )
    );
    assert_eq!(wrong.header("allow"), Some("GET, HEAD"));
    let wrong = bench.answer(get("/api/push").insert_header(("x-request-id", "r-1"))).await;
    assert_eq!((wrong.status, wrong.json()), (405, refused("This path answers POST only", "METHOD_NOT_ALLOWED")));
    assert_eq!(wrong.header("allow"), Some("POST"));
}

#[actix_web::test]
async fn a_body_over_the_bound_is_too_large() {
    let bench = Bench::start(|config| config.server.max_body = PUSH.len());
    let answers = bench.answers([post("/api/push", PUSH), post("/api/push", &format!("{PUSH} "))]).await;
    assert_eq!(answers[0].status, 200);
    assert_eq!((answers[1].status, answers[1].json()), (413, refused("The body is too large", "PAYLOAD_TOO_LARGE")));
}

#[actix_web::test]
async fn rooms_are_listed_by_pages_and_a_room_without_members_is_none() {
    let bench = Bench::start(|_| {});
    let list = bench.answer(keyed(get("/api/rooms?limit=1&offset=0"))).await;
    assert_eq!(
        (list.status, list.json()),
        (200, json!({"success": true, "rooms": [], "total": 0, "timestamp": "2025-07-19T10:30:00.000Z"}))
    );
    let mut bad = refused("`limit` is not 1 to 1000", "INVALID_REQUEST");
    bad["details"] = json!({"field": "limit"});
    let answer = bench.answer(keyed(get("/api/rooms?limit=0"))).await;
    assert_eq!((answer.status, answer.json()), (400, bad));
    for room in ["lobby", "user:1", "$all", "a%2Fb", "a/b"] {
        let answer = bench.answer(keyed(get(&format!("/api/rooms/{room}")))).await;
        assert_eq!((answer.status, answer.json()), (404, refused("No such room", "NOT_FOUND")), "{room}");
    }
}

#[actix_web::test]
async fn a_user_nobody_has_heard_of_is_offline() {
    let bench = Bench::start(|_| {});
    let answer = bench.answer(keyed(get("/api/presence/u%201"))).await;
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
async fn a_page_of_a_listed_origin_may_ask_and_a_foreign_one_may_not() {
    let bench = Bench::start(|config| config.server.allowed_origins = vec!["https://app.example".into()]);
    let preflight = |origin: &'static str| {
        TestRequest::with_uri("/api/push")
            .method("OPTIONS".parse().unwrap())
            .insert_header(("origin", origin))
            .insert_header(("access-control-request-method", "POST"))
    };
    let allowed = bench.answer(preflight("https://app.example")).await;
    assert_eq!(allowed.status, StatusCode::NO_CONTENT);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(allowed.header("access-control-allow-methods"), Some("GET, HEAD, POST, PUT, DELETE"));
    let foreign = bench.answer(preflight("https://evil.example")).await;
    assert_eq!(foreign.status, StatusCode::NO_CONTENT);
    assert!(foreign.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    assert!(foreign.headers.get_all("vary").any(|vary| vary == "Origin"));
    let refusal = bench.answer(post("/api/push", PUSH).insert_header(("origin", "https://evil.example"))).await;
    assert_eq!((refusal.status, refusal.json()), (403, refused("This origin is not allowed", "FORBIDDEN")));
    let answer = bench.answer(post("/api/push", PUSH).insert_header(("origin", "https://app.example"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
}

#[actix_web::test]
async fn a_refresh_token_ends_and_the_session_with_it() {
    let bench = Bench::start(|config| config.auth.refresh_ttl_secs = 100);
    let user = post("/api/users", r#"{"username":"alice","password":"password"}"#);
    assert_eq!(bench.answer(user).await.status, 201);
    let open = |path: &str, body: &str| TestRequest::post().uri(path).set_payload(body.to_owned());
    let signed_in = bench.answer(open("/sessions", r#"{"username":"alice","password":"password"}"#)).await;
    assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    let refresh = json!({"refresh_token": signed_in.json()["refresh_token"]}).to_string();
    bench.clock.advance(99_999);
    assert_eq!(bench.answer(open("/sessions/refresh", &refresh)).await.status, 200);
    bench.clock.advance(1);
    let expired = bench.answer(open("/sessions/refresh", &refresh)).await;
    let error = json!({"error": {"code": "TOKEN_EXPIRED", "message": "The refresh token has expired", "details": {}}});
    assert_eq!((expired.status, expired.json()), (401, error));
}

#[actix_web::test]
async fn nobody_signs_in_where_the_hub_signs_no_tokens_nor_from_a_foreign_page() {
    let bench = Bench::start(|config| config.auth.algorithm = crate::config::Algorithm::Rs256);
    for path in ["/sessions", "/sessions/refresh"] {
        let answer = bench.answer(TestRequest::post().uri(path).set_payload("{}")).await;
        let message = "Sign-in is off: auth.algorithm is not one that the hub signs tokens with";
        let error = json!({"error": {"code": "NOT_FOUND", "message": message, "details": {}}});
        assert_eq!((answer.status, answer.json()), (404, error), "{path}");
    }
    let bench = Bench::start(|_| {});
    let foreign = TestRequest::post().uri("/sessions").insert_header(("origin", "https://evil.example"));
    assert_eq!(bench.answer(foreign.set_payload("{}")).await.json()["error"]["code"], "FORBIDDEN");
}

#[actix_web::test]
async fn only_a_trusted_proxy_makes_the_websocket_secure() {
    let bench = Bench::start(|config| config.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]);
    let from = |peer: &str| {
        get("/")
            .peer_addr(format!("{peer}:4711").parse().unwrap())
            .insert_header(("host", "hub.example"))
            .insert_header(("x-forwarded-for", "203.0.113.7"))
            .insert_header(("x-forwarded-proto", "https"))
    };
    let answers = bench.answers([from("10.0.0.1"), from("203.0.113.9")]).await;
    assert_eq!(answers[0].json()["websocket"]["url"], "wss://hub.example");
    assert_eq!(answers[1].json()["websocket"]["url"], "ws://hub.example");
    // A proxy need not say for whom it asks, and may be one of several.
    for (proto, scheme) in [("https", "wss"), ("https, http", "wss"), ("WSS", "wss"), ("http, https", "ws"), ("", "ws")]
    {
        let from = get("/").peer_addr("10.0.0.1:4711".parse().unwrap()).insert_header(("host", "hub.example:8443"));
        let answer = bench.answer(from.insert_header(("x-forwarded-proto", proto))).await;
        assert_eq!(answer.json()["websocket"]["raw"], format!("{scheme}://hub.example:8443/ws"), "{proto}");
    }
    // `Host` may be empty, and is no address then.
    let answer = bench.answer(get("/").insert_header(("host", ""))).await;
    assert_ne!(answer.json()["websocket"]["url"], "ws://");
}
