//! The actor that delivers publications to a worker's members of every room. It appends to their outboxes directly: a
//! member costs no mailbox message, no wake-up and no encoding.

pub(crate) mod mailboxes;
mod members;
pub(crate) mod messages;
mod sampling;
mod shutdown;

use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, Context};
use ahash::{AHashMap, AHashSet};

use self::mailboxes::Ordered;
use self::members::MemberTable;
use self::messages::{
    AddMember, AddRecovered, Announce, Announcement, AnnouncementReach, Barrier, CloseAll, CloseRoom, CloseSession,
    Deliver, LocateMember, RemoveMember,
};
use self::sampling::Sampling;
use crate::connection::encoded::{EncodedPublication, content_of};
use crate::connection::outbox::Content;
use crate::connection::{SessionHandle, SessionTable, SlotId};
use crate::model::close::Close;
use crate::model::ids::RoomName;
use crate::model::surface::Surface;
use crate::publication::{PerFormat, Publication};
use crate::runtime::mailbox::{Receive, receives_posts};
use crate::runtime::shrink::shrink;

/// The contents of a presence announcement, created when the first member needs them. Announcements
/// have no room and no number, unlike an [`EncodedPublication`].
#[derive(Default)]
struct Contents(PerFormat<Option<Rc<Content>>>);

impl Contents {
    fn of(&mut self, publication: &Publication, handle: &SessionHandle) -> Rc<Content> {
        let encoder = handle.encoder();
        self.0.get_mut(encoder.format()).get_or_insert_with(|| Content::of(publication.payload(encoder))).clone()
    }
}

/// The actor.
#[derive(Debug)]
pub struct Fanout {
    session_table: Rc<SessionTable>,
    rooms: AHashMap<RoomName, MemberTable>,
    everybody: RoomName,
    sampling: Sampling,
}

impl Fanout {
    /// A fan-out for the sessions of its worker.
    pub fn new(session_table: Rc<SessionTable>) -> Self {
        Self { session_table, rooms: AHashMap::new(), everybody: RoomName::everybody(), sampling: Sampling::default() }
    }

    /// Delivers missed messages of a room, all or none; `false` when half of the outbox is too small for them.
    fn replay(&self, handle: &SessionHandle, room: &RoomName, missed: &[Arc<Publication>]) -> bool {
        let contents = missed.iter().map(|publication| content_of(publication, room, handle.encoder()));
        let contents: Vec<_> = contents.collect();
        let bytes = contents.iter().map(|content| content.payload().len()).sum();
        let fits = contents.is_empty() || handle.fits_within_half(contents.len(), bytes);
        if fits {
            let sent = contents.into_iter().map(|content| u64::from(handle.deliver(room, content))).sum();
            self.session_table.stats().sent.add(sent);
        }
        fits
    }

    /// Delivers a publication to the members on this worker. Measures the latency of a sample of the deliveries.
    fn deliver(&mut self, deliver: &Deliver) {
        let Some(members) = self.rooms.get(&deliver.room) else { return };
        let mut copies = EncodedPublication::new(&deliver.publication, &deliver.room);
        let mut sent = 0;
        let deliveries = members.len().saturating_sub(usize::from(deliver.except.is_some()));
        let mut sample = self.sampling.of(deliveries, deliver.publication.accepted_us());
        members.for_each(|key, handle| {
            if deliver.except != Some(key) {
                let publication = &*deliver.publication;
                sent += u64::from(handle.hand_over(&deliver.room, publication, &mut copies, sample.next()));
            }
        });
        self.session_table.stats().sent.add(sent);
    }

    fn announce(&self, announcement: &Announcement) -> AnnouncementReach {
        let Announcement { except, plain, chat, rooms, known_in } = announcement;
        let rooms = if rooms.is_empty() { std::slice::from_ref(&self.everybody) } else { &rooms[..] };
        let members_of = |room: &RoomName| self.rooms.get(room);
        let known_in: Vec<_> = known_in.iter().filter_map(members_of).collect();
        let (mut plain_contents, mut chat_contents) = (Contents::default(), Contents::default());
        let (mut notified, mut reach, mut sent) = (AHashSet::new(), AnnouncementReach::default(), 0);
        let presence_listeners = self.session_table.presence_listeners();
        for room in rooms {
            let Some(members) = members_of(room) else { continue };
            reach.examined += presence_listeners.len().min(members.len()) as u64;
            let mut announce_to = |key: SlotId, handle: &SessionHandle| {
                let (publication, contents) = match handle.presence_surface(except.as_ref()) {
                    Some(Surface::Raw | Surface::Root) => (plain.as_ref(), &mut plain_contents),
                    Some(Surface::Chat) => (Some(chat), &mut chat_contents),
                    None => return,
                };
                let is_recipient = !known_in.iter().any(|members| members.get(key).is_some())
                    && (rooms.len() == 1 || notified.insert(key));
                if is_recipient && let Some(content) = publication.map(|publication| contents.of(publication, handle)) {
                    sent += u64::from(handle.deliver(room, content));
                    reach.deliveries += 1;
                }
            };
            // On `/ws` few sessions listen to presence, and the room of all sessions is large.
            if presence_listeners.len() < members.len() {
                for &key in presence_listeners.iter() {
                    members.get(key).into_iter().for_each(|handle| announce_to(key, handle));
                }
            } else {
                members.for_each(|key, handle| announce_to(key, handle));
            }
        }
        self.session_table.stats().sent.add(sent);
        reach
    }
}

impl Actor for Fanout {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The `Mailbox` enforces the bound.
        ctx.set_mailbox_capacity(0);
    }
}

receives_posts!(Fanout);

impl<M> Receive<Ordered<M>> for Fanout
where
    Self: Receive<M>,
{
    fn receive(&mut self, ordered: Ordered<M>, ctx: &mut Self::Context) {
        let Ordered { message, lagging } = ordered;
        self.receive(message, ctx);
        self.session_table.set_position(lagging.number());
    }
}

impl Receive<AddMember> for Fanout {
    fn receive(&mut self, add: AddMember, _: &mut Self::Context) {
        let AddMember { room, slot, mut membership, missed, reply_slot, reply } = add;
        // A session that has ended meanwhile has posted its leave already.
        if let Some(handle) = self.session_table.get(slot) {
            if let Some(reply_slot) = reply_slot {
                handle.defer_from_now(&room, reply_slot);
            }
            if !self.replay(&handle, &room, &missed)
                && let Some(history) = &mut membership.history
            {
                history.recovered = Some(false);
            }
            self.rooms.entry(room).or_default().insert(slot, handle);
        }
        let _ = reply.send(Ok(membership));
    }
}

impl Receive<LocateMember> for Fanout {
    fn receive(&mut self, locate: LocateMember, _: &mut Self::Context) {
        let LocateMember { room, slot, membership, reply_slot, reply } = locate;
        if let Some(handle) = self.session_table.get(slot) {
            handle.defer_from_now(&room, reply_slot);
        }
        let _ = reply.send(Ok(membership));
    }
}

impl Receive<RemoveMember> for Fanout {
    fn receive(&mut self, RemoveMember { room, slot, users, reply }: RemoveMember, _: &mut Self::Context) {
        if let Some(members) = self.rooms.get_mut(&room) {
            members.remove(slot);
            if members.is_empty() {
                self.rooms.remove(&room);
                shrink(&mut self.rooms);
            }
        }
        if let Some(reply) = reply {
            let _ = reply.send(users);
        }
    }
}

impl Receive<AddRecovered> for Fanout {
    fn receive(&mut self, AddRecovered { slot, rooms, recovered, reply }: AddRecovered, _: &mut Self::Context) {
        // A session that has ended meanwhile has posted its leaves already.
        if let Some(handle) = self.session_table.get(slot) {
            for room in rooms {
                self.rooms.entry(room).or_default().insert(slot, handle.clone());
            }
            handle.note_offered(recovered.missed.iter().flatten().last().map_or(0, |last| last.number()));
        }
        let _ = reply.send(recovered);
    }
}

impl Receive<Deliver> for Fanout {
    fn receive(&mut self, deliver: Deliver, _: &mut Self::Context) {
        self.deliver(&deliver);
    }
}

impl Receive<Announce> for Fanout {
    fn receive(&mut self, Announce { announcements, reply }: Announce, _: &mut Self::Context) {
        let mut reach = AnnouncementReach::default();
        for announcement in &*announcements {
            reach += self.announce(announcement);
        }
        let _ = reply.send(reach);
    }
}

impl Receive<Barrier> for Fanout {
    fn receive(&mut self, Barrier(reply): Barrier, _: &mut Self::Context) {
        let _ = reply.send(());
    }
}

impl Receive<CloseSession> for Fanout {
    fn receive(&mut self, CloseSession { slot, close }: CloseSession, _: &mut Self::Context) {
        if let Some(handle) = self.session_table.get(slot) {
            match close {
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

impl Receive<CloseAll> for Fanout {
    fn receive(&mut self, CloseAll(close): CloseAll, _: &mut Self::Context) {
        self.session_table.for_each(|handle| handle.close(close));
    }
}

#[cfg(test)]
mod tests;
