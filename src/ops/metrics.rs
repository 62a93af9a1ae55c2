//! `GET /metrics`: Prometheus' text format, or the raw document's JSON object if `Accept` names JSON.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, Responder, web};
use schemars::SchemaGenerator;
use serde_json::json;

use super::info::Counts;
use crate::error::HttpError;
use crate::openapi::answer::SuccessResponse;
use crate::openapi::{Answer, Example, Operation, Tag};
use crate::state::SharedState;

/// The content type of Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics in one of two formats.
pub(crate) enum MetricCounts {
    /// Prometheus' text format.
    Text(String),
    /// The counts of the raw document.
    Json(Counts),
}

impl Responder for MetricCounts {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        match self {
            Self::Text(text) => HttpResponse::Ok().content_type(TEXT).body(text),
            Self::Json(counts) => HttpResponse::Ok().json(counts),
        }
    }
}

impl Answer for MetricCounts {
    fn successes(generator: &mut SchemaGenerator) -> Vec<SuccessResponse> {
        let success = SuccessResponse::json::<Counts>(StatusCode::OK, "Done", generator);
        vec![success.or("text/plain", json!({"type": "string"}))]
    }
}

pub(crate) const METRICS: Operation = Operation {
    id: "getMetrics",
    tag: Tag::Operators,
    summary: "Reads the metrics.",
    description: "The response is Prometheus' text format, or a JSON object with five counts if `Accept` names \
        `application/json`.",
    errors: &[],
    example: Example {
        target: "/metrics",
        body: "",
        status: 200,
        answer: "# HELP socket_server_active_connections Open sessions on all surfaces.\n# TYPE socket_server_active_connections gauge\nsocket_server_active_connections 120",
    },
};

/// `GET /metrics`.
pub(crate) async fn metrics(request: HttpRequest, state: web::Data<SharedState>) -> Result<MetricCounts, HttpError> {
    let accept = request.headers().get_all(ACCEPT);
    let json = accept.filter_map(|value| value.to_str().ok()).any(wants_json);
    Ok(match json {
        true => MetricCounts::Json(Counts::of(state.hub.stats())),
        false => MetricCounts::Text(state.metrics()),
    })
}

/// Whether an `Accept` names JSON. Scrapers name their own formats; browsers and curl accept anything and do not name JSON.
fn wants_json(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_accept_that_names_json_gets_json() {
        for (accept, json) in [
            ("application/json", true),
            ("text/html, Application/JSON;q=0.9", true),
            ("*/*", false),
            ("text/plain", false),
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", false),
        ] {
            assert_eq!(wants_json(accept), json, "{accept}");
        }
    }
}
