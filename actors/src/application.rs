//! The application behind the hub: the requests of clients to it, and its replies. This module does not know the
//! transport.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

use crate::events::json::Json;
use crate::events::timestamp::Iso;
use crate::model::ids::{RequestId, SessionId, UserId};

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// `client:event`.
    Event,
    /// `client:message`.
    Message,
    /// `client:action`.
    Action,
}

impl RequestKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Event, Self::Message, Self::Action];

    /// The name in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Message => "message",
            Self::Action => "action",
        }
    }

    /// The error code for the client when the request fails.
    pub const fn failure(self) -> &'static str {
        match self {
            Self::Event => "EVENT_PROCESSING_ERROR",
            Self::Message => "MESSAGE_PROCESSING_ERROR",
            Self::Action => "ACTION_PROCESSING_ERROR",
        }
    }
}

/// A request to the application, in its JSON form.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationRequest {
    /// The user.
    pub user_id: UserId,
    /// The session.
    pub socket_id: SessionId,
    /// The event's name.
    pub event: &'static str,
    /// The whole payload of the client.
    #[serde(flatten)]
    pub sent: RequestBody,
    /// The id of the request, the same in every attempt.
    pub request_id: RequestId,
    /// When the request was received.
    pub timestamp: Iso,
}

/// The payload of a client, by the kind of the request.
#[derive(Debug, Clone, Serialize)]
pub enum RequestBody {
    /// A `client:event`.
    #[serde(rename = "data")]
    Event(Json),
    /// A `client:message`.
    #[serde(rename = "message")]
    Message(Json),
    /// A `client:action`.
    #[serde(rename = "action")]
    Action(Json),
}

impl RequestBody {
    /// Its kind.
    pub const fn kind(&self) -> RequestKind {
        match self {
            Self::Event(_) => RequestKind::Event,
            Self::Message(_) => RequestKind::Message,
            Self::Action(_) => RequestKind::Action,
        }
    }
}

/// The reply of the application.
#[derive(Debug, Clone)]
pub struct ApplicationReply {
    /// The data.
    pub data: Json,
    /// The id of a message, given by the application.
    pub message_id: Option<String>,
}

/// The failure of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationFailure {
    /// The sentence for the client.
    pub message: &'static str,
    /// The cause, for the log: `status 401`. It has no secret.
    pub cause: String,
}

/// The application.
pub trait Application: Send + Sync {
    /// Sends a request at once. The request is finished even when the caller no longer waits: a client that disconnects
    /// meanwhile has sent it. Resolves within a bounded time. Must be called on a runtime.
    fn ask(
        &self,
        request: ApplicationRequest,
    ) -> Pin<Box<dyn Future<Output = Result<ApplicationReply, ApplicationFailure>>>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_payload_under_the_name_of_its_kind() {
        let text: Json = serde_json::from_str(r#"{"type":"a", "n":1.50,"b":{"$binary":"AQI="}}"#).unwrap();
        for (sent, name) in [
            (RequestBody::Event(text.clone()), "data"),
            (RequestBody::Message(text.clone()), "message"),
            (RequestBody::Action(text.clone()), "action"),
        ] {
            let request = ApplicationRequest {
                user_id: UserId::parse("42", "user").unwrap(),
                socket_id: SessionId::random(),
                event: "client:event",
                sent,
                request_id: RequestId::random(),
                timestamp: Iso(7),
            };
            assert_eq!(
                serde_json::to_string(&request).unwrap(),
                format!(
                    r#"{{"userId":"42","socketId":"{}","event":"client:event","{name}":{},"requestId":"{}","timestamp":"1970-01-01T00:00:00.007Z"}}"#,
                    request.socket_id,
                    text.as_str(),
                    request.request_id,
                )
            );
        }
    }
}
