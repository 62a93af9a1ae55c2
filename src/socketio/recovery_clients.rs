//! Decides which clients of `/` support connection state recovery. Their events have one more argument, the offset. A
//! client that does not expect it may fail: python-socketio handlers take exactly the arguments that they name. So only
//! clients that are recognized by their handshake, or request it with `?recovery=1`, get offsets.

use actix_http::RequestHead;
use actix_http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName, SEC_WEBSOCKET_EXTENSIONS, USER_AGENT};
use actix_web::web::Query;
use serde::Deserialize;

use crate::config::Offsets;

/// Prefixes of the user agents of JavaScript clients: browsers, polls and `fetch` of Node, Bun, Deno, React Native on
/// Android. Native Android clients match too; their handlers take all arguments as a list.
const AGENTS: [&str; 6] = ["Mozilla/", "node-XMLHttpRequest", "okhttp/", "undici", "Bun/", "Deno/"];

/// The whole user agent of Node's `fetch`.
const AGENT_OF_NODE: &str = "node";

/// Part of the user agents on iOS.
const AGENT_PART: &str = "CFNetwork/";

/// Parts of the user agents of libraries in other languages, in lower case.
const OTHER_LANGUAGES: [&str; 8] = ["python", "aiohttp", "dart", "go-http", "java/", "php", "ruby", "curl/"];

/// Only browsers and implementations of `fetch` send this header, and pages cannot change it.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whether the client of this handshake gets offsets in its events. `is_host_last`: `Host` is the last header line of
/// an upgrade, as in Node's requests.
pub fn is_numbered(offsets: Offsets, head: &RequestHead, is_host_last: bool) -> bool {
    match offsets {
        Offsets::Always => true,
        Offsets::Never => false,
        Offsets::Auto => HandshakeQuery::of(head).recovery || is_javascript(head, is_host_last),
    }
}

fn is_javascript(head: &RequestHead, is_host_last: bool) -> bool {
    let text = |name| head.headers().get(name).and_then(|value| value.to_str().ok());
    let offers_deflate = text(SEC_WEBSOCKET_EXTENSIONS).is_some_and(|offered| offered.contains("permessage-deflate"));
    // Node names no encoding in upgrades and polls; libraries in other languages do.
    let names_encoding = head.headers().contains_key(ACCEPT_ENCODING);
    match text(USER_AGENT) {
        Some(agent) if is_known(agent) => true,
        Some(agent) if agent.is_empty() || is_other_language(agent) => false,
        // A poll with the user agent of a program or a browser.
        Some(_) if head.headers().contains_key(SEC_FETCH_MODE) => true,
        Some(_) if is_host_last || offers_deflate => !names_encoding,
        Some(_) => text(ACCEPT) == Some("*/*") && !names_encoding && HandshakeQuery::of(head).is_poll_of_javascript,
        // Node's WebSockets have no user agent.
        None => is_host_last || offers_deflate,
    }
}

fn is_known(agent: &str) -> bool {
    agent == AGENT_OF_NODE || AGENTS.iter().any(|begin| agent.starts_with(begin)) || agent.contains(AGENT_PART)
}

fn is_other_language(agent: &str) -> bool {
    let agent = agent.to_ascii_lowercase();
    OTHER_LANGUAGES.iter().any(|part| agent.contains(part))
}

/// The relevant parameters of a handshake's query.
#[derive(Debug, Default, PartialEq, Eq)]
struct HandshakeQuery {
    /// The client requests recovery.
    recovery: bool,
    /// A poll in the form of engine.io-client: `EIO`, `transport`, then a time in letters and digits as `t`. In Python,
    /// the transport comes first and the time is a number.
    is_poll_of_javascript: bool,
}

impl HandshakeQuery {
    fn of(head: &RequestHead) -> Self {
        #[derive(Deserialize)]
        struct Raw {
            recovery: Option<String>,
            t: Option<String>,
        }

        let query = head.uri.query().unwrap_or_default();
        let Ok(Query(Raw { recovery, t })) = Query::<Raw>::from_query(query) else { return Self::default() };
        let is_word = |time: &String| {
            let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (6..=10).contains(&time.len()) && time.bytes().all(is_of_word) && !time.bytes().all(|b| b.is_ascii_digit())
        };
        Self {
            recovery: recovery.as_deref() == Some("1"),
            is_poll_of_javascript: query.contains("EIO=4&transport=polling&t=") && t.as_ref().is_some_and(is_word),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;

    use super::*;

    const DEFLATE: (HeaderName, &str) = (SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate; client_max_window_bits");
    const POLL: &str = "EIO=4&transport=polling&t=t8dafh1x";
    const SOCKET: &str = "EIO=4&transport=websocket";

    fn head(query: &str, headers: &[(HeaderName, &'static str)]) -> RequestHead {
        let mut head = RequestHead::default();
        head.uri = format!("/socket.io/?{query}").parse().unwrap();
        for (name, value) in headers {
            head.headers.insert(name.clone(), HeaderValue::from_static(value));
        }
        head
    }

    #[track_caller]
    fn assert_offered(expected: bool, query: &str, headers: &[(HeaderName, &'static str)], is_host_last: bool) {
        let offered = is_numbered(Offsets::Auto, &head(query, headers), is_host_last);
        assert_eq!(offered, expected, "{query} {headers:?} {is_host_last}");
    }

    #[test]
    fn javascript_clients_are_recognized_by_their_handshake() {
        for agent in [
            "Mozilla/5.0 (X11; Linux x86_64)",
            "node-XMLHttpRequest",
            "okhttp/4.9.2",
            "App/1 CFNetwork/1404.0.5",
            "node",
            "Bun/1.1",
            "Deno/2.0",
        ] {
            assert_offered(true, SOCKET, &[(USER_AGENT, agent)], false);
        }
        assert_offered(true, SOCKET, &[DEFLATE], false);
        for agent in
            ["Python/3.12 aiohttp/3.9.5", "python-requests/2.32.3", "Dart/3.4 (dart:io)", "Go-http-client/1.1", ""]
        {
            assert_offered(false, SOCKET, &[(USER_AGENT, agent), DEFLATE], false);
            assert_offered(false, POLL, &[(USER_AGENT, agent), (ACCEPT, "*/*")], false);
        }
        assert_offered(false, SOCKET, &[], false);
        assert_offered(false, POLL, &[], false);
    }

    #[test]
    fn a_custom_user_agent_is_recognized_by_its_other_headers() {
        let own = (USER_AGENT, "my-app/1.0");
        let own = || own.clone();
        // Node's sockets, with and without compression.
        assert_offered(true, SOCKET, &[own(), DEFLATE], true);
        assert_offered(true, SOCKET, &[own()], true);
        assert_offered(true, SOCKET, &[], true);
        // Its polls, and those by `fetch`.
        assert_offered(true, POLL, &[own(), (ACCEPT, "*/*")], false);
        assert_offered(true, "a=b&EIO=4&transport=polling&t=PBxGm3d", &[own(), (ACCEPT, "*/*")], false);
        let fetch = [own(), (ACCEPT, "*/*"), (SEC_FETCH_MODE, "cors"), (ACCEPT_ENCODING, "gzip, deflate")];
        assert_offered(true, POLL, &fetch, false);

        // Python's polls and sockets, and Dart's sockets.
        let encoding = (ACCEPT_ENCODING, "gzip, deflate");
        let python = "transport=polling&EIO=4&t=1732760000.123";
        assert_offered(false, python, &[own(), (ACCEPT, "*/*"), encoding.clone()], false);
        assert_offered(false, "transport=websocket&EIO=4", &[own()], false);
        assert_offered(false, SOCKET, &[own(), DEFLATE, encoding], false);
        // JavaScript's time is not all digits.
        assert_offered(false, "EIO=4&transport=polling&t=1732760000", &[own(), (ACCEPT, "*/*")], false);
    }

    #[test]
    fn a_client_can_request_offsets() {
        let python = [(USER_AGENT, "python-requests/2.32.3")];
        assert_offered(true, "recovery=1&transport=polling&EIO=4", &python, false);
        for query in ["recovery=0&EIO=4", "recovery=&EIO=4", "recovery&EIO=4", "EIO=4&x=recovery=1"] {
            assert_offered(false, query, &python, false);
        }
        let asks = head("recovery=1", &[]);
        assert!(is_numbered(Offsets::Always, &asks, false) && !is_numbered(Offsets::Never, &asks, false));
        assert!(is_numbered(Offsets::Always, &head("", &[]), false));
    }
}
