//! `GET /openapi.json`: the description of this API.

use std::sync::LazyLock;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, Responder, web};
use schemars::SchemaGenerator;
use serde_json::json;

use crate::error::HttpError;
use crate::openapi::answer::{JSON, SuccessResponse};
use crate::openapi::document::{self, Document};
use crate::openapi::{Answer, Example, Operation, Tag};
use crate::state::SharedState;

/// The document, built at its first use.
static DOCUMENT: LazyLock<Document> = LazyLock::new(|| document::of(&super::described()));

/// The OpenAPI document, with the base path of the hub.
pub(super) struct DescriptionReply(String);

impl Responder for DescriptionReply {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok().content_type(JSON).body(self.0)
    }
}

impl Answer for DescriptionReply {
    fn successes(_: &mut SchemaGenerator) -> Vec<SuccessResponse> {
        let schema = json!({"type": "object", "required": ["openapi", "info", "paths"]});
        vec![SuccessResponse::empty(StatusCode::OK, "Done").or(JSON, schema)]
    }
}

pub(super) const DESCRIPTION: Operation = Operation {
    id: "getDescription",
    tag: Tag::Operators,
    summary: "Describes this API as an OpenAPI 3.1 document.",
    description: "`hubbub openapi` prints the same document.",
    errors: &[],
    example: Example {
        target: "/openapi.json",
        body: "",
        status: 200,
        answer: r#"{"openapi": "3.1.0", "info": {"title": "Hubbub"}, "paths": {}}"#,
    },
};

/// `GET /openapi.json`.
pub(super) async fn description(state: web::Data<SharedState>) -> Result<DescriptionReply, HttpError> {
    Ok(DescriptionReply(DOCUMENT.under(state.policies().base.as_str())))
}
