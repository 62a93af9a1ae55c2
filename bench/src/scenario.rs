//! The scenarios: how many connections, speaking what, in which rooms, who publishes.

use std::path::Path;
use std::time::Duration;

use crate::broadcast::{Broadcasts, Cast, Pace, topic};
use crate::dialect::Dialect;
use crate::load::{self, Figure, Times};
use crate::parked;
use crate::reply::Questions;
use crate::swarm::Guest;
use crate::target::{HEARTBEAT_SECS, Server, Target, token};

/// Members of a room in [`Scenario::Rooms`] and [`Scenario::Idle`].
const SMALL_ROOM: usize = 10;

/// Members of a room in [`Scenario::Parked`].
const LARGE_ROOM: usize = 100;

/// Bytes of a payload.
const PAYLOAD: usize = 100;

/// Bytes of a payload where a member does not read: so many that it shows within seconds.
const LARGE_PAYLOAD: usize = 8192;

/// What is done to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// One publisher, who is no member, to one room.
    Fanout { members: usize, pace: Pace },
    /// Rooms of ten, in each a member who publishes to the other nine, one message in flight.
    Rooms { rooms: usize },
    /// `Ping` and `Pong`.
    Reply { connections: usize },
    /// Connections in rooms of ten that do nothing, watched for a heartbeat's interval or not at all.
    Idle { connections: usize, watched: bool },
    /// One room, one publisher, 8 KiB a message; a member reads nothing.
    Stopped { members: usize },
    /// One room, half of it on either wire of the hub.
    Mixed { members: usize },
    /// A backend publishes to one room by HTTP.
    Push { members: usize },
    /// Sessions in rooms of a hundred that are cut off all at once, and come back.
    Parked { sessions: usize },
}

impl Scenario {
    /// What a table calls it.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Fanout { members, pace: Pace::InFlight(1) } => format!("1 → {}, one at a time", large(members)),
            Self::Fanout { members, pace: Pace::InFlight(count) } => {
                format!("1 → {}, {count} in flight", large(members))
            }
            Self::Fanout { members, pace: Pace::EachSecond(count) } => {
                format!("1 → {}, {count} a second", large(members))
            }
            Self::Rooms { rooms } => format!("{rooms} rooms × {SMALL_ROOM}"),
            Self::Reply { connections } => format!("request → reply, {connections} connections"),
            Self::Idle { connections, .. } => format!("{} idle connections", large(connections)),
            Self::Stopped { members } => {
                format!("1 → {}, 8 KiB, 500 a second, one of them stops reading", large(members))
            }
            Self::Mixed { members } => format!("1 → {}, half of them on either wire", large(members)),
            Self::Parked { sessions } => format!("{} sessions cut off at once", large(sessions)),
            Self::Push { members } => format!("HTTP push → {}, one at a time", large(members)),
        }
    }

    /// On whom it can be run: what no peer has is measured on the hub alone.
    pub(crate) const fn targets(self) -> &'static [Target] {
        match self {
            Self::Mixed { .. } | Self::Parked { .. } => &[Target::HubSocketio],
            Self::Push { .. } => &Target::HUB,
            _ => &Target::ALL,
        }
    }

    /// Whether messages are sent at fixed times, whoever keeps up. Where they are not, a server that is slower is asked
    /// less, and what a message takes says no more than how many there were.
    pub(crate) const fn is_paced(self) -> bool {
        matches!(self, Self::Fanout { pace: Pace::EachSecond(_), .. } | Self::Stopped { .. })
    }

    /// Starts a server, runs the scenario on it, stops it.
    pub(crate) fn run(self, target: Target, hub: &Path, seconds: u64) -> Result<Vec<Figure>, String> {
        let server = Server::start(target, hub, self.connections())?;
        eprintln!("{} on {}, process {}", self.title(), target.name(), server.pid());
        self.measure(&server, target.dialect(), seconds)
            .map_err(|error| format!("{} on {target:?}: {error}", self.title()))
    }

    /// The room that is measured while others are attacked: a hundred members, 50 messages a second.
    pub(crate) const fn victim() -> Self {
        Self::Fanout { members: 100, pace: Pace::EachSecond(50) }
    }

    pub(crate) fn measure(self, server: &Server, dialect: Dialect, seconds: u64) -> Result<Vec<Figure>, String> {
        // At a fixed rate there are few messages: the latest of them would be the machine's mood.
        let seconds = if self.is_paced() { 4 * seconds } else { seconds };
        let times = Times { warm_up: Duration::from_secs(2), measured: Duration::from_secs(seconds) };
        match self {
            Self::Fanout { members, pace } => {
                let guests = guests(members + 1, |number| (dialect, (number < members).then_some(0)))?;
                let cast = Cast { publisher: members, dialect, members: (0..members).collect(), deaf: None };
                load::run(server, &guests, &mut Broadcasts::new(vec![cast], pace, PAYLOAD), times)
            }
            Self::Rooms { rooms } => {
                let cast = |room| {
                    let members = room * SMALL_ROOM..(room + 1) * SMALL_ROOM;
                    Cast { publisher: members.start, dialect, members: members.collect(), deaf: None }
                };
                let casts = (0..rooms).map(cast).collect();
                let guests = small_rooms(dialect, rooms * SMALL_ROOM)?;
                load::run(server, &guests, &mut Broadcasts::new(casts, Pace::InFlight(1), PAYLOAD), times)
            }
            Self::Reply { connections } => {
                let guests = guests(connections, |_| (dialect, None))?;
                load::run(server, &guests, &mut Questions::new(dialect, connections), times)
            }
            Self::Idle { connections, watched } => {
                let time = if watched { u64::from(HEARTBEAT_SECS) } else { 0 };
                load::idle(server, &small_rooms(dialect, connections + load::FIRST)?, Duration::from_secs(time))
            }
            Self::Stopped { members } => {
                let mut guests = guests(members + 1, |number| (dialect, (number < members).then_some(0)))?;
                guests.iter_mut().take(1).for_each(|guest| guest.deaf = true);
                let cast = Cast { publisher: members, dialect, members: (0..members).collect(), deaf: Some(0) };
                let mut load = Broadcasts::new(vec![cast], Pace::EachSecond(500), LARGE_PAYLOAD);
                load::run(server, &guests, &mut load, times)
            }
            Self::Mixed { members } => {
                let either = |number| if number % 2 == 0 { Dialect::Raw } else { Dialect::SocketIo };
                let guests = guests(members + 1, |number| (either(number), (number < members).then_some(0)))?;
                let dialect = either(members);
                let cast = Cast { publisher: members, dialect, members: (0..members).collect(), deaf: None };
                load::run(server, &guests, &mut Broadcasts::new(vec![cast], Pace::InFlight(1), PAYLOAD), times)
            }
            Self::Parked { sessions } => {
                parked::run(server, &guests(sessions, |number| (Dialect::SocketIo, Some(number / LARGE_ROOM)))?)
            }
            Self::Push { members } => {
                let speaks = |number| if number < members { (dialect, Some(0)) } else { (Dialect::Http, None) };
                let guests = guests(members + 1, speaks)?;
                let members = (0..members).collect::<Vec<_>>();
                let cast = Cast { publisher: members.len(), dialect: Dialect::Http, members, deaf: None };
                load::run(server, &guests, &mut Broadcasts::new(vec![cast], Pace::InFlight(1), PAYLOAD), times)
            }
        }
    }

    /// How many connections it needs at most.
    pub(crate) fn connections(self) -> usize {
        match self {
            Self::Fanout { members, .. }
            | Self::Stopped { members }
            | Self::Mixed { members }
            | Self::Push { members } => members + 1,
            Self::Rooms { rooms } => rooms * SMALL_ROOM,
            Self::Reply { connections } | Self::Parked { sessions: connections } => connections,
            Self::Idle { connections, .. } => connections + load::FIRST,
        }
    }
}

/// A number as it is read best.
fn large(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

/// Guests, each with what it speaks and the room it joins.
fn guests(count: usize, speaks: impl Fn(usize) -> (Dialect, Option<usize>)) -> Result<Vec<Guest>, String> {
    let guest = |number| {
        let (dialect, room) = speaks(number);
        Ok(Guest { dialect, token: token(number)?, topic: room.map(topic), deaf: false })
    };
    (0..count).map(guest).collect()
}

fn small_rooms(dialect: Dialect, connections: usize) -> Result<Vec<Guest>, String> {
    guests(connections, |number| (dialect, Some(number / SMALL_ROOM)))
}
