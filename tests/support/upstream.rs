//! An HTTP server that the hub sends requests to: it gives the answers of the test, records requests, and can go down.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::wait::wait_until;

/// An answer.
#[derive(Clone)]
pub(crate) enum UpstreamReply {
    Json(u16, Value),
    Text(u16, String),
    /// 200 with this header line.
    WithHeader(&'static str, Value),
    /// A redirect to this URL.
    Redirect(String),
    /// Another answer, after this time.
    Delayed(Duration, Box<UpstreamReply>),
    /// No answer; the connection is closed after a minute.
    Silence,
    /// The head of an answer and a part of its body.
    PartialBody,
    /// Closes the connection without an answer.
    HangUp,
}

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamRequest {
    pub(crate) path: String,
    /// The headers, with names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl UpstreamRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The bearer token.
    pub(crate) fn token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }
}

type ReplyFn = Box<dyn FnMut(&UpstreamRequest) -> UpstreamReply + Send>;

struct UpstreamState {
    answer: Mutex<ReplyFn>,
    requests: Mutex<Vec<UpstreamRequest>>,
    up: Mutex<bool>,
}

/// A running server. Stopped when dropped.
pub(crate) struct MockUpstream {
    address: SocketAddr,
    state: Arc<UpstreamState>,
}

impl MockUpstream {
    /// A server that always gives this answer.
    pub(crate) fn replying(reply: UpstreamReply) -> Self {
        Self::new(move |_| reply.clone())
    }

    /// A server that answers by this function.
    pub(crate) fn new(answer: impl FnMut(&UpstreamRequest) -> UpstreamReply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(UpstreamState {
            answer: Mutex::new(Box::new(answer)),
            requests: Mutex::default(),
            up: Mutex::new(true),
        });
        serve(listener, state.clone());
        Self { address, state }
    }

    /// Gives this answer from now on.
    pub(crate) fn set_reply(&self, reply: UpstreamReply) {
        *self.state.answer.lock().unwrap() = Box::new(move |_| reply.clone());
    }

    /// Answers by this function from now on.
    pub(crate) fn set_reply_by(&self, answer: impl FnMut(&UpstreamRequest) -> UpstreamReply + Send + 'static) {
        *self.state.answer.lock().unwrap() = Box::new(answer);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<UpstreamRequest> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The number of requests so far.
    pub(crate) fn count(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    /// Closes the port.
    pub(crate) fn go_down(&self) {
        *self.state.up.lock().unwrap() = false;
        // A connection wakes the listener, which then ends.
        wait_until(super::DEADLINE, "the port is closed", || TcpStream::connect(self.address).is_err());
    }

    /// Listens again on the same port.
    pub(crate) fn come_back(&self) {
        *self.state.up.lock().unwrap() = true;
        serve(TcpListener::bind(self.address).unwrap(), self.state.clone());
    }
}

impl Drop for MockUpstream {
    fn drop(&mut self) {
        self.go_down();
    }
}

fn serve(listener: TcpListener, state: Arc<UpstreamState>) {
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if !*state.up.lock().unwrap() {
                return;
            }
            let state = state.clone();
            thread::spawn(move || {
                // The hub may close the connection at any time.
                let _ = answer(stream, &state);
            });
        }
    });
}

fn answer(mut stream: TcpStream, state: &UpstreamState) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut lines = reader.by_ref().lines();
    let Some(first) = lines.next().transpose()? else { return Ok(()) };
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut request = UpstreamRequest { path, headers, body: String::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    reader.take(length).read_to_string(&mut request.body)?;
    state.requests.lock().unwrap().push(request.clone());
    let reply = (state.answer.lock().unwrap())(&request);
    send_reply(&mut stream, reply)
}

fn send_reply(stream: &mut TcpStream, reply: UpstreamReply) -> std::io::Result<()> {
    match reply {
        UpstreamReply::Json(status, body) => write_answer(stream, status, "", &body.to_string()),
        UpstreamReply::Text(status, body) => write_answer(stream, status, "", &body),
        UpstreamReply::WithHeader(line, body) => write_answer(stream, 200, &format!("{line}\r\n"), &body.to_string()),
        UpstreamReply::Redirect(to) => write_answer(stream, 302, &format!("Location: {to}\r\n"), ""),
        UpstreamReply::Delayed(time, reply) => {
            thread::sleep(time);
            send_reply(stream, *reply)
        }
        UpstreamReply::Silence => read_to_end(stream),
        UpstreamReply::PartialBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"user\": ")?;
            read_to_end(stream)
        }
        UpstreamReply::HangUp => Ok(()),
    }
}

fn write_answer(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

fn read_to_end(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.read(&mut [0]).map(|_| ())
}
