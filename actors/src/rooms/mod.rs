//! Rooms: who is in, and what goes to whom in which order.
//!
//! A room belongs to one [`shard`], by the hash of its name. The shard numbers what is published and hands it once to
//! the [`fanout`] of each worker that has members. What of it is kept for those who missed it is a [`history`]. [`rules`]
//! say who may. [`Rooms`] is the way in for all others.

pub(crate) mod counts;
mod ending;
pub mod fanout;
mod histories;
pub mod history;
mod persisted;
pub mod rules;
pub mod shard;
mod timers;
mod workers;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use ahash::{AHashMap, RandomState};
use tokio::sync::oneshot;

use self::counts::RoomCounts;
use self::fanout::{Announce, Announcement, Barrier, Reach, ReleaseSlot};
use self::history::{HistoryPage, Part, Saved};
use self::persisted::Restored;
use self::rules::Rules;
use self::shard::RoomShard;
use self::shard::chat::Chats;
use self::shard::messages::{
    DiscardSuspended, Inspect, Join, Leave, List, Members, Notify, Panic, PostMessage, Publish, SuspendSession,
    TellReceipt, Type, UsersIn,
};
use self::shard::replay::{Locate, ReadHistory, Save};
use self::workers::{InhabitedRoom, WorkerMailboxes};
pub(crate) use self::workers::{ParkedSeat, Workers};
use crate::chats::members::ChatMembers;
use crate::connection::{Remains, ReplySlot, SessionAddr};
use crate::events::chat::rooms::RoomInfo;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{NotificationId, RoomName, SessionId, UserId};
use crate::model::message::ChatMessage;
use crate::model::position::Position;
use crate::notifications::{Keeping, Moment, Notification};
use crate::publication::Event;
use crate::runtime::mailbox::{Full, Mailbox, Watched};
use crate::store::StoredHistory;

/// What became of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Sessions it was handed to.
    pub recipients: usize,
}

/// What a session is told that became a member.
#[derive(Debug)]
pub(crate) struct Membership {
    /// Which notification was the last before.
    pub(crate) moment: Moment,
    /// Which message was the last before, as [`Publication::number`](crate::publication::Publication::number) counts.
    pub(crate) number: u64,
    /// The chat with the session in it, where the room is a chat's.
    pub(crate) chat: Option<Box<RoomInfo>>,
    /// Where the room's history stood, where it keeps one.
    pub(crate) past: Option<Box<Past>>,
}

/// Where a room's history stood when a session became a member.
#[derive(Debug)]
pub(crate) struct Past {
    /// The last message before.
    pub(crate) position: Position,
    /// Whether all that the session missed follows, where it said since when.
    pub(crate) recovered: Option<bool>,
}

/// How a session comes into a room of which it may have missed something.
#[derive(Debug)]
pub(crate) struct Return {
    /// The last that its client has, where it says so.
    pub(crate) since: Option<Position>,
    /// The answer that tells of it: what comes after the join waits for that.
    pub(crate) behind: ReplySlot,
}

/// Resolves when a join took effect, or with why it did not.
pub(crate) type Joined = oneshot::Receiver<Result<Membership, Fault>>;

/// Resolves when a message of a chat is on the disk, or cannot be kept.
pub(crate) struct Stored(pub(crate) Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>);

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}

/// Resolves when a notification has its place, with what resolves when it is on the disk; or with why nothing was done.
pub(crate) type Notified = oneshot::Receiver<Result<(Published, Keeping), Fault>>;

/// Resolves when a leave took effect, with the users who stay.
pub(crate) type Left = oneshot::Receiver<usize>;

/// A room in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSummary {
    /// Its name.
    pub room: RoomName,
    /// Member sessions.
    pub sessions: usize,
    /// Distinct users among them.
    pub users: usize,
}

/// A member of a room: a user and how many of the user's sessions are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomMember {
    /// The user.
    pub user: UserId,
    /// Sessions of the user in the room.
    pub sessions: usize,
}

/// A page of the members of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembersPage {
    /// Member sessions.
    pub sessions: usize,
    /// Distinct users among them.
    pub users: usize,
    /// Users of the page.
    pub members: Vec<RoomMember>,
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// So many are left out.
    pub offset: usize,
    /// At most so many are named.
    pub limit: usize,
}

/// Gives memory back once most of a table of rooms is gone: a client can make many rooms for a moment.
fn shrink<V>(rooms: &mut AHashMap<RoomName, V>) {
    if rooms.capacity() > 1_024 && rooms.len() < rooms.capacity() / 4 {
        let kept = rooms.len();
        rooms.shrink_to(kept * 2);
    }
}

/// The way to every room.
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

    /// How many rooms clients made.
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
        self.owner(room).and_then(|mailboxes| mailboxes.shard()).ok_or_else(Fault::internal)
    }

    /// Puts what a room kept before the start where its shard will find it, unless the rules keep nothing of it any more.
    pub(crate) fn restore(&self, rules: &Rules, history: StoredHistory) {
        let topic = history.room.clone();
        match Restored::of(rules, history) {
            Ok(Some(restored)) => {
                if let Some(mailboxes) = self.owner(&restored.room) {
                    mailboxes.restore(restored);
                }
            }
            Ok(None) => {}
            Err(fault) => log::error!("the stored history of the topic {topic:?} is left out: {fault}"),
        }
    }

    /// Puts a seat that was parked before the start where its worker will find it, and the shards of its rooms.
    pub(crate) fn restore_seat(&self, handle: ParkedSeat) {
        let worker = handle.place.worker;
        for room in &handle.rooms {
            if let Some(mailboxes) = self.owner(room) {
                mailboxes.inhabit(InhabitedRoom { room: room.clone(), worker, user: handle.user.clone() });
            }
        }
        if let Some(mailboxes) = self.workers.get(worker) {
            mailboxes.park(handle);
        }
    }

    /// What all rooms keep, to be stored: those first that were said something in first.
    pub(crate) async fn histories(&self) -> Vec<StoredHistory> {
        let mut histories = Vec::new();
        for shard in self.workers.shards() {
            let (reply, answer) = oneshot::channel();
            shard.post_departure(Save(reply));
            // A shard that is gone has lost them.
            histories.append(&mut answer.await.unwrap_or_default());
        }
        histories
            .sort_by_cached_key(|(_, saved): &(RoomName, Saved)| saved.messages.last().map(|last| last.timestamp()));
        histories.into_iter().map(persisted::stored).collect()
    }

    /// Makes the session at `place`, which connected at `connected_at`, a member. The receiver resolves when it gets all
    /// that is published from then on, or with why it does not. What the seat at `instead_of`, which is parked, gets of the
    /// room ends there; such a join is not refused for a full mailbox.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`]: nothing was done.
    pub(crate) fn join(
        &self,
        room: RoomName,
        identity: Arc<Identity>,
        connected_at: i64,
        place: SessionAddr,
        instead_of: Option<SessionAddr>,
    ) -> Result<Joined, Fault> {
        self.enter(|done| Join { room, identity, connected_at, place, instead_of, returns: None, done })
    }

    /// As [`Rooms::join`], for a session whose client may want what it missed.
    ///
    /// # Errors
    /// As [`Rooms::join`].
    pub(crate) fn return_to(
        &self,
        room: RoomName,
        identity: Arc<Identity>,
        connected_at: i64,
        place: SessionAddr,
        returns: Return,
    ) -> Result<Joined, Fault> {
        let returns = Some(returns);
        self.enter(|done| Join { room, identity, connected_at, place, instead_of: None, returns, done })
    }

    fn enter(&self, join: impl FnOnce(oneshot::Sender<Result<Membership, Fault>>) -> Join) -> Result<Joined, Fault> {
        let (done, joined) = oneshot::channel();
        let join = join(done);
        let shard = self.shard(&join.room)?;
        if join.instead_of.is_some() {
            // It goes on with what was let in before, and there is one of these for each of those.
            shard.post_departure(join);
        } else {
            shard.post(join).map_err(|Full(_)| Fault::overloaded())?;
        }
        Ok(joined)
    }

    /// Where the history of a room stands of which the session at `place` is a member already. Resolves as
    /// [`Rooms::return_to`] does; nothing is brought, for what was missed and what was not is not known here.
    ///
    /// # Errors
    /// As [`Rooms::join`].
    pub(crate) fn locate(&self, room: RoomName, place: SessionAddr, returns: Return) -> Result<Joined, Fault> {
        let (done, located) = oneshot::channel();
        let locate = Locate { room, place, returns, done };
        self.shard(&locate.room)?.post(locate).map_err(|Full(_)| Fault::overloaded())?;
        Ok(located)
    }

    /// Some of the messages that are kept of a room; `None` where none are.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) async fn history(&self, room: RoomName, part: Part, limit: usize) -> Result<Option<HistoryPage>, Fault> {
        let (reply, answer) = oneshot::channel();
        let shard = self.shard(&room)?;
        shard.post(ReadHistory { room, part, limit, reply }).map_err(|Full(_)| Fault::overloaded())?;
        answer.await.map_err(|_| Fault::internal())
    }

    /// Ends the membership of the session at `place`. The receiver resolves when it gets nothing any more.
    pub(crate) fn leave(&self, room: RoomName, user: UserId, place: SessionAddr) -> Left {
        let (done, left) = oneshot::channel();
        if let Ok(shard) = self.shard(&room) {
            shard.post_departure(Leave { room, user, place, done: Some(done) });
        }
        left
    }

    /// The session at `place` was cut off: it is no member any more, and its seat still gets what is published.
    pub(crate) fn park(&self, room: RoomName, user: UserId, place: SessionAddr) {
        if let Ok(shard) = self.shard(&room) {
            shard.post_departure(SuspendSession { room, user, place });
        }
    }

    /// The parked seat at `place` gets nothing of the room any more, once the receiver resolves.
    pub(crate) fn abandon(&self, room: RoomName, place: SessionAddr) -> Left {
        let (done, left) = oneshot::channel();
        if let Ok(shard) = self.shard(&room) {
            shard.post_departure(DiscardSuspended { room, place, done: Some(done) });
        }
        left
    }

    /// Resolves when all that shards handed to the fan-out of this worker before has reached its seats.
    pub(crate) async fn caught_up(&self, worker: usize) {
        let (done, reached) = oneshot::channel();
        if let Some(fanout) = self.workers.fanout(worker) {
            fanout.post_departure(Barrier(done));
            let _ = reached.await;
        }
    }

    /// Gives up the parked seat of `session` at `place`, which is in no room any more; what came for it.
    pub(crate) async fn vacate(&self, place: SessionAddr, session: SessionId) -> Option<Remains> {
        let (done, kept) = oneshot::channel();
        self.workers.fanout(place.worker)?.post_departure(ReleaseSlot {
            handle: place.slot,
            session,
            done: Some(done),
        });
        kept.await.ok().flatten()
    }

    /// Gives up parked seats with their sessions, all at once; what came for each, in their order.
    pub(crate) async fn vacate_all(&self, places: &[(SessionAddr, SessionId)]) -> Vec<Option<Remains>> {
        let mut waits = Vec::with_capacity(places.len());
        for &(place, session) in places {
            let (done, remains) = oneshot::channel();
            if let Some(fanout) = self.workers.fanout(place.worker) {
                fanout.post_departure(ReleaseSlot { handle: place.slot, session, done: Some(done) });
            }
            waits.push(remains);
        }
        let mut all = Vec::with_capacity(waits.len());
        for remains in waits {
            all.push(remains.await.ok().flatten());
        }
        all
    }

    /// Publishes a message to a chat and has it kept: see [`crate::store`].
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) fn say(
        &self,
        room: RoomName,
        message: ChatMessage,
        event: Event,
    ) -> Result<oneshot::Receiver<Result<Stored, Fault>>, Fault> {
        let (done, said) = oneshot::channel();
        self.shard(&room)?.post(PostMessage { room, message, event, done }).map_err(|Full(_)| Fault::overloaded())?;
        Ok(said)
    }

    /// Notes that a session in a chat types, or does not any more. The receiver resolves when it is noted.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) fn type_in(
        &self,
        room: RoomName,
        user: UserId,
        place: SessionAddr,
        typing: bool,
    ) -> Result<oneshot::Receiver<()>, Fault> {
        let (done, noted) = oneshot::channel();
        self.shard(&room)?.post(Type { room, user, place, typing, done }).map_err(|Full(_)| Fault::overloaded())?;
        Ok(noted)
    }

    /// Tells all in a chat of a receipt as soon as its shard takes it, unless there are too many: then the event comes
    /// back, for the author.
    pub(crate) async fn tell_receipt(&self, room: RoomName, event: Event) -> Result<Option<Event>, Fault> {
        let (done, told) = oneshot::channel();
        self.shard(&room)?.post_when_free(TellReceipt { room: room.clone(), event, done }).await;
        told.await.map_err(|_| Fault::outcome_unknown())
    }

    /// What `look` sees in the roster of a chat; without one when nobody is in it.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) async fn inspect<T: Send + 'static>(
        &self,
        room: RoomName,
        look: impl FnOnce(Option<&ChatMembers>) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let shard = self.shard(&room)?;
        let look = Inspect(Box::new(move |chats| drop(reply.send(look(chats.chat_members(&room))))));
        shard.post(look).map_err(|Full(_)| Fault::overloaded())?;
        answer.await.map_err(|_| Fault::internal())
    }

    /// What those in them see of these chats; nothing of one that nobody is in. In the order of `rooms`.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) async fn infos(&self, rooms: Arc<[RoomName]>) -> Result<Vec<Option<RoomInfo>>, Fault> {
        let mut infos = vec![None; rooms.len()];
        for shard in self.workers.shards() {
            let (reply, answer) = oneshot::channel();
            let rooms = rooms.clone();
            let look = move |chats: &Chats<'_>| {
                let seen = rooms.iter().enumerate();
                let seen = seen.filter_map(|(index, room)| Some((index, chats.chat_members(room)?.info())));
                let _ = reply.send(seen.collect::<Vec<_>>());
            };
            shard.post(Inspect(Box::new(look))).map_err(|Full(_)| Fault::overloaded())?;
            for (index, info) in answer.await.map_err(|_| Fault::internal())? {
                if let Some(place) = infos.get_mut(index) {
                    *place = Some(info);
                }
            }
        }
        Ok(infos)
    }

    /// Publishes to a room, but not to `except`, which must be a member. It takes its place among what this caller sends
    /// before this returns; the receiver resolves when it has its place in the room's order.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`]: nothing was accepted.
    pub(crate) fn publish(
        &self,
        room: RoomName,
        event: Event,
        except: Option<SessionAddr>,
    ) -> Result<oneshot::Receiver<Published>, Fault> {
        self.publish_about(room, event, except, None)
    }

    /// Tells a user's sessions what became of the notification `id`.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) fn publish_update(
        &self,
        user: &UserId,
        event: Event,
        id: NotificationId,
    ) -> Result<oneshot::Receiver<Published>, Fault> {
        self.publish_about(RoomName::of_user(user), event, None, Some(id))
    }

    fn publish_about(
        &self,
        room: RoomName,
        event: Event,
        except: Option<SessionAddr>,
        about: Option<NotificationId>,
    ) -> Result<oneshot::Receiver<Published>, Fault> {
        let (done, published) = oneshot::channel();
        self.shard(&room)?.post(Publish { room, event, except, about, done }).map_err(|Full(_)| Fault::overloaded())?;
        Ok(published)
    }

    /// Sends a notification to a user's sessions and has it kept.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) fn notify(&self, user: UserId, notification: Notification, event: Event) -> Result<Notified, Fault> {
        let (done, notified) = oneshot::channel();
        let shard = self.shard(&RoomName::of_user(&user))?;
        shard.post(Notify { user, notification, event, done }).map_err(|Full(_)| Fault::overloaded())?;
        Ok(notified)
    }

    /// Publishes to a room as soon as its shard takes it.
    pub(crate) async fn publish_when_free(&self, room: RoomName, event: Event) {
        let (done, _) = oneshot::channel();
        if let Ok(shard) = self.shard(&room) {
            shard.post_when_free(Publish { room, event, except: None, about: None, done }).await;
        }
    }

    /// As [`Rooms::publish`], for what ends something that was published: there is at most one of these for each of those,
    /// so it is not refused.
    pub(crate) fn publish_end(&self, room: RoomName, event: Event, except: SessionAddr) {
        let (done, _) = oneshot::channel();
        if let Ok(shard) = self.shard(&room) {
            shard.post_departure(Publish { room, event, except: Some(except), about: None, done });
        }
    }

    /// Hands announcements to every worker as soon as it takes them. Resolves when they are in the outboxes, with how far
    /// they reached.
    pub(crate) async fn announce(&self, announcements: Arc<[Announcement]>) -> Reach {
        let mut waits = Vec::with_capacity(self.workers.len());
        for fanout in self.workers.fanouts() {
            let (done, wait) = oneshot::channel();
            fanout.post_when_free(Announce { announcements: announcements.clone(), done }).await;
            waits.push(wait);
        }
        let mut reach = Reach::default();
        for wait in waits {
            reach += wait.await.unwrap_or_default();
        }
        reach
    }

    /// A page of the rooms with members, without the hub's own, and how many there are. One worker's after the other, in an
    /// order that stays while none of them goes; those of the page by name.
    pub(crate) async fn list(&self, Page { mut offset, limit }: Page) -> Result<(Vec<RoomSummary>, usize), Fault> {
        let (mut rooms, mut total) = (Vec::new(), 0);
        for shard in self.workers.shards() {
            let (reply, answer) = oneshot::channel();
            let page = Page { offset, limit: limit - rooms.len() };
            shard.post(List { page, reply }).map_err(|Full(_)| Fault::overloaded())?;
            let (mut some, count) = answer.await.map_err(|_| Fault::internal())?;
            offset = offset.saturating_sub(count);
            rooms.append(&mut some);
            total += count;
        }
        rooms.sort_unstable_by(|a, b| a.room.cmp(&b.room));
        Ok((rooms, total))
    }

    /// A page of the members of a room, by user id within it; `None` where there are none.
    pub(crate) async fn members(&self, room: RoomName, page: Page) -> Result<Option<MembersPage>, Fault> {
        let (reply, answer) = oneshot::channel();
        self.shard(&room)?.post(Members { room, page, reply }).map_err(|Full(_)| Fault::overloaded())?;
        let mut found = answer.await.map_err(|_| Fault::internal())?;
        if let Some(found) = &mut found {
            found.members.sort_unstable_by(|a, b| a.user.cmp(&b.user));
        }
        Ok(found)
    }

    /// The users in a room, as soon as its shard can say.
    pub(crate) async fn users_when_free(&self, room: RoomName) -> Vec<UserId> {
        let Ok(shard) = self.shard(&room) else { return Vec::new() };
        let (reply, answer) = oneshot::channel();
        shard.post_when_free(UsersIn { room, reply }).await;
        // A shard that is gone has lost its rooms, and the hub ends for it.
        answer.await.unwrap_or_default()
    }

    /// Name, depth and life of every mailbox here.
    pub(crate) fn mailboxes<'a>(&'a self) -> impl Iterator<Item = &'a dyn Watched> {
        let shards = self.workers.shards().map(|shard| -> &'a dyn Watched { shard });
        shards.chain(self.workers.fanouts().map(|fanout| -> &'a dyn Watched { fanout }))
    }

    /// Makes the shard of `room` panic.
    #[doc(hidden)]
    pub fn panic_shard_of(&self, room: &RoomName) {
        if let Ok(shard) = self.shard(room) {
            shard.post_departure(Panic);
        }
    }
}
