//! A web server of a few pages, for a browser that is being tested: another origin than the hub's.
//! It also takes the browser's report.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::tools::Program;
use super::wait::DEADLINE;

/// Something to be served.
#[derive(Clone)]
pub(crate) struct PageFile {
    path: String,
    kind: &'static str,
    body: String,
}

impl PageFile {
    pub(crate) fn html(path: &str, body: String) -> Self {
        Self { path: path.to_owned(), kind: "text/html; charset=utf-8", body }
    }

    pub(crate) fn script(path: &str, body: String) -> Self {
        Self { path: path.to_owned(), kind: "text/javascript; charset=utf-8", body }
    }
}

/// An address for pages that are not there yet, as the hub has to know it first.
pub(crate) struct PageListener {
    listener: TcpListener,
}

/// The pages, served until the test ends.
pub(crate) struct PageServer {
    origin: String,
    reports: Receiver<Value>,
}

impl PageListener {
    pub(crate) fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    pub(crate) fn serve(self, served: Vec<PageFile>) -> PageServer {
        let origin = self.origin();
        let (tell, reports) = mpsc::sync_channel(16);
        thread::spawn(move || {
            for stream in self.listener.incoming() {
                let (served, tell) = (served.clone(), tell.clone());
                // A browser opens connections in advance and says nothing on them.
                thread::spawn(move || answer(stream.unwrap(), &served, &tell));
            }
        });
        PageServer { origin, reports }
    }
}

impl PageServer {
    pub(crate) fn origin(&self) -> String {
        self.origin.clone()
    }

    /// What the page reports; fails with what the browser said when it reports nothing.
    #[track_caller]
    pub(crate) fn report(&mut self, browser: &Program) -> Value {
        match self.reports.recv_timeout(DEADLINE * 4) {
            Ok(report) => report,
            Err(_) => panic!("the page reported nothing; the browser said:\n{}", browser.output()),
        }
    }
}

/// Answers one request and hangs up.
fn answer(stream: TcpStream, served: &[PageFile], tell: &SyncSender<Value>) {
    let mut reader = BufReader::new(&stream);
    let (mut first, mut length) = (String::new(), 0);
    if reader.read_line(&mut first).is_err() || first.is_empty() {
        return;
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = first.split(' ').nth(1).unwrap_or_default();
    let (status, kind, text) = match served.iter().find(|one| one.path == path) {
        Some(one) => ("200 OK", one.kind, one.body.as_str()),
        None if path == "/report" => {
            tell.send(serde_json::from_slice(&body).unwrap()).unwrap();
            ("200 OK", "text/plain", "")
        }
        None => ("404 Not Found", "text/plain", "not here"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    // The browser may have been ended by now.
    let _ = (&stream).write_all(format!("{head}{text}").as_bytes());
}
