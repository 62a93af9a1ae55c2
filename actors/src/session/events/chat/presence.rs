//! Handlers for the presence events of the chat document: status changes and queries, on `/chat` and `/ws`. The list of
//! online users at connect is on `/chat` only.

use std::sync::Arc;

use actix::fut::WrapFuture;

use crate::connection::ReplySlot;
use crate::events::chat::presence::{
    AskOnlineUsers, AskPresenceStats, AskUserStatus, OnlineUsers, PresenceCounts, PresenceStats, SerializedUser,
    StatusUpdated, UpdateStatus, UserPresence, UserStatus, UsersOnline,
};
use crate::events::timestamp::Iso;
use crate::events::{ServerEvent, json};
use crate::hub::Hub;
use crate::model::availability::Availability;
use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::{RoomName, UserId};
use crate::model::surface::Surface;
use crate::presence::{CountOffline, FindOffline, LIST_SHARE, PresenceAudience, StatusChanged};
use crate::registry::LiveSession;
use crate::runtime::mailbox::Full;
use crate::session::{Handle, Outcome, Session};

/// Users in `presence:online-users`, at most.
const NAMED_MAX: usize = 1_000;

impl Session {
    /// Reserves the list of online users as the first message on `/chat`. Messages to everybody and to the user follow
    /// it.
    pub(in crate::session) fn reserve_online_users(&self, identity: &Identity) -> Option<ReplySlot> {
        let is_sent = self.surface == Surface::Chat && self.hub.settings().presence.audience != PresenceAudience::Off;
        let reply_slot = is_sent.then(|| self.handle.reserve(0))?;
        self.handle.defer([RoomName::everybody(), RoomName::of_user(&identity.user)], reply_slot);
        Some(reply_slot)
    }

    /// Sends the online users. The session receives presence events already, so no user is missing. With presence for
    /// shared rooms, the list has only the own user, because the session is in no room yet.
    pub(in crate::session) fn send_online_users(&self, reply_slot: ReplySlot) {
        let (registry, now) = (self.hub.registry(), self.now());
        let longest = match self.hub.settings().presence.audience {
            PresenceAudience::All => registry.longest_online(now, self.list_bytes()),
            PresenceAudience::SharedRooms | PresenceAudience::Off => Arc::default(),
        };
        let own = self.identity.as_ref().and_then(|identity| registry.online_user(&identity.user, now));
        let users = own.map_or_else(|| UsersOnline::all(&longest), |own| UsersOnline::with(&longest, &own));
        let payload = self.handle.encoder().answer(UsersOnline::NAME, &json::encode(&users), &None, now);
        self.handle.fulfil(reply_slot, Some(payload));
    }

    /// Longest list of users, bytes.
    fn list_bytes(&self) -> usize {
        self.hub.settings().outbox.bytes / LIST_SHARE
    }
}

impl Handle<UpdateStatus> for Session {
    fn handle(&mut self, request: UpdateStatus) -> Result<Outcome<StatusUpdated>, Fault> {
        let identity = self.identity()?.clone();
        let changed = self.hub.registry().set_availability(&identity.user, request.status);
        if changed && let Err(Full(_)) = self.hub.presence_mailbox().post(StatusChanged(identity)) {
            self.hub.stats().presence_suppressed.add(1);
        }
        Ok(Outcome::Reply(StatusUpdated::DONE))
    }
}

impl Handle<AskOnlineUsers> for Session {
    fn handle(&mut self, _: AskOnlineUsers) -> Result<Outcome<OnlineUsers>, Fault> {
        let registry = self.hub.registry();
        let users = SerializedUser::all(registry.online(NAMED_MAX, self.now()), self.list_bytes());
        Ok(Outcome::Reply(OnlineUsers::new(users, registry.status_counts().users())))
    }
}

impl Handle<AskUserStatus> for Session {
    fn handle(&mut self, request: AskUserStatus) -> Result<Outcome<UserStatus>, Fault> {
        let identity = self.identity()?;
        let (user, now) = (request.user_id, self.now());
        let sees_all = identity.user == user || identity.has_role("admin");
        let answer = move |presence: UserPresence| UserStatus::new(if sees_all { presence } else { presence.masked() });
        if let Some(presence) = online_user(&self.hub, &user, now) {
            return Ok(Outcome::Reply(answer(presence)));
        }
        let hub = self.hub.clone();
        let found = async move { offline_user(&hub, user, now).await.map(answer) };
        Ok(Outcome::Async(Box::pin(found.into_actor(self))))
    }
}

impl Handle<AskPresenceStats> for Session {
    fn handle(&mut self, _: AskPresenceStats) -> Result<Outcome<PresenceStats>, Fault> {
        let hub = self.hub.clone();
        let counted = async move {
            let offline = hub.presence_mailbox().ask(CountOffline)?.await?;
            let counts = hub.registry().status_counts();
            Ok(PresenceStats::new(PresenceCounts {
                total_users: counts.users() + offline,
                online_users: counts.online,
                away_users: counts.away,
                busy_users: counts.busy,
                offline_users: offline,
            }))
        };
        Ok(Outcome::Async(Box::pin(counted.into_actor(self))))
    }
}

/// The presence of a user with a session.
fn online_user(hub: &Hub, user: &UserId, now: i64) -> Option<UserPresence> {
    let (LiveSession { id, identity, connected_at, peer, .. }, status) = hub.registry().newest_of(user)?;
    Some(UserPresence {
        user_id: user.clone(),
        username: identity.username().to_owned(),
        email: identity.email.as_deref().map(str::to_owned),
        status,
        last_seen: Some(Iso(now)),
        connected_at: Some(Iso(connected_at)),
        socket_id: Some(id),
        user_agent: peer.user_agent,
        ip_address: peer.address,
    })
}

/// The presence of a user without a session.
///
/// # Errors
/// [`Code::NotFound`] for an unknown user; [`Code::Overloaded`] when a queue is full; [`Code::StoreUnavailable`].
async fn offline_user(hub: &Hub, user: UserId, now: i64) -> Result<UserPresence, Fault> {
    let found = hub.presence_mailbox().ask(|reply| FindOffline { user: user.clone(), reply })?.await?;
    let offline = |username: String, email: Option<String>, last_seen: Option<i64>| UserPresence {
        user_id: user.clone(),
        username,
        email,
        status: Availability::Offline,
        last_seen: last_seen.map(Iso),
        connected_at: None,
        socket_id: None,
        user_agent: None,
        ip_address: None,
    };
    if let Some(found) = found {
        return Ok(offline(found.username.into(), found.email.map(String::from), Some(found.at)));
    }
    // A user that reconnected meanwhile is no longer recorded as offline.
    if let Some(presence) = online_user(hub, &user, now) {
        return Ok(presence);
    }
    let account = hub.store().account_of(user.clone()).await?;
    let account = account.ok_or_else(|| Fault::new(Code::NotFound, "User not found"))?;
    Ok(offline(account.username, account.email, None))
}
