//! Tests of the whole app in process, around a hub with a manual clock: expiry, drains and panics. Sockets are covered by the
//! integration tests.

use std::sync::Arc;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, init_service};
use actix_web::{Error, HttpResponse, body, web};
use arc_swap::ArcSwap;
use hex::encode as hex;
use hmac::{Hmac, KeyInit, Mac};
use hubbub_actors::connection::outbox::OutboxCapacity;
use hubbub_actors::hub::{Authenticator, Hub, Settings};
use hubbub_actors::idempotency::End;
use hubbub_actors::model::identity::Identity;
use hubbub_actors::revocations::Revoked;
use hubbub_actors::runtime::clock::Clock;
use hubbub_actors::shutdown::schedule::DrainRate;
use hubbub_actors::store::{Role, Store};
use hubbub_actors::worker::Worker;
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::accounts::Accounts;
use crate::config::{ApiKeyEntry, Config, KeyExpiry, Secret};
use crate::policies::Policies;
use crate::serve::settings;
use crate::state::tokens;

const KEY: &str = "a key that only these tests know";
const SIGNING_KEY: &str = "a key that must sign its requests";
/// 2025-07-19T10:30:00.000Z.
const NOW: i64 = 1_752_921_000_000;

struct NoTokens;

impl Authenticator for NoTokens {
    fn authenticate(&self, _: String) -> std::pin::Pin<Box<dyn Future<Output = Result<Identity, Fault>>>> {
        Box::pin(std::future::ready(Err(Fault::internal())))
    }
}

/// A hub with one worker on this thread, and the state around it.
struct TestApp {
    clock: Clock,
    state: web::Data<SharedState>,
    _worker: Worker,
    _directory: tempfile::TempDir,
}

impl TestApp {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.api.keys = [("laravel", KEY, false), ("signer", SIGNING_KEY, true)]
            .map(|(name, key, require_signature)| ApiKeyEntry {
                key: Some(Secret::new(key)),
                require_signature,
                ..ApiKeyEntry::named(name)
            })
            .into();
        config.auth.jwt_secret = Some(Secret::new("a secret that only these tests know"));
        change(&mut config);
        let clock = Clock::manual(NOW);
        let settings = Settings {
            workers: 1,
            mailbox: 64,
            outbox: OutboxCapacity { bytes: 1024, entries: 16 },
            memory_max: || None,
            clock: clock.clone(),
            ..settings::of(&config)
        };
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, clock.clone()).unwrap();
        let hub = Hub::start(settings, Arc::new(NoTokens), None, store, Revoked::new(0));
        let worker = Worker::start(&hub).unwrap();
        let tokens = Arc::new(tokens(&config.auth).unwrap());
        let policies = Policies::new(Arc::new(config), tokens, None).unwrap();
        let config = policies.config.clone();
        let accounts = Accounts::new(hub.store().clone(), &config.auth).unwrap();
        let state = SharedState::new(hub, Arc::new(ArcSwap::from_pointee(policies)), accounts);
        Self { clock, state: web::Data::new(state), _worker: worker, _directory: directory }
    }

    /// Sends requests to one app, in order.
    async fn answers(&self, requests: impl IntoIterator<Item = TestRequest>) -> Vec<TestResponse> {
        let app = app(self.state.clone(), |_| {})
            .route("/panic", web::get().to(panics))
            .route("/api/panic", web::get().to(panics));
        let app = init_service(app).await;
        let mut answers = Vec::new();
        for request in requests {
            answers.push(TestResponse::of(app.call(request.to_request()).await).await);
        }
        answers
    }

    async fn answer(&self, request: TestRequest) -> TestResponse {
        self.answers([request]).await.remove(0)
    }
}

async fn panics() -> HttpResponse {
    panic!("on purpose")
}

/// A response with its whole body.
struct TestResponse {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl TestResponse {
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

/// A POST with a valid key and a request id.
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

mod guarded;
mod routes;
