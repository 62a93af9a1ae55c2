//! Many connections on one thread and one epoll, with as little work a message as can be: one shared buffer, one read a
//! wake-up, frames by their header. It must not be the bottleneck, so it is neither `tokio-tungstenite` nor tokio, but
//! the `mio` under both.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::dialect::{Dialect, Heard};
use crate::frame::{self, CLOSE, PING, PONG, TEXT};

/// Bytes read at once.
const READ_SIZE: usize = 256 * 1024;

/// Connections of one source address: an address has some 28,000 ports for one server.
const AN_ADDRESS: usize = 2_000;

/// What a connection that never reads has of the kernel's memory, bytes: not so much that the server notices late.
const DEAF_BUFFER: usize = 16 * 1024;

/// What a scenario does with what comes.
pub(crate) trait Driver {
    /// Connection `who` heard something.
    fn message(&mut self, who: usize, heard: Heard<'_>, now: Instant, mail: &mut Mail) -> Result<(), String>;
}

/// Who is to connect.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    /// What it speaks.
    pub(crate) dialect: Dialect,
    /// Its token.
    pub(crate) token: String,
    /// What it subscribes to.
    pub(crate) topic: Option<String>,
    /// Whether it reads nothing once it is ready.
    pub(crate) deaf: bool,
}

/// What is to be sent: messages in their order, written when everything that was read has been handled.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    bytes: Vec<u8>,
    /// For whom, and where in `bytes` it ends. What follows one another to the same connection is one write.
    ends: Vec<(usize, usize)>,
}

impl Mail {
    pub(crate) fn text(&mut self, to: usize, dialect: Dialect, text: &[u8]) {
        dialect.encode(&mut self.bytes, text);
        self.end(to);
    }

    fn pong(&mut self, to: usize, payload: &[u8]) {
        frame::encode(&mut self.bytes, PONG, payload);
        self.end(to);
    }

    fn end(&mut self, to: usize) {
        match self.ends.last_mut() {
            Some((last, end)) if *last == to => *end = self.bytes.len(),
            _ => self.ends.push((to, self.bytes.len())),
        }
    }
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    dialect: Dialect,
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
    /// What the kernel did not take.
    unsent: Vec<u8>,
    upgraded: bool,
    deaf: bool,
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

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Begins to connect a guest.
    pub(crate) fn connect(&mut self, address: SocketAddr, guest: &Guest) -> Result<(), String> {
        let number = self.clients.len();
        let mut stream =
            TcpStream::from_std(dial(address, number, guest.deaf).map_err(|error| format!("connect: {error}"))?);
        let handshake = guest.dialect.handshake(&address.to_string(), &guest.token);
        stream.write_all(handshake.as_bytes()).map_err(|error| format!("handshake: {error}"))?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(number), both).map_err(|error| format!("epoll: {error}"))?;
        let upgraded = handshake.is_empty();
        let (dialect, rest, unsent) = (guest.dialect, Vec::new(), Vec::new());
        self.clients.push(Client { stream, dialect, rest, unsent, upgraded, deaf: false });
        Ok(())
    }

    /// Reads nothing more of connection `who`.
    pub(crate) fn deafen(&mut self, who: usize) {
        if let Some(client) = self.clients.get_mut(who) {
            client.deaf = true;
        }
    }

    /// What is to be sent before the first message came, or when its time has come.
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut Mail)) -> Result<(), String> {
        write(&mut self.mail);
        self.post()
    }

    /// Waits up to `time` for something to happen, and handles it all.
    pub(crate) fn pump(&mut self, time: Duration, driver: &mut impl Driver) -> Result<(), String> {
        match self.poll.poll(&mut self.events, Some(time)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other.map_err(|error| format!("epoll: {error}"))?,
        }
        for event in &self.events {
            let Token(who) = event.token();
            let Some(client) = self.clients.get_mut(who).filter(|client| !client.deaf) else { continue };
            if event.is_writable() && !client.unsent.is_empty() {
                let unsent = std::mem::take(&mut client.unsent);
                client.write(&unsent)?;
            }
            if event.is_readable() || event.is_read_closed() {
                let read = client.read(who, &mut self.buffer, driver, &mut self.mail);
                read.map_err(|error| format!("connection {who}: {error}"))?;
            }
        }
        self.post()
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

/// A connection from one of loopback's many addresses. One that blocks is done as soon as it is asked for there.
fn dial(address: SocketAddr, number: usize, deaf: bool) -> std::io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let host = u8::try_from(number / AN_ADDRESS % 250).unwrap_or(0) + 1;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into())?;
    if deaf {
        socket.set_recv_buffer_size(DEAF_BUFFER)?;
    }
    socket.connect_timeout(&address.into(), Duration::from_secs(5))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
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
                Ok(0) => return Err("closed".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            self.rest.clear();
            let mut bytes = buffer.get(..kept + read).unwrap_or_default();
            if !self.upgraded
                && let Some(end) = self.dialect.accepted(bytes)?
            {
                self.upgraded = true;
                bytes = bytes.get(end..).unwrap_or_default();
            }
            let now = Instant::now();
            while self.upgraded
                && let Some((opcode, payload, end)) = self.dialect.parse(bytes)?
            {
                match opcode {
                    TEXT => match self.dialect.hear(payload)? {
                        Heard::Challenge(answer) => mail.text(who, self.dialect, answer),
                        Heard::Aside => {}
                        heard => driver.message(who, heard, now, mail)?,
                    },
                    PING => mail.pong(who, payload),
                    PONG => {}
                    CLOSE => return Err(format!("closed: {}", String::from_utf8_lossy(payload))),
                    other => return Err(format!("a frame of kind {other}")),
                }
                bytes = bytes.get(end..).unwrap_or_default();
            }
            self.rest.extend_from_slice(bytes);
            if read < room {
                return Ok(());
            }
        }
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
