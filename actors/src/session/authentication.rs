//! Whose a session is: nobody's yet, or a user's, and by which token. How it becomes a user's, and how it goes on with
//! another token of the same user.

use std::sync::Arc;

use actix::Context;
use actix::fut::{ActorFutureExt, WrapFuture, wrap_future};

use super::{Answer, Handle, Outcome, Session};
use crate::connection::{ReplySlot, SessionAddr};
use crate::events::Surface;
use crate::events::community::{self, Authenticated, AuthenticationError};
use crate::events::raw::{self, Status};
use crate::limits::concurrency::ConcurrencyKey;
use crate::model::close::Close;
use crate::model::fault::{Code, Fault};
use crate::model::identity::Identity;
use crate::model::ids::RoomName;
use crate::notifications::LastNotification;
use crate::presence::Arrived;
use crate::registry::LiveSession;
use crate::rooms::JoinReply;
use crate::runtime::clock::Expiry;
use crate::runtime::mailbox::Full;

impl Session {
    /// Who the client is.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] while nobody knows.
    pub(super) fn identity(&self) -> Result<&Arc<Identity>, Fault> {
        self.identity.as_ref().ok_or_else(Fault::unauthenticated)
    }

    /// Makes a session that is nobody's the user's whom `identity` names: listed, present, and on its way into
    /// everybody's and the user's own room, in this order. When this fails, [`Session::leave_own_rooms`] or `Drop` undoes what was done.
    pub(super) fn join_own_rooms(&mut self, identity: Arc<Identity>) -> Result<Vec<JoinReply>, Fault> {
        let own = [RoomName::everybody(), RoomName::of_user(&identity.user)];
        let joins = self.join_own(identity, own.map(|room| (room, None)))?;
        self.send_pid();
        Ok(joins)
    }

    /// As [`Session::join_own_rooms`], which are named, each with a parked seat that gets nothing of it any more.
    pub(super) fn join_own(
        &mut self,
        identity: Arc<Identity>,
        own: [(RoomName, Option<SessionAddr>); 2],
    ) -> Result<Vec<JoinReply>, Fault> {
        self.identity = Some(identity.clone());
        self.entry.list(LiveSession {
            id: self.handle.session(),
            surface: self.surface,
            connected_at: self.connected_at,
            addr: self.handle.addr(),
            identity: identity.clone(),
            peer: self.peer.clone(),
        });
        // Who revokes looks for live sessions after noting it; so this one looks after it can be found.
        self.hub.revoked().check(&identity)?;
        let user = identity.user.clone();
        let arrived = Arrived(identity.clone());
        self.hub.presence_mailbox().post(arrived).map_err(|Full(_)| Fault::overloaded())?;
        self.is_present = true;
        // On `/ws` who wants to hear of other users says so, by a topic.
        self.handle.set_presence_listener((self.surface != Surface::Raw).then(|| (user.clone(), self.surface)));
        self.handle.expire_at(self.hub.clock().expiry(identity.expires_at));
        if self.brings_unread() {
            self.handle.noted().begin();
        }
        own.into_iter().map(|(room, instead_of)| self.enter(room, None, instead_of)).collect()
    }

    fn leave_own_rooms(&mut self) {
        // It stays, and cannot be recovered until it has a user.
        self.handle.forgo();
        self.depart();
        if let Some(pid) = self.pid().cloned() {
            self.be_recoverable_by(pid, None);
        }
        self.entry.unlist();
        self.identity = None;
        self.handle.noted().end();
        self.user_slot = None;
        self.handle.set_presence_listener(None);
        self.handle.expire_at(Expiry::NEVER);
    }

    /// Goes by another token of the same user from now on.
    fn renew(&mut self, identity: Identity) -> Result<Arc<Identity>, Fault> {
        let current = self.identity()?.clone();
        if identity.user != current.user {
            return Err(Fault::new(Code::Forbidden, "The token is another user's").by("token sub"));
        }
        let identity = Arc::new(identity);
        self.entry.renew(identity.clone());
        if let Err(fault) = self.hub.revoked().check(&identity) {
            // A revocation that looked meanwhile did not find the old token; it is looked at again.
            self.entry.renew(current.clone());
            if self.hub.revoked().check(&current).is_err() {
                self.handle.close_after_replies(Close::TokenRevoked);
            }
            return Err(fault);
        }
        self.handle.expire_at(self.hub.clock().expiry(identity.expires_at));
        self.leave_what_is_closed_to(&identity);
        self.identity = Some(identity.clone());
        if self.has_token {
            // One who came without a token goes on as who it was last.
            self.send_pid();
        }
        Ok(identity)
    }

    /// Takes a place among the connections of the user, where those are counted.
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

    /// Goes by a token that was found good: its first, or another one. What is sent to everybody and to its user comes
    /// after the answer `owed`.
    fn become_user(&mut self, identity: Identity, reply_slot: ReplySlot) -> Result<Vec<JoinReply>, Fault> {
        if self.identity.is_some() {
            return self.renew(identity).map(|_| Vec::new());
        }
        if self.handle.closed().is_some() {
            return Err(Fault::unauthenticated());
        }
        self.take_user_slot(&identity)?;
        self.handle.defer([RoomName::everybody(), RoomName::of_user(&identity.user)], reply_slot);
        let joins = self.join_own_rooms(Arc::new(identity))?;
        self.log("authenticated", None);
        Ok(joins)
    }

    /// Ends the session unless it has a user by the end of its grace. A token that is being judged then is judged first,
    /// for nothing else happens in the session meanwhile.
    pub(super) fn limit_grace(&self, ctx: &mut Context<Self>) {
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

/// Resolves when all of the joins took effect, with the moment of the last one, where there are any.
pub(super) async fn all_of(joins: Vec<JoinReply>) -> Result<Option<LastNotification>, Fault> {
    let mut moment = None;
    for joined in joins {
        moment = Some(joined.await??.last_notification);
    }
    Ok(moment)
}

impl Handle<raw::Authenticate> for Session {
    fn handle(&mut self, request: raw::Authenticate) -> Result<Outcome<Status>, Fault> {
        let verified = self.hub.authenticator().authenticate(request.token);
        let answer = verified.into_actor(self).map(|verified, session, _| {
            let identity = session.renew(verified?)?;
            Ok(Status::Authenticated { user: raw::User::of(&identity), expires_at: identity.expires_at })
        });
        Ok(Outcome::Exclusive(Box::new(|_| Box::pin(answer))))
    }
}

impl Handle<community::Authenticate> for Session {
    fn handle(&mut self, request: community::Authenticate) -> Result<Outcome<Authenticated>, Fault> {
        let was_nobodys = self.identity.is_none();
        let verified = self.hub.authenticator().authenticate(request.token);
        let answer = move |reply_slot| -> Answer<Authenticated> {
            let joining = wrap_future::<_, Self>(verified).then(move |verified, session, _| {
                let joins = verified.and_then(|identity| session.become_user(identity, reply_slot));
                async move { all_of(joins?).await }.into_actor(session)
            });
            Box::pin(joining.map(move |joined, session, ctx| {
                if joined.is_err() && was_nobodys {
                    session.leave_own_rooms();
                }
                if let Some(moment) = joined? {
                    session.bring_unread(moment, ctx);
                }
                Ok(Authenticated::new(session.identity()?, session.handle.session()))
            }))
        };
        Ok(Outcome::Exclusive(Box::new(answer)))
    }
}
