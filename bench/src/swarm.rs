//! Many WebSocket connections on one thread and one epoll, with as little work a message as can be: one shared buffer,
//! one read a wake-up, frames by their header. It must not be the bottleneck, so it is neither `tokio-tungstenite` nor
//! tokio, but the `mio` under both.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::frame::{self, CLOSE, PING, PONG, TEXT};

/// Bytes read at once.
const READ_SIZE: usize = 256 * 1024;

/// Handshakes at once.
const OPENING: usize = 64;

/// How long all connections of a scenario may take to open.
const OPEN_TIME: Duration = Duration::from_secs(60);

/// The key of every handshake and its answer, which RFC 6455 section 1.3 gives.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a scenario does with what comes.
pub(crate) trait Driver {
    /// A text message came to connection `who`.
    fn message(&mut self, who: usize, text: &[u8], now: Instant, mail: &mut Mail) -> Result<(), String>;
}

/// Who is to connect.
#[derive(Debug)]
pub(crate) struct Guest {
    /// Its token.
    pub(crate) token: String,
    /// What it subscribes to.
    pub(crate) topic: Option<String>,
}

/// What is to be sent: messages in their order, written when everything that was read has been handled.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    bytes: Vec<u8>,
    /// For whom, and where in `bytes` it ends. What follows one another to the same connection is one write.
    ends: Vec<(usize, usize)>,
}

impl Mail {
    pub(crate) fn text(&mut self, to: usize, text: &[u8]) {
        self.frame(to, TEXT, text);
    }

    fn frame(&mut self, to: usize, opcode: u8, payload: &[u8]) {
        frame::encode(&mut self.bytes, opcode, payload);
        match self.ends.last_mut() {
            Some((last, end)) if *last == to => *end = self.bytes.len(),
            _ => self.ends.push((to, self.bytes.len())),
        }
    }
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
    /// What the kernel did not take.
    unsent: Vec<u8>,
    upgraded: bool,
}

/// The connections.
#[derive(Debug)]
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    mail: Mail,
}

impl Swarm {
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self {
            poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
            events: Events::with_capacity(1024),
            clients: Vec::new(),
            buffer: vec![0; READ_SIZE],
            mail: Mail::default(),
        })
    }

    /// Connects the guests, a bounded number at a time, and subscribes those that want it.
    pub(crate) fn open(&mut self, address: SocketAddr, guests: &[Guest]) -> Result<(), String> {
        let deadline = Instant::now() + OPEN_TIME;
        let first = self.clients.len();
        let mut opening = Opening { first, guests, ready: 0 };
        for guest in guests {
            self.connect(address, guest)?;
            while self.clients.len() - first - opening.ready >= OPENING {
                self.pump_until(deadline, &mut opening)?;
            }
        }
        while opening.ready < guests.len() {
            self.pump_until(deadline, &mut opening)?;
        }
        Ok(())
    }

    fn pump_until(&mut self, deadline: Instant, opening: &mut Opening<'_>) -> Result<(), String> {
        if Instant::now() > deadline {
            return Err(format!("only {} of {} connections opened", opening.ready, opening.guests.len()));
        }
        self.pump(Duration::from_millis(100), opening).map(|_| ())
    }

    fn connect(&mut self, address: SocketAddr, guest: &Guest) -> Result<(), String> {
        // On loopback a connect that blocks is done as soon as it is asked for.
        let socket = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5));
        let socket = socket.and_then(|socket| {
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        let mut stream = TcpStream::from_std(socket.map_err(|error| format!("connect: {error}"))?);
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nAuthorization: Bearer {}\r\n\r\n",
            guest.token
        );
        stream.write_all(request.as_bytes()).map_err(|error| format!("handshake: {error}"))?;
        let token = Token(self.clients.len());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, both).map_err(|error| format!("epoll: {error}"))?;
        self.clients.push(Client { stream, rest: Vec::new(), unsent: Vec::new(), upgraded: false });
        Ok(())
    }

    /// What is to be sent before the first message came.
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut Mail)) -> Result<(), String> {
        write(&mut self.mail);
        self.post()
    }

    /// Waits up to `time` for something to happen, and handles it all. Says whether something did.
    pub(crate) fn pump(&mut self, time: Duration, driver: &mut impl Driver) -> Result<bool, String> {
        match self.poll.poll(&mut self.events, Some(time)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            other => other.map_err(|error| format!("epoll: {error}"))?,
        }
        for event in &self.events {
            let Token(who) = event.token();
            let Some(client) = self.clients.get_mut(who) else { continue };
            if event.is_writable() && !client.unsent.is_empty() {
                let unsent = std::mem::take(&mut client.unsent);
                client.write(&unsent)?;
            }
            if event.is_readable() || event.is_read_closed() {
                client.read(who, &mut self.buffer, driver, &mut self.mail)?;
            }
        }
        self.post()?;
        Ok(!self.events.is_empty())
    }

    /// Writes what is to be sent.
    fn post(&mut self) -> Result<(), String> {
        let mut start = 0;
        for &(to, end) in &self.mail.ends {
            if let (Some(client), Some(bytes)) = (self.clients.get_mut(to), self.mail.bytes.get(start..end)) {
                client.write(bytes)?;
            }
            start = end;
        }
        self.mail.ends.clear();
        self.mail.bytes.clear();
        Ok(())
    }
}

impl Client {
    /// Reads all there is. A read that does not fill the buffer has emptied the socket (epoll(7), question 9).
    fn read(&mut self, who: usize, buffer: &mut [u8], driver: &mut impl Driver, mail: &mut Mail) -> Result<(), String> {
        loop {
            let kept = self.rest.len();
            let (front, space) = buffer.split_at_mut(kept);
            front.copy_from_slice(&self.rest);
            let room = space.len();
            let read = match self.stream.read(space) {
                Ok(0) => return Err(format!("connection {who} was closed")),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("connection {who}: {error}")),
            };
            self.rest.clear();
            let mut bytes = buffer.get(..kept + read).unwrap_or_default();
            if !self.upgraded {
                bytes = self.upgrade(bytes)?;
            }
            let now = Instant::now();
            while self.upgraded
                && let Some((opcode, payload, end)) = frame::parse(bytes)?
            {
                match opcode {
                    TEXT => driver.message(who, payload, now, mail)?,
                    PING => mail.frame(who, PONG, payload),
                    PONG => {}
                    CLOSE => return Err(format!("connection {who} was closed: {}", String::from_utf8_lossy(payload))),
                    other => return Err(format!("connection {who}: a frame of kind {other}")),
                }
                bytes = bytes.get(end..).unwrap_or_default();
            }
            self.rest.extend_from_slice(bytes);
            if read < room {
                return Ok(());
            }
        }
    }

    /// Takes the answer to the handshake from the front of `bytes`, once it is there whole.
    fn upgrade<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(bytes) };
        let (head, rest) = bytes.split_at(end + 4);
        if !head.starts_with(b"HTTP/1.1 101 ") || !head.windows(ACCEPT.len()).any(|window| window == ACCEPT) {
            return Err(format!("refused: {}", String::from_utf8_lossy(bytes)));
        }
        self.upgraded = true;
        Ok(rest)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut left = bytes;
        while self.unsent.is_empty() && !left.is_empty() {
            match self.stream.write(left) {
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("write: {error}")),
            }
        }
        self.unsent.extend_from_slice(left);
        Ok(())
    }
}

/// Connecting: the welcome, the subscription, its answer.
struct Opening<'a> {
    first: usize,
    guests: &'a [Guest],
    ready: usize,
}

impl Driver for Opening<'_> {
    fn message(&mut self, who: usize, text: &[u8], _: Instant, mail: &mut Mail) -> Result<(), String> {
        let says = |what: &[u8]| text.windows(what.len()).any(|window| window == what);
        if says(b"\"subscribed\"") {
            if !says(b"\"denied\":[]") {
                return Err(format!("not subscribed: {}", String::from_utf8_lossy(text)));
            }
            self.ready += 1;
        } else if says(b"\"connected\"") {
            match self.guests.get(who - self.first).and_then(|guest| guest.topic.as_deref()) {
                Some(topic) => {
                    let data = format!(r#"{{"type":"Subscribe","data":{{"topics":["{topic}"]}}}}"#);
                    mail.text(who, data.as_bytes());
                }
                None => self.ready += 1,
            }
        } else {
            return Err(format!("unexpected at the start: {}", String::from_utf8_lossy(text)));
        }
        Ok(())
    }
}
