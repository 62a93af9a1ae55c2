//! `socket.io-client` in a browser.

use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

use super::{assert_node_report, base, exchange, fixture, peer};
use crate::support::Hub;
use crate::support::page::{PageFile, PageListener, PageServer};
use crate::support::token::token;
use crate::support::tools::{Browser, node_modules};

/// A page with the browser's build of socket.io-client and its driver.
fn page(page: PageListener, options: &Value) -> PageServer {
    let html = format!(
        r#"<!doctype html><title>client</title>
        <script id="hub" type="application/json">{options}</script>
        <script src="/socket.io.min.js"></script>
        <script src="/drive.js"></script>
        <script src="/drive_browser.js"></script>"#
    );
    let build = node_modules(&fixture("")).join("socket.io-client/dist/socket.io.min.js");
    let script = |name: &str, file: PathBuf| PageFile::script(&format!("/{name}"), fs::read_to_string(file).unwrap());
    page.serve(vec![
        PageFile::html("/", html),
        script("socket.io.min.js", build),
        script("drive.js", fixture("drive.js")),
        script("drive_browser.js", fixture("drive_browser.js")),
    ])
}

#[tokio::test]
async fn a_browser_sends_and_receives_from_a_listed_origin() {
    let (browser, bound) = (Browser::ready(), PageListener::bind());
    let hub = Hub::with(&format!("[server]\nallowed_origins = [{:?}]", bound.origin()));
    let mut peer = peer(&hub).await;
    let modes = ["upgrade", "polling", "websocket"];
    let options = json!({"url": base(&hub), "token": token("alice"), "modes": modes});
    let mut page = page(bound, &options);
    let browser = browser.show(&page.origin());
    for _ in modes {
        exchange(&hub, &mut peer).await;
    }
    let mut report = page.report(&browser);
    assert!(report["results"].is_object(), "{report}");
    for mode in modes {
        assert_node_report(mode, report["results"][mode].take());
    }
}

#[tokio::test]
async fn a_browser_is_refused_from_an_unlisted_origin() {
    let (browser, bound) = (Browser::ready(), PageListener::bind());
    let hub = Hub::with("[server]\nallowed_origins = [\"https://app.example.com\"]");
    let modes = ["polling", "websocket", "upgrade"];
    let options = json!({"url": base(&hub), "token": token("alice"), "modes": modes, "refused": true});
    let mut page = page(bound, &options);
    let browser = browser.show(&page.origin());
    let refused = json!({"polling": "xhr poll error", "websocket": "websocket error", "upgrade": "xhr poll error"});
    assert_eq!(page.report(&browser), json!({"results": refused}));
    assert_eq!(hub.counters()["total_connections"], 0);
}
