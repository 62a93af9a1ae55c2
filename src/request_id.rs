//! `X-Request-Id`: names a request in its response and in the log. It comes from the caller or is generated.

use std::fmt;
use std::sync::Arc;

use actix_http::HttpMessage;
use actix_http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id of a caller, in bytes.
pub const REQUEST_ID_MAX: usize = 128;

/// The id of a request.
#[derive(Debug, Clone)]
pub struct HttpRequestId(Arc<str>);

impl HttpRequestId {
    /// The caller's id, if it has 1 to [`REQUEST_ID_MAX`] visible ASCII characters; else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let own = headers.get(&REQUEST_ID).map(HeaderValue::as_bytes);
        let own = own
            .filter(|id| (1..=REQUEST_ID_MAX).contains(&id.len()))
            .filter(|id| id.iter().all(u8::is_ascii_graphic))
            .and_then(|id| std::str::from_utf8(id).ok());
        own.map_or_else(Self::random, |id| Self(Arc::from(id)))
    }

    /// A new id.
    pub fn random() -> Self {
        Self(Arc::from(uuid::Uuid::new_v4().to_string()))
    }

    /// The id that the middleware gave to `request`.
    pub fn of_request(request: &impl HttpMessage) -> Self {
        match request.extensions().get::<Self>() {
            Some(id) => id.clone(),
            None => Self(Arc::from("")),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HttpRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(text: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        HttpRequestId::of(&headers).0.to_string()
    }

    #[test]
    fn a_visible_request_id_of_a_caller_is_used() {
        for id in ["a", "req-42/ü".trim_end_matches('ü'), &"x".repeat(128)] {
            assert_eq!(id_of(id), id);
        }
    }

    #[test]
    fn any_other_request_id_is_replaced() {
        for id in ["", "two words", "é", &"x".repeat(129)] {
            let made = id_of(id);
            assert_ne!(made, id);
            assert_eq!(made.len(), 36);
        }
        assert_ne!(HttpRequestId::of(&HeaderMap::new()).0, HttpRequestId::of(&HeaderMap::new()).0);
    }
}
