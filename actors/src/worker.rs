//! A worker thread: its session table, its room shard, its fan-out and its heartbeat sweeper.

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
use crate::rooms::ParkedSeat;
use crate::rooms::fanout::Fanout;
use crate::rooms::shard::RoomShard;
use crate::runtime::clock::Expiry;
use crate::runtime::mailbox::Mailbox;

/// A worker's part of the hub. It lives on the worker's thread.
#[derive(Debug, Clone)]
pub struct Worker(Rc<WorkerParts>);

#[derive(Debug)]
struct WorkerParts {
    hub: Arc<Hub>,
    session_table: Rc<SessionTable>,
}

impl Worker {
    /// Starts the actors of the next worker on this thread. `None` when all workers were started before: a worker died
    /// and its thread is replaced. Its rooms are lost, and the hub is about to end.
    pub fn start(hub: &Arc<Hub>) -> Option<Self> {
        let number = hub.next_worker()?;
        let session_table = Rc::new(SessionTable::new(
            number,
            hub.settings().retained_bytes_max(),
            hub.stats_shared(),
            hub.clock().clone(),
        ));
        let bound = hub.settings().mailbox;
        let mut fanout = Fanout::new(session_table.clone());
        for suspended in hub.rooms().workers().take_parked(number) {
            let (handle, rooms) = Self::restore_suspended(hub, &session_table, suspended);
            fanout.enrol_parked(&handle, rooms);
        }
        let fanout = fanout.start();
        let shard = RoomShard::new(hub, number).start();
        let pulse =
            HeartbeatSweeper::new(session_table.clone(), hub.clock().clone(), hub.settings().shortest_heartbeat_ms)
                .start();
        let opened = hub.rooms().workers().open(
            number,
            Mailbox::new(format!("room-shard-{number}"), shard, bound),
            Mailbox::new(format!("fanout-{number}"), fanout, bound),
        );
        hub.watch_sweeper(number, pulse);
        opened.then(|| Self(Rc::new(WorkerParts { hub: hub.clone(), session_table })))
    }

    /// Restores a session that was suspended before the start of the hub.
    fn restore_suspended(
        hub: &Hub,
        session_table: &SessionTable,
        suspended: ParkedSeat,
    ) -> (Rc<SessionHandle>, Vec<RoomName>) {
        let ParkedSeat { session, place, rooms, remains, .. } = suspended;
        let (settings, elapsed) = (hub.settings(), hub.clock().elapsed_ms());
        let handle = session_table.insert(SessionSpec {
            session,
            encoder: settings.recovery.wire,
            bound: settings.outbox,
            heartbeat: None,
            multiplexed: false,
            expiry: Expiry::NEVER,
            elapsed,
        });
        debug_assert_eq!(handle.addr(), place, "sessions are restored in their slot order");
        handle.restore(remains, MessageNew::NAME, settings.kept_max(), session_table.ledger());
        handle.close(Close::Left);
        handle.with_outbox(|outbox| outbox.discard());
        session_table.note_suspended(place.slot);
        (handle, rooms)
    }

    /// The hub.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// The worker's number.
    pub fn number(&self) -> usize {
        self.0.session_table.worker()
    }

    /// The worker's sessions.
    pub fn session_table(&self) -> &Rc<SessionTable> {
        &self.0.session_table
    }
}
