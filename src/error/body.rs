//! Error bodies: a type for each shape.

use hubbub_actors::model::fault::{Code, Fault};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::{Shape, engine_code};

/// An error body.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ErrorBody<'a> {
    /// Under `/api`.
    Api(ApiError<'a>),
    /// On the transport of Socket.IO.
    Engine(EngineError<'a>),
    /// Everywhere else.
    Raw(RawError<'a>),
}

/// A refusal under `/api`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiError<'a> {
    /// `false`.
    #[schemars(extend("const" = false))]
    success: bool,
    /// A sentence for people.
    error: &'a str,
    /// The stable code.
    #[schemars(schema_with = "api_codes")]
    code: &'static str,
    /// The id of the request, as in `X-Request-Id`.
    request_id: &'a str,
    /// The field or the limit that caused the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<ErrorDetails<'a>>,
    /// Seconds until another attempt can succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    retry_after: Option<u32>,
}

/// A refusal outside `/api`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RawError<'a> {
    /// The refusal.
    error: RawErrorContent<'a>,
}

/// The code, the message and the details of a refusal outside `/api`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RawErrorContent<'a> {
    /// The stable code.
    #[schemars(schema_with = "raw_codes")]
    code: &'static str,
    /// A sentence for people.
    message: &'a str,
    /// Details; empty without any.
    details: ErrorDetails<'a>,
}

/// A refusal on the transport of Socket.IO.
#[derive(Debug, Serialize)]
pub struct EngineError<'a> {
    code: u8,
    message: &'a str,
}

/// The details of a refusal.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDetails<'a> {
    /// The invalid field, such as `topics[3]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The configuration key of the reached limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
    /// Seconds until another attempt can succeed. Outside `/api` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    retry_after: Option<u32>,
}

impl<'a> ErrorBody<'a> {
    /// A fault as an error body.
    pub fn of(fault: &'a Fault, shape: Shape, request_id: &'a str) -> Self {
        let (message, code) = (&*fault.message, code_name(fault.code, shape));
        let details = ErrorDetails { field: fault.field.as_deref(), limit: fault.limit, retry_after: None };
        match shape {
            Shape::EngineIo => Self::Engine(EngineError { code: engine_code(fault.code), message }),
            Shape::Raw => {
                let details = ErrorDetails { retry_after: fault.retry_after, ..details };
                Self::Raw(RawError { error: RawErrorContent { code, message, details } })
            }
            Shape::Api => Self::Api(ApiError::of(fault, request_id)),
        }
    }

    /// Its text.
    pub fn to_text(&self) -> String {
        // The types have no map with keys that are not strings, so this does not fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl<'a> ApiError<'a> {
    /// A fault as an error body under `/api`.
    pub fn of(fault: &'a Fault, request_id: &'a str) -> Self {
        // In this shape, `retryAfter` is not part of the details.
        let details = ErrorDetails { field: fault.field.as_deref(), limit: fault.limit, retry_after: None };
        Self {
            success: false,
            error: &fault.message,
            code: code_name(fault.code, Shape::Api),
            request_id,
            details: (details != ErrorDetails::default()).then_some(details),
            retry_after: fault.retry_after,
        }
    }
}

/// The name of a code in an error body. The push document has its own name for an internal error.
pub fn code_name(code: Code, shape: Shape) -> &'static str {
    match (code, shape) {
        (Code::Internal, Shape::Api) => "INTERNAL_SERVER_ERROR",
        _ => code.as_str(),
    }
}

fn api_codes(_: &mut SchemaGenerator) -> Schema {
    codes(Shape::Api)
}

fn raw_codes(_: &mut SchemaGenerator) -> Schema {
    codes(Shape::Raw)
}

/// Every code, once: several reasons share a name.
fn codes(shape: Shape) -> Schema {
    let mut names: Vec<_> = Code::ALL.iter().map(|&code| code_name(code, shape)).collect();
    names.sort_unstable();
    names.dedup();
    json_schema!({"type": "string", "description": "The stable code.", "enum": names})
}
