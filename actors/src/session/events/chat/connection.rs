//! Handlers for the recovery events of the chat document, on `/chat` and `/ws`: create a session, recover it, describe it.

use actix::fut::{ActorFutureExt, WrapFuture, ready, wrap_future};

use crate::events::chat::connection::{
    AskRecoveryStats, AskSession, CreateSession, CreatedSession, Recover, RecoveredSession, RecoveryMetrics,
    RecoveryStats, SessionInfo,
};
use crate::model::fault::{Code, Fault};
use crate::model::ids::RecoveryToken;
use crate::recovery::tokens::{By, Holder, RecoveryClaim};
use crate::recovery::{ClaimedRecord, CountTokens, Issue, Redeem};
use crate::runtime::mailbox::Full;
use crate::session::{Handle, Outcome, Session};

impl Handle<CreateSession> for Session {
    fn handle(&mut self, _: CreateSession) -> Result<Outcome<CreatedSession>, Fault> {
        let window_ms = self.hub.settings().recovery.window_ms;
        if window_ms == 0 {
            return Err(Fault::new(Code::Forbidden, "Connection recovery is turned off").by("recovery.window_secs"));
        }
        let (holder, token) = (self.holder(By::Token)?, RecoveryToken::random()?);
        let issue = Issue { holder, token: token.clone() };
        self.hub.recovery().post(issue).map_err(|Full(_)| Fault::overloaded())?;
        let recoverable = self.make_recoverable();
        self.recovery_token = Some(token.clone());
        let created = CreatedSession::new(token, self.now() + window_ms);
        let answer = async move { recoverable.await.map(|()| created) };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}

impl Handle<Recover> for Session {
    fn handle(&mut self, request: Recover) -> Result<Outcome<RecoveredSession>, Fault> {
        let (token, next) = (RecoveryToken::read(&request.recovery_token), RecoveryToken::random()?);
        let (claim, by) = (RecoveryClaim::Token(self.identity()?.user.clone()), Some(self.handle.session()));
        let redeemed = self.hub.recovery().ask(|reply| Redeem { token, claim, by, reply })?.for_change();
        // The reply follows what the rooms reply to the recovery, and so this one, too.
        drop(self.make_recoverable());
        let redeemed = async move { redeemed.await? };
        Ok(Outcome::AfterJoins(Box::new(move |reply_slot| {
            Box::pin(wrap_future::<_, Self>(redeemed).then(
                move |suspended: Result<ClaimedRecord, Fault>, session, _| {
                    let redeemed = suspended.and_then(|suspended| {
                        let holder = session.holder(By::Token)?;
                        let holder = Holder { connected_at: suspended.holder.connected_at, ..holder };
                        Ok((suspended, holder))
                    });
                    match redeemed {
                        Ok((suspended, holder)) => {
                            session.hub.stats().recovered.add(1);
                            session.hub.recovery().post_departure(Issue { holder, token: next.clone() });
                            session.recovery_token = Some(next);
                            session.resume(suspended, reply_slot)
                        }
                        Err(fault) => Box::pin(ready(Err(fault))),
                    }
                },
            ))
        })))
    }
}

impl Handle<AskSession> for Session {
    fn handle(&mut self, _: AskSession) -> Result<Outcome<SessionInfo>, Fault> {
        Ok(Outcome::Reply(SessionInfo::new(self.state()?)))
    }
}

impl Handle<AskRecoveryStats> for Session {
    fn handle(&mut self, _: AskRecoveryStats) -> Result<Outcome<RecoveryStats>, Fault> {
        let counted = self.hub.recovery().ask(CountTokens)?;
        let hub = self.hub.clone();
        let answer = async move {
            let recovery_tokens = counted.await?;
            let queued_messages = hub.rooms().queued().await?;
            let now = hub.clock().now_ms();
            Ok(RecoveryStats::new(RecoveryMetrics {
                active_sessions: hub.stats().sessions.get(),
                recovery_tokens,
                queued_messages,
                // Rounded to a hundredth of a minute.
                average_session_age: (hub.registry().average_age_ms(now) / 600) as f64 / 100.0,
            }))
        };
        Ok(Outcome::Async(Box::pin(answer.into_actor(self))))
    }
}
