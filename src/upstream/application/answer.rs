//! Reads the application's response and decides its outcome. Pure.

use std::collections::BTreeMap;

use hubbub_actors::application::ApplicationReply;
use hubbub_actors::events::json::Json;
use hubbub_actors::events::text;

use crate::upstream::http_client::{HttpAnswer, HttpFailure};

/// Longest message id, in bytes. A longer one is ignored.
const MESSAGE_ID_MAX: usize = 256;

/// The outcome of a request to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// It was answered.
    Answered,
    /// The application refused it (4xx).
    Refused,
    /// The application failed (5xx).
    Failed,
    /// The response cannot be used.
    Unusable,
    /// The connection failed, or the application is unavailable (502, 503, 504).
    Unavailable,
    /// It did not answer in time.
    Timeout,
    /// It was not sent: the circuit breaker is open.
    BreakerOpen,
    /// It was not sent: too many requests were in progress.
    Overloaded,
}

impl UpstreamOutcome {
    /// All outcomes.
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::Refused,
        Self::Failed,
        Self::Unusable,
        Self::Unavailable,
        Self::Timeout,
        Self::BreakerOpen,
        Self::Overloaded,
    ];

    /// The word in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unusable => "unusable",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::BreakerOpen => "breaker_open",
            Self::Overloaded => "overloaded",
        }
    }

    /// The sentence for the client.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Answered => "The application answered",
            Self::Refused => "The application refused the request",
            Self::Failed => "The application failed",
            Self::Unusable => "The application sent a response that the hub cannot forward",
            Self::Unavailable | Self::BreakerOpen => "The application cannot be reached at the moment; try again",
            Self::Timeout => "The application did not answer in time",
            Self::Overloaded => "Too many requests to the application are in progress; try again",
        }
    }
}

/// Why there is no response: the outcome for the client, the reason for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UpstreamError {
    pub(super) outcome: UpstreamOutcome,
    pub(super) why: String,
}

impl UpstreamError {
    fn new(outcome: UpstreamOutcome, why: impl Into<String>) -> Self {
        Self { outcome, why: why.into() }
    }

    pub(super) fn breaker_open() -> Self {
        Self::new(UpstreamOutcome::BreakerOpen, "the circuit breaker is open")
    }

    pub(super) fn overloaded() -> Self {
        Self::new(UpstreamOutcome::Overloaded, "too many requests are in progress")
    }

    /// Whether another attempt may succeed.
    pub(super) fn is_temporary(&self) -> bool {
        self.outcome == UpstreamOutcome::Unavailable
    }

    /// Whether it counts as a failure of the application, and not of one request.
    pub(super) fn is_breakdown(&self) -> bool {
        matches!(self.outcome, UpstreamOutcome::Unavailable | UpstreamOutcome::Timeout)
    }
}

/// Reads a response.
pub(super) fn read(answer: Result<HttpAnswer, HttpFailure>) -> Result<ApplicationReply, UpstreamError> {
    let unusable = |why: &str| UpstreamError::new(UpstreamOutcome::Unusable, why);
    let answer = answer.map_err(|failure| {
        let outcome = match failure {
            HttpFailure::Slow(_) => UpstreamOutcome::Timeout,
            HttpFailure::TooLong(_) => UpstreamOutcome::Unusable,
            HttpFailure::Broken(_) => UpstreamOutcome::Unavailable,
        };
        UpstreamError::new(outcome, failure.to_string())
    })?;
    let status = answer.status;
    let outcome = match status {
        // Done, with no data.
        204 => return Ok(ApplicationReply { data: Json::null(), message_id: None }),
        200..=299 => UpstreamOutcome::Answered,
        400..=499 => UpstreamOutcome::Refused,
        502..=504 => UpstreamOutcome::Unavailable,
        500..=599 => UpstreamOutcome::Failed,
        _ => UpstreamOutcome::Unusable,
    };
    if outcome != UpstreamOutcome::Answered {
        return Err(UpstreamError::new(outcome, format!("status {status}")));
    }
    let body = answer.body().map_err(|why| unusable(&why))?;
    let body = text::resolve(body.clone());
    let whole: Json = serde_json::from_slice(&body).map_err(|_| unusable("an answer that is not JSON"))?;
    text::check_members(&body, "answer").map_err(|fault| unusable(&fault.message))?;
    let mut members = members(&whole);
    let data = members.remove("data");
    let message_id = data.as_ref().map(self::members).unwrap_or_default().remove(MESSAGE_ID);
    let message_id = members.remove(MESSAGE_ID).and_then(id).or_else(|| message_id.and_then(id));
    Ok(ApplicationReply { data: data.unwrap_or(whole), message_id })
}

const MESSAGE_ID: &str = "messageId";

/// The members of an object; none of anything else.
fn members(value: &Json) -> BTreeMap<String, Json> {
    serde_json::from_str(value.as_str()).unwrap_or_default()
}

/// An id: a string, or a number as its text.
fn id(value: Json) -> Option<String> {
    let id = match serde_json::from_str(value.as_str()).ok()? {
        serde_json::Value::String(id) => id,
        serde_json::Value::Number(_) => value.as_str().to_owned(),
        _ => return None,
    };
    (1..=MESSAGE_ID_MAX).contains(&id.len()).then_some(id)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answered(status: u16, body: &str) -> Result<(String, Option<String>), UpstreamOutcome> {
        read(Ok(HttpAnswer::plain(status, body.as_bytes())))
            .map(|answered| (answered.data.as_str().to_owned(), answered.message_id))
            .map_err(|error| error.outcome)
    }

    #[test]
    fn the_data_of_an_answer_is_its_data_or_all_of_it() {
        for (body, data) in [
            (r#"{"data": {"n": 1.50}, "more": 1}"#, r#"{"n": 1.50}"#),
            (r#"{"data":null}"#, "null"),
            (r#"{"n":1}"#, r#"{"n":1}"#),
            (r#"[{"data":1}]"#, r#"[{"data":1}]"#),
            (r#" "text" "#, r#""text""#),
            ("null", "null"),
            (r#"{"data":{"$binary":"AQI="}}"#, r#"{"$binary":"AQI="}"#),
        ] {
            assert_eq!(answered(200, body), Ok((data.into(), None)), "{body}");
            assert_eq!(answered(201, body), Ok((data.into(), None)), "{body}");
        }
        assert_eq!(answered(204, ""), Ok(("null".into(), None)));
        let escaped = r#"{"data":"\u00e9\ud800","messageId":"\u006d\ud800"}"#;
        assert_eq!(answered(200, escaped), Ok(("\"é\u{fffd}\"".into(), Some("m\u{fffd}".into()))));
    }

    #[test]
    fn a_message_id_is_read_from_the_answer_or_from_its_data() {
        for (body, id) in [
            (r#"{"messageId":"m1"}"#, Some("m1")),
            (r#"{"data":{"messageId":"m2"}}"#, Some("m2")),
            (r#"{"messageId":7,"data":{"messageId":"m2"}}"#, Some("7")),
            (r#"{"messageId":null,"data":{"messageId":12345678901234567890}}"#, Some("12345678901234567890")),
            (r#"{"messageId":{},"data":[]}"#, None),
            (r#"{"messageId":""}"#, None),
        ] {
            assert_eq!(answered(200, body).unwrap().1.as_deref(), id, "{body}");
        }
        assert_eq!(answered(200, &format!(r#"{{"messageId":"{}"}}"#, "m".repeat(257))).unwrap().1, None);
    }

    #[test]
    fn failed_answers_have_different_outcomes() {
        for (status, outcome) in [
            (302, UpstreamOutcome::Unusable),
            (400, UpstreamOutcome::Refused),
            (404, UpstreamOutcome::Refused),
            (429, UpstreamOutcome::Refused),
            (500, UpstreamOutcome::Failed),
            (502, UpstreamOutcome::Unavailable),
            (503, UpstreamOutcome::Unavailable),
            (504, UpstreamOutcome::Unavailable),
            (505, UpstreamOutcome::Failed),
            (600, UpstreamOutcome::Unusable),
        ] {
            assert_eq!(answered(status, "{}"), Err(outcome), "{status}");
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for body in ["", "<html>", "{", "{}{}", "\u{0}", r#"{"data":{"n":1e400}}"#, deep.as_str()] {
            assert_eq!(answered(200, body), Err(UpstreamOutcome::Unusable), "{body}");
        }
        for (failure, outcome) in [
            (HttpFailure::Slow(Duration::ZERO), UpstreamOutcome::Timeout),
            (HttpFailure::TooLong(9), UpstreamOutcome::Unusable),
            (HttpFailure::Broken("refused".into()), UpstreamOutcome::Unavailable),
        ] {
            assert_eq!(read(Err(failure)).unwrap_err().outcome, outcome);
        }
    }
}
