//! The messages and codes of refusals on `/`, as the push and community documents specify them.

use std::borrow::Cow;

use super::RefusalForm;
use super::json::missing;
use crate::model::fault::{Code, Fault};

/// The document that defines the codes for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorStyle {
    /// A client of the push document: it connected with a token.
    Push,
    /// A client of the community document: it connected without a token.
    Community,
}

impl ErrorStyle {
    /// The document's code for a defect of the hub.
    pub const fn defect(self) -> &'static str {
        match self {
            Self::Push => "INTERNAL_SERVER_ERROR",
            Self::Community => "SERVER_ERROR",
        }
    }
}

impl RefusalForm {
    /// The code for invalid event data.
    pub const fn invalid_data_code(self) -> &'static str {
        match self {
            Self::Invalid | Self::Unread | Self::Reply => Code::InvalidRequest.as_str(),
            Self::Validation | Self::Authentication => "VALIDATION_ERROR",
            Self::EventData => "INVALID_EVENT_DATA",
            Self::MessageData => "INVALID_MESSAGE_DATA",
            Self::ActionData => "INVALID_ACTION_DATA",
        }
    }

    /// The code of `fault` on `/`, for a client of this document.
    pub const fn code(self, fault: &Fault, style: ErrorStyle) -> &'static str {
        match (self, fault.code) {
            (_, Code::Internal) => style.defect(),
            (_, Code::InvalidRequest) => self.invalid_data_code(),
            (Self::Authentication, Code::InvalidToken) => Code::AuthUnavailable.as_str(),
            (Self::Authentication, Code::TokenExpired) => Code::TokenRevoked.as_str(),
            (
                Self::Authentication | Self::Validation,
                Code::Forbidden | Code::OriginNotAllowed | Code::HostNotAllowed,
            ) => Code::Unauthenticated.as_str(),
            (_, code) => code.as_str(),
        }
    }

    /// The message of `fault` on `/`: `Invalid message data. Missing content.`
    pub fn message(self, fault: &Fault) -> Cow<'static, str> {
        let words = match self {
            Self::EventData => "Invalid event data.",
            Self::MessageData => "Invalid message data.",
            Self::ActionData => "Invalid action data.",
            Self::Invalid | Self::Validation | Self::Reply | Self::Authentication | Self::Unread => "",
        };
        if words.is_empty() || fault.code != Code::InvalidRequest {
            return fault.message.clone();
        }
        match &fault.field {
            Some(field) if *fault.message == missing(field) => format!("{words} Missing {field}.").into(),
            _ => format!("{words} {}", fault.message).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_data_is_refused_with_the_push_documents_message() {
        for (refused, fault, message) in [
            (
                RefusalForm::MessageData,
                Fault::field("content", missing("content")),
                "Invalid message data. Missing content.",
            ),
            (RefusalForm::EventData, Fault::field("type", missing("type")), "Invalid event data. Missing type."),
            (
                RefusalForm::ActionData,
                Fault::field("action", missing("action")),
                "Invalid action data. Missing action.",
            ),
            (
                RefusalForm::MessageData,
                Fault::field("type", "`type`: no text"),
                "Invalid message data. `type`: no text",
            ),
            (RefusalForm::MessageData, Fault::rate_limited(1), "Rate limit exceeded"),
            (RefusalForm::Invalid, Fault::field("content", missing("content")), "`content` is missing"),
        ] {
            assert_eq!(refused.message(&fault), message);
        }
    }
}
