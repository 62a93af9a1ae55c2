//! How the hub goes on by other settings while sessions live.
//!
//! The settings are one value behind one pointer: a reader sees the old ones or the new ones. What an actor keeps a copy of
//! follows by a message. Then each live session looks once at the rooms it is in.

use std::sync::Arc;
use std::time::Duration;

use actix_rt::time::timeout;
use tokio::sync::Semaphore;

use super::{Hub, Settings};
use crate::application::Application;
use crate::presence;
use crate::registry::AccessChanged;

/// Sessions that look at their rooms at once: a worker has other work between any two of them, and waits for no more than
/// its share of these.
const REVIEWS: usize = 32;

/// How long the next sessions wait for those. A session that waits for its token to be verified looks after that.
const REVIEW_TIME: Duration = Duration::from_secs(1);

impl Hub {
    /// Goes on by `settings`, which hold from now on for live sessions too. These need a restart, and must be as they were:
    /// `workers`, `mailbox`, `max_connections`, `heartbeat`, `shortest_heartbeat_ms`, `presence.audience`, `clock`, and of
    /// `recovery` the window and the bytes. What waits in an outbox is bounded as it was when its session began.
    pub fn reconfigure(&self, settings: Settings) {
        let settings = Arc::new(settings);
        self.settings.store(settings.clone());
        self.rooms.counts().set_limits(settings.rooms, settings.rooms_per_user);
        self.chats.set_made_max(settings.chats_per_user);
        let followed = presence::FollowSettings { settings: settings.presence, outbox: settings.outbox.bytes };
        self.presence.post_departure(followed);
        for shard in self.rooms.workers().shards() {
            shard.post_departure(settings.for_shard());
        }
    }

    /// Asks `application` from now on; what it was asked before, it answers.
    pub fn set_application(&self, application: Option<Arc<dyn Application>>) {
        self.application.store(Arc::new(application));
    }

    /// Has every live session leave the rooms that the rules close to it, and tells its client. Resolves when all have
    /// looked, some at a time; with how many there were.
    pub async fn review_sessions(&self) -> usize {
        let registry = self.registry.clone();
        let sessions = tokio::task::spawn_blocking(move || registry.recipients()).await.unwrap_or_default();
        let count = sessions.len();
        let turns = Arc::new(Semaphore::new(REVIEWS));
        for session in sessions {
            let turn = loop {
                match timeout(REVIEW_TIME, turns.clone().acquire_owned()).await {
                    Ok(Ok(turn)) => break turn,
                    // All that look wait for something: that holds up nobody else.
                    Ok(Err(_)) | Err(_) => turns.add_permits(1),
                }
            };
            // One such message waits before a session at most, for reloads come one at a time.
            #[expect(
                clippy::disallowed_methods,
                reason = "a session that is busy must not miss it, nor hold up the others"
            )]
            session.do_send(AccessChanged::Any(turn));
        }
        let all = u32::try_from(REVIEWS).unwrap_or(u32::MAX);
        let _ = timeout(REVIEW_TIME, turns.acquire_many(all)).await;
        count
    }
}
