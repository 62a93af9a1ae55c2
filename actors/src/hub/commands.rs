//! The commands of backends and operators: publish, notify, disconnect, revoke.

use std::sync::Arc;

use bytes::Bytes;

use super::{Hub, PendingStore, PublishTarget};
use crate::events::{ServerEvent as _, community};
use crate::model::close::Close;
use crate::model::fault::Fault;
use crate::model::identity::Identity;
use crate::model::ids::{EventName, RecoveryToken, RoomName, UserId};
use crate::notifications::Notification;
use crate::publication::Event;
use crate::recovery::messages::{DropRecords, NoteAttempt};
use crate::rooms::Published;
use crate::store::Revocation;

impl Hub {
    /// Counts an attempt to recover the session of this private id by a client that was refused.
    pub fn note_attempt(&self, pid: RecoveryToken) {
        // A full mailbox loses the count and nothing else.
        let _ = self.recovery.post(NoteAttempt(pid));
    }

    /// Sends a notification to a user's sessions and stores it: see [`crate::notifications`]. Resolves when it has its
    /// place in the order of the user's room; the returned future resolves when it is on the disk.
    ///
    /// # Errors
    /// As [`Hub::publish`]; [`crate::model::fault::Code::StoreUnavailable`] when the store cannot write. Nothing was
    /// delivered.
    pub async fn notify(&self, user: UserId, notification: Notification) -> Result<(Published, PendingStore), Fault> {
        self.accepting()?;
        let (name, data) = (EventName::of_hub(community::UserNotification::NAME), notification.data.clone());
        let event = Event { name, topic: None, data, timestamp: self.clock().now_ms(), offset: None };
        let notified = self.rooms.notify(user, notification, event).inspect_err(|fault| self.count(fault))?;
        let (published, write) = notified.await?.inspect_err(|fault| self.count(fault))?;
        let stats = self.stats.clone();
        stats.commanded.add(1);
        // A separate task: a caller that disconnects does not stop the counting.
        let stored = actix_rt::spawn(async move {
            let stored = write.await?;
            stats.notifications_kept.add(u64::from(!stored.was_read));
            stats.notifications_pruned.add(stored.pruned as u64);
            Ok(())
        });
        Ok((published, Box::pin(async move { stored.await.map_err(|_| Fault::outcome_unknown())? })))
    }

    /// Publishes an event of a backend. `data` is JSON text. The event is not stored: use [`Hub::notify`] for a
    /// notification.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when a queue is full, [`crate::model::fault::Code::ShuttingDown`]
    /// while draining: nothing was accepted.
    pub async fn publish(&self, target: PublishTarget, event: EventName, data: Bytes) -> Result<Published, Fault> {
        self.accepting()?;
        let (room, topic) = match target {
            PublishTarget::Everybody => (RoomName::everybody(), None),
            PublishTarget::User(user) => (RoomName::of_user(&user), None),
            PublishTarget::Room(room) => (room.clone(), Some(room)),
        };
        let event = Event { name: event, topic, data, timestamp: self.clock().now_ms(), offset: None };
        let published = self.rooms.publish(room, event, None).inspect_err(|fault| self.count(fault))?;
        let published = published.await?.inspect_err(|fault| self.count(fault))?;
        self.stats.commanded.add(1);
        Ok(published)
    }

    /// Ends every session of the user with 4403, after what was sent to the user, and returns their number. Neither
    /// they nor the user's suspended sessions can be recovered.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::Overloaded`] when a queue is full: nothing was done.
    pub async fn disconnect(&self, user: &UserId) -> Result<usize, Fault> {
        let closed = self.rooms.close_members(RoomName::of_user(user), Close::DisconnectedByBackend);
        let closed = closed.inspect_err(|fault| self.count(fault))?;
        self.recovery.post_when_free(DropRecords::User(user.clone())).await;
        Ok(closed.await?.recipients)
    }

    /// Ends the sessions that `matches` accepts, of one user or of all, after what was delivered to them; returns their
    /// number.
    pub async fn close_matching(
        &self,
        user: Option<&UserId>,
        close: Close,
        matches: impl Fn(&Identity) -> bool + Send + 'static,
    ) -> usize {
        let registry = self.registry.clone();
        let found = match user {
            Some(user) => registry.find_of(user, matches),
            None => tokio::task::spawn_blocking(move || registry.find(matches)).await.unwrap_or_default(),
        };
        for &addr in &found {
            self.rooms.close(addr, close);
        }
        found.len()
    }

    /// Rejects the tokens of `revocation` from now on, and ends every session with such a token with 4401; returns
    /// their number. The caller stores the revocation before.
    pub async fn revoke(&self, revocation: &Revocation) -> usize {
        // Added first: a session that opens meanwhile is rejected or found.
        self.revoked.add(revocation);
        let hit = revocation.clone();
        let user = revocation.user.as_ref();
        let closed = self.close_matching(user, Close::TokenRevoked, move |identity| hit.hits(identity)).await;
        self.recovery.post_when_free(DropRecords::Revoked(revocation.clone())).await;
        closed
    }

    /// Stores a revocation, then applies it as [`Hub::revoke`] does.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::StoreUnavailable`]; [`crate::model::fault::Code::Overloaded`] when the store's
    /// queue is full or [`crate::revocations::REVOCATIONS_MAX`] revocations are stored. Nothing was done.
    pub async fn store_and_revoke(self: &Arc<Self>, revocation: Revocation) -> Result<usize, Fault> {
        let hub = self.clone();
        // A separate task: otherwise sessions would stay open when the caller disconnects.
        let revoked = actix_rt::spawn(async move {
            let evicted = hub.revoked.make_space(&revocation)?;
            hub.store.revoke(revocation.clone(), evicted).await?;
            Ok(hub.revoke(&revocation).await)
        });
        revoked.await.map_err(|_| Fault::outcome_unknown())?.inspect_err(|fault| self.count(fault))
    }
}
