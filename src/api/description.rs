//! `GET /openapi.json`: the description of this API.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, Responder, web};
use bytes::Bytes;
use schemars::SchemaGenerator;
use serde_json::json;

use crate::error::HttpError;
use crate::openapi::answer::{JSON, SuccessResponse};
use crate::openapi::document::{self, Document};
use crate::openapi::{Answer, Example, Operation, Tag};
use crate::state::SharedState;

/// The document, built at its first use.
static DOCUMENT: LazyLock<Document> = LazyLock::new(|| document::of(&super::described()));

/// Most bytes of the document that a connection takes at once. While its write buffer is full, it takes none.
const SLICE_MAX: usize = 4_096;

/// The OpenAPI document, with the base path of the hub.
pub(super) struct DescriptionReply([Bytes; 3]);

impl Responder for DescriptionReply {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok().content_type(JSON).body(SlicedBody(self.0))
    }
}

/// A shared text that is written in slices, so that a connection with an unread response does not hold a copy of it.
#[derive(Debug)]
struct SlicedBody([Bytes; 3]);

impl MessageBody for SlicedBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0.iter().map(|part| part.len() as u64).sum())
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let rest = self.0.iter_mut().find(|part| !part.is_empty());
        Poll::Ready(rest.map(|rest| Ok(rest.split_to(rest.len().min(SLICE_MAX)))))
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[actix_web::test]
    async fn the_document_is_sent_in_slices_that_are_not_copied() {
        let parts = DOCUMENT.under("/hub");
        let whole = parts.concat();
        let mut body = SlicedBody(parts.clone());
        assert_eq!(body.size(), BodySize::Sized(whole.len() as u64));
        let mut sent = Vec::new();
        while let Some(Ok(slice)) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            assert!((1..=SLICE_MAX).contains(&slice.len()));
            assert!(parts.iter().any(|part| part.as_ptr_range().contains(&slice.as_ptr())), "a copy");
            sent.extend_from_slice(&slice);
        }
        assert!(sent == whole);
    }
}
