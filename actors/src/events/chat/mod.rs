//! The events of the chat document, one file for each of its parts: rooms, messages, presence, recovery, monitoring.
//!
//! The reply to each event is its acknowledgement, `{success: true, …}`; a refusal is [`Failed`]. [`answer`] gives the
//! replies of other events the same form.

pub mod answer;
pub mod connection;
pub mod messages;
pub mod monitoring;
pub mod presence;
pub mod rooms;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::fault::{Code, Fault};

/// The message for a session without a valid token.
const UNAUTHENTICATED: &str = "User not authenticated";
/// The message for an exceeded rate limit.
const TOO_FAST: &str = "Message rate limit exceeded. Please slow down.";
/// The message for invalid data; `details` has the field and the reason.
const INVALID: &str = "Invalid request data";

/// The start of a successful reply: `success` and the message of the document.
#[derive(Debug, Clone, Copy, Serialize, schemars::JsonSchema)]
pub struct Success {
    success: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(with = "Option<String>")]
    message: &'static str,
}

impl Success {
    /// Success without a message.
    pub const DONE: Self = Self::with_message("");

    /// Success with the message of the document.
    pub const fn with_message(message: &'static str) -> Self {
        Self { success: true, message }
    }
}

/// A refusal as an acknowledgement: the message of the document, and for programs the code and the details.
#[derive(Debug, Serialize)]
pub struct Failed<'a> {
    success: bool,
    message: Cow<'a, str>,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

impl<'a> Failed<'a> {
    /// The refusal for `fault`.
    pub fn new(fault: &'a Fault) -> Self {
        let message = match fault.code {
            Code::InvalidRequest => INVALID,
            Code::RateLimited => TOO_FAST,
            Code::Unauthenticated | Code::InvalidToken | Code::TokenExpired | Code::TokenRevoked => UNAUTHENTICATED,
            _ => &fault.message,
        };
        let mut details = fault.details();
        if fault.code == Code::InvalidRequest {
            details.get_or_insert_with(|| json!({}))["reason"] = fault.message.as_ref().into();
        }
        Self { success: false, message: message.into(), code: fault.code, details }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_documents_message_and_the_invalid_field() {
        for (fault, expected) in [
            (
                Fault::field("content", "`content` is missing"),
                json!({"success": false, "message": "Invalid request data", "code": "INVALID_REQUEST",
                       "details": {"field": "content", "reason": "`content` is missing"}}),
            ),
            (
                Fault::rate_limited(7),
                json!({"success": false, "message": "Message rate limit exceeded. Please slow down.",
                       "code": "RATE_LIMITED", "details": {"retryAfter": 7}}),
            ),
            (
                Fault::limit_reached("limits.rooms"),
                json!({"success": false, "message": "The limit `limits.rooms` is reached",
                       "code": "LIMIT_REACHED", "details": {"limit": "limits.rooms"}}),
            ),
            (
                Fault::unauthenticated(),
                json!({"success": false, "message": "User not authenticated", "code": "PERMISSION_DENIED"}),
            ),
            (
                Fault::new(Code::NotFound, "Message not found"),
                json!({"success": false, "message": "Message not found", "code": "NOT_FOUND"}),
            ),
        ] {
            assert_eq!(serde_json::to_value(Failed::new(&fault)).unwrap(), expected);
        }
    }
}
