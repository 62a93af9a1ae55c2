//! Many connections on one thread and one epoll, with little work for each message: one shared buffer and one read for each
//! wake-up. It must not be the bottleneck, so it uses `mio`, without tokio and `tokio-tungstenite`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::frame::{self, CLOSE, PING, PONG, TEXT};
use crate::polling::PollingSession;
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
    protocol: Protocol,
    socket: PooledSocket,
    upgraded: bool,
    stops_reading: bool,
    /// On polling, the session and the socket of its POSTs.
    polling: Option<(PollingSession, PooledSocket)>,
}

#[derive(Debug)]
struct PooledSocket {
    stream: TcpStream,
    /// The start of an incomplete message.
    rest: Vec<u8>,
    /// Bytes that the kernel did not accept.
    unsent: Vec<u8>,
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
        let handshake = spec.protocol.handshake(&address.to_string(), &spec.token);
        let open = |token| {
            let mut socket = PooledSocket::connect(address, number, spec.stops_reading)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            let registered = self.poll.registry().register(&mut socket.stream, token, both);
            registered.map(|()| socket).map_err(|error| format!("epoll: {error}"))
        };
        let mut socket = open(token(number, false))?;
        socket.write(handshake.as_bytes())?;
        let posts = (spec.protocol == Protocol::Polling).then(|| open(token(number, true))).transpose()?;
        let polling = posts.map(|socket| (PollingSession::default(), socket));
        let upgraded = handshake.is_empty();
        self.clients.push(PooledClient { protocol: spec.protocol, socket, upgraded, stops_reading: false, polling });
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
            let (index, posts) = owner(event.token());
            let Some(client) = self.clients.get_mut(index).filter(|client| !client.stops_reading) else { continue };
            let socket = match &mut client.polling {
                Some((_, socket)) if posts => socket,
                _ => &mut client.socket,
            };
            if event.is_writable() && !socket.unsent.is_empty() {
                let unsent = std::mem::take(&mut socket.unsent);
                socket.write(&unsent)?;
            }
            if event.is_readable() || event.is_read_closed() {
                let read = if posts {
                    client.read_posted(&mut self.buffer)
                } else {
                    client.read(index, &mut self.buffer, handler, &mut self.outgoing)
                };
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

/// The token of a client's socket: the one for POSTs, or the other.
fn token(index: usize, posts: bool) -> Token {
    Token(2 * index + usize::from(posts))
}

/// The client of a token, and whether its socket is for POSTs.
fn owner(Token(token): Token) -> (usize, bool) {
    (token / 2, token % 2 == 1)
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
    /// Reads the server's messages. On polling, asks for the next ones.
    fn read(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        handler: &mut impl MessageHandler,
        outgoing: &mut Outgoing,
    ) -> Result<(), String> {
        let Self { socket, protocol, upgraded, polling, .. } = self;
        let mut next_poll = None;
        socket.read(buffer, |whole| {
            let mut bytes = whole;
            if !*upgraded && let Some(end) = protocol.accepted(bytes)? {
                *upgraded = true;
                bytes = bytes.get(end..).unwrap_or_default();
            }
            let mut receiver = Receiver { index, protocol: *protocol, now: Instant::now(), handler, outgoing };
            while *upgraded && let Some((opcode, payload, end)) = protocol.parse(bytes)? {
                match (opcode, &mut *polling) {
                    (TEXT, None) => receiver.receive(payload)?,
                    (TEXT, Some((session, _))) => {
                        session.polled(payload)?.try_for_each(|packet| receiver.receive(packet))?;
                        next_poll = Some(session.poll());
                    }
                    (PING, _) => receiver.outgoing.pong(index, payload),
                    (PONG, _) => {}
                    (CLOSE, _) => return Err(format!("closed: {}", String::from_utf8_lossy(payload))),
                    (other, _) => return Err(format!("a frame with opcode {other}")),
                }
                bytes = bytes.get(end..).unwrap_or_default();
            }
            Ok(whole.len() - bytes.len())
        })?;
        next_poll.map_or(Ok(()), |request| self.socket.write(request.as_bytes()))
    }

    /// Reads the responses to POSTs, and sends the packets that waited for them.
    fn read_posted(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        let Some((session, socket)) = &mut self.polling else { return Ok(()) };
        let protocol = self.protocol;
        socket.read(buffer, |bytes| {
            let Some((_, body, end)) = protocol.parse(bytes)? else { return Ok(0) };
            session.posted(body)?;
            Ok(end)
        })?;
        self.write(&[])
    }

    /// Writes encoded messages. On polling, they wait for the response to the last POST.
    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some((session, socket)) = &mut self.polling else { return self.socket.write(bytes) };
        session.queue(bytes);
        session.post().map_or(Ok(()), |request| socket.write(&request))
    }
}

/// Passes on the messages of one read.
struct Receiver<'a, H> {
    index: usize,
    protocol: Protocol,
    now: Instant,
    handler: &'a mut H,
    outgoing: &'a mut Outgoing,
}

impl<H: MessageHandler> Receiver<'_, H> {
    fn receive(&mut self, text: &[u8]) -> Result<(), String> {
        match self.protocol.classify(text)? {
            ServerMessage::Ping(answer) => self.outgoing.text(self.index, self.protocol, answer),
            ServerMessage::Ignored => {}
            message => self.handler.message(self.index, message, self.now, self.outgoing)?,
        }
        Ok(())
    }
}

impl PooledSocket {
    /// Starts to connect. `number` selects the source address.
    fn connect(address: SocketAddr, number: usize, stops_reading: bool) -> Result<Self, String> {
        let stream = open_socket(address, number, stops_reading).map_err(|error| format!("connect: {error}"))?;
        Ok(Self { stream: TcpStream::from_std(stream), rest: Vec::new(), unsent: Vec::new() })
    }

    /// Reads all available bytes. A read that does not fill the buffer has emptied the socket (epoll(7), question 9).
    /// `consume` returns the length of the complete messages in its bytes.
    fn read(
        &mut self,
        buffer: &mut [u8],
        mut consume: impl FnMut(&[u8]) -> Result<usize, String>,
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
            let bytes = buffer.get(..buffered + read).unwrap_or_default();
            let consumed = consume(bytes)?;
            self.rest.extend_from_slice(bytes.get(consumed..).unwrap_or_default());
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

#[cfg(test)]
mod tests;
