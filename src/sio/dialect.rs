//! Which clients of `/` understand connection state recovery. Each event they get has one more argument, its number; a
//! client that does not expect that may fail at it, such as python-socketio's, whose handlers take as many as they name.

use actix_http::RequestHead;
use actix_http::header::{SEC_WEBSOCKET_EXTENSIONS, USER_AGENT};

use crate::config::Offsets;

/// What browsers' user agents begin with, and those of other clients in JavaScript: Node's polls, React Native on Android
/// and on iOS. Native clients on those systems come so too; their handlers take all arguments as a list.
const AGENTS: [&str; 3] = ["Mozilla/", "node-XMLHttpRequest", "okhttp/"];
const AGENT_PART: &str = "CFNetwork/";

/// Whether the client of this handshake gets numbers with its events.
pub fn is_numbered(offsets: Offsets, head: &RequestHead) -> bool {
    match offsets {
        Offsets::Always => true,
        Offsets::Never => false,
        Offsets::Auto => is_javascript(head),
    }
}

fn is_javascript(head: &RequestHead) -> bool {
    let text = |name| head.headers().get(name).and_then(|value| value.to_str().ok());
    match text(USER_AGENT) {
        Some(agent) => AGENTS.iter().any(|begin| agent.starts_with(begin)) || agent.contains(AGENT_PART),
        // So Node's sockets come.
        None => text(SEC_WEBSOCKET_EXTENSIONS).is_some_and(|offered| offered.contains("permessage-deflate")),
    }
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;

    use super::*;

    fn is_known(agent: Option<&'static str>, extensions: Option<&'static str>) -> bool {
        let mut head = RequestHead::default();
        for (name, value) in [(USER_AGENT, agent), (SEC_WEBSOCKET_EXTENSIONS, extensions)] {
            if let Some(value) = value {
                head.headers.insert(name, HeaderValue::from_static(value));
            }
        }
        is_numbered(Offsets::Auto, &head)
    }

    #[test]
    fn clients_in_javascript_are_known_by_their_handshake() {
        let deflate = Some("permessage-deflate; client_max_window_bits");
        for agent in
            ["Mozilla/5.0 (X11; Linux x86_64)", "node-XMLHttpRequest", "okhttp/4.9.2", "App/1 CFNetwork/1404.0.5"]
        {
            assert!(is_known(Some(agent), None), "{agent}");
        }
        assert!(is_known(None, deflate));
        for agent in ["Python/3.12 aiohttp/3.9.5", "python-requests/2.32.3", "Dart/3.4 (dart:io)", ""] {
            assert!(!is_known(Some(agent), deflate), "{agent}");
        }
        assert!(!is_known(None, None));
        let head = RequestHead::default();
        assert!(is_numbered(Offsets::Always, &head) && !is_numbered(Offsets::Never, &head));
    }
}
