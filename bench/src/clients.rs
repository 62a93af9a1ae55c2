//! Many connections on one thread and one epoll, with little work for each message: one shared buffer and one read for each
//! wake-up. It must not be the bottleneck, so it uses `mio`, without tokio and `tokio-tungstenite`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::frame::{self, CLOSE, PING, PONG, TEXT};
use crate::protocol::{Protocol, ServerMessage};

/// Bytes read at once.
const READ_SIZE: usize = 256 * 1024;

/// The connections of one source address. An address has about 28,000 ports for one server.
const CONNECTIONS_PER_ADDRESS: usize = 2_000;

/// The kernel's receive buffer of a connection that stops reading, in bytes. A small buffer makes the server notice soon.
const STOPPED_BUFFER: usize = 16 * 1024;

/// A receiver of the messages of all connections.
pub(crate) trait MessageHandler {
    /// Handles a message of connection `index`.
    fn message(
        &mut self,
        index: usize,
        message: ServerMessage<'_>,
        now: Instant,
        outgoing: &mut Outgoing,
    ) -> Result<(), String>;
}

/// A client to connect.
#[derive(Debug, Clone)]
pub(crate) struct ClientSpec {
    pub(crate) protocol: Protocol,
    pub(crate) token: String,
    /// The room that it joins.
    pub(crate) topic: Option<String>,
    /// Whether it stops reading when it is ready.
    pub(crate) stops_reading: bool,
}

/// Messages to send, in order. They are written after all received messages have been handled.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    /// The connection of each write, and the end of its bytes. Consecutive messages to one connection are one write.
    ends: Vec<(usize, usize)>,
}

impl Outgoing {
    pub(crate) fn text(&mut self, to: usize, protocol: Protocol, text: &[u8]) {
        protocol.encode(&mut self.bytes, text);
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
struct PooledClient {
    stream: TcpStream,
    protocol: Protocol,
    /// The start of an incomplete frame.
    rest: Vec<u8>,
    /// Bytes that the kernel did not accept.
    unsent: Vec<u8>,
    upgraded: bool,
    stops_reading: bool,
}

/// The connections.
#[derive(Debug)]
pub(crate) struct ClientPool {
    poll: Poll,
    events: Events,
    clients: Vec<PooledClient>,
    buffer: Vec<u8>,
    outgoing: Outgoing,
}

impl ClientPool {
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self {
            poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
            events: Events::with_capacity(1024),
            clients: Vec::new(),
            buffer: vec![0; READ_SIZE],
            outgoing: Outgoing::default(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Starts to connect a client.
    pub(crate) fn connect(&mut self, address: SocketAddr, spec: &ClientSpec) -> Result<(), String> {
        let number = self.clients.len();
        let mut stream = TcpStream::from_std(
            open_socket(address, number, spec.stops_reading).map_err(|error| format!("connect: {error}"))?,
        );
        let handshake = spec.protocol.handshake(&address.to_string(), &spec.token);
        stream.write_all(handshake.as_bytes()).map_err(|error| format!("handshake: {error}"))?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(number), both).map_err(|error| format!("epoll: {error}"))?;
        let upgraded = handshake.is_empty();
        let (protocol, rest, unsent) = (spec.protocol, Vec::new(), Vec::new());
        self.clients.push(PooledClient { stream, protocol, rest, unsent, upgraded, stops_reading: false });
        Ok(())
    }

    /// Stops reading from connection `index`.
    pub(crate) fn stop_reading(&mut self, index: usize) {
        if let Some(client) = self.clients.get_mut(index) {
            client.stops_reading = true;
        }
    }

    /// Sends messages that are no reaction to a received one.
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut Outgoing)) -> Result<(), String> {
        write(&mut self.outgoing);
        self.flush()
    }

    /// Waits up to `time` for events, and handles all of them.
    pub(crate) fn pump(&mut self, time: Duration, handler: &mut impl MessageHandler) -> Result<(), String> {
        match self.poll.poll(&mut self.events, Some(time)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other.map_err(|error| format!("epoll: {error}"))?,
        }
        for event in &self.events {
            let Token(index) = event.token();
            let Some(client) = self.clients.get_mut(index).filter(|client| !client.stops_reading) else { continue };
            if event.is_writable() && !client.unsent.is_empty() {
                let unsent = std::mem::take(&mut client.unsent);
                client.write(&unsent)?;
            }
            if event.is_readable() || event.is_read_closed() {
                let read = client.read(index, &mut self.buffer, handler, &mut self.outgoing);
                read.map_err(|error| format!("connection {index}: {error}"))?;
            }
        }
        self.flush()
    }

    /// Writes the outgoing messages.
    fn flush(&mut self) -> Result<(), String> {
        let mut start = 0;
        for &(to, end) in &self.outgoing.ends {
            if let (Some(client), Some(bytes)) = (self.clients.get_mut(to), self.outgoing.bytes.get(start..end)) {
                client.write(bytes)?;
            }
            start = end;
        }
        self.outgoing.ends.clear();
        self.outgoing.bytes.clear();
        Ok(())
    }
}

/// Connects from one of the loopback addresses. A blocking connect returns at once there.
fn open_socket(address: SocketAddr, number: usize, stops_reading: bool) -> std::io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let host = u8::try_from(number / CONNECTIONS_PER_ADDRESS % 250).unwrap_or(0) + 1;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into())?;
    if stops_reading {
        socket.set_recv_buffer_size(STOPPED_BUFFER)?;
    }
    socket.connect_timeout(&address.into(), Duration::from_secs(5))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl PooledClient {
    /// Reads all available bytes. A read that does not fill the buffer has emptied the socket (epoll(7), question 9).
    fn read(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        handler: &mut impl MessageHandler,
        outgoing: &mut Outgoing,
    ) -> Result<(), String> {
        loop {
            let buffered = self.rest.len();
            let (front, space) = buffer.split_at_mut(buffered);
            front.copy_from_slice(&self.rest);
            let capacity = space.len();
            let read = match self.stream.read(space) {
                Ok(0) => return Err("closed".into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            self.rest.clear();
            let mut bytes = buffer.get(..buffered + read).unwrap_or_default();
            if !self.upgraded
                && let Some(end) = self.protocol.accepted(bytes)?
            {
                self.upgraded = true;
                bytes = bytes.get(end..).unwrap_or_default();
            }
            let now = Instant::now();
            while self.upgraded
                && let Some((opcode, payload, end)) = self.protocol.parse(bytes)?
            {
                match opcode {
                    TEXT => match self.protocol.classify(payload)? {
                        ServerMessage::Ping(answer) => outgoing.text(index, self.protocol, answer),
                        ServerMessage::Ignored => {}
                        message => handler.message(index, message, now, outgoing)?,
                    },
                    PING => outgoing.pong(index, payload),
                    PONG => {}
                    CLOSE => return Err(format!("closed: {}", String::from_utf8_lossy(payload))),
                    other => return Err(format!("a frame with opcode {other}")),
                }
                bytes = bytes.get(end..).unwrap_or_default();
            }
            self.rest.extend_from_slice(bytes);
            if read < capacity {
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
