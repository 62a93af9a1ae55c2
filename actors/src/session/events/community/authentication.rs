//! The handler of `authenticate`: a guest gets a user, or a session renews its token.

use actix::fut::{ActorFutureExt, WrapFuture, wrap_future};

use crate::events::community::{Authenticate, Authenticated};
use crate::model::fault::Fault;
use crate::session::authentication::wait_for_joins;
use crate::session::{Handle, Outcome, ReplyFuture, Session};

impl Handle<Authenticate> for Session {
    fn handle(&mut self, request: Authenticate) -> Result<Outcome<Authenticated>, Fault> {
        let was_guest = self.identity.is_none();
        let verified = self.hub.authenticator().authenticate(request.token);
        let answer = move |reply_slot| -> ReplyFuture<Authenticated> {
            let joining = wrap_future::<_, Self>(verified).then(move |verified, session, _| {
                let joins = verified.and_then(|identity| session.authenticate(identity, reply_slot));
                async move { wait_for_joins(joins?).await }.into_actor(session)
            });
            Box::pin(joining.map(move |joined, session, ctx| {
                if joined.is_err() && was_guest {
                    session.detach_user();
                }
                if let Some(since) = joined? {
                    session.start_unread_delivery(since, ctx);
                }
                Ok(Authenticated::new(session.identity()?, session.handle.session()))
            }))
        };
        Ok(Outcome::Exclusive(Box::new(answer)))
    }
}
