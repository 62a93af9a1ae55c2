//! The parts of one worker thread: its session table, fan-out and heartbeat sweeper. The first worker has the room actor, too.

use std::rc::Rc;
use std::sync::Arc;

use actix::Actor;

use crate::connection::sweeper::HeartbeatSweeper;
use crate::connection::{SessionHandle, SessionSpec, SessionTable};
use crate::events::ServerEvent as _;
use crate::events::chat::messages::MessageNew;
use crate::hub::Hub;
use crate::model::close::Close;
use crate::model::ids::RoomName;
use crate::publication::Encoder;
use crate::rooms::RestoredSession;
use crate::rooms::fanout::Fanout;
use crate::runtime::clock::Expiry;
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
    /// worker died and its thread is replaced: its sessions are lost, and the hub is about to end. `encoder` is the
    /// encoder of restored sessions.
    pub fn start(hub: &Arc<Hub>, encoder: &'static dyn Encoder) -> Option<Self> {
        let number = hub.next_worker()?;
        let session_table = Rc::new(SessionTable::new(
            number,
            hub.settings().buffer_bytes_per_worker(),
            hub.stats_shared(),
            hub.clock().clone(),
        ));
        let bound = hub.settings().mailbox;
        let mut fanout = Fanout::new(session_table.clone());
        for suspended in hub.rooms().workers().take_sessions(number) {
            let (handle, rooms) = Self::restore_session(hub, &session_table, encoder, suspended);
            fanout.add_restored(&handle, rooms);
        }
        let fanout = fanout.start();
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

    /// Restores a suspended session of the previous run.
    fn restore_session(
        hub: &Hub,
        session_table: &SessionTable,
        encoder: &'static dyn Encoder,
        suspended: RestoredSession,
    ) -> (Rc<SessionHandle>, Vec<RoomName>) {
        let RestoredSession { session, addr, rooms, remains, .. } = suspended;
        let settings = hub.settings();
        let handle = session_table.insert(SessionSpec { session, encoder, connection: None, expiry: Expiry::NEVER });
        debug_assert_eq!(handle.addr(), addr, "slots are assigned in the planned order");
        handle.restore(remains, MessageNew::NAME, settings.buffer_bound(), session_table.ledger());
        handle.close(Close::Left);
        session_table.note_suspended(addr.slot);
        (handle, rooms)
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
