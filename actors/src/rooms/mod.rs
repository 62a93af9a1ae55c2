//! Rooms: their members, and the order of what is published to them.
//!
//! One actor, the [`actor`], has all rooms: the hub has one order. It numbers each publication and sends it once to the
//! [`fanout`] of each worker that has members. [`publication_log`] keeps what sessions that may recover can miss.
//! [`history`] keeps publications of topics for clients that ask for them. [`rules`] decide about subscriptions and
//! publications. All other modules use rooms through [`Rooms`]: `publishing`, `membership`, `queries` and `ending` have
//! its methods, `replies` their results, `counts` the limits of rooms.

pub mod actor;
pub mod chat_members;
pub(crate) mod counts;
mod ending;
pub mod fanout;
mod histories;
pub mod history;
mod membership;
pub(crate) mod persisted;
pub mod publication_log;
mod publishing;
mod queries;
pub(crate) mod replies;
pub mod rules;
mod timers;
mod workers;

use std::sync::Arc;

use self::actor::RoomActor;
pub(crate) use self::actor::messages::{Access, Entering, RecoverRooms, Replay, SuspendSession, SuspendedRoom};
use self::actor::messages::{Panic, SaveHistories, SaveLog};
use self::counts::RoomCounts;
pub use self::fanout::mailboxes::LagLimit;
use self::history::SavedHistory;
use self::persisted::RestoredHistory;
pub(crate) use self::persisted::RestoredLog;
use self::persisted::segments::SavedLog;
pub(crate) use self::replies::{HistoryPosition, JoinReply, JoinSince, LeaveReply, Membership, Recovered};
pub use self::replies::{MembersPage, PageRange, Published, RoomMember, RoomSummary};
use self::rules::Rules;
pub(crate) use self::workers::Workers;
use crate::model::fault::Fault;
use crate::model::ids::RoomName;
use crate::runtime::mailbox::{Mailbox, Watched};
use crate::store::StoredHistory;

/// The facade of all rooms.
#[derive(Debug, Clone)]
pub struct Rooms {
    workers: Arc<Workers>,
    counts: Arc<RoomCounts>,
}

impl Rooms {
    pub(crate) fn new(workers: Arc<Workers>, counts: RoomCounts) -> Self {
        Self { workers, counts: Arc::new(counts) }
    }

    /// The number of rooms that clients created.
    pub(crate) fn counts(&self) -> &Arc<RoomCounts> {
        &self.counts
    }

    pub(crate) fn workers(&self) -> &Arc<Workers> {
        &self.workers
    }

    fn actor(&self) -> Result<&Mailbox<RoomActor>, Fault> {
        self.workers.rooms().ok_or_else(|| Fault::internal().caused_by("the room actor has not started"))
    }

    /// Stores a room's history of the previous run until the room actor starts, unless the rules keep no history of it now.
    pub(crate) fn restore(&self, rules: &Rules, history: StoredHistory) {
        let topic = history.room.clone();
        match RestoredHistory::of(rules, history) {
            Ok(Some(restored)) => self.workers.restore(restored),
            Ok(None) => {}
            Err(fault) => log::error!("the stored history of the topic {topic:?} is left out: {fault}"),
        }
    }

    /// Stores the log of the previous run until the room actor starts.
    pub(crate) fn restore_log(&self, log: RestoredLog) {
        self.workers.restore_log(log);
    }

    /// The part of the log that records of suspended sessions may need, to be stored. When it resolves, the records of
    /// all sessions that were suspended before the call are in the mailbox of the recovery actor.
    pub(crate) async fn log(&self) -> SavedLog {
        // A dead actor has lost its log.
        match self.workers.rooms() {
            Some(actor) => actor.ask_departure(SaveLog).await.unwrap_or_default(),
            None => SavedLog::default(),
        }
    }

    /// All histories, to be stored. The room with the oldest last message comes first.
    pub(crate) async fn histories(&self) -> Vec<StoredHistory> {
        // A dead actor has lost its histories.
        let mut histories = match self.workers.rooms() {
            Some(actor) => actor.ask_departure(SaveHistories).await.unwrap_or_default(),
            None => Vec::new(),
        };
        histories.sort_by_cached_key(|(_, saved): &(RoomName, SavedHistory)| {
            saved.messages.last().map(|last| last.timestamp())
        });
        histories.into_iter().map(persisted::stored).collect()
    }

    /// The mailboxes of the room actor and of all fan-outs, and the lags of the workers.
    pub(crate) fn mailboxes<'a>(&'a self) -> impl Iterator<Item = &'a dyn Watched> {
        let actor = self.workers.rooms().map(|actor| -> &'a dyn Watched { actor });
        let fanouts = self.workers.fanouts();
        actor.into_iter().chain(fanouts.iter().map(|fanout| -> &'a dyn Watched { fanout })).chain(fanouts.watched())
    }

    /// Makes the room actor panic.
    #[doc(hidden)]
    pub fn panic_room_actor(&self) {
        if let Ok(actor) = self.actor() {
            actor.post_departure(Panic);
        }
    }
}
