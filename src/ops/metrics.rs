//! `GET /metrics`: Prometheus' text format, or the raw document's JSON object if `Accept` names JSON.

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, web};

use super::info::counts_json;
use crate::error::HandlerResult;
use crate::state::SharedState;

/// The content type of Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`.
pub(crate) async fn metrics(request: HttpRequest, state: web::Data<SharedState>) -> HandlerResult {
    let accept = request.headers().get_all(ACCEPT);
    let json = accept.filter_map(|value| value.to_str().ok()).any(wants_json);
    Ok(if json {
        HttpResponse::Ok().json(counts_json(state.hub.stats()))
    } else {
        HttpResponse::Ok().content_type(TEXT).body(state.metrics())
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
