//! The parts of one worker thread: its session table, fan-out and heartbeat sweeper. The first worker has the room actor, too.

use std::rc::Rc;
use std::sync::Arc;

use actix::Actor;

use crate::connection::SessionTable;
use crate::connection::sweeper::HeartbeatSweeper;
use crate::hub::Hub;
use crate::rooms::fanout::Fanout;
use crate::runtime::mailbox::Mailbox;

/// A worker's part of the hub. It stays on the worker's thread.
#[derive(Debug, Clone)]
pub struct Worker(Rc<WorkerState>);

#[derive(Debug)]
struct WorkerState {
    hub: Arc<Hub>,
    session_table: Rc<SessionTable>,
}

impl Worker {
    /// Starts the actors of the next worker on this thread; `None` when all workers have started. That happens when a
    /// worker died and its thread is replaced: its sessions are lost, and the hub is about to end.
    pub fn start(hub: &Arc<Hub>) -> Option<Self> {
        let number = hub.next_worker()?;
        let session_table = Rc::new(SessionTable::new(number, hub.stats_shared(), hub.clock().clone()));
        let bound = hub.settings().mailbox;
        let fanout = Fanout::new(session_table.clone()).start();
        let rooms = (number == 0).then(|| Mailbox::new("rooms", hub.room_actor().start(), bound));
        let sweeper =
            HeartbeatSweeper::new(session_table.clone(), hub.clock().clone(), hub.settings().shortest_heartbeat_ms)
                .start();
        let workers = hub.rooms().workers();
        let is_first = rooms.is_none_or(|rooms| workers.set_rooms(rooms))
            && workers.fanouts().add(number, Mailbox::new(format!("fanout-{number}"), fanout, bound));
        hub.watch_sweeper(number, sweeper);
        is_first.then(|| Self(Rc::new(WorkerState { hub: hub.clone(), session_table })))
    }

    /// The hub.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// Its number, from 0.
    pub fn number(&self) -> usize {
        self.0.session_table.worker()
    }

    /// The session table.
    pub fn session_table(&self) -> &Rc<SessionTable> {
        &self.0.session_table
    }
}
