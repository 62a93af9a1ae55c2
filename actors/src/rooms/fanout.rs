//! A worker's own members of every room. Appends each delivery to their outboxes: no mailbox message, no wake-up and no
//! encoding a member.

mod members;
mod sampling;
mod shutdown;

use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, Context};
use ahash::{AHashMap, AHashSet};
use tokio::sync::oneshot;

use self::members::Members;
use self::sampling::Sampling;
pub(crate) use self::shutdown::Drain;
use super::Membership;
use crate::connection::encoded::EncodedPublication;
use crate::connection::outbox::Frame;
use crate::connection::{Remains, ReplySlot, SessionHandle, SessionTable, SlotId};
use crate::events::Surface;
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::ids::{RoomName, SessionId, UserId};
use crate::publication::{PerFormat, Publication};
use crate::runtime::mailbox::{Receive, receives_posts};

/// A seat of this worker is a member from here on.
#[derive(Debug)]
pub(crate) struct AddMember {
    pub(crate) room: RoomName,
    pub(crate) handle: SlotId,
    pub(crate) membership: Membership,
    /// What it missed, in order: for it alone, and before all else.
    pub(crate) missed: Vec<Arc<Publication>>,
    /// The answer that tells of it, where what comes from here on is to wait for that.
    pub(crate) behind: Option<ReplySlot>,
    pub(crate) done: oneshot::Sender<Result<Membership, Fault>>,
}

/// A member on this worker is told where its room's history stands.
#[derive(Debug)]
pub(crate) struct Situate {
    pub(crate) room: RoomName,
    pub(crate) handle: SlotId,
    pub(crate) membership: Membership,
    /// The answer that tells of it: what comes from here on waits for that.
    pub(crate) behind: ReplySlot,
    pub(crate) done: oneshot::Sender<Result<Membership, Fault>>,
}

/// A seat of this worker is no member any more.
#[derive(Debug)]
pub(crate) struct RemoveMember {
    pub(crate) room: RoomName,
    pub(crate) handle: SlotId,
    /// Users in the room without it.
    pub(crate) users: usize,
    pub(crate) done: Option<oneshot::Sender<usize>>,
}

/// A parked seat of this worker is given up.
#[derive(Debug)]
pub(crate) struct ReleaseSlot {
    pub(crate) handle: SlotId,
    /// Whose it has to be: what was kept for one is not handed to another.
    pub(crate) session: SessionId,
    /// Answered with what came for it.
    pub(crate) done: Option<oneshot::Sender<Option<Remains>>>,
}

/// A message for all members on this worker but one.
#[derive(Debug)]
pub(crate) struct Deliver {
    pub(crate) room: RoomName,
    pub(crate) delivery: Arc<Publication>,
    pub(crate) except: Option<SlotId>,
}

/// An event about users, for the sessions on this worker that hear of users.
#[derive(Debug)]
pub(crate) struct Announcement {
    /// Whose sessions do not hear it, for it is about this user.
    pub(crate) except: Option<UserId>,
    /// As it is said on `/ws` and `/`, where it is.
    pub(crate) plain: Option<Publication>,
    /// As it is said on `/chat`.
    pub(crate) chat: Publication,
    /// The rooms whose members hear it, each session once; none where all do.
    pub(crate) rooms: Vec<RoomName>,
    /// Rooms whose members do not.
    pub(crate) known_in: Vec<RoomName>,
}

/// Announcements, in their order.
#[derive(Debug)]
pub(crate) struct Announce {
    pub(crate) announcements: Arc<[Announcement]>,
    pub(crate) done: oneshot::Sender<Reach>,
}

/// How far announcements reached.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reach {
    /// Sessions that heard them, each as often.
    pub(crate) heard: u64,
    /// Members of their rooms, or those who hear of users where they are fewer, each as often as it was looked at; one of
    /// several rooms is, for each of them.
    pub(crate) looked_at: u64,
}

impl std::ops::AddAssign for Reach {
    fn add_assign(&mut self, other: Self) {
        self.heard += other.heard;
        self.looked_at += other.looked_at;
    }
}

/// Answers when everything posted before is done.
#[derive(Debug)]
pub(crate) struct Barrier(pub(crate) oneshot::Sender<()>);

/// Ends the session on one seat of this worker.
#[derive(Debug)]
pub(crate) struct CloseSeat {
    pub(crate) handle: SlotId,
    pub(crate) close: Close,
}

/// Ends the sessions of this worker's members of a room.
#[derive(Debug)]
pub(crate) struct CloseRoom {
    pub(crate) room: RoomName,
    pub(crate) close: Close,
}

/// Ends every session of this worker.
#[derive(Debug)]
pub(crate) struct EndAll(pub(crate) Close);

/// The frames of a delivery, as far as somebody here reads them.
#[derive(Default)]
struct Frames(PerFormat<Option<Frame>>);

impl Frames {
    fn of(&mut self, delivery: &Publication, handle: &SessionHandle) -> Frame {
        let encoder = handle.encoder();
        self.0.get_mut(encoder.format()).get_or_insert_with(|| Rc::new(delivery.frame(encoder))).clone()
    }
}

/// The actor that hands deliveries to a worker's members.
#[derive(Debug)]
pub struct Fanout {
    session_table: Rc<SessionTable>,
    rooms: AHashMap<RoomName, Members>,
    everybody: RoomName,
    sampling: Sampling,
}

impl Fanout {
    /// A fan-out for the seats of its worker.
    pub fn new(session_table: Rc<SessionTable>) -> Self {
        Self { session_table, rooms: AHashMap::new(), everybody: RoomName::everybody(), sampling: Sampling::default() }
    }

    /// Has a seat that was parked before the start get what is published to `rooms`.
    pub(crate) fn enrol_parked(&mut self, handle: &Rc<SessionHandle>, rooms: Vec<RoomName>) {
        for room in rooms {
            self.rooms.entry(room).or_default().insert(handle.addr().slot, handle.clone());
        }
    }

    /// Gives a seat what it missed of a room, all of it or nothing; whether it did.
    fn bring(&self, handle: &SessionHandle, room: &RoomName, missed: &[Arc<Publication>]) -> bool {
        let frames: Vec<Frame> = missed.iter().map(|delivery| Rc::new(delivery.frame(handle.encoder()))).collect();
        let bytes = frames.iter().map(|frame| frame.len()).sum();
        let fits = frames.is_empty() || handle.with_outbox(|outbox| outbox.fits_within_half(frames.len(), bytes));
        if fits {
            let sent = frames.into_iter().map(|frame| u64::from(handle.deliver(room, frame))).sum();
            self.session_table.stats().sent.add(sent);
        }
        fits
    }

    /// Hands a message to the members on this worker. Measures the latency of a sample of the deliveries.
    fn deliver(&mut self, deliver: &Deliver) {
        let Some(members) = self.rooms.get(&deliver.room) else { return };
        let mut copies = EncodedPublication::new(&deliver.delivery, &deliver.room, self.session_table.ledger());
        let mut sent = 0;
        let deliveries = members.len().saturating_sub(usize::from(deliver.except.is_some()));
        let mut sample = self.sampling.of(deliveries, deliver.delivery.accepted_us());
        members.for_each(|key, handle| {
            if deliver.except != Some(key) {
                let relieve = |weight| self.session_table.relieve(weight);
                let delivery = &*deliver.delivery;
                sent += u64::from(handle.hand_over(&deliver.room, delivery, &mut copies, sample.next(), relieve));
            }
        });
        self.session_table.stats().sent.add(sent);
    }

    fn announce(&self, announcement: &Announcement) -> Reach {
        let Announcement { except, plain, chat, rooms, known_in } = announcement;
        let rooms = if rooms.is_empty() { std::slice::from_ref(&self.everybody) } else { &rooms[..] };
        let members_of = |room: &RoomName| self.rooms.get(room);
        let known_in: Vec<_> = known_in.iter().filter_map(members_of).collect();
        let (mut plain_frames, mut chat_frames) = (Frames::default(), Frames::default());
        let (mut reached, mut reach, mut sent) = (AHashSet::new(), Reach::default(), 0);
        let presence_listeners = self.session_table.presence_listeners();
        for room in rooms {
            let Some(members) = members_of(room) else { continue };
            reach.looked_at += presence_listeners.len().min(members.len()) as u64;
            let mut tell = |key: SlotId, handle: &SessionHandle| {
                let (delivery, frames) = match handle.presence_surface(except.as_ref()) {
                    Some(Surface::Raw | Surface::Root) => (plain.as_ref(), &mut plain_frames),
                    Some(Surface::Chat) => (Some(chat), &mut chat_frames),
                    None => return,
                };
                let is_told = !known_in.iter().any(|members| members.get(key).is_some())
                    && (rooms.len() == 1 || reached.insert(key));
                if is_told && let Some(frame) = delivery.map(|delivery| frames.of(delivery, handle)) {
                    sent += u64::from(handle.deliver(room, frame));
                    reach.heard += 1;
                }
            };
            // On `/ws` few hear of users, and everybody's room has all there are.
            if presence_listeners.len() < members.len() {
                for &key in presence_listeners.iter() {
                    members.get(key).into_iter().for_each(|handle| tell(key, handle));
                }
            } else {
                members.for_each(|key, handle| tell(key, handle));
            }
        }
        self.session_table.stats().sent.add(sent);
        reach
    }
}

impl Actor for Fanout {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Its `Mailbox` keeps the bound.
        ctx.set_mailbox_capacity(0);
    }
}

receives_posts!(Fanout);

impl Receive<AddMember> for Fanout {
    fn receive(&mut self, enrol: AddMember, _: &mut Self::Context) {
        let AddMember { room, handle: key, mut membership, missed, behind, done } = enrol;
        // A session that ended meanwhile has sent its withdrawal already.
        if let Some(handle) = self.session_table.get(key) {
            if let Some(reply_slot) = behind {
                handle.defer_from_now(&room, reply_slot);
            }
            if !self.bring(&handle, &room, &missed)
                && let Some(past) = &mut membership.past
            {
                past.recovered = Some(false);
            }
            if membership.chat.is_some() {
                handle.join_chat(room.clone(), membership.number);
            }
            self.rooms.entry(room).or_default().insert(key, handle);
        }
        let _ = done.send(Ok(membership));
    }
}

impl Receive<Situate> for Fanout {
    fn receive(&mut self, Situate { room, handle, membership, behind, done }: Situate, _: &mut Self::Context) {
        if let Some(handle) = self.session_table.get(handle) {
            handle.defer_from_now(&room, behind);
        }
        let _ = done.send(Ok(membership));
    }
}

impl Receive<RemoveMember> for Fanout {
    fn receive(&mut self, withdraw: RemoveMember, _: &mut Self::Context) {
        if let Some(members) = self.rooms.get_mut(&withdraw.room) {
            if let Some(handle) = members.remove(withdraw.handle) {
                handle.leave_chat(&withdraw.room);
            }
            if members.is_empty() {
                self.rooms.remove(&withdraw.room);
                super::shrink(&mut self.rooms);
            }
        }
        if let Some(done) = withdraw.done {
            let _ = done.send(withdraw.users);
        }
    }
}

impl Receive<ReleaseSlot> for Fanout {
    fn receive(&mut self, ReleaseSlot { handle, session, done }: ReleaseSlot, _: &mut Self::Context) {
        let suspended = self.session_table.get(handle).filter(|suspended| suspended.session() == session);
        let remains = suspended.as_ref().and_then(|suspended| suspended.remains());
        if suspended.is_some() {
            self.session_table.release(handle);
        }
        if let Some(done) = done {
            let _ = done.send(remains);
        }
    }
}

impl Receive<Deliver> for Fanout {
    fn receive(&mut self, deliver: Deliver, _: &mut Self::Context) {
        self.deliver(&deliver);
    }
}

impl Receive<Announce> for Fanout {
    fn receive(&mut self, Announce { announcements, done }: Announce, _: &mut Self::Context) {
        let mut reach = Reach::default();
        for announcement in &*announcements {
            reach += self.announce(announcement);
        }
        let _ = done.send(reach);
    }
}

impl Receive<Barrier> for Fanout {
    fn receive(&mut self, Barrier(done): Barrier, _: &mut Self::Context) {
        let _ = done.send(());
    }
}

impl Receive<CloseSeat> for Fanout {
    fn receive(&mut self, message: CloseSeat, _: &mut Self::Context) {
        if let Some(handle) = self.session_table.get(message.handle) {
            match message.close {
                Close::Recovered => handle.supersede(),
                close => handle.close(close),
            }
        }
    }
}

impl Receive<CloseRoom> for Fanout {
    fn receive(&mut self, message: CloseRoom, _: &mut Self::Context) {
        if let Some(members) = self.rooms.get(&message.room) {
            members.for_each(|_, handle| handle.close(message.close));
        }
    }
}

impl Receive<EndAll> for Fanout {
    fn receive(&mut self, EndAll(close): EndAll, _: &mut Self::Context) {
        self.session_table.for_each(|handle| handle.close(close));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::SessionSpec;
    use crate::connection::outbox::OutboxCapacity;
    use crate::model::ids::EventName;
    use crate::publication::{Correlation, Encoder, Event, EventError, Format};
    use crate::runtime::clock::{Clock, Expiry};
    use crate::runtime::counters::Stats;

    /// Says the name of what it is given.
    #[derive(Debug)]
    pub(super) struct Name;

    impl Encoder for Name {
        fn format(&self) -> Format {
            Format::Raw
        }

        fn surface(&self) -> Option<Surface> {
            None
        }

        fn event(&self, event: &Event, _: u64) -> bytes::Bytes {
            event.name.as_str().to_owned().into()
        }

        fn answer(&self, name: &str, _: &[u8], _: &Correlation, _: i64) -> bytes::Bytes {
            name.to_owned().into()
        }

        fn acknowledgement(&self, _: Option<&[u8]>, _: &bytes::Bytes, _: i64) -> bytes::Bytes {
            bytes::Bytes::new()
        }

        fn refusal(&self, _: &EventError<'_>, _: i64) -> Option<bytes::Bytes> {
            None
        }
    }

    fn user(id: &str) -> UserId {
        UserId::parse(id, "user").unwrap()
    }

    fn rooms(names: &[&str]) -> Vec<RoomName> {
        names.iter().map(|name| RoomName::parse(name, "room").unwrap()).collect()
    }

    fn fanout() -> Fanout {
        Fanout::new(Rc::new(SessionTable::new(0, 1_000_000, Arc::new(Stats::default()), Clock::manual(0))))
    }

    fn handle(fanout: &mut Fanout, names: &[&str], hears_as: Option<(&str, Surface)>) -> Rc<SessionHandle> {
        let handle = fanout.session_table.insert(SessionSpec {
            session: SessionId::random(),
            encoder: &Name,
            bound: OutboxCapacity { bytes: 100, frames: 10 },
            heartbeat: None,
            multiplexed: false,
            expiry: Expiry::NEVER,
            elapsed: 0,
        });
        handle.set_presence_listener(hears_as.map(|(own, surface)| (user(own), surface)));
        for room in rooms(names) {
            fanout.rooms.entry(room).or_default().insert(handle.addr().slot, handle.clone());
        }
        handle
    }

    fn heard(handle: &SessionHandle) -> String {
        handle.with_outbox(|outbox| {
            let written = outbox.slices().collect::<Vec<_>>().concat();
            outbox.advance(written.len());
            String::from_utf8(written).unwrap()
        })
    }

    fn saying(name: &'static str) -> Publication {
        let name = EventName::of_hub(name);
        Publication::new(Event { name, topic: None, data: bytes::Bytes::new(), timestamp: 0, offset: None })
    }

    #[test]
    fn an_announcement_is_heard_once_by_those_whom_it_concerns_in_the_words_of_their_surface() {
        let mut fanout = fanout();
        let chat = handle(&mut fanout, &["a", "b", "c"], Some(("x", Surface::Chat)));
        let root = handle(&mut fanout, &["a", "b"], Some(("y", Surface::Root)));
        let own = handle(&mut fanout, &["a"], Some(("z", Surface::Chat)));
        let knows = handle(&mut fanout, &["b", "d"], Some(("w", Surface::Raw)));
        let deaf = handle(&mut fanout, &["c"], None);
        let announcement = |except: Option<&str>, plain: Option<&'static str>| Announcement {
            except: except.map(user),
            plain: plain.map(saying),
            chat: saying("chat"),
            rooms: rooms(&["a", "b", "c"]),
            known_in: rooms(&["d"]),
        };
        let all = |session_table: [&Rc<SessionHandle>; 5]| session_table.map(|handle| heard(handle));
        let session_table = [&chat, &root, &own, &knows, &deaf];

        let Reach { heard, looked_at } = fanout.announce(&announcement(Some("z"), Some("plain")));
        assert_eq!((heard, looked_at, all(session_table)), (2, 8, ["chat", "plain", "", "", ""].map(String::from)));
        let Reach { heard, looked_at } = fanout.announce(&announcement(None, None));
        assert_eq!((heard, looked_at, all(session_table)), (2, 8, ["chat", "", "chat", "", ""].map(String::from)));
    }

    #[test]
    fn a_sample_of_live_deliveries_is_marked_and_no_replayed_one() {
        let mut fanout = fanout();
        let session_table: Vec<_> = (0..64).map(|_| handle(&mut fanout, &["a"], None)).collect();
        let marked = || {
            session_table
                .iter()
                .filter_map(|handle| handle.with_outbox(|outbox| outbox.advance(100)))
                .collect::<Vec<_>>()
        };
        let delivery = Arc::new(saying("said").with_accepted_us(7));
        let room = RoomName::parse("a", "room").unwrap();
        fanout.deliver(&Deliver { room: room.clone(), delivery: delivery.clone(), except: None });
        assert_eq!(marked(), [7; 64 / 16]);
        assert!(session_table.iter().all(|handle| fanout.bring(handle, &room, std::slice::from_ref(&delivery))));
        assert!(marked().is_empty());
        fanout.deliver(&Deliver { room, delivery: Arc::new(saying("said")), except: None });
        assert!(marked().is_empty(), "without an acceptance time");
    }

    #[test]
    fn where_few_hear_of_users_nobody_else_is_looked_at() {
        let mut fanout = fanout();
        let hears = handle(&mut fanout, &["$all"], Some(("x", Surface::Raw)));
        let elsewhere = handle(&mut fanout, &["a"], Some(("y", Surface::Raw)));
        let gone = handle(&mut fanout, &["$all"], Some(("z", Surface::Raw)));
        let deaf: Vec<_> = (0..9).map(|_| handle(&mut fanout, &["$all"], None)).collect();
        fanout.session_table.release(gone.addr().slot);
        deaf[0].set_presence_listener(Some((user("d"), Surface::Raw)));
        deaf[0].set_presence_listener(None);

        let announcement = Announcement {
            except: None,
            plain: Some(saying("came")),
            chat: saying("chat"),
            rooms: Vec::new(),
            known_in: Vec::new(),
        };
        let Reach { heard: count, looked_at } = fanout.announce(&announcement);
        assert_eq!((count, looked_at), (1, 2));
        assert_eq!((heard(&hears), heard(&elsewhere), heard(&deaf[0])), ("came".into(), String::new(), String::new()));
    }
}
