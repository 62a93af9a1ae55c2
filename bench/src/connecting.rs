//! Connects clients: handshake, welcome, first request and its reply; a bounded number of clients at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::clients::{ClientPool, ClientSpec, MessageHandler, Outgoing};
use crate::protocol::{JOIN, Protocol, ServerMessage};

/// Clients that connect at the same time.
pub(crate) const CONNECTING_MAX: usize = 64;

/// The time limit for all connections of a scenario.
const OPEN_TIME: Duration = Duration::from_secs(60);

/// Without progress for this time, waiting clients repeat their request. socketioxide loses events that arrive before its
/// handlers are registered.
const RETRY_TIME: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectStage {
    Connecting,
    Joining,
    Ready,
}

/// The progress of the clients.
struct Connector<'a> {
    first: usize,
    specs: &'a [ClientSpec],
    stages: Vec<ConnectStage>,
    ready: usize,
}

/// Connects the clients and joins them to their rooms. Returns the number of repeated requests.
pub(crate) fn open(pool: &mut ClientPool, address: SocketAddr, specs: &[ClientSpec]) -> Result<usize, String> {
    let deadline = Instant::now() + OPEN_TIME;
    let mut connector =
        Connector { first: pool.len(), specs, stages: vec![ConnectStage::Connecting; specs.len()], ready: 0 };
    let (mut lost, mut connected) = (0, 0);
    let (mut last, mut last_change) = (0, Instant::now());
    while connector.ready < specs.len() {
        while let Some(spec) = specs.get(connected)
            && connected - connector.ready < CONNECTING_MAX
        {
            pool.connect(address, spec)?;
            if spec.protocol == Protocol::Http {
                connector.is_ready(connected);
            }
            connected += 1;
        }
        pool.pump(Duration::from_millis(100), &mut connector)?;
        let now = Instant::now();
        if now > deadline {
            return Err(format!("only {} of {} connections opened", connector.ready, specs.len()));
        }
        if connector.ready != last {
            (last, last_change) = (connector.ready, now);
        } else if now - last_change > RETRY_TIME {
            last_change = now;
            pool.send(|outgoing| lost += connector.repeat(outgoing))?;
        }
    }
    for (number, _) in specs.iter().enumerate().filter(|(_, spec)| spec.stops_reading) {
        pool.stop_reading(connector.first + number);
    }
    Ok(lost)
}

impl Connector<'_> {
    fn is_ready(&mut self, number: usize) {
        if let Some(stage) = self.stages.get_mut(number).filter(|stage| **stage != ConnectStage::Ready) {
            *stage = ConnectStage::Ready;
            self.ready += 1;
        }
    }

    /// Joins the room, or pings if there is no room. The client is ready when the reply arrives.
    fn join(&mut self, number: usize, outgoing: &mut Outgoing) {
        if let (Some(spec), Some(stage)) = (self.specs.get(number), self.stages.get_mut(number)) {
            *stage = ConnectStage::Joining;
            let ClientSpec { protocol, topic, .. } = spec;
            let request = topic.as_ref().map_or_else(|| protocol.ping(JOIN), |topic| protocol.join(topic));
            outgoing.text(self.first + number, *protocol, request.as_bytes());
        }
    }

    fn repeat(&mut self, outgoing: &mut Outgoing) -> usize {
        let joining = |(number, stage): (usize, &ConnectStage)| (*stage == ConnectStage::Joining).then_some(number);
        let joining: Vec<usize> = self.stages.iter().enumerate().filter_map(joining).collect();
        joining.iter().for_each(|&number| self.join(number, outgoing));
        joining.len()
    }
}

impl MessageHandler for Connector<'_> {
    fn message(
        &mut self,
        index: usize,
        message: ServerMessage<'_>,
        _: Instant,
        outgoing: &mut Outgoing,
    ) -> Result<(), String> {
        let Some(number) = index.checked_sub(self.first) else { return Ok(()) };
        let spec = self.specs.get(number).ok_or("an unknown connection")?;
        match message {
            ServerMessage::Opened => outgoing.text(index, spec.protocol, Protocol::sign_in(&spec.token).as_bytes()),
            ServerMessage::Welcome(_) => self.join(number, outgoing),
            ServerMessage::Reply(Some(JOIN), _) => self.is_ready(number),
            other => return Err(format!("unexpected while connecting: {other:?}")),
        }
        Ok(())
    }
}
