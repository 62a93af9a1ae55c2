//! The checks before every endpoint of `/api`, in this order: the origin, whether the hub is ready, the API key, its
//! limit and its scopes, the signature, and one execution per `Idempotency-Key`.
//!
//! It is a middleware, not an extractor: the route table alone decides that an endpoint is guarded.

use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use bytes::Bytes;
use hubbub_actors::events::text;
use hubbub_actors::hub::{LimitKey, Readiness};
use hubbub_actors::idempotency::{Claim, IdempotencyKey, RequestDigest, Ticket, digest};
use hubbub_actors::model::fault::{Code, Fault};
use std::rc::Rc;

use super::call::Call;
use super::cors::{self, PageAccess};
use super::middleware::render_refusal;
use crate::admission::{client_address, policies_of};
use crate::auth::api_key::ApiKey;
use crate::auth::scope::Scope;
use crate::auth::signature::Signed;
use crate::error::{HttpError, Shape};
use crate::http_stream::Exchange;
use crate::peer::limit_key;
use crate::policies::Policies;
use crate::request_body;
use crate::state::SharedState;
use crate::state::idempotency::CachedAnswer;

/// The headers of an API key: of the push document and of the Laravel document.
const KEY_HEADERS: [&str; 2] = ["x-api-key", "x-websocket-api-key"];

/// Longest `Idempotency-Key`, in characters.
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// Marks a response that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The body of an admitted request, its escapes [resolved](text::resolve). The guard reads the body, because a signature may
/// cover its bytes; [`super::request::Body`] takes it from here.
#[derive(Debug, Clone)]
pub(super) struct AdmittedBody(pub(super) Bytes);

/// The codes that the guard can refuse a request of `method` with.
pub(super) fn refusals(method: &str) -> Vec<Code> {
    let mut codes = vec![
        Code::Unauthorized,
        Code::InvalidApiKey,
        Code::Forbidden,
        Code::InvalidSignature,
        Code::PayloadTooLarge,
        Code::UnsupportedEncoding,
        Code::RateLimited,
        Code::Overloaded,
    ];
    if method != "GET" {
        codes.extend([Code::OriginNotAllowed, Code::ShuttingDown]);
    }
    if method == "POST" {
        // Of the `Idempotency-Key`.
        codes.extend([Code::Conflict, Code::StoreUnavailable, Code::OutcomeUnknown]);
    }
    codes
}

/// The middleware of an endpoint that needs `scope`.
pub(super) async fn guard(
    state: web::Data<SharedState>,
    scope: Scope,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match check_request(&state, scope, &mut request).await {
        Ok(None) => next.call(request).await,
        Ok(Some((key, digest))) => answer_idempotent(state, key, digest, request, next).await,
        Err(refusal) => Ok(request.error_response(refusal)),
    }
}

/// Admits a request or refuses it. Returns its idempotency key and digest, if it has one.
async fn check_request(
    state: &SharedState,
    scope: Scope,
    request: &mut ServiceRequest,
) -> Result<Option<(IdempotencyKey, RequestDigest)>, HttpError> {
    let policies = policies_of(state, request.request());
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_read {
        if cors::check(request.headers(), &policies.origins) == PageAccess::Foreign {
            return Err(cors::refusal(request.headers()).into());
        }
        check_ready(&state.hub.readiness())?;
    }
    let (key, key_text) = authenticate(state, &policies, request).await?;
    if let Some(exchange) = request.conn_data::<Rc<Exchange>>() {
        exchange.mark_known();
    }
    key.check_scope(if is_read { scope.to_read() } else { scope })?;
    let payload = request.extract::<web::Payload>().await.map_err(|error| HttpError::from_error(&error))?;
    let body = request_body::read(request.request(), payload, policies.config.server.max_body).await?;
    check_signature(state, request, &key, &key_text, &body)?;
    let name = match *request.method() {
        Method::POST => idempotency_key(request.headers())?,
        _ => None,
    };
    let claim = name.map(|name| {
        let owner = key.name;
        let name = name.into();
        (IdempotencyKey { owner, name }, request_digest(request, &body))
    });
    request.extensions_mut().insert(AdmittedBody(text::resolve(body)));
    Ok(claim)
}

fn check_ready(readiness: &Readiness) -> Result<(), Fault> {
    match readiness {
        // Messages need no store. Requests that need it are refused by the store.
        Readiness::Ready | Readiness::WithoutStore(_) => Ok(()),
        Readiness::Draining | Readiness::Broken(_) => Err(Fault::shutting_down()),
    }
}

/// Finds the caller's key and counts the request for it. A request without a valid key, or with an expired one, counts for its
/// address, which bounds the guesses.
async fn authenticate(
    state: &SharedState,
    policies: &Policies,
    request: &ServiceRequest,
) -> Result<(ApiKey, String), Fault> {
    let general = policies.config.limits.http.requests_per_minute;
    // An empty header does not hide a key in another header.
    let mut values = KEY_HEADERS.iter().flat_map(|name| request.headers().get_all(*name));
    let value = values.find(|value| !value.is_empty());
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let refusal = match (policies.keys.find(text), value) {
        (Some(key), _) => {
            if let Some(call) = request.extensions().get::<Call>() {
                call.set_key(key);
            }
            state.telemetry.count_key(&key.name);
            match key.check_expiry(state.now_ms()) {
                Ok(()) => return count_for_key(state, key, general).await.map(|()| (key.clone(), text.to_owned())),
                Err(expired) => expired,
            }
        }
        (None, None) => Fault::new(Code::Unauthorized, "An API key is needed in X-API-Key").by("api.keys"),
        (None, Some(_)) => Fault::new(Code::InvalidApiKey, "Invalid API key").by("api.keys"),
    };
    let address = limit_key(client_address(state, request.request()).ip);
    state.hub.admit(LimitKey::Address(address), general).await?;
    Err(refusal)
}

/// Counts a request for its key. A key without a limit of its own has the `general` one.
async fn count_for_key(state: &SharedState, key: &ApiKey, general: u32) -> Result<(), Fault> {
    let counted = state.hub.admit(LimitKey::ApiKey(key.name.clone()), key.per_minute.unwrap_or(general)).await;
    counted.map_err(|fault| match fault.code {
        Code::RateLimited if key.per_minute.is_none() => fault.by("limits.http.requests_per_minute"),
        _ => fault,
    })
}

fn check_signature(
    state: &SharedState,
    request: &ServiceRequest,
    key: &ApiKey,
    key_text: &str,
    body: &[u8],
) -> Result<(), Fault> {
    let headers = request.headers();
    if !key.require_signature && !headers.contains_key("x-signature") {
        return Ok(());
    }
    // A header that is not text counts as missing: it cannot have been signed.
    let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap_or(""));
    let version = match headers.contains_key("x-signature-version") {
        true => text("x-signature-version"),
        false => "v1",
    };
    let call = request.extensions().get::<Call>().cloned();
    let signed = Signed {
        method: request.method().as_str(),
        // The path as it was sent. The routed path has no base path.
        path: call.as_ref().and_then(Call::path).unwrap_or_else(|| request.uri().path()),
        timestamp: text("x-request-timestamp"),
        nonce: text("x-request-nonce"),
        version,
        signature: text("x-signature"),
        body,
    };
    let checked = state.signatures.check(&signed, key_text, &key.name, state.hub.clock());
    checked.map_err(|fault| match fault.code {
        Code::InvalidSignature => fault.by(format!("api key \"{}\" signature", key.name)),
        _ => fault,
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(name) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match name.to_str() {
        Ok(name) if (1..=IDEMPOTENCY_KEY_MAX).contains(&name.len()) => Ok(Some(name.to_owned())),
        _ => Err(Fault::field(
            "Idempotency-Key",
            format!("`Idempotency-Key` is not 1 to {IDEMPOTENCY_KEY_MAX} printable ASCII characters"),
        )),
    }
}

/// A digest of the request, to detect another request with the same idempotency key.
fn request_digest(request: &ServiceRequest, body: &[u8]) -> RequestDigest {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    digest(&[request.method().as_str().as_bytes(), target.as_bytes(), body])
}

/// Answers a request with an idempotency key: by its handler if the key is new, else with the stored response.
async fn answer_idempotent(
    state: web::Data<SharedState>,
    key: IdempotencyKey,
    digest: RequestDigest,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match state.idempotency.claim(&key, digest).await {
        Err(fault) => Ok(request.error_response(HttpError::from(fault))),
        Ok(Claim::Again(answer)) => {
            let answer = CachedAnswer::from_bytes(answer)
                .and_then(|answer| Some((StatusCode::from_u16(answer.status).ok()?, answer.body)));
            let Some((status, body)) = answer else {
                return Ok(request.error_response(HttpError::from(Fault::outcome_unknown())));
            };
            let response = HttpResponse::build(status)
                .insert_header((REPLAYED, HeaderValue::from_static("true")))
                .content_type("application/json")
                .body(body);
            Ok(request.into_response(response))
        }
        // In a task of its own, so that the work is completed and recorded even if the caller disconnects.
        Ok(Claim::First(ticket)) => {
            let first = actix_rt::spawn(answer_first(ticket, request, next)).await;
            first.unwrap_or_else(|_| Err(HttpError::from(Fault::outcome_unknown()).into()))
        }
    }
}

async fn answer_first(
    ticket: Ticket,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let unknown = || HttpError::from(Fault::outcome_unknown());
    let answer = render_refusal(next.call(request).await.map_err(|_| unknown())?, Shape::Api);
    let (request, response) = answer.into_parts();
    let (head, body) = response.into_parts();
    let body = to_bytes(body).await.map_err(|_| unknown())?;
    let status = head.status();
    match is_done(status) {
        Some(true) => ticket.keep(CachedAnswer { status: status.as_u16(), body: body.clone() }.to_bytes()),
        Some(false) => ticket.free(),
        None => drop(ticket),
    }
    Ok(ServiceResponse::new(request, head.set_body(body).map_into_boxed_body()))
}

/// Whether a request with this status was executed; `None` if that is not known. A refused request changed nothing and can be
/// corrected and repeated.
fn is_done(status: StatusCode) -> Option<bool> {
    match status {
        StatusCode::GATEWAY_TIMEOUT => None,
        _ => Some(!status.is_client_error() && !status.is_server_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("idempotency-key"), HeaderValue::from_bytes(name.as_bytes()).unwrap());
        headers
    }

    #[test]
    fn an_idempotency_key_has_1_to_255_characters() {
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
        for name in ["a", &"x".repeat(255)] {
            assert_eq!(idempotency_key(&named(name)).unwrap().as_deref(), Some(name));
        }
        for name in ["", "é", &"x".repeat(256)] {
            let fault = idempotency_key(&named(name)).unwrap_err();
            assert_eq!(fault.field.as_deref(), Some("Idempotency-Key"));
        }
    }

    #[test]
    fn a_hub_that_shuts_down_accepts_no_commands() {
        for readiness in [Readiness::Ready, Readiness::WithoutStore("the disk is full".into())] {
            assert_eq!(check_ready(&readiness), Ok(()));
        }
        for readiness in [Readiness::Draining, Readiness::Broken("rooms".into())] {
            let fault = check_ready(&readiness).unwrap_err();
            assert_eq!(fault.code, Code::ShuttingDown);
        }
    }
}
