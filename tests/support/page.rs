//! A web server of some pages for a browser under test, at another origin than the hub. It also receives the browser's
//! report.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::tools::Program;
use super::wait::DEADLINE;

/// A file to be served.
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

/// The address of pages that are served later: the hub needs the origin before they exist.
pub(crate) struct PageListener {
    listener: TcpListener,
}

/// The running server.
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

    pub(crate) fn serve(self, files: Vec<PageFile>) -> PageServer {
        let origin = self.origin();
        let (send_report, reports) = mpsc::sync_channel(16);
        thread::spawn(move || {
            for stream in self.listener.incoming() {
                let (files, send_report) = (files.clone(), send_report.clone());
                // A browser opens connections in advance and sends nothing on them.
                thread::spawn(move || answer(stream.unwrap(), &files, &send_report));
            }
        });
        PageServer { origin, reports }
    }
}

impl PageServer {
    pub(crate) fn origin(&self) -> String {
        self.origin.clone()
    }

    /// The report of the page; fails with the output of the browser when none arrives.
    #[track_caller]
    pub(crate) fn report(&mut self, browser: &Program) -> Value {
        match self.reports.recv_timeout(DEADLINE * 4) {
            Ok(report) => report,
            Err(_) => panic!("the page sent no report; the output of the browser:\n{}", browser.output()),
        }
    }
}

/// Answers one request and closes the connection.
fn answer(stream: TcpStream, files: &[PageFile], send_report: &SyncSender<Value>) {
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
    let (status, kind, text) = match files.iter().find(|file| file.path == path) {
        Some(file) => ("200 OK", file.kind, file.body.as_str()),
        None if path == "/report" => {
            send_report.send(serde_json::from_slice(&body).unwrap()).unwrap();
            ("200 OK", "text/plain", "")
        }
        None => ("404 Not Found", "text/plain", "not found"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    // The browser may have ended by now.
    let _ = (&stream).write_all(format!("{head}{text}").as_bytes());
}
