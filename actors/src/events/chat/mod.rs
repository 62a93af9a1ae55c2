//! The events of the chat system, a file a part of its document: rooms, messages, presence, recovery, monitoring.
//!
//! Every one of them is answered by its acknowledgement, `{success: true, …}`; a refusal is [`Failed`]. [`answer`] gives
//! the answers of other events the same shape.

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

/// Who has not shown a token that holds.
const UNAUTHENTICATED: &str = "User not authenticated";
/// Who sends too much.
const TOO_FAST: &str = "Message rate limit exceeded. Please slow down.";
/// What cannot be read, or is out of bounds; `details` says where and why.
const INVALID: &str = "Invalid request data";

/// Says the answer to a request by `success` and the document's sentence.
#[derive(Debug, Clone, Copy, Serialize, schemars::JsonSchema)]
pub struct Success {
    success: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    #[schemars(with = "Option<String>")]
    message: &'static str,
}

impl Success {
    /// It was done, and there is nothing to say of it but what follows.
    pub const DONE: Self = Self::saying("");

    /// It was done, in the document's words.
    pub const fn saying(message: &'static str) -> Self {
        Self { success: true, message }
    }
}

/// A refusal as an acknowledgement: the document's sentence, and for a program the code and what is to blame.
#[derive(Debug, Serialize)]
pub struct Failed<'a> {
    success: bool,
    message: Cow<'a, str>,
    code: Code,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

impl<'a> Failed<'a> {
    /// What a client is told of `fault`.
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
    fn a_refusal_has_the_documents_sentence_and_says_what_is_to_blame() {
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
