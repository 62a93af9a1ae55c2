//! How events are published to rooms, and presence is announced to workers.

use std::sync::Arc;

use super::Rooms;
use super::actor::messages::{Notify, PostMessage, Publish, PublishReceipt, SetTyping};
use super::fanout::messages::{Announce, Announcement, AnnouncementReach};
use super::replies::{NotifyReply, PendingWrite, PublishReply};
use crate::connection::Sender;
use crate::model::fault::Fault;
use crate::model::ids::{NotificationId, RoomName, UserId};
use crate::model::message::ChatMessage;
use crate::notifications::Notification;
use crate::publication::Event;
use crate::runtime::mailbox::ReplyReceiver;

impl Rooms {
    /// Publishes to a room, but not to `except`, which must be a member. The caller's publications keep their order.
    /// The reply resolves when the event has its place in the room's order.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`], here or in the reply: nothing was accepted.
    pub(crate) fn publish(&self, room: RoomName, event: Event, except: Option<Sender>) -> Result<PublishReply, Fault> {
        self.publish_about(room, event, except, None)
    }

    /// Publishes a change of the notification `id` to its user's sessions.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) fn publish_update(
        &self,
        user: &UserId,
        event: Event,
        id: NotificationId,
    ) -> Result<PublishReply, Fault> {
        self.publish_about(RoomName::of_user(user), event, None, Some(id))
    }

    fn publish_about(
        &self,
        room: RoomName,
        event: Event,
        except: Option<Sender>,
        about: Option<NotificationId>,
    ) -> Result<PublishReply, Fault> {
        let actor = self.actor()?;
        let publish = |reply| Publish { room, event, except, about, reply: Some(reply) };
        Ok(actor.ask(publish)?.for_change())
    }

    /// Publishes to a room as soon as the room actor has a free place.
    pub(crate) async fn publish_when_free(&self, room: RoomName, event: Event) {
        if let Ok(actor) = self.actor() {
            actor.post_when_free(Publish { room, event, except: None, about: None, reply: None }).await;
        }
    }

    /// As [`Rooms::publish`], for the event that ends a published one, such as typing. Each start has at most one end, so
    /// it is not refused.
    pub(crate) fn publish_end(&self, room: RoomName, event: Event, except: Sender) {
        if let Ok(actor) = self.actor() {
            actor.post_departure(Publish { room, event, except: Some(except), about: None, reply: None });
        }
    }

    /// Sends a notification to a user's sessions and stores it.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) fn notify(&self, user: UserId, notification: Notification, event: Event) -> Result<NotifyReply, Fault> {
        let actor = self.actor()?;
        Ok(actor.ask(|reply| Notify { user, notification, event, reply })?.for_change())
    }

    /// Publishes a message to a chat and stores it: see [`crate::store`].
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) fn post_message(
        &self,
        room: RoomName,
        message: ChatMessage,
        event: Event,
    ) -> Result<ReplyReceiver<Result<PendingWrite, Fault>>, Fault> {
        let actor = self.actor()?;
        Ok(actor.ask(|reply| PostMessage { room, message, event, reply })?.for_change())
    }

    /// Sets whether a session types in a chat. The reply resolves when the change took effect.
    ///
    /// # Errors
    /// As [`Rooms::publish`].
    pub(crate) fn set_typing(
        &self,
        room: RoomName,
        user: UserId,
        sender: Sender,
        is_typing: bool,
    ) -> Result<ReplyReceiver<Result<(), Fault>>, Fault> {
        let actor = self.actor()?;
        Ok(actor.ask(|reply| SetTyping { room, user, sender, is_typing, reply })?.for_change())
    }

    /// Publishes a receipt to a chat as soon as the room actor has a free place. Returns the event when the chat's rate of
    /// receipts is exceeded; the caller then sends it to the author alone.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::OutcomeUnknown`].
    pub(crate) async fn publish_receipt(&self, room: RoomName, event: Event) -> Result<Option<Event>, Fault> {
        let actor = self.actor()?;
        let request = |reply| PublishReceipt { room: room.clone(), event, reply };
        actor.ask_when_free(request).await.for_change().await
    }

    /// Sends announcements to every worker as soon as it has a free place. Resolves when they are in the outboxes.
    pub(crate) async fn announce(&self, announcements: Arc<[Announcement]>) -> AnnouncementReach {
        let mut replies = Vec::with_capacity(self.workers.len());
        for fanout in self.workers.fanouts().iter() {
            let announcements = announcements.clone();
            replies.push(fanout.ask_when_free(|reply| Announce { announcements, reply }).await);
        }
        let mut reach = AnnouncementReach::default();
        for reply in replies {
            reach += reply.await.unwrap_or_default();
        }
        reach
    }
}
