//! A session's notifications: delivers the unread ones once it has a user, and marks notifications as read.

use std::time::Duration;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{AsyncContext, Context};
use bytes::BytesMut;

use super::{Handle, Outcome, Session};
use crate::events::community::{Marked, Notification, NotificationRead, NotificationUpdated};
use crate::events::{ServerEvent, json};
use crate::model::fault::{Code, Fault};
use crate::model::ids::EventName;
use crate::model::surface::Surface;
use crate::notifications::{LastNotification, written_id};
use crate::publication::Event;
use crate::runtime::backoff::Backoff;
use crate::store::StoredNotification;

/// First and longest pause before the store is queried again.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Unread notifications may fill this fraction of an outbox (1/2).
const SHARE: usize = 2;

impl Session {
    /// Whether the surface has notifications: all but `/chat`.
    pub(super) fn receives_notifications(&self) -> bool {
        self.surface != Surface::Chat
    }

    /// Delivers what the user had not read when the session joined the user's room. It delays no request and no
    /// message. While the store is unavailable, it retries.
    pub(super) fn start_unread_delivery(&self, moment: LastNotification, ctx: &mut Context<Self>) {
        let (Some(identity), true) = (&self.identity, self.receives_notifications()) else { return };
        let (hub, user) = (self.hub.clone(), identity.user.clone());
        let reading = async move {
            let mut backoff = Backoff::new(AGAIN.0, AGAIN.1);
            loop {
                let bytes = hub.settings().outbox.bytes / SHARE;
                let unread = hub.notifications().unread(user.clone(), moment, bytes, hub.clock().now_ms()).await;
                match unread {
                    Err(Fault { code: Code::Overloaded | Code::StoreUnavailable, .. }) => {}
                    unread => return unread.unwrap_or_default(),
                }
                actix_rt::time::sleep(backoff.next_delay()).await;
            }
        };
        ctx.spawn(reading.into_actor(self).map(|unread, session, _| session.deliver_unread(unread)));
    }

    pub(super) fn deliver_unread(&self, unread: Vec<StoredNotification>) {
        // Changes that arrived meanwhile are newer. If there were too many, the unread ones follow the next connect.
        let Some(noted) = self.handle.noted().end() else { return };
        let (mut frames, mut count) = (BytesMut::new(), 0);
        for notice in unread {
            if noted.contains(&notice.id) {
                continue;
            }
            let name = EventName::of_hub(Notification::NAME);
            let event = Event { name, topic: None, data: notice.data, timestamp: notice.sent_at, offset: None };
            frames.extend_from_slice(&self.handle.encoder().event(&event, 0));
            count += 1;
        }
        if count > 0 {
            self.hub.stats().notifications_redelivered.add(count);
            // One frame behind the pending replies: an outbox below half of its capacity takes it.
            self.handle.send(frames.freeze());
        }
    }
}

impl Handle<NotificationRead> for Session {
    fn handle(&mut self, request: NotificationRead) -> Result<Outcome<Marked>, Fault> {
        let (hub, user, id) = (self.hub.clone(), self.identity()?.user.clone(), request.notification_id);
        // A task of its own: the notification is marked even if the session ends meanwhile.
        let answer = actix::spawn(async move {
            let now = hub.clock().now_ms();
            let read = hub.notifications().read(user.clone(), id.clone(), now).await?;
            hub.stats().notifications_read.add(1);
            hub.stats().notifications_pruned.add(read.pruned as u64);
            let written =
                written_id(&read.data).ok_or_else(|| Fault::internal().caused_by("a stored notification has no id"))?;
            let updated = NotificationUpdated::read(written, read.at);
            let (name, data) = (EventName::of_hub(NotificationUpdated::NAME), json::encode(&updated));
            let event = Event { name, topic: None, data, timestamp: now, offset: None };
            let published = hub.rooms().publish_update(&user, event, id)?;
            published.await?;
            Ok(Marked(updated))
        });
        let answer = async move { answer.await.unwrap_or_else(|_| Err(Fault::outcome_unknown())) };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}
