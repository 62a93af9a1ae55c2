//! The handler of `notification_read`.

use actix::fut::WrapFuture;

use crate::events::community::{MarkedRead, NotificationRead, NotificationUpdated};
use crate::events::{ServerEvent, json};
use crate::model::fault::Fault;
use crate::model::ids::EventName;
use crate::model::surface::Surface;
use crate::notifications::written_id;
use crate::publication::Event;
use crate::session::{Handle, Outcome, Session};

impl Handle<NotificationRead> for Session {
    fn handle(&mut self, request: NotificationRead) -> Result<Outcome<MarkedRead>, Fault> {
        let is_unordered = self.surface == Surface::Root;
        if is_unordered {
            self.check_unordered()?;
        }
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
            published.await??;
            Ok(MarkedRead(updated))
        });
        let answer = async move { answer.await.unwrap_or_else(|_| Err(Fault::outcome_unknown())) };
        let answer = Box::pin(answer.into_actor(self));
        Ok(if is_unordered { Outcome::Unordered(answer) } else { Outcome::Async(answer) })
    }
}
