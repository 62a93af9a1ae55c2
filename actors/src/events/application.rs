//! The events that are meant for the application behind the hub, and what answers them.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::json::{EMPTY, Json};
use crate::model::ids::RequestId;

/// Tells the application something. Without one, the hub answers with the event's own `data`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Event {
    /// What it is about.
    #[serde(rename = "type", deserialize_with = "text")]
    pub kind: String,
    /// Anything.
    #[serde(default)]
    pub data: Option<Json>,
}

/// Gives the application a message. Without one, the hub gives the message an id and nothing else.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Message {
    /// The message.
    #[serde(deserialize_with = "text")]
    pub content: String,
    /// Of which type it is.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Anything.
    #[serde(default)]
    pub metadata: Option<Json>,
}

/// Has the application do something. Without one, the hub knows `echo`, `time`, `whoami` and `rooms`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Action {
    /// What to do.
    #[serde(deserialize_with = "text")]
    pub action: String,
    /// Anything.
    #[serde(default)]
    pub params: Option<Json>,
}

/// A text that says something: an empty one is as good as none.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Err(serde::de::Error::custom(EMPTY));
    }
    Ok(text)
}

/// Why there is no answer, in the event that would have been one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Failure {
    /// A sentence.
    error: Cow<'static, str>,
    /// The stable code.
    code: &'static str,
}

impl Failure {
    /// The code of [`Failure::unknown_action`].
    pub const UNKNOWN_ACTION: &str = "UNKNOWN_ACTION";

    /// A failed request, with its code and the reason.
    pub fn of(code: &'static str, why: &'static str) -> Self {
        Self { error: why.into(), code }
    }

    /// Nobody knows how to do that.
    pub fn unknown_action(action: &str) -> Self {
        let named: String = action.chars().take(ACTION_MAX).collect();
        Self { error: format!("There is no action \"{named}\"").into(), code: Self::UNKNOWN_ACTION }
    }
}

/// Longest part of an unknown action's name that is given back, in characters.
const ACTION_MAX: usize = 64;

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $(#[$field_doc:meta])* $field:ident: $wire:literal: $type:ty })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            success: bool,
            #[schemars(with = "String")]
            request_id: RequestId,
            $(#[$field_doc])*
            #[serde(rename = $wire, skip_serializing_if = "Option::is_none")]
            $field: Option<$type>,
            #[serde(flatten, skip_serializing_if = "Option::is_none")]
            failure: Option<Failure>,
        }

        impl $name {
            /// It was answered.
            pub fn done(request_id: RequestId, $field: $type) -> Self {
                Self { success: true, request_id, $field: Some($field), failure: None }
            }

            /// It was not.
            pub fn failed(request_id: RequestId, failure: Failure) -> Self {
                Self { success: false, request_id, $field: None, failure: Some(failure) }
            }
        }
    )*};
}

answers! {
    /// Answers `client:event`: `{success: true, requestId, data}`, or `{success: false, requestId, error, code}`.
    Response {
        /// The application's answer.
        data: "data": Json
    }

    /// Answers `client:message`: `{success: true, requestId, messageId}`, or `{success: false, requestId, error, code}`.
    MessageAck {
        /// The message's id.
        message_id: "messageId": String
    }

    /// Answers `client:action`: `{success: true, requestId, result}`, or `{success: false, requestId, error, code}`.
    ActionResult {
        /// The application's answer.
        result: "result": Json
    }
}

/// What the action `time` finds.
#[derive(Debug, Serialize)]
pub struct Time {
    /// Now.
    pub iso: super::moment::Iso,
    /// Now, ms since the epoch.
    pub timestamp: i64,
}

#[cfg(test)]
mod tests {
    use super::super::json::{Entire, Readable};
    use super::*;
    use crate::model::fault::Fault;

    fn blamed<T: Readable>(text: &str) -> (Option<String>, String) {
        let Err(Fault { field, message, .. }) = T::read(text.as_bytes()) else { panic!("{text} was read") };
        (field, message.into_owned())
    }

    #[test]
    fn an_object_is_kept_as_it_came_with_what_the_hub_does_not_know() {
        let text = r#"{"type":"order", "data":{"n":1.50},"more":[1]}"#;
        let event = Entire::<Event>::read(text.as_bytes()).unwrap();
        assert_eq!((event.text.as_str(), event.read.kind.as_str()), (text, "order"));
        assert_eq!(event.read.data.unwrap().as_str(), r#"{"n":1.50}"#);
    }

    #[test]
    fn what_is_missing_empty_or_mistyped_is_named() {
        let missing = (Some("type".into()), "`type` is missing".into());
        assert_eq!(blamed::<Entire<Event>>("{}"), missing);
        let empty = |field: &str| (Some(field.into()), format!("`{field}` is missing"));
        assert_eq!(blamed::<Entire<Event>>(r#"{"type":""}"#), empty("type"));
        assert_eq!(blamed::<Entire<Message>>(r#"{"content":""}"#), empty("content"));
        assert_eq!(blamed::<Entire<Action>>(r#"{"action":""}"#), empty("action"));
        assert_eq!(blamed::<Entire<Message>>(r#"{"content":7}"#).0.as_deref(), Some("content"));
        assert_eq!(blamed::<Entire<Message>>(r#"{"content":"a","type":7}"#).0.as_deref(), Some("type"));
        assert_eq!(blamed::<Entire<Action>>("[1]").0.as_deref(), Some("data"));
    }

    #[test]
    fn an_answer_has_what_was_found_or_why_nothing_was() {
        let id = RequestId::random();
        let done = serde_json::to_string(&Response::done(id, Json::null())).unwrap();
        assert_eq!(done, format!(r#"{{"success":true,"requestId":"{id}","data":null}}"#));
        let failed = ActionResult::failed(id, Failure::of("ACTION_PROCESSING_ERROR", "No."));
        assert_eq!(
            serde_json::to_string(&failed).unwrap(),
            format!(r#"{{"success":false,"requestId":"{id}","error":"No.","code":"ACTION_PROCESSING_ERROR"}}"#)
        );
    }
}
