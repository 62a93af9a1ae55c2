//! Delivers the user's unread notifications once the session has a user.

use std::time::Duration;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{AsyncContext, Context};

use super::Session;
use crate::events::ServerEvent;
use crate::events::community::UserNotification;
use crate::model::fault::{Code, Fault};
use crate::model::ids::EventName;
use crate::model::surface::Surface;
use crate::publication::{Event, Offset, Payload};
use crate::runtime::backoff::Backoff;
use crate::store::StoredNotification;

/// First and longest pause between two queries of the store.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Unread notifications may fill this part of an outbox: 1/2.
const OUTBOX_DIVISOR: usize = 2;

impl Session {
    /// Whether the surface has notifications: all but `/chat`.
    pub(super) fn receives_notifications(&self) -> bool {
        self.surface != Surface::Chat
    }

    /// Delivers the user's unread notifications, unless they are sent. It delays no request and no message. While the
    /// store is unavailable, it retries.
    pub(super) fn start_unread_delivery(&self, ctx: &mut Context<Self>) {
        let (Some(identity), true) = (&self.identity, self.receives_notifications()) else { return };
        let Some(backlog) = self.backlog.filter(|backlog| backlog.is_unsent()) else {
            self.handle.noted().end();
            return;
        };
        let (hub, user) = (self.hub.clone(), identity.user.clone());
        let reading = async move {
            let mut backoff = Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1);
            loop {
                let bytes = hub.settings().outbox.bytes / OUTBOX_DIVISOR;
                let unread = hub.notifications().unread(user.clone(), backlog, bytes, hub.clock().now_ms()).await;
                match unread {
                    Err(Fault { code: Code::Overloaded | Code::StoreUnavailable, .. }) => {}
                    Err(fault) => {
                        log::error!(user = user.as_str(); "unread notifications cannot be read: {fault}");
                        return Vec::new();
                    }
                    Ok(unread) => return unread,
                }
                actix_rt::time::sleep(backoff.next_delay()).await;
            }
        };
        ctx.spawn(reading.into_actor(self).map(|unread, session, _| session.deliver_unread(unread)));
    }

    pub(super) fn deliver_unread(&mut self, unread: Vec<StoredNotification>) {
        // Publications up to this one precede them, and later ones follow.
        let number = self.worker.session_table().position();
        self.backlog = self.backlog.map(|backlog| backlog.written_at(number));
        // Changes that arrived meanwhile are newer. If there were too many, the next session gets the unread ones.
        let Some(noted) = self.handle.noted().end() else { return };
        let mut events = Vec::new();
        for notice in unread {
            if noted.contains(&notice.id) {
                continue;
            }
            let name = EventName::of_hub(UserNotification::NAME);
            let event = Event { name, topic: None, data: notice.data, timestamp: notice.sent_at, offset: None };
            let offset = Offset { number, notice: Some(notice.number) };
            events.push(self.handle.encoder().event(&event, offset));
        }
        self.hub.stats().notifications_redelivered.add(events.len() as u64);
        if let Some(all) = Payload::concat(events) {
            // One payload behind the pending replies: an outbox below half of its capacity takes it.
            self.handle.send_in_order(all);
        }
    }
}
