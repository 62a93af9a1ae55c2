//! The scenarios: their connections, protocols, rooms and publishers.

use std::path::Path;
use std::time::Duration;

use crate::broadcast::{Broadcasts, PublishRate, RoomPlan, topic};
use crate::clients::ClientSpec;
use crate::load::{self, Measurement, RunTimes};
use crate::protocol::Protocol;
use crate::reply::ReplyLoad;
use crate::server::{HEARTBEAT_SECS, Server, ServerKind, token};
use crate::suspended;

/// Members of a room in [`Scenario::Rooms`] and [`Scenario::Idle`].
const SMALL_ROOM: usize = 10;

/// Members of a room in [`Scenario::Suspended`].
const LARGE_ROOM: usize = 100;

/// The size of a payload in bytes.
const PAYLOAD: usize = 100;

/// The size of a payload in bytes where a member stops reading: large enough to have an effect within seconds.
const LARGE_PAYLOAD: usize = 8192;

/// A load on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// One publisher outside the room, and one room.
    Fanout { members: usize, rate: PublishRate },
    /// Rooms of ten members. One of them publishes to the other nine, with one message in flight.
    Rooms { rooms: usize },
    /// `Ping` and `Pong`.
    Reply { connections: usize },
    /// Idle connections in rooms of ten. `watched`: CPU is measured for one heartbeat interval.
    Idle { connections: usize, watched: bool },
    /// One room, one publisher, 8 KiB a message. One member reads nothing.
    Stopped { members: usize },
    /// One room, half of it on each surface of the hub.
    Mixed { members: usize },
    /// A backend publishes to one room by HTTP.
    Push { members: usize },
    /// Sessions in rooms of 100 that lose their connections all at once, and recover.
    Suspended { sessions: usize },
}

impl Scenario {
    /// Its name in the tables.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Fanout { members, rate: PublishRate::InFlight(1) } => {
                format!("1 → {}, one at a time", large(members))
            }
            Self::Fanout { members, rate: PublishRate::InFlight(count) } => {
                format!("1 → {}, {count} in flight", large(members))
            }
            Self::Fanout { members, rate: PublishRate::PerSecond(count) } => {
                format!("1 → {}, {count} a second", large(members))
            }
            Self::Rooms { rooms } => format!("{rooms} rooms × {SMALL_ROOM}"),
            Self::Reply { connections } => format!("request → reply, {connections} connections"),
            Self::Idle { connections, .. } => format!("{} idle connections", large(connections)),
            Self::Stopped { members } => {
                format!("1 → {}, 8 KiB, 500 a second, one of them stops reading", large(members))
            }
            Self::Mixed { members } => format!("1 → {}, half of them on each surface", large(members)),
            Self::Suspended { sessions } => format!("{} sessions suspended at once", large(sessions)),
            Self::Push { members } => format!("HTTP push → {}, one at a time", large(members)),
        }
    }

    /// The servers that support it.
    pub(crate) const fn targets(self) -> &'static [ServerKind] {
        match self {
            Self::Mixed { .. } | Self::Suspended { .. } => &[ServerKind::HubSocketio],
            Self::Push { .. } => &ServerKind::HUB,
            Self::Fanout { .. } | Self::Rooms { .. } | Self::Reply { .. } => &ServerKind::ALL,
            Self::Idle { .. } | Self::Stopped { .. } => &ServerKind::COMPARED,
        }
    }

    /// Whether messages are sent at fixed times. Otherwise a slower server receives fewer messages, and the latency has no
    /// more information than the rate.
    pub(crate) const fn is_paced(self) -> bool {
        matches!(self, Self::Fanout { rate: PublishRate::PerSecond(_), .. } | Self::Stopped { .. })
    }

    /// Starts a server, runs the scenario, and stops the server.
    pub(crate) fn run(self, target: ServerKind, hub: &Path, seconds: u64) -> Result<Vec<Measurement>, String> {
        let server = Server::start(target, hub, self.sockets(target))?;
        eprintln!("{} on {}, process {}", self.title(), target.name(), server.pid());
        self.measure(&server, target.protocol(), seconds)
            .map_err(|error| format!("{} on {target:?}: {error}", self.title()))
    }

    /// The room that is measured under attack: 100 members, 50 messages a second.
    pub(crate) const fn victim() -> Self {
        Self::Fanout { members: 100, rate: PublishRate::PerSecond(50) }
    }

    pub(crate) fn measure(self, server: &Server, protocol: Protocol, seconds: u64) -> Result<Vec<Measurement>, String> {
        // At a fixed rate there are few messages. A longer run makes the slowest of them less random.
        let seconds = if self.is_paced() { 4 * seconds } else { seconds };
        let times = RunTimes { warm_up: Duration::from_secs(2), measured: Duration::from_secs(seconds) };
        match self {
            Self::Fanout { members, rate } => {
                let specs = specs(members + 1, |number| (protocol, (number < members).then_some(0)))?;
                let plan =
                    RoomPlan { publisher: members, protocol, members: (0..members).collect(), stops_reading: None };
                load::run(server, &specs, &mut Broadcasts::new(vec![plan], rate, PAYLOAD), times)
            }
            Self::Rooms { rooms } => {
                let plan = |room| {
                    let members = room * SMALL_ROOM..(room + 1) * SMALL_ROOM;
                    RoomPlan { publisher: members.start, protocol, members: members.collect(), stops_reading: None }
                };
                let plans = (0..rooms).map(plan).collect();
                let specs = small_rooms(protocol, rooms * SMALL_ROOM)?;
                load::run(server, &specs, &mut Broadcasts::new(plans, PublishRate::InFlight(1), PAYLOAD), times)
            }
            Self::Reply { connections } => {
                let specs = specs(connections, |_| (protocol, None))?;
                load::run(server, &specs, &mut ReplyLoad::new(protocol, connections), times)
            }
            Self::Idle { connections, watched } => {
                let time = if watched { u64::from(HEARTBEAT_SECS) } else { 0 };
                load::idle(server, &small_rooms(protocol, connections + load::FIRST)?, Duration::from_secs(time))
            }
            Self::Stopped { members } => {
                let mut specs = specs(members + 1, |number| (protocol, (number < members).then_some(0)))?;
                specs.iter_mut().take(1).for_each(|spec| spec.stops_reading = true);
                let plan =
                    RoomPlan { publisher: members, protocol, members: (0..members).collect(), stops_reading: Some(0) };
                let mut load = Broadcasts::new(vec![plan], PublishRate::PerSecond(500), LARGE_PAYLOAD);
                load::run(server, &specs, &mut load, times)
            }
            Self::Mixed { members } => {
                let alternating = |number| if number % 2 == 0 { Protocol::Raw } else { Protocol::SocketIo };
                let specs = specs(members + 1, |number| (alternating(number), (number < members).then_some(0)))?;
                let protocol = alternating(members);
                let plan =
                    RoomPlan { publisher: members, protocol, members: (0..members).collect(), stops_reading: None };
                load::run(server, &specs, &mut Broadcasts::new(vec![plan], PublishRate::InFlight(1), PAYLOAD), times)
            }
            Self::Suspended { sessions } => {
                suspended::run(server, &specs(sessions, |number| (Protocol::SocketIo, Some(number / LARGE_ROOM)))?)
            }
            Self::Push { members } => {
                let choose = |number| if number < members { (protocol, Some(0)) } else { (Protocol::Http, None) };
                let specs = specs(members + 1, choose)?;
                let members = (0..members).collect::<Vec<_>>();
                let plan =
                    RoomPlan { publisher: members.len(), protocol: Protocol::Http, members, stops_reading: None };
                load::run(server, &specs, &mut Broadcasts::new(vec![plan], PublishRate::InFlight(1), PAYLOAD), times)
            }
        }
    }

    /// The maximum number of its sockets on `target`.
    pub(crate) fn sockets(self, target: ServerKind) -> usize {
        self.connections() * target.protocol().sockets()
    }

    /// The maximum number of its connections.
    fn connections(self) -> usize {
        match self {
            Self::Fanout { members, .. }
            | Self::Stopped { members }
            | Self::Mixed { members }
            | Self::Push { members } => members + 1,
            Self::Rooms { rooms } => rooms * SMALL_ROOM,
            Self::Reply { connections } | Self::Suspended { sessions: connections } => connections,
            Self::Idle { connections, .. } => connections + load::FIRST,
        }
    }
}

/// A number with a thousands separator.
fn large(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

/// The specs of `count` clients, each with its protocol and its room.
fn specs(count: usize, choose: impl Fn(usize) -> (Protocol, Option<usize>)) -> Result<Vec<ClientSpec>, String> {
    let spec = |number| {
        let (protocol, room) = choose(number);
        Ok(ClientSpec { protocol, token: token(number)?, topic: room.map(topic), stops_reading: false })
    };
    (0..count).map(spec).collect()
}

fn small_rooms(protocol: Protocol, connections: usize) -> Result<Vec<ClientSpec>, String> {
    specs(connections, |number| (protocol, Some(number / SMALL_ROOM)))
}
