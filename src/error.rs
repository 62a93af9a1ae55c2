//! A [`Fault`] as HTTP: its status, its headers and its body. The only place with status codes for refusals.
//!
//! Error bodies have three shapes, given by two documents and one protocol: `{success, error, code, requestId}` under `/api`,
//! `{code, message}` on the Socket.IO transport, and `{error: {code, message, details}}` elsewhere. Handlers return an
//! [`HttpError`]; the middleware renders it with the shape and id of the request.

pub mod body;
pub mod table;

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use bytes::Bytes;
use hubbub_actors::model::fault::{Code, Fault};

use self::body::ErrorBody;

/// The shape of an error body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{success: false, error, code, requestId}`: everything under `/api`.
    Api,
    /// `{code, message}` with a number as code: the transport of Socket.IO.
    EngineIo,
    /// `{error: {code, message, details}}`: everything else.
    Raw,
}

impl Shape {
    /// The shape for the route `path`.
    pub fn of_path(path: &str) -> Self {
        match path.strip_prefix("/api") {
            _ if path == "/socket.io" => Self::EngineIo,
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Api,
            _ => Self::Raw,
        }
    }
}

/// The status a code is answered with.
pub const fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidRequest => StatusCode::BAD_REQUEST,
        Code::InvalidToken
        | Code::TokenExpired
        | Code::TokenRevoked
        | Code::Unauthenticated
        | Code::InvalidCredentials
        | Code::Unauthorized
        | Code::InvalidApiKey
        | Code::InvalidSignature => StatusCode::UNAUTHORIZED,
        // Not 429: waiting does not help. The caller has to release something.
        Code::Forbidden | Code::OriginNotAllowed | Code::HostNotAllowed | Code::LimitReached => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
        Code::Conflict => StatusCode::CONFLICT,
        Code::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Code::UriTooLong => StatusCode::URI_TOO_LONG,
        Code::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        // Not 401: the token may be valid, and a client discards its token after a 401.
        Code::AuthUnavailable | Code::ServerFull | Code::Overloaded | Code::StoreUnavailable | Code::ShuttingDown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::OutcomeUnknown => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The number of a code in an Engine.IO error body, as the protocol's reference server has it: 4 is "forbidden", 3 is
/// "bad request".
pub const fn engine_code(code: Code) -> u8 {
    match code {
        Code::Forbidden | Code::OriginNotAllowed | Code::HostNotAllowed => 4,
        _ => 3,
    }
}

/// The headers of a refusal.
pub fn headers(fault: &Fault) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    if let Some(seconds) = fault.retry_after {
        headers.push((header::RETRY_AFTER, HeaderValue::from(seconds)));
    }
    match fault.code {
        Code::InvalidToken
        | Code::TokenExpired
        | Code::TokenRevoked
        | Code::Unauthenticated
        | Code::InvalidCredentials => headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        Code::Unauthorized | Code::InvalidApiKey | Code::InvalidSignature => {
            headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey")))
        }
        Code::UpgradeRequired => headers.extend([
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
        ]),
        // RFC 9110 section 15.5.16: the accepted encodings.
        Code::UnsupportedEncoding => headers.push((header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
        _ => {}
    }
    headers
}

/// A fault as a response of the HTTP app.
pub fn response(fault: &Fault, shape: Shape, request_id: &str) -> HttpResponse {
    let mut response = HttpResponse::build(status(fault.code));
    for header in headers(fault) {
        response.insert_header(header);
    }
    response.json(ErrorBody::of(fault, shape, request_id))
}

/// A fault as the parts of a response, for an upgrade that is refused after its socket left the HTTP app.
pub fn response_parts(fault: &Fault, shape: Shape) -> (StatusCode, Vec<(HeaderName, HeaderValue)>, Bytes) {
    let mut headers = headers(fault);
    headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
    (status(fault.code), headers, Bytes::from(ErrorBody::of(fault, shape, "").to_text()))
}

/// What a handler of the HTTP app returns.
pub type HandlerResult = Result<HttpResponse, HttpError>;

/// The fault behind a refused request, kept as an extension of its response, for the log.
#[derive(Debug)]
pub struct RefusalCause(pub Fault);

/// The error of a handler. The middleware makes it a response, with the shape and id of the request.
#[derive(Debug)]
pub struct HttpError {
    /// The fault.
    pub fault: Fault,
    /// Headers of this refusal alone, such as `Allow` for a wrong method.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl HttpError {
    /// The refusal for an error of actix-web, such as a body that is too long.
    pub fn from_error(error: &actix_web::Error) -> Self {
        if let Some(refusal) = error.as_error::<Self>() {
            return Self { fault: refusal.fault.clone(), headers: refusal.headers.clone() };
        }
        let status = error.as_response_error().status_code();
        let fault = if status == StatusCode::PAYLOAD_TOO_LARGE {
            Fault::new(Code::PayloadTooLarge, "The body is too large").by("server.max_body")
        } else if status == StatusCode::NOT_FOUND {
            Fault::new(Code::NotFound, "No endpoint at this path")
        } else if status.is_client_error() {
            Fault::new(Code::InvalidRequest, error.to_string())
        } else {
            Fault::internal().caused_by(format!("a handler failed: {error}"))
        };
        fault.into()
    }
}

impl From<Fault> for HttpError {
    fn from(fault: Fault) -> Self {
        Self { fault, headers: Vec::new() }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        status(self.fault.code)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        response(&self.fault, Shape::Raw, "")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body(fault: &Fault, shape: Shape, request_id: &str) -> Value {
        json!(ErrorBody::of(fault, shape, request_id))
    }

    #[test]
    fn a_path_has_one_shape() {
        for (path, shape) in [
            ("/api", Shape::Api),
            ("/api/", Shape::Api),
            ("/api/push", Shape::Api),
            ("/apiary", Shape::Raw),
            ("/socket.io", Shape::EngineIo),
            ("/socket.io/socket.io.js", Shape::Raw),
            ("/", Shape::Raw),
            ("/ws", Shape::Raw),
            ("/health/api", Shape::Raw),
        ] {
            assert_eq!(Shape::of_path(path), shape, "{path}");
        }
    }

    #[test]
    fn every_code_has_an_error_status() {
        for &code in Code::ALL {
            let status = status(code);
            assert!(status.is_client_error() || status.is_server_error(), "{code}");
        }
    }

    #[test]
    fn a_rate_limit_has_retry_after_in_both_shapes() {
        let fault = Fault::rate_limited(42);
        assert_eq!(
            body(&fault, Shape::Api, "r-1"),
            json!({
                "success": false,
                "error": "Rate limit exceeded",
                "code": "RATE_LIMITED",
                "retryAfter": 42,
                "requestId": "r-1",
            })
        );
        assert_eq!(
            body(&fault, Shape::Raw, "r-1"),
            json!({"error": {
                "code": "RATE_LIMITED",
                "message": "Rate limit exceeded",
                "details": {"retryAfter": 42},
            }})
        );
        let answer = response(&fault, Shape::Api, "r-1");
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers().get("retry-after").unwrap(), "42");
    }

    #[test]
    fn a_bad_field_is_named_in_the_details() {
        let fault = Fault::field("userId", "`userId` is missing");
        assert_eq!(
            body(&fault, Shape::Api, "r-1"),
            json!({
                "success": false,
                "error": "`userId` is missing",
                "code": "INVALID_REQUEST",
                "requestId": "r-1",
                "details": {"field": "userId"},
            })
        );
        assert_eq!(
            body(&fault, Shape::Raw, "r-1"),
            json!({"error": {
                "code": "INVALID_REQUEST",
                "message": "`userId` is missing",
                "details": {"field": "userId"},
            }})
        );
    }

    #[test]
    fn a_reached_limit_is_named_in_the_details() {
        let fault = Fault::limit_reached("limits.rooms");
        assert_eq!(
            body(&fault, Shape::Api, "r-1"),
            json!({
                "success": false,
                "error": "The limit `limits.rooms` is reached",
                "code": "LIMIT_REACHED",
                "requestId": "r-1",
                "details": {"limit": "limits.rooms"},
            })
        );
        assert_eq!(
            body(&fault, Shape::Raw, "r-1"),
            json!({"error": {
                "code": "LIMIT_REACHED",
                "message": "The limit `limits.rooms` is reached",
                "details": {"limit": "limits.rooms"},
            }})
        );
        assert_eq!(response(&fault, Shape::Api, "r-1").status(), 403);
    }

    #[test]
    fn an_internal_error_has_the_name_of_its_document() {
        assert_eq!(body(&Fault::internal(), Shape::Api, "r-1")["code"], "INTERNAL_SERVER_ERROR");
        assert_eq!(body(&Fault::internal(), Shape::Raw, "r-1")["error"]["code"], "INTERNAL_ERROR");
    }

    #[test]
    fn a_refused_upgrade_gets_the_websocket_version() {
        let fault = Fault::new(Code::UpgradeRequired, "This path accepts WebSocket connections only");
        let (status, headers, body) = response_parts(&fault, Shape::Raw);
        assert_eq!(status, 426);
        assert_eq!(
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect::<Vec<_>>(),
            [("upgrade", "websocket"), ("sec-websocket-version", "13"), ("content-type", "application/json"),]
        );
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({"error": {
                "code": "UPGRADE_REQUIRED",
                "message": "This path accepts WebSocket connections only",
                "details": {},
            }})
        );
    }
}
