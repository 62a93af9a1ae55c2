//! The user of a session: attaches a user to a guest, and renews the token.

use std::sync::Arc;

use actix::Context;

use super::Session;
use crate::connection::ReplySlot;
use crate::events::community::AuthenticationError;
use crate::limits::concurrency::ConcurrencyKey;
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::RoomName;
use crate::model::surface::Surface;
use crate::notifications::Backlog;
use crate::presence::Arrived;
use crate::registry::LiveSession;
use crate::rooms::{JoinReply, Membership};
use crate::runtime::clock::Expiry;
use crate::runtime::mailbox::Full;

impl Session {
    /// The client's identity.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] for a guest.
    pub(super) fn identity(&self) -> Result<&Arc<Identity>, Fault> {
        self.identity.as_ref().ok_or_else(Fault::unauthenticated)
    }

    /// Attaches a user to a guest session: lists the session, marks the user as online, and joins the room of
    /// all users and the room of the user, in this order. After an error, [`Session::detach_user`] or `Drop` undoes it.
    pub(super) fn attach_user(&mut self, identity: Arc<Identity>) -> Result<OwnJoins, Fault> {
        let own = [RoomName::everybody(), RoomName::of_user(&identity.user)];
        self.attach_identity(identity)?;
        let mut joins = Vec::with_capacity(own.len());
        for room in own {
            joins.push((room.clone(), self.join_room(room, None)?));
        }
        self.issue_pid();
        Ok(joins)
    }

    /// As [`Session::attach_user`], without the rooms and the private id.
    pub(super) fn attach_identity(&mut self, identity: Arc<Identity>) -> Result<(), Fault> {
        self.identity = Some(identity.clone());
        self.entry.list(LiveSession {
            id: self.handle.session(),
            surface: self.surface,
            connected_at: self.connected_at,
            addr: self.handle.addr(),
            identity: identity.clone(),
            peer: self.peer.clone(),
        });
        // A revocation is stored before the search for live sessions. So the session is listed before it checks.
        self.hub.revoked().check(&identity)?;
        let user = identity.user.clone();
        let arrived = Arrived(identity.clone());
        self.hub.presence_mailbox().post(arrived).map_err(|Full(_)| Fault::overloaded())?;
        self.is_present = true;
        // On `/ws` a client subscribes to presence by a topic.
        self.handle.set_presence_listener((self.surface != Surface::Raw).then(|| (user.clone(), self.surface)));
        self.handle.expire_at(self.hub.clock().expiry(identity.expires_at));
        if self.receives_notifications() {
            self.handle.noted().begin();
        }
        Ok(())
    }

    pub(super) fn detach_user(&mut self) {
        // The session stays open, and cannot be recovered without a user.
        self.handle.forgo();
        self.backlog = None;
        self.depart();
        if let Some(pid) = self.pid().cloned() {
            self.enable_recovery(pid, self.named);
        }
        self.entry.unlist();
        self.identity = None;
        self.handle.noted().end();
        self.user_slot = None;
        self.handle.set_presence_listener(None);
        self.handle.expire_at(Expiry::NEVER);
    }

    /// Renews the token of the same user.
    pub(super) fn renew_token(&mut self, identity: Identity) -> Result<Arc<Identity>, Fault> {
        let current = self.identity()?.clone();
        if identity.user != current.user {
            return Err(Fault::new(Code::Forbidden, "The token is another user's").by("token sub"));
        }
        let identity = Arc::new(identity);
        self.entry.renew(identity.clone());
        if let Err(fault) = self.hub.revoked().check(&identity) {
            // A revocation meanwhile did not find the old token. So the old token is checked again.
            self.entry.renew(current.clone());
            if self.hub.revoked().check(&current).is_err() {
                self.handle.close_after_replies(Close::TokenRevoked);
            }
            return Err(fault);
        }
        self.handle.expire_at(self.hub.clock().expiry(identity.expires_at));
        self.leave_forbidden_rooms(&identity);
        self.identity = Some(identity.clone());
        if self.has_token {
            // A recovered guest continues with its last identity.
            self.issue_pid();
        }
        Ok(identity)
    }

    /// Takes a slot in the limit per user, where connections are counted.
    ///
    /// # Errors
    /// [`Code::LimitReached`].
    pub(super) fn take_user_slot(&mut self, identity: &Identity) -> Result<(), Fault> {
        if self.address_slot.is_some() {
            let most = self.hub.settings().connections_per_user;
            self.user_slot = Some(Box::new(self.hub.take_slot(ConcurrencyKey::User(identity.user.clone()), most)?));
        }
        Ok(())
    }

    /// Applies the valid token of a guest. Messages to everybody and to the user follow the reply `reply_slot`.
    pub(super) fn authenticate(&mut self, identity: Identity, reply_slot: ReplySlot) -> Result<OwnJoins, Fault> {
        if self.handle.closed().is_some() {
            return Err(Fault::unauthenticated());
        }
        self.take_user_slot(&identity)?;
        self.handle.defer([RoomName::everybody(), RoomName::of_user(&identity.user)], reply_slot);
        let joins = self.attach_user(Arc::new(identity))?;
        self.log("authenticated", None);
        Ok(joins)
    }

    /// Records the joined rooms of a session that has a user now.
    pub(super) fn confirm_own_rooms(&mut self, joined: Vec<(RoomName, Membership)>) {
        for (room, membership) in joined {
            self.backlog = Some(Backlog::new(membership.last_notification));
            self.rooms.entry(room).and_modify(|number| *number = membership.number);
        }
    }

    /// Closes the session unless it has a user at the end of the grace time. A running token check finishes first,
    /// because the session handles nothing else meanwhile.
    pub(super) fn schedule_auth_deadline(&self, ctx: &mut Context<Self>) {
        let grace = u64::try_from(self.hub.settings().grace_ms).unwrap_or(0);
        self.hub.clock().run_later(ctx, std::time::Duration::from_millis(grace), |session: &mut Self, _| {
            if session.identity.is_none() && session.handle.closed().is_none() {
                let code = Code::AuthUnavailable.as_str();
                let error = AuthenticationError { error: "Not authenticated in time".into(), code, details: None };
                session.send_event(&error, session.now());
                session.handle.close_after_replies(Close::NotAuthenticated);
            }
        });
    }
}

/// The joins of the rooms that every session with a user is in.
pub(super) type OwnJoins = Vec<(RoomName, JoinReply)>;

/// Waits for the joins.
pub(super) async fn wait_for_joins(joins: OwnJoins) -> Result<Vec<(RoomName, Membership)>, Fault> {
    let mut joined = Vec::with_capacity(joins.len());
    for (room, join) in joins {
        joined.push((room, join.await??));
    }
    Ok(joined)
}
