//! A page of another origin in Chromium, which runs code of `docs/browsers.md` against a hub.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::account::PASSWORD;
use crate::support::blocks::block;
use crate::support::page::{PageFile, PageListener, PageServer};
use crate::support::tools::{Browser, Program, node_modules};
use crate::support::{API_KEY, Hub};

/// What the driver of each page has: reports in order, and pushes by a backend.
const DRIVER: &str = r"
const options = JSON.parse(document.getElementById('options').textContent);
let last = Promise.resolve();
const report = (what) => { last = last.then(() => fetch('/report', { method: 'POST', body: JSON.stringify(what) })); };
addEventListener('error', ({ message }) => report({ error: message }));
addEventListener('unhandledrejection', ({ reason }) => report({ error: String(reason) }));
const push = (n) => fetch(`${options.http}/api/room`, {
  method: 'POST',
  headers: { 'X-API-Key': options.key },
  body: JSON.stringify({ room: 'news', event: 'news', data: { n } }),
}).then(({ ok, status }) => { if (!ok) throw new Error(`status ${status}`); });
";

/// A browser on a page that runs a module beside some modules of the document.
pub(super) struct Visit {
    pub(super) page: PageServer,
    pub(super) browser: Program,
}

impl Visit {
    /// `main` is the page's module, behind [`DRIVER`]; `modules` are blocks with the name of their file.
    pub(super) fn open(bound: PageListener, hub: &Hub, modules: &[&str], main: &str, more: &Value) -> Self {
        let address = hub.address().to_string();
        let mut options = json!({"http": format!("http://{address}"), "key": API_KEY, "password": PASSWORD});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let html = format!(
            r#"<!doctype html><title>app</title>
            <script id="options" type="application/json">{options}</script>
            <script type="module" src="/main.js"></script>"#
        );
        let main = format!("{DRIVER}\n{main}");
        let packages = node_modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/socketio"));
        let library = fs::read_to_string(packages.join("socket.io-client/dist/socket.io.esm.min.js")).unwrap();
        let mut files = vec![
            PageFile::html("/", html),
            PageFile::script("/main.js", local(&main, &address)),
            PageFile::script("/socket.io.esm.min.js", library),
        ];
        for name in modules {
            files.push(PageFile::script(&format!("/{name}"), local(&block("browsers", name).text, &address)));
        }
        let page = bound.serve(files);
        let browser = Browser::ready().show(&page.origin());
        Self { page, browser }
    }

    /// Asserts the next reports of the page.
    #[track_caller]
    pub(super) fn expect(&mut self, reports: &[Value]) {
        for report in reports {
            assert_eq!(self.page.report(&self.browser), *report);
        }
    }
}

/// Code of the document with the addresses of the test.
pub(super) fn local(code: &str, address: &str) -> String {
    code.replace("wss://hub.example.com", &format!("ws://{address}"))
        .replace("https://hub.example.com", &format!("http://{address}"))
        .replace("https://cdn.socket.io/4.8.3/socket.io.esm.min.js", "/socket.io.esm.min.js")
}

/// A hub with a history of `news` that the page may use, by the document's block for origins.
pub(super) fn hub_for(page: &PageListener, more: &str) -> Hub {
    let origins = block("browsers", "origins").text.replace("https://app.example.com", &page.origin());
    let topics = "[[topics]]\npattern = \"news\"\nhistory = 10\n[[topics]]\npattern = \"*\"\n";
    Hub::with(&format!("{origins}\n{topics}\n{more}"))
}
