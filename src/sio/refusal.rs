//! Why a request for the Engine.IO transport is refused: a status and `{code, message}`, as its clients read it.

use actix_http::StatusCode;
use actix_http::header::{self, HeaderName, HeaderValue};
use hubbub_actors::fault::{Code, Fault};

/// A refusal. The codes are those of the protocol's reference server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// The number that clients show.
    pub code: u8,
    /// Its words.
    pub message: String,
    /// Headers of its own, as `Retry-After`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// `transport` is neither `polling` nor `websocket`.
    pub fn unknown_transport() -> Self {
        Self::bad(0, "Transport unknown")
    }

    /// No session goes by this `sid`.
    pub fn unknown_sid() -> Self {
        Self::bad(1, "Session ID unknown")
    }

    /// A method that this request can not be made with.
    pub fn bad_method() -> Self {
        Self::bad(2, "Bad handshake method")
    }

    /// Anything else that the protocol does not allow now, and what.
    pub fn bad_request(what: &str) -> Self {
        Self::bad(3, &format!("Bad request: {what}"))
    }

    /// `EIO` is not 4.
    pub fn bad_version() -> Self {
        Self::bad(5, "Unsupported protocol version")
    }

    /// A body over the bound of `most` bytes.
    pub fn too_large(most: usize) -> Self {
        let message = format!("Payload too large: at most {most} bytes");
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, code: 3, message, headers: Vec::new() }
    }

    /// A body that does not come.
    pub fn too_slow() -> Self {
        let message = "The body did not come in time".into();
        Self { status: StatusCode::REQUEST_TIMEOUT, code: 3, message, headers: Vec::new() }
    }

    /// What another part of the hub refused.
    pub fn of(fault: &Fault) -> Self {
        let code = if fault.code == Code::Forbidden { 4 } else { 3 };
        let (status, message) = (crate::error::status(fault.code), fault.message.to_string());
        Self { status, code, message, headers: crate::error::headers(fault) }
    }

    fn bad(code: u8, message: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into(), headers: Vec::new() }
    }

    /// The headers of the answer.
    pub fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.headers.iter().cloned().chain([json])
    }

    /// The body of the answer.
    pub fn body(&self) -> String {
        serde_json::json!({ "code": self.code, "message": self.message }).to_string()
    }
}
