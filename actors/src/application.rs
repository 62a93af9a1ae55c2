//! The application behind the hub, as sessions ask it: what clients send it, and what comes back. How it is reached is not
//! known here.

use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

use crate::events::json::Json;
use crate::events::moment::Iso;
use crate::model::ids::{RequestId, SessionId, UserId};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `client:event`.
    Event,
    /// `client:message`.
    Message,
    /// `client:action`.
    Action,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Event, Self::Message, Self::Action];

    /// The word for it in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Message => "message",
            Self::Action => "action",
        }
    }

    /// The code that its client is told when it comes to nothing.
    pub const fn failure(self) -> &'static str {
        match self {
            Self::Event => "EVENT_PROCESSING_ERROR",
            Self::Message => "MESSAGE_PROCESSING_ERROR",
            Self::Action => "ACTION_PROCESSING_ERROR",
        }
    }
}

/// A question to the application, as it is told it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Who asks.
    pub user_id: UserId,
    /// In which session.
    pub socket_id: SessionId,
    /// The event's name.
    pub event: &'static str,
    /// What the client sent, whole.
    #[serde(flatten)]
    pub sent: Sent,
    /// What the question goes by, in every attempt to ask it.
    pub request_id: RequestId,
    /// When it came.
    pub timestamp: Iso,
}

/// What a client sent, by its kind.
#[derive(Debug, Clone, Serialize)]
pub enum Sent {
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

impl Sent {
    /// Of which kind it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Event(_) => Kind::Event,
            Self::Message(_) => Kind::Message,
            Self::Action(_) => Kind::Action,
        }
    }
}

/// What the application answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Its answer.
    pub data: Json,
    /// The id that it gave to a message.
    pub message_id: Option<String>,
}

/// Why there is no answer: a sentence for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unanswered(pub &'static str);

/// The application.
pub trait Application: Send + Sync {
    /// Asks it, at once, and to the end though nobody may wait for the answer any more: who sends something and leaves
    /// has sent it. Resolves within a bounded time. To be called on a runtime.
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Answered, Unanswered>>>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_what_was_sent_by_its_kind_and_as_it_came() {
        let text: Json = serde_json::from_str(r#"{"type":"a", "n":1.50,"b":{"$binary":"AQI="}}"#).unwrap();
        for (sent, name) in [
            (Sent::Event(text.clone()), "data"),
            (Sent::Message(text.clone()), "message"),
            (Sent::Action(text.clone()), "action"),
        ] {
            let question = Question {
                user_id: UserId::parse("42", "user").unwrap(),
                socket_id: SessionId::random(),
                event: "client:event",
                sent,
                request_id: RequestId::random(),
                timestamp: Iso(7),
            };
            assert_eq!(
                serde_json::to_string(&question).unwrap(),
                format!(
                    r#"{{"userId":"42","socketId":"{}","event":"client:event","{name}":{},"requestId":"{}","timestamp":"1970-01-01T00:00:00.007Z"}}"#,
                    question.socket_id,
                    text.as_str(),
                    question.request_id,
                )
            );
        }
    }
}
