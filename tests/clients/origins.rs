//! Rules that only browsers enforce: preflights for custom headers, credentials, and the origin `null` of a sandboxed frame.

use serde_json::{Value, json};
use std::fs;

use crate::support::page::{PageFile, PageListener, PageServer};
use crate::support::token::token;
use crate::support::tools::{Browser, node_modules};
use crate::support::{DEADLINE, Hub, eventually};

/// A page that connects with each of `tries` (a name and the options of `io`), itself or in a sandboxed frame. It reports
/// the transport or the error by name.
fn page(page: PageListener, hub: &Hub, is_framed: bool, tries: &Value) -> PageServer {
    let options = json!({"url": format!("http://{}", hub.address()), "token": token("alice"), "tries": tries});
    let html = format!(
        r#"<!doctype html><title>origins</title>
        <script id="hub" type="application/json">{options}</script>
        <script src="/socket.io.min.js"></script>
        <script src="/origins_browser.js"></script>"#
    );
    let frame =
        r#"<!doctype html><title>frame</title><iframe sandbox="allow-scripts" src="/page"></iframe>"#.to_owned();
    let fixtures = super::fixture("socketio");
    let build = node_modules(&fixtures).join("socket.io-client/dist/socket.io.min.js");
    let first = if is_framed { frame } else { html.clone() };
    page.serve(vec![
        PageFile::html("/", first),
        PageFile::html("/page", html),
        PageFile::script("/socket.io.min.js", fs::read_to_string(build).unwrap()),
        PageFile::script("/origins_browser.js", fs::read_to_string(fixtures.join("origins_browser.js")).unwrap()),
    ])
}

#[tokio::test]
async fn a_listed_page_sends_custom_headers_and_allowed_credentials() {
    let tries = json!({
        "headers": {"transports": ["polling"], "extraHeaders": {"X-ClientId": "abc", "traceparent": "00-1-2-01"}},
        "upgraded": {"extraHeaders": {"sentry-trace": "1-2"}},
        "credentials": {"transports": ["polling"], "withCredentials": true},
    });
    for (credentials, allowed) in [(false, "xhr poll error"), (true, "polling")] {
        let (browser, bound) = (Browser::ready(), PageListener::bind());
        let list = format!("[server]\nallowed_origins = [{:?}]\nallow_credentials = {credentials}", bound.origin());
        let hub = Hub::with(&list);
        let mut page = page(bound, &hub, false, &tries);
        let browser = browser.show(&page.origin());
        let expected = json!({"headers": "polling", "upgraded": "websocket", "credentials": allowed});
        assert_eq!(page.report(&browser), expected, "allow_credentials = {credentials}");
    }
}

#[tokio::test]
async fn a_sandboxed_frame_connects_if_null_is_listed_but_never_with_credentials() {
    let tries = json!({
        "polling": {"transports": ["polling"], "extraHeaders": {"x-clientid": "abc"}},
        "websocket": {"transports": ["websocket"]},
        "credentials": {"transports": ["polling"], "withCredentials": true},
    });
    for (origins, expected) in [
        ("[\"null\"]", json!({"polling": "polling", "websocket": "websocket", "credentials": "xhr poll error"})),
        ("[\"*\"]", json!({"polling": "polling", "websocket": "websocket", "credentials": "xhr poll error"})),
        ("[]", json!({"polling": "xhr poll error", "websocket": "websocket error", "credentials": "xhr poll error"})),
    ] {
        let (browser, bound) = (Browser::ready(), PageListener::bind());
        let hub = Hub::with(&format!("[server]\nallowed_origins = {origins}\nallow_credentials = true"));
        let mut page = page(bound, &hub, true, &tries);
        let browser = browser.show(&page.origin());
        assert_eq!(page.report(&browser), expected, "{origins}");
        if origins == "[]" {
            let refused = || hub.output().contains("method=OPTIONS") && hub.output().contains("server.allowed_origins");
            eventually(DEADLINE, "the refused preflight is logged", refused).await;
        }
    }
}
