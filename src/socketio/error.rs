//! The error response to an Engine.IO request: a status and `{code, message}`.

use actix_http::StatusCode;
use actix_http::header::{self, HeaderName, HeaderValue};
use hubbub_actors::model::fault::{Code, Fault};
use serde_json::{Value, json};

/// An error response. The codes are those of the protocol's reference server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The Engine.IO error code.
    pub code: u8,
    /// The cause, with its message.
    pub fault: Fault,
}

impl EngineError {
    /// `transport` is neither `polling` nor `websocket`.
    pub fn unknown_transport() -> Self {
        Self::bad(0, Fault::new(Code::InvalidRequest, "Transport unknown"))
    }

    /// No session has this `sid`.
    pub fn unknown_sid() -> Self {
        Self::bad(1, Fault::new(Code::NotFound, "Session ID unknown"))
    }

    /// The method is not allowed for this request.
    pub fn bad_method() -> Self {
        Self::bad(2, Fault::new(Code::MethodNotAllowed, "Bad handshake method"))
    }

    /// The protocol does not allow the request now; `what` says why.
    pub fn bad_request(what: &str) -> Self {
        Self::bad(3, Fault::new(Code::InvalidRequest, format!("Bad request: {what}")))
    }

    /// `EIO` is not 4.
    pub fn bad_version() -> Self {
        Self::bad(5, Fault::new(Code::InvalidRequest, "Unsupported protocol version"))
    }

    /// The body exceeds `most` bytes.
    pub fn too_large(most: usize) -> Self {
        let message = format!("Payload too large: at most {most} bytes");
        Self::with_own_status(Fault::new(Code::PayloadTooLarge, message).by("socketio.max_payload"))
    }

    /// The body did not arrive in time.
    pub fn too_slow() -> Self {
        let fault = Fault::new(Code::RequestTimeout, "The body did not arrive in time");
        Self::with_own_status(fault.by("server.body_secs"))
    }

    /// A refusal by another part of the hub.
    pub fn of(fault: &Fault) -> Self {
        Self { code: crate::error::engine_code(fault.code), ..Self::with_own_status(fault.clone()) }
    }

    /// Uses the HTTP status of the fault's code.
    fn with_own_status(fault: Fault) -> Self {
        Self { status: crate::error::status(fault.code), code: 3, fault }
    }

    fn bad(code: u8, fault: Fault) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, fault }
    }

    /// The headers of the response.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        crate::error::headers(&self.fault).into_iter().chain([json])
    }

    /// The body of the response.
    pub fn body(&self) -> String {
        self.json().to_string()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        json!({ "code": self.code, "message": self.fault.message })
    }
}
