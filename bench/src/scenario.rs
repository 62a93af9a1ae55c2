//! The scenarios: how many connections, in which rooms, who publishes.

use std::path::Path;
use std::time::Duration;

use crate::broadcast::{Broadcasts, topic};
use crate::load::{self, Figure, Times};
use crate::reply::Questions;
use crate::target::{Server, Target};

/// Members of a room in [`Scenario::Rooms`] and [`Scenario::Idle`].
const SMALL_ROOM: usize = 10;

/// What is done to a server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scenario {
    /// One publisher, who is no member, to one room.
    Fanout { members: usize, in_flight: usize },
    /// Rooms of ten, in each a member who publishes to the other nine, one message in flight.
    Rooms { rooms: usize },
    /// `Ping` and `Pong`.
    Reply { connections: usize },
    /// Connections in rooms of ten that do nothing.
    Idle { connections: usize },
}

impl Scenario {
    /// What a table calls it.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Fanout { members, in_flight: 1 } => format!("1 → {members}, one at a time"),
            Self::Fanout { members, in_flight } => format!("1 → {members}, {in_flight} in flight"),
            Self::Rooms { rooms } => format!("{rooms} rooms × {SMALL_ROOM}"),
            Self::Reply { connections } => format!("request → reply, {connections} connections"),
            Self::Idle { connections } => format!("{connections} idle connections"),
        }
    }

    /// Starts a server, runs the scenario on it, stops it.
    pub(crate) fn run(self, target: Target, hub: &Path, seconds: Seconds) -> Result<Vec<Figure>, String> {
        let server = Server::start(target, hub, self.connections())?;
        eprintln!("{} on {target:?}, process {}", self.title(), server.pid());
        let times = Times { warm_up: Duration::from_secs(1), measured: Duration::from_secs(seconds.load) };
        match self {
            Self::Fanout { members, in_flight } => {
                let topics = (0..members).map(|_| Some(topic(0))).chain([None]).collect();
                let mut load = Broadcasts::new(&[(members, (0..members).collect())], in_flight);
                load::run(&server, topics, &mut load, times)
            }
            Self::Rooms { rooms } => {
                let members = |room| (room * SMALL_ROOM..(room + 1) * SMALL_ROOM).collect();
                let all: Vec<_> = (0..rooms).map(|room| (room * SMALL_ROOM, members(room))).collect();
                load::run(&server, small_rooms(rooms * SMALL_ROOM), &mut Broadcasts::new(&all, 1), times)
            }
            Self::Reply { connections } => {
                load::run(&server, vec![None; connections], &mut Questions::new(connections), times)
            }
            Self::Idle { connections } => {
                load::idle(&server, small_rooms(connections), Duration::from_secs(seconds.idle))
            }
        }
        .map_err(|error| format!("{} on {target:?}: {error}", self.title()))
    }

    /// How many connections it needs at most.
    pub(crate) fn connections(self) -> usize {
        match self {
            Self::Fanout { members, .. } => members + 1,
            Self::Rooms { rooms } => rooms * SMALL_ROOM,
            Self::Reply { connections } => connections,
            Self::Idle { connections } => connections + load::FIRST,
        }
    }
}

/// How long is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seconds {
    /// Under load.
    pub(crate) load: u64,
    /// Of nothing: a heartbeat's interval or more, to count that in.
    pub(crate) idle: u64,
}

fn small_rooms(connections: usize) -> Vec<Option<String>> {
    (0..connections).map(|connection| Some(topic(connection / SMALL_ROOM))).collect()
}
