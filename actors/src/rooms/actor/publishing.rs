//! Publishes to the members of a room: one order for all rooms, whatever the source.

use std::sync::Arc;

use actix::Context;

use super::RoomActor;
use super::messages::{Notify, Publish};
use crate::connection::{Sender, SessionAddr};
use crate::facts::Fact;
use crate::model::ids::RoomName;
use crate::publication::Publication;
use crate::rooms::fanout::messages::Deliver;
use crate::rooms::replies::Published;
use crate::runtime::mailbox::Receive;

impl RoomActor {
    /// Gives a publication its number, its place in the order of the hub, and sends it to the workers with members.
    pub(super) fn publish(
        &mut self,
        name: &RoomName,
        publication: Publication,
        except: Option<Sender>,
        ctx: &mut Context<Self>,
    ) -> Published {
        self.observers.observe(Fact::Published { room: name });
        self.published += 1;
        let publication = self.store_in_history(name, publication, ctx);
        let publication = publication.with_number(self.published).with_accepted_us(self.clock.elapsed_us());
        let publication = self.append(name, publication, except.map(|sender| sender.session), ctx);
        let published = self.deliver(name, &publication, except.map(|sender| sender.addr));
        self.fanouts.set_head(self.published);
        published
    }

    /// Sends an event that follows from the members of the room. It has no number, and the log does not keep it: a client
    /// that returns needs the present members.
    pub(super) fn publish_derived(
        &mut self,
        name: &RoomName,
        publication: Publication,
        except: Option<SessionAddr>,
        ctx: &mut Context<Self>,
    ) {
        self.observers.observe(Fact::Published { room: name });
        let publication = self.store_in_history(name, publication, ctx);
        let publication = Arc::new(publication.with_accepted_us(self.clock.elapsed_us()));
        self.deliver(name, &publication, except);
    }

    /// Sends a publication to the workers with members, except one session.
    pub(super) fn deliver(
        &self,
        name: &RoomName,
        publication: &Arc<Publication>,
        except: Option<SessionAddr>,
    ) -> Published {
        let mut recipients = 0;
        if let Some(room) = self.rooms.get(name) {
            recipients = room.sessions.saturating_sub(usize::from(except.is_some()));
            let bytes = publication.lag_weight();
            for worker in room.slots.workers() {
                let except = except.filter(|addr| addr.worker == worker).map(|addr| addr.slot);
                let deliver = Deliver { room: name.clone(), publication: publication.clone(), except };
                self.fanouts.send(worker, deliver, self.published, bytes);
            }
        }
        Published { recipients, only_suspended: recipients == 0 && self.log.has_records(name) }
    }
}

impl Receive<Publish> for RoomActor {
    fn receive(&mut self, publish: Publish, ctx: &mut Self::Context) {
        let Publish { room, event, except, about, reply } = publish;
        // An update of a notification is stored already, and what nobody waits for ends something accepted.
        if reply.is_some()
            && about.is_none()
            && let Err(fault) = self.check_lag(&room)
        {
            return drop(reply.map(|reply| reply.send(Err(fault))));
        }
        let published = self.publish(&room, Publication::for_notification(event, about), except, ctx);
        if let Some(reply) = reply {
            let _ = reply.send(Ok(published));
        }
    }
}

impl Receive<Notify> for RoomActor {
    fn receive(&mut self, notify: Notify, ctx: &mut Self::Context) {
        let Notify { user, notification, event, reply } = notify;
        let room = RoomName::of_user(&user);
        let publication = Publication::for_notification(event, Some(notification.id.clone()));
        if let Err(fault) = self.check_lag(&room) {
            return drop(reply.send(Err(fault)));
        }
        // Stored first: a notification that cannot be stored is not delivered.
        let stored = self.notifications.store(user, notification, publication.timestamp());
        let _ = reply.send(stored.map(|write| (self.publish(&room, publication, None, ctx), write)));
    }
}
