//! What the hub takes over from its store: before it serves, and as other programs change it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Hub;
use crate::chats::writer::{ChatWriter, OpenChats};
use crate::connection::SessionTable;
use crate::model::fault::{Code, Fault};
use crate::recovery::messages::Restore;
use crate::recovery::persisted::{self, SavedSession};
use crate::recovery::tokens::Holder;
use crate::rooms::RestoredSession;
use crate::store::Chat;

/// How long to wait before the store is asked again.
const FOLLOW_AGAIN: Duration = Duration::from_millis(250);

/// How long to wait before a store that opened late is asked again for what it holds.
const LOAD_AGAIN: Duration = Duration::from_secs(1);

impl Hub {
    /// Takes over all that the store holds, and makes those of the chats that are not there. Before the workers start. What
    /// a store that waits for its disk does not give is left for [`Hub::open_late`]. While revocations cannot be read, every
    /// token is refused.
    ///
    /// # Errors
    /// What the store that is open cannot do.
    pub async fn open(&self, configured: Vec<Chat>) -> Result<(), Fault> {
        self.is_loaded.store(!self.store.is_waiting(), Ordering::Release);
        if let Err(fault) = self.catch_up().await {
            self.continue_without_store(&fault)?;
            log::error!("revoked tokens cannot be read; no token is let in until they can be: {fault}");
            self.revoked.set_unknown(true);
            // Nobody could be in a room.
            return Ok(());
        }
        let rest = async {
            self.open_chats(configured).await?;
            self.open_histories().await?;
            self.open_sessions().await
        };
        match rest.await {
            Ok(()) => Ok(()),
            Err(fault) => self.continue_without_store(&fault),
        }
    }

    /// Goes on without what could not be taken over because the store fails; [`Hub::open_late`] sees to it then.
    ///
    /// # Errors
    /// The fault, where it is not the disk's.
    pub(super) fn continue_without_store(&self, fault: &Fault) -> Result<(), Fault> {
        if fault.code != Code::StoreUnavailable {
            return Err(fault.clone());
        }
        if self.is_loaded.swap(false, Ordering::AcqRel) {
            log::warn!("not all that the store holds could be taken over; it will be when the store can be written");
        }
        Ok(())
    }

    /// Waits until a store that could not be opened or written at the start can be, and takes over what changed and what could not be
    /// read; the hub is ready then. Returns at once where the store was open at the start.
    pub async fn open_late(&self, configured: Vec<Chat>) {
        if self.is_loaded.load(Ordering::Acquire) {
            return;
        }
        self.store.opened().await;
        while let Err(fault) = self.load(&configured).await {
            // Of a disk that is still full, readiness tells.
            if fault.code != Code::StoreUnavailable {
                log::warn!("what the store holds cannot be read yet: {fault}");
            }
            actix_rt::time::sleep(LOAD_AGAIN).await;
        }
        self.revoked.set_unknown(false);
        self.is_loaded.store(true, Ordering::Release);
        log::info!("the store is open, and the hub has what it holds");
    }

    async fn load(&self, configured: &[Chat]) -> Result<(), Fault> {
        self.catch_up().await?;
        self.store.drop_handover().await?;
        let configured = configured.to_vec();
        self.ask_chat_writer(|reply| OpenChats { configured, reply }).await
    }

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
        ChatWriter::open(&self.store, &self.chats, configured).await
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
        let places = SessionTable::first_addrs(self.settings().workers);
        let restored = persisted::restored(taken, self.clock(), places);
        let mut sessions = Vec::with_capacity(restored.len());
        for SavedSession { token, suspended, until, remains } in restored {
            let (Holder { session, addr, identity, .. }, rooms) = (suspended.holder.clone(), suspended.rooms.clone());
            let user = identity.user.clone();
            self.rooms.restore_session(RestoredSession { session, user, addr, rooms, remains });
            // No longer than the configuration says now, and the clock may have been set back.
            sessions.push((token, suspended, (until - now).min(window_ms)));
        }
        self.recovery.post_departure(Restore(sessions));
        Ok(())
    }
}
