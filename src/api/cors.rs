//! What a page in a browser may read, by the one list of origins that also guards WebSockets.
//!
//! Written by hand, for the list is the policy and it exists already: `actix-cors` would bring a second list, and cannot
//! tell "the same host" without being given this one.

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::peer::{Access, AllowedOrigins, is_token};

const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
const EXPOSED: &str = "X-Request-Id, Retry-After";
/// Seconds for which a browser need not ask again.
const MAX_AGE: &str = "600";
/// Most names of headers that a preflight is answered with.
const NAMES_MAX: usize = 64;
/// Most bytes of them.
const NAMES_BYTES_MAX: usize = 4_096;

/// What a request's `Origin` means for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PageAccess {
    /// No browser, or a page that asks for nothing foreign.
    None,
    /// A page that may read the answer.
    Allowed {
        /// The `Origin`, as it came.
        origin: HeaderValue,
        /// Whether the browser may send cookies and let the page read what they bring.
        credentials: bool,
    },
    /// A page that may not.
    Foreign,
}

/// Judges a request by its headers.
pub(super) fn check(headers: &HeaderMap, origins: &AllowedOrigins) -> PageAccess {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return PageAccess::None;
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match origins.check(Some(origin.to_str().unwrap_or_default()), host) {
        Access::Allowed { credentials } => PageAccess::Allowed { origin: origin.clone(), credentials },
        Access::NoPage | Access::Foreign => PageAccess::Foreign,
    }
}

/// Whether the request asks only what another request may do.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The headers that let the page read an answer. `Vary` is on every answer, for a cache keeps those to no page, too.
pub(super) fn headers(page: &PageAccess) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = vec![(header::VARY, HeaderValue::from_static("Origin"))];
    if let PageAccess::Allowed { origin, credentials } = page {
        headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
        headers.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED)));
        if *credentials {
            headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
    }
    headers
}

/// The headers that answer a preflight with these headers, beside those of every answer.
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

/// The header names that a preflight asks for: a page that may ask at all may send any header. What is no name is left
/// out, and so is what exceeds [`NAMES_MAX`] and [`NAMES_BYTES_MAX`].
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
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn a_listed_page_gets_its_own_origin_back_with_the_credentials_that_it_may_have() {
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
    fn where_every_page_may_come_none_may_bring_credentials() {
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
    fn a_foreign_page_and_no_page_get_nothing() {
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
    fn a_preflight_is_answered_with_the_headers_that_it_asks_for() {
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
