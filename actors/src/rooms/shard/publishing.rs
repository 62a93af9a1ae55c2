//! Publishes to the members of a room: one order a room, whatever the source.

use std::sync::Arc;

use actix::Context;

use super::RoomShard;
use super::messages::{Notify, Publish};
use crate::connection::SessionAddr;
use crate::facts::Fact;
use crate::model::ids::RoomName;
use crate::publication::Publication;
use crate::rooms::fanout::messages::Deliver;
use crate::rooms::replies::Published;
use crate::runtime::mailbox::Receive;

impl RoomShard {
    /// Gives a publication its place in the room's order and sends it to the workers with members.
    pub(super) fn publish(
        &mut self,
        name: &RoomName,
        publication: Publication,
        except: Option<SessionAddr>,
        ctx: &mut Context<Self>,
    ) -> Published {
        self.observers.observe(Fact::Published { room: name });
        self.published += 1;
        let publication = self.store_in_history(name, publication, ctx);
        let Some(room) = self.rooms.get(name) else { return Published { recipients: 0, only_suspended: false } };
        let recipients = room.sessions.saturating_sub(usize::from(except.is_some()));
        let publication = Arc::new(publication.with_number(self.published).with_accepted_us(self.clock.elapsed_us()));
        for worker in room.slots.workers() {
            let except = except.filter(|addr| addr.worker == worker).map(|addr| addr.slot);
            self.send(worker, Deliver { room: name.clone(), publication: publication.clone(), except }, ctx);
        }
        Published { recipients, only_suspended: recipients == 0 && room.slots.total() > room.sessions }
    }
}

impl Receive<Publish> for RoomShard {
    fn receive(&mut self, publish: Publish, ctx: &mut Self::Context) {
        let publication = Publication::for_notification(publish.event, publish.about);
        let published = self.publish(&publish.room, publication, publish.except, ctx);
        if let Some(reply) = publish.reply {
            let _ = reply.send(published);
        }
    }
}

impl Receive<Notify> for RoomShard {
    fn receive(&mut self, notify: Notify, ctx: &mut Self::Context) {
        let Notify { user, notification, event, reply } = notify;
        let room = RoomName::of_user(&user);
        let publication = Publication::for_notification(event, Some(notification.id.clone()));
        // Stored first: a notification that cannot be stored is not delivered.
        let stored = self.notifications.store(user, notification, publication.timestamp());
        let _ = reply.send(stored.map(|write| (self.publish(&room, publication, None, ctx), write)));
    }
}
