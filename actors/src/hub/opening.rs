//! Loads the contents of the store before the hub serves, and follows changes by other programs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Hub;
use crate::chats::writer::{ChatWriter, OpenChats};
use crate::model::fault::{Code, Fault};
use crate::recovery::messages::Restore;
use crate::recovery::persisted::{self, SavedSession};
use crate::rooms::RestoredLog;
use crate::rooms::persisted::segments;
use crate::store::{Chat, StoredSessions};

/// The wait before another attempt to read changes.
const FOLLOW_AGAIN: Duration = Duration::from_millis(250);

/// The wait before another attempt to load a store that opened late.
const LOAD_AGAIN: Duration = Duration::from_secs(1);

impl Hub {
    /// Loads the contents of the store and creates the configured chats that do not exist, before the workers start.
    /// While a store waits for its disk, [`Hub::open_late`] loads the rest. While revocations cannot be read, every
    /// token is rejected.
    ///
    /// # Errors
    /// A failure of an open store.
    pub async fn open(&self, configured: Vec<Chat>) -> Result<(), Fault> {
        self.is_loaded.store(!self.store.is_waiting(), Ordering::Release);
        if let Err(fault) = self.catch_up().await {
            self.continue_without_store(&fault)?;
            log::error!("revoked tokens cannot be read; the hub rejects every token until it has read them: {fault}");
            self.revoked.set_unknown(true);
            // Without tokens, no session can join a room.
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

    /// Continues without the contents that a failing store could not return; [`Hub::open_late`] loads them.
    ///
    /// # Errors
    /// A fault other than [`Code::StoreUnavailable`].
    pub(super) fn continue_without_store(&self, fault: &Fault) -> Result<(), Fault> {
        if fault.code != Code::StoreUnavailable {
            return Err(fault.clone());
        }
        if self.is_loaded.swap(false, Ordering::AcqRel) {
            log::warn!("the store could not be read completely; the hub reads the rest when the store can be written");
        }
        Ok(())
    }

    /// Waits until a store that failed at the start works, then loads the rest of its contents and changes; the hub is
    /// ready after that. Returns at once when the store was open at the start.
    pub async fn open_late(&self, configured: Vec<Chat>) {
        if self.is_loaded.load(Ordering::Acquire) {
            return;
        }
        self.store.opened().await;
        while let Err(fault) = self.load(&configured).await {
            // `/health/ready` reports a full disk.
            if fault.code != Code::StoreUnavailable {
                log::warn!("the store cannot be read yet: {fault}");
            }
            actix_rt::time::sleep(LOAD_AGAIN).await;
        }
        self.revoked.set_unknown(false);
        self.is_loaded.store(true, Ordering::Release);
        log::info!("the store is open and loaded");
    }

    async fn load(&self, configured: &[Chat]) -> Result<(), Fault> {
        self.catch_up().await?;
        self.store.drop_handover().await?;
        let configured = configured.to_vec();
        self.ask_chat_writer(|reply| OpenChats { configured, reply }).await
    }

    /// Loads the revocations of the store.
    ///
    /// # Errors
    /// As [`crate::store::Store::ping`].
    pub async fn catch_up(&self) -> Result<(), Fault> {
        let before = self.revoked.version();
        let now = self.clock().now_ms();
        let read = self.store.revocations(now).await?;
        for revocation in self.revoked.replace(before, read) {
            self.revoke(&revocation).await;
        }
        Ok(())
    }

    /// Follows changes of the store by other programs, as long as the hub lives.
    pub async fn follow_store(&self) {
        loop {
            self.store.changed().await;
            while let Err(fault) = self.catch_up().await {
                log::warn!("changes of the store by another program cannot be read yet: {fault}");
                actix_rt::time::sleep(FOLLOW_AGAIN).await;
            }
        }
    }

    /// Creates the configured chats that do not exist, and loads all chats. Before that, no chat can be joined.
    ///
    /// # Errors
    /// As [`crate::store::Store::put_chat`].
    pub async fn open_chats(&self, configured: Vec<Chat>) -> Result<(), Fault> {
        ChatWriter::open(&self.store, &self.chats, configured).await
    }

    /// Loads the histories of the previous run, unless the rules keep no history now. Must run before the workers
    /// start: the room actor takes the histories over.
    ///
    /// # Errors
    /// As [`crate::store::Store::take_histories`].
    pub async fn open_histories(&self) -> Result<(), Fault> {
        for history in self.store.take_histories().await? {
            self.rooms.restore(&self.settings().rules, history);
        }
        Ok(())
    }

    /// Loads the suspended sessions of the previous run, and what they missed. Must run before the workers start: the
    /// room actor takes over the log.
    ///
    /// # Errors
    /// As [`crate::store::Store::take_suspended`].
    pub async fn open_sessions(&self) -> Result<(), Fault> {
        let (now, window_ms) = (self.clock().now_ms(), self.settings().recovery.window_ms);
        let StoredSessions { sessions, log } = self.store.take_suspended().await?;
        if window_ms == 0 || sessions.is_empty() {
            return Ok(());
        }
        let restored = persisted::restored(sessions, self.clock());
        let mut sessions = Vec::with_capacity(restored.len());
        let mut log = RestoredLog { log: segments::restored(log, now), cursors: Vec::new() };
        for SavedSession { token, suspended, until } in restored {
            let user = &suspended.holder.identity.user;
            log.cursors.extend(suspended.rooms.iter().map(|cursor| (cursor.room.clone(), user.clone())));
            // The configured window may be shorter now, and the clock may have been set back.
            sessions.push((token, suspended, (until - now).min(window_ms)));
        }
        self.rooms.restore_log(log);
        self.recovery.post_departure(Restore(sessions));
        Ok(())
    }
}
