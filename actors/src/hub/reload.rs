//! Applies new settings while sessions are live.
//!
//! The settings are one value behind one pointer: a reader sees the old or the new settings. Actors with a copy receive
//! a message. Then each live session checks its rooms once.

use std::sync::Arc;
use std::time::Duration;

use actix_rt::time::timeout;
use tokio::sync::Semaphore;

use super::{Hub, Settings};
use crate::application::Application;
use crate::presence;
use crate::registry::AccessChanged;

/// Sessions that check their rooms at the same time. A worker does other work between two of them.
const REVIEWS: usize = 32;

/// How long the next session waits for a permit. A session that verifies its token checks its rooms after that.
const REVIEW_TIME: Duration = Duration::from_secs(1);

impl Hub {
    /// Applies `settings`, also to live sessions. These need a restart and must be unchanged: `workers`, `mailbox`,
    /// `max_connections`, `heartbeat`, `shortest_heartbeat_ms`, `presence.audience`, `clock`, and of `recovery` the
    /// window and the bytes. The outbox of a live session keeps its bound.
    pub fn reconfigure(&self, settings: Settings) {
        let settings = Arc::new(settings);
        self.settings.store(settings.clone());
        self.rooms.counts().set_limits(settings.rooms, settings.rooms_per_user);
        self.chats.set_created_max(settings.chats_per_user);
        let change = presence::ApplyPresenceSettings { settings: settings.presence, outbox: settings.outbox.bytes };
        self.presence.post_departure(change);
        if let Some(actor) = self.rooms.workers().rooms() {
            actor.post_departure(settings.for_rooms());
        }
    }

    /// Sends requests to `application` from now on; the previous application replies to earlier ones.
    pub fn set_application(&self, application: Option<Arc<dyn Application>>) {
        self.application.store(Arc::new(application));
    }

    /// Makes every live session leave the rooms that it may no longer join. Resolves with the number of sessions when
    /// all have checked.
    pub async fn review_sessions(&self) -> usize {
        let registry = self.registry.clone();
        let sessions = tokio::task::spawn_blocking(move || registry.recipients()).await.unwrap_or_default();
        let count = sessions.len();
        let turns = Arc::new(Semaphore::new(REVIEWS));
        for session in sessions {
            let turn = loop {
                match timeout(REVIEW_TIME, turns.clone().acquire_owned()).await {
                    Ok(Ok(turn)) => break turn,
                    // All permits are held by waiting sessions: they do not delay others.
                    Ok(Err(_)) | Err(_) => turns.add_permits(1),
                }
            };
            // At most one such message waits for a session, because reloads run one at a time.
            #[expect(clippy::disallowed_methods, reason = "a busy session must receive it and must not delay others")]
            session.do_send(AccessChanged::Any(turn));
        }
        let all = u32::try_from(REVIEWS).unwrap_or(u32::MAX);
        let _ = timeout(REVIEW_TIME, turns.acquire_many(all)).await;
        count
    }
}
