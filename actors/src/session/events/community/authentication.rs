//! The handler of `authenticate`: a guest gets a user, or a session renews its token.

use actix::fut::{ActorFutureExt, WrapFuture, wrap_future};

use crate::events::community::{Authenticate, Authenticated};
use crate::model::fault::Fault;
use crate::session::authentication::wait_for_joins;
use crate::session::{Handle, Outcome, ReplyFuture, Session};

impl Handle<Authenticate> for Session {
    fn handle(&mut self, request: Authenticate) -> Result<Outcome<Authenticated>, Fault> {
        let verified = self.hub.authenticator().authenticate(request.token);
        if self.identity.is_some() {
            // The check of the token may take long, and publications may wait behind the reply to an earlier join.
            let renewed = verified.into_actor(self).map(|verified, session, _| {
                let identity = session.renew_token(verified?)?;
                Ok(Authenticated::new(&identity, session.handle.session()))
            });
            return Ok(Outcome::Sequential(Box::pin(renewed)));
        }
        // A guest is in no room, so nothing waits behind the reply until the token is accepted.
        let answer = move |reply_slot| -> ReplyFuture<Authenticated> {
            let joining = wrap_future::<_, Self>(verified).then(move |verified, session, _| {
                let joins = verified.and_then(|identity| session.authenticate(identity, reply_slot));
                async move { wait_for_joins(joins?).await }.into_actor(session)
            });
            Box::pin(joining.map(move |joined, session, ctx| {
                if joined.is_err() {
                    session.detach_user();
                }
                let joined = joined?;
                if !joined.is_empty() {
                    session.confirm_own_rooms(joined);
                    session.start_unread_delivery(ctx);
                }
                Ok(Authenticated::new(session.identity()?, session.handle.session()))
            }))
        };
        Ok(Outcome::Exclusive(Box::new(answer)))
    }
}
