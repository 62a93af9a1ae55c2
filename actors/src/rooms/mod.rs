//! Rooms: their members, and the order of what is published to them.
//!
//! A room belongs to one [`shard`], by the hash of its name. The shard numbers each publication and sends it once to
//! the [`fanout`] of each worker that has members. [`history`] keeps publications for members that missed them.
//! [`rules`] decide about subscriptions and publications. All other modules use rooms through [`Rooms`]: `publishing`,
//! `membership`, `queries` and `ending` have its methods, `replies` their results, `counts` the limits of rooms.

pub mod chat_members;
pub(crate) mod counts;
mod ending;
pub mod fanout;
mod histories;
pub mod history;
mod membership;
mod persisted;
mod publishing;
mod queries;
pub(crate) mod replies;
pub mod rules;
pub mod shard;
mod timers;
mod workers;

use std::sync::Arc;

use ahash::RandomState;

use self::counts::RoomCounts;
use self::history::SavedHistory;
pub(crate) use self::persisted::RestoredSession;
use self::persisted::{RestoredHistory, RestoredMember};
pub(crate) use self::replies::{HistoryPosition, JoinReply, JoinSince, LeaveReply, Membership};
pub use self::replies::{MembersPage, PageRange, Published, RoomMember, RoomSummary};
use self::rules::Rules;
use self::shard::RoomShard;
use self::shard::messages::{Panic, SaveHistories};
use self::workers::WorkerMailboxes;
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
    hasher: RandomState,
}

impl Rooms {
    pub(crate) fn new(workers: Arc<Workers>, counts: RoomCounts) -> Self {
        Self { workers, counts: Arc::new(counts), hasher: RandomState::new() }
    }

    /// The number of rooms that clients created.
    pub(crate) fn counts(&self) -> &Arc<RoomCounts> {
        &self.counts
    }

    pub(crate) fn workers(&self) -> &Arc<Workers> {
        &self.workers
    }

    fn owner(&self, room: &RoomName) -> Option<&WorkerMailboxes> {
        let workers = self.workers.len().max(1);
        let index = usize::try_from(self.hasher.hash_one(room) % workers as u64).unwrap_or(0);
        self.workers.get(index)
    }

    /// The shard that owns `room`.
    fn shard(&self, room: &RoomName) -> Result<&Mailbox<RoomShard>, Fault> {
        let shard = self.owner(room).and_then(|mailboxes| mailboxes.shard());
        shard.ok_or_else(|| Fault::internal().caused_by("the worker of this room has not started"))
    }

    /// Stores a room's history of the previous run until its shard starts, unless the rules keep no history of it now.
    pub(crate) fn restore(&self, rules: &Rules, history: StoredHistory) {
        let topic = history.room.clone();
        match RestoredHistory::of(rules, history) {
            Ok(Some(restored)) => {
                if let Some(mailboxes) = self.owner(&restored.room) {
                    mailboxes.restore(restored);
                }
            }
            Ok(None) => {}
            Err(fault) => log::error!("the stored history of the topic {topic:?} is left out: {fault}"),
        }
    }

    /// Stores a suspended session of the previous run until its worker and the shards of its rooms start.
    pub(crate) fn restore_session(&self, session: RestoredSession) {
        let worker = session.addr.worker;
        for room in &session.rooms {
            if let Some(mailboxes) = self.owner(room) {
                mailboxes.restore_member(RestoredMember { room: room.clone(), worker, user: session.user.clone() });
            }
        }
        if let Some(mailboxes) = self.workers.get(worker) {
            mailboxes.restore_session(session);
        }
    }

    /// All histories, to be stored. The room with the oldest last message comes first.
    pub(crate) async fn histories(&self) -> Vec<StoredHistory> {
        let mut histories = Vec::new();
        for shard in self.workers.shards() {
            // A dead shard has lost its histories.
            histories.append(&mut shard.ask_departure(SaveHistories).await.unwrap_or_default());
        }
        histories.sort_by_cached_key(|(_, saved): &(RoomName, SavedHistory)| {
            saved.messages.last().map(|last| last.timestamp())
        });
        histories.into_iter().map(persisted::stored).collect()
    }

    /// All mailboxes of shards and fan-outs.
    pub(crate) fn mailboxes<'a>(&'a self) -> impl Iterator<Item = &'a dyn Watched> {
        let shards = self.workers.shards().map(|shard| -> &'a dyn Watched { shard });
        shards.chain(self.workers.fanouts().iter().map(|fanout| -> &'a dyn Watched { fanout }))
    }

    /// Makes the shard of `room` panic.
    #[doc(hidden)]
    pub fn panic_shard_of(&self, room: &RoomName) {
        if let Ok(shard) = self.shard(room) {
            shard.post_departure(Panic);
        }
    }
}
