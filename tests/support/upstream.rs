//! Somebody whom the hub asks over HTTP: answers as the test says, counts what it was asked, goes down and comes back.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::wait::wait_until;

/// What it answers.
#[derive(Clone)]
pub(crate) enum Reply {
    Json(u16, Value),
    Text(u16, String),
    /// 200 with this line among the headers.
    WithHeader(&'static str, Value),
    /// An answer that points elsewhere.
    Redirect(String),
    /// Another answer, after a while.
    Delayed(Duration, Box<Reply>),
    /// Takes the request and says nothing; hangs up after a minute.
    Silence,
    /// The head of an answer, and never its body.
    PartialBody,
    /// Takes the request and hangs up.
    HangUp,
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamRequest {
    pub(crate) path: String,
    /// The header lines, in small letters up to the colon.
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

    /// The token that it was shown.
    pub(crate) fn token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }
}

type Answer = Box<dyn FnMut(&UpstreamRequest) -> Reply + Send>;

struct Inner {
    answer: Mutex<Answer>,
    asked: Mutex<Vec<UpstreamRequest>>,
    up: Mutex<bool>,
}

/// Somebody outside. Gone when dropped.
pub(crate) struct Upstream {
    address: SocketAddr,
    inner: Arc<Inner>,
}

impl Upstream {
    /// One who always answers this.
    pub(crate) fn replying(reply: Reply) -> Self {
        Self::new(move |_| reply.clone())
    }

    pub(crate) fn new(answer: impl FnMut(&UpstreamRequest) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let inner =
            Arc::new(Inner { answer: Mutex::new(Box::new(answer)), asked: Mutex::default(), up: Mutex::new(true) });
        serve(listener, inner.clone());
        Self { address, inner }
    }

    /// Answers this from now on.
    pub(crate) fn set_reply(&self, reply: Reply) {
        *self.inner.answer.lock().unwrap() = Box::new(move |_| reply.clone());
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<UpstreamRequest> {
        self.inner.asked.lock().unwrap().clone()
    }

    /// How often it was asked.
    pub(crate) fn count(&self) -> usize {
        self.inner.asked.lock().unwrap().len()
    }

    /// From now on nobody listens.
    pub(crate) fn go_down(&self) {
        *self.inner.up.lock().unwrap() = false;
        // The listener that waits is woken, and sees it.
        wait_until(super::DEADLINE, "the port is closed", || TcpStream::connect(self.address).is_err());
    }

    /// Listens again, on the same port.
    pub(crate) fn come_back(&self) {
        *self.inner.up.lock().unwrap() = true;
        serve(TcpListener::bind(self.address).unwrap(), self.inner.clone());
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.go_down();
    }
}

fn serve(listener: TcpListener, inner: Arc<Inner>) {
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            if !*inner.up.lock().unwrap() {
                return;
            }
            let inner = inner.clone();
            thread::spawn(move || {
                // The hub may hang up at any time.
                let _ = attend(stream, &inner);
            });
        }
    });
}

fn attend(mut stream: TcpStream, inner: &Inner) -> std::io::Result<()> {
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
    let mut asked = UpstreamRequest { path, headers, body: String::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    reader.take(length).read_to_string(&mut asked.body)?;
    inner.asked.lock().unwrap().push(asked.clone());
    let reply = (inner.answer.lock().unwrap())(&asked);
    send_reply(&mut stream, reply)
}

fn send_reply(stream: &mut TcpStream, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Json(status, body) => write_answer(stream, status, "", &body.to_string()),
        Reply::Text(status, body) => write_answer(stream, status, "", &body),
        Reply::WithHeader(line, body) => write_answer(stream, 200, &format!("{line}\r\n"), &body.to_string()),
        Reply::Redirect(to) => write_answer(stream, 302, &format!("Location: {to}\r\n"), ""),
        Reply::Delayed(time, reply) => {
            thread::sleep(time);
            send_reply(stream, *reply)
        }
        Reply::Silence => read_to_end(stream),
        Reply::PartialBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"user\": ")?;
            read_to_end(stream)
        }
        Reply::HangUp => Ok(()),
    }
}

fn write_answer(stream: &mut TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

fn read_to_end(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.read(&mut [0]).map(|_| ())
}
