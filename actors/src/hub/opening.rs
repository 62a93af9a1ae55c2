//! What the hub takes over from its store: before it serves, and as other programs change it.

use std::time::Duration;

use super::Hub;
use crate::chats::keeper::ChatKeeper;
use crate::fault::Fault;
use crate::recovery::Restore;
use crate::recovery::stored::{self, Saved};
use crate::recovery::tickets::Holder;
use crate::rooms::ParkedSeat;
use crate::seat::Seats;
use crate::store::Chat;

/// How long to wait before the store is asked again.
const FOLLOW_AGAIN: Duration = Duration::from_millis(250);

impl Hub {
    /// Takes over what the store says of revoked tokens.
    ///
    /// # Errors
    /// As [`crate::store::Store::ping`].
    pub async fn catch_up(&self) -> Result<(), Fault> {
        let moment = self.revoked.moment();
        let now = self.clock().now_ms();
        let read = self.store.revocations(now).await?;
        for revocation in self.revoked.replace(moment, read) {
            self.revoke(&revocation).await;
        }
        Ok(())
    }

    /// Follows what other programs write into the store, for as long as the hub lives.
    pub async fn follow_store(&self) {
        loop {
            self.store.changed().await;
            while let Err(fault) = self.catch_up().await {
                log::warn!("what another program wrote could not be read yet: {fault}");
                actix_rt::time::sleep(FOLLOW_AGAIN).await;
            }
        }
    }

    /// Makes those of the chats that are not there, and learns who may join which; before that, nobody may.
    ///
    /// # Errors
    /// As [`crate::store::Store::put_chat`].
    pub async fn open_chats(&self, configured: Vec<Chat>) -> Result<(), Fault> {
        ChatKeeper::open(&self.store, &self.chats, configured).await
    }

    /// Takes over what rooms kept when the last hub went away, as far as their rules still keep something. Before the workers
    /// start: their shards find it there.
    ///
    /// # Errors
    /// As [`crate::store::Store::take_histories`].
    pub async fn open_histories(&self) -> Result<(), Fault> {
        for history in self.store.take_histories().await? {
            self.rooms.restore(&self.settings().rules, history);
        }
        Ok(())
    }

    /// Takes over the sessions that were cut off when the last hub went away. Before the workers start: their seats and rooms
    /// find them there.
    ///
    /// # Errors
    /// As [`crate::store::Store::take_parked`].
    pub async fn open_sessions(&self) -> Result<(), Fault> {
        let (now, window_ms) = (self.clock().now_ms(), self.settings().recovery.window_ms);
        let taken = self.store.take_parked().await?;
        if window_ms == 0 {
            return Ok(());
        }
        let places = Seats::first_places(self.settings().workers);
        let restored = stored::restored(taken, self.clock(), places);
        let mut sessions = Vec::with_capacity(restored.len());
        for Saved { token, parked, until, remains } in restored {
            let (Holder { session, place, identity, .. }, rooms) = (parked.holder.clone(), parked.rooms.clone());
            let user = identity.user.clone();
            self.rooms.restore_seat(ParkedSeat { session, user, place, rooms, remains });
            // No longer than the configuration says now, and the clock may have been set back.
            sessions.push((token, parked, (until - now).min(window_ms)));
        }
        self.recovery.post_departure(Restore(sessions));
        Ok(())
    }
}
