//! The events for the application behind the hub, and their replies.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::json::{EMPTY, Json};
use crate::model::ids::RequestId;

/// Sends an event to the application. Without an application, the hub replies with the event's own `data`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct CustomEvent {
    /// The type of the event.
    #[serde(rename = "type", deserialize_with = "text")]
    pub kind: String,
    /// Any value.
    #[serde(default)]
    pub data: Option<Json>,
}

/// Sends a message to the application. Without an application, the hub only assigns an id to the message.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Message {
    /// The text.
    #[serde(deserialize_with = "text")]
    pub content: String,
    /// The type of the message.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Any value.
    #[serde(default)]
    pub metadata: Option<Json>,
}

/// Requests an action of the application. Without an application, the hub knows `echo`, `time`, `whoami` and `rooms`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Action {
    /// The name of the action.
    #[serde(deserialize_with = "text")]
    pub action: String,
    /// Any value.
    #[serde(default)]
    pub params: Option<Json>,
}

/// Reads a text. An empty text counts as missing.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Err(serde::de::Error::custom(EMPTY));
    }
    Ok(text)
}

/// The error of a request to the application, as part of the reply.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ApplicationError {
    /// A sentence.
    error: Cow<'static, str>,
    /// The stable code.
    code: &'static str,
}

impl ApplicationError {
    /// The code of [`ApplicationError::unknown_action`].
    pub const UNKNOWN_ACTION: &str = "UNKNOWN_ACTION";

    /// A failed request, with its code and the reason.
    pub fn of(code: &'static str, why: &'static str) -> Self {
        Self { error: why.into(), code }
    }

    /// The hub does not know the action.
    pub fn unknown_action(action: &str) -> Self {
        let named: String = action.chars().take(ACTION_MAX).collect();
        Self { error: format!("There is no action \"{named}\"").into(), code: Self::UNKNOWN_ACTION }
    }
}

/// Longest part of an unknown action's name in the error message, in characters.
const ACTION_MAX: usize = 64;

macro_rules! replies {
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
            failure: Option<ApplicationError>,
        }

        impl $name {
            /// The request succeeded.
            pub fn done(request_id: RequestId, $field: $type) -> Self {
                Self { success: true, request_id, $field: Some($field), failure: None }
            }

            /// The request failed.
            pub fn failed(request_id: RequestId, failure: ApplicationError) -> Self {
                Self { success: false, request_id, $field: None, failure: Some(failure) }
            }
        }
    )*};
}

replies! {
    /// Answers `client:event`: `{success: true, requestId, data}`, or `{success: false, requestId, error, code}`.
    Response {
        /// The application's reply.
        data: "data": Json
    }

    /// Answers `client:message`: `{success: true, requestId, messageId}`, or `{success: false, requestId, error, code}`.
    MessageAck {
        /// The message's id.
        message_id: "messageId": String
    }

    /// Answers `client:action`: `{success: true, requestId, result}`, or `{success: false, requestId, error, code}`.
    ActionResult {
        /// The application's reply.
        result: "result": Json
    }
}

/// The result of the action `time`.
#[derive(Debug, Serialize)]
pub struct Time {
    /// The current time.
    pub iso: super::timestamp::Iso,
    /// The current time, ms since the epoch.
    pub timestamp: i64,
}

#[cfg(test)]
mod tests {
    use super::super::json::{Entire, Readable};
    use super::*;
    use crate::model::fault::Fault;

    fn field_and_message<T: Readable>(text: &str) -> (Option<String>, String) {
        let Err(Fault { field, message, .. }) = T::read(text) else { panic!("{text} was read") };
        (field, message.into_owned())
    }

    #[test]
    fn an_object_keeps_its_text_and_unknown_members() {
        let text = r#"{"type":"order", "data":{"n":1.50},"more":[1]}"#;
        let event = Entire::<CustomEvent>::read(text).unwrap();
        assert_eq!((event.text.as_str(), event.read.kind.as_str()), (text, "order"));
        assert_eq!(event.read.data.unwrap().as_str(), r#"{"n":1.50}"#);
    }

    #[test]
    fn a_missing_empty_or_mistyped_field_is_named() {
        let missing = (Some("type".into()), "`type` is missing".into());
        assert_eq!(field_and_message::<Entire<CustomEvent>>("{}"), missing);
        let empty = |field: &str| (Some(field.into()), format!("`{field}` is missing"));
        assert_eq!(field_and_message::<Entire<CustomEvent>>(r#"{"type":""}"#), empty("type"));
        assert_eq!(field_and_message::<Entire<Message>>(r#"{"content":""}"#), empty("content"));
        assert_eq!(field_and_message::<Entire<Action>>(r#"{"action":""}"#), empty("action"));
        assert_eq!(field_and_message::<Entire<Message>>(r#"{"content":7}"#).0.as_deref(), Some("content"));
        assert_eq!(field_and_message::<Entire<Message>>(r#"{"content":"a","type":7}"#).0.as_deref(), Some("type"));
        assert_eq!(field_and_message::<Entire<Action>>("[1]").0.as_deref(), Some("data"));
    }

    #[test]
    fn a_reply_has_the_result_or_the_error() {
        let id = RequestId::random();
        let done = serde_json::to_string(&Response::done(id, Json::null())).unwrap();
        assert_eq!(done, format!(r#"{{"success":true,"requestId":"{id}","data":null}}"#));
        let failed = ActionResult::failed(id, ApplicationError::of("ACTION_PROCESSING_ERROR", "No."));
        assert_eq!(
            serde_json::to_string(&failed).unwrap(),
            format!(r#"{{"success":false,"requestId":"{id}","error":"No.","code":"ACTION_PROCESSING_ERROR"}}"#)
        );
    }
}
