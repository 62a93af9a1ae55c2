//! The responses of handlers: each type has its statuses and its body.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, Responder};
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

/// The media type of JSON.
pub const JSON: &str = "application/json";

/// The response of a handler that did not refuse the request.
pub trait Answer: Responder<Body = BoxBody> + 'static {
    /// Its statuses, each with its body.
    fn successes(generator: &mut SchemaGenerator) -> Vec<SuccessResponse>;
}

/// A status of a response and its body.
#[derive(Debug)]
pub struct SuccessResponse {
    pub(super) status: u16,
    pub(super) meaning: &'static str,
    /// The schemas of the body by media type; none for a response without body.
    pub(super) content: Vec<(&'static str, Value)>,
}

impl SuccessResponse {
    /// A status without body.
    pub fn empty(status: StatusCode, meaning: &'static str) -> Self {
        Self { status: status.as_u16(), meaning, content: Vec::new() }
    }

    /// A status with a JSON body.
    pub fn json<T: JsonSchema>(status: StatusCode, meaning: &'static str, generator: &mut SchemaGenerator) -> Self {
        Self::empty(status, meaning).or(JSON, generator.subschema_for::<T>().into())
    }

    /// Adds a body of another media type.
    #[must_use]
    pub fn or(mut self, media: &'static str, schema: Value) -> Self {
        self.content.push((media, schema));
        self
    }
}

/// 200 with a JSON body.
#[derive(Debug)]
pub struct JsonReply<T>(pub T);

/// 201 with a JSON body.
#[derive(Debug)]
pub struct Created<T>(pub T);

/// 204.
#[derive(Debug)]
pub struct NoContent;

/// The response to a PUT.
#[derive(Debug)]
pub enum Saved<T> {
    /// 201: there was nothing before.
    Created(T),
    /// 200: it replaced the thing before.
    Replaced(T),
}

/// The response of a check.
#[derive(Debug)]
pub enum ReadinessReply<T> {
    /// 200.
    Available(T),
    /// 503.
    Unavailable(T),
}

macro_rules! json_answers {
    ($($answer:ident: $($case:pat => $status:ident $body:ident $meaning:literal),+;)*) => {$(
        impl<T: Serialize + JsonSchema + 'static> Responder for $answer<T> {
            type Body = BoxBody;

            fn respond_to(self, _: &HttpRequest) -> HttpResponse {
                match self {
                    $($case => HttpResponse::build(StatusCode::$status).json($body),)+
                }
            }
        }

        impl<T: Serialize + JsonSchema + 'static> Answer for $answer<T> {
            fn successes(generator: &mut SchemaGenerator) -> Vec<SuccessResponse> {
                vec![$(SuccessResponse::json::<T>(StatusCode::$status, $meaning, generator)),+]
            }
        }
    )*};
}

json_answers! {
    JsonReply: JsonReply(body) => OK body "Done";
    Created: Created(body) => CREATED body "Created";
    Saved: Saved::Replaced(body) => OK body "Replaced", Saved::Created(body) => CREATED body "Created";
    ReadinessReply: ReadinessReply::Available(body) => OK body "Available",
        ReadinessReply::Unavailable(body) => SERVICE_UNAVAILABLE body "Not available";
}

impl Responder for NoContent {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }
}

impl Answer for NoContent {
    fn successes(_: &mut SchemaGenerator) -> Vec<SuccessResponse> {
        vec![SuccessResponse::empty(StatusCode::NO_CONTENT, "Done")]
    }
}

/// The `success` of a response: `true`.
#[derive(Debug)]
pub struct True;

impl Serialize for True {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl JsonSchema for True {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "True".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "boolean", "const": true})
    }
}
