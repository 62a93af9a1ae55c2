//! CORS: which pages may read a response, by the list of origins that WebSockets use too.
//!
//! `actix-cors` is not used: it would need a second list of origins, and has no rule for "the same host".

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use hubbub_actors::model::fault::Fault;

use crate::peer::{AllowedOrigins, OriginAccess, is_token};

const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
const EXPOSED: &str = "X-Request-Id, Retry-After";
/// Seconds for which a browser may cache a preflight.
const MAX_AGE: &str = "600";
/// Most header names in the response to a preflight.
const NAMES_MAX: usize = 64;
/// Most bytes of them.
const NAMES_BYTES_MAX: usize = 4_096;

/// Whether a page may read the response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PageAccess {
    /// The request has no `Origin`.
    None,
    /// The page may read the response.
    Allowed {
        /// The `Origin`, as it was sent.
        origin: HeaderValue,
        /// Whether the browser may send cookies with the request.
        credentials: bool,
    },
    /// The page may not read it.
    Foreign,
}

/// Checks the `Origin` of a request.
pub(super) fn check(headers: &HeaderMap, origins: &AllowedOrigins) -> PageAccess {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return PageAccess::None;
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match origins.check(Some(origin.to_str().unwrap_or_default()), host) {
        OriginAccess::Allowed { credentials } => PageAccess::Allowed { origin: origin.clone(), credentials },
        OriginAccess::NoPage | OriginAccess::Foreign => PageAccess::Foreign,
    }
}

/// The refusal of a page that is not allowed.
pub(super) fn refusal(headers: &HeaderMap) -> Fault {
    Fault::origin_not_allowed(headers.get(header::ORIGIN).map(HeaderValue::as_bytes))
}

/// Whether the request is a CORS preflight.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The headers that let a page read a response. Every response has `Vary`, because caches also store responses without
/// `Origin`.
pub(super) fn headers(page: &PageAccess) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let (origin, credentials) = match page {
        PageAccess::Allowed { origin, credentials } => (Some(origin.clone()), *credentials),
        PageAccess::None | PageAccess::Foreign => (None, false),
    };
    let exposed = origin.as_ref().map(|_| HeaderValue::from_static(EXPOSED));
    let credentials = credentials.then(|| HeaderValue::from_static("true"));
    let of_page = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed),
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials),
    ];
    let of_page = of_page.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    std::iter::once((header::VARY, HeaderValue::from_static("Origin"))).chain(of_page)
}

/// The headers of the response to a preflight, in addition to those of every response.
pub(super) fn preflight_headers(page: &PageAccess, requested: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers =
        vec![(header::VARY, HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers"))];
    if matches!(page, PageAccess::Allowed { .. }) {
        headers.extend([
            (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS)),
            (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE)),
        ]);
        let names = HeaderValue::from_str(&requested_names(requested)).ok().filter(|names| !names.is_empty());
        headers.extend(names.map(|names| (header::ACCESS_CONTROL_ALLOW_HEADERS, names)));
    }
    headers
}

/// The header names that a preflight requests: an allowed page may send any header. Invalid names are left out, and so are
/// names beyond [`NAMES_MAX`] and [`NAMES_BYTES_MAX`].
fn requested_names(headers: &HeaderMap) -> String {
    let lists = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).filter_map(|value| value.to_str().ok());
    let names = lists.flat_map(|list| list.split(',')).map(str::trim);
    let mut allowed = String::new();
    for name in names.filter(|name| is_token(name)).take(NAMES_MAX) {
        if allowed.len() + name.len() + 2 > NAMES_BYTES_MAX {
            break;
        }
        if !allowed.is_empty() {
            allowed.push_str(", ");
        }
        allowed.push_str(name);
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("hub.example"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        headers
    }

    fn answer(origin: Option<&str>, list: &[&str]) -> Vec<String> {
        let list: Vec<String> = list.iter().map(|&entry| entry.into()).collect();
        let origins = AllowedOrigins::parse(&list).unwrap().with_credentials(true);
        headers(&check(&request(origin), &origins))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn a_listed_page_gets_its_own_origin_and_may_send_credentials() {
        assert_eq!(
            answer(Some("https://app.example"), &["https://app.example"]),
            [
                "vary: Origin",
                "access-control-allow-origin: https://app.example",
                "access-control-expose-headers: X-Request-Id, Retry-After",
                "access-control-allow-credentials: true",
            ]
        );
    }

    #[test]
    fn with_a_star_no_page_may_send_credentials() {
        assert_eq!(
            answer(Some("https://any.example"), &["*"]),
            [
                "vary: Origin",
                "access-control-allow-origin: https://any.example",
                "access-control-expose-headers: X-Request-Id, Retry-After",
            ]
        );
    }

    #[test]
    fn a_foreign_page_and_no_page_get_no_cors_headers() {
        for origin in [None, Some("https://evil.example"), Some("null")] {
            assert_eq!(answer(origin, &["https://app.example"]), ["vary: Origin"]);
        }
    }

    #[test]
    fn a_preflight_is_an_options_request_that_names_a_method() {
        let mut headers = request(Some("https://app.example"));
        assert!(!is_preflight(&Method::OPTIONS, &headers));
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        assert!(is_preflight(&Method::OPTIONS, &headers));
        assert!(!is_preflight(&Method::POST, &headers));
    }

    fn names_of(lists: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_str(list).unwrap());
        }
        requested_names(&headers)
    }

    #[test]
    fn a_preflight_is_answered_with_the_headers_that_it_requests() {
        assert_eq!(names_of(&["x-clientid,traceparent , Sentry-Trace"]), "x-clientid, traceparent, Sentry-Trace");
        assert_eq!(names_of(&["a", "b,c"]), "a, b, c");
        assert_eq!(names_of(&[]), "");
        assert_eq!(names_of(&["", ",", "a b, x: y, (z), good, \"q\""]), "good");
        let page = PageAccess::Allowed { origin: HeaderValue::from_static("https://app.example"), credentials: false };
        for page in [PageAccess::None, PageAccess::Foreign, page] {
            let is_allowed = matches!(page, PageAccess::Allowed { .. });
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("x-a"));
            let answered = preflight_headers(&page, &headers);
            let names = answered.iter().find(|(name, _)| *name == header::ACCESS_CONTROL_ALLOW_HEADERS);
            assert_eq!(names.map(|(_, names)| names == "x-a"), is_allowed.then_some(true), "{page:?}");
        }
    }

    #[test]
    fn the_answer_to_a_preflight_is_bounded() {
        let many: Vec<_> = (0..1_000).map(|number| format!("x-{number}")).collect();
        assert_eq!(names_of(&[&many.join(",")]).split(", ").count(), NAMES_MAX);
        let long: Vec<_> = (0..20).map(|number| format!("x-{number}-{}", "a".repeat(500))).collect();
        let answered = names_of(&[&long.join(",")]);
        assert!(answered.len() <= NAMES_BYTES_MAX && answered.len() > NAMES_BYTES_MAX - 600, "{}", answered.len());
        assert!(answered.split(", ").all(|name| long.iter().any(|sent| sent == name)));
    }
}
