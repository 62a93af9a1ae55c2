//! Publishing with a `client_id`: each request runs once. A repetition from any session of the user gets the first
//! reply.

use std::sync::Arc;

use actix::fut::{ActorFutureExt, WrapFuture, ready};

use super::{Outcome, ReplyFuture, Session};
use crate::events::client_id::{ClientId, StoredReply};
use crate::idempotency::{Found, IdempotencyKey, RequestDigest, Ticket};
use crate::model::fault::{Code, Fault};

/// A request with a `client_id`, and the digest of its content.
pub(super) struct IdempotentRequest {
    key: IdempotencyKey,
    digest: RequestDigest,
}

impl Session {
    /// The key and the digest of a request; `None` without a `client_id`.
    pub(super) fn idempotent_request(
        &self,
        client_id: Option<&ClientId>,
        digest: impl FnOnce() -> RequestDigest,
    ) -> Result<Option<IdempotentRequest>, Fault> {
        let Some(client_id) = client_id else { return Ok(None) };
        let owner = Arc::from(self.identity()?.user.as_str());
        Ok(Some(IdempotentRequest { key: IdempotencyKey { owner, name: client_id.text().clone() }, digest: digest() }))
    }

    /// Runs `work` once for each `client_id`. A repetition gets the stored reply, or waits for the first request.
    pub(super) fn run_once<R, W, D>(&mut self, named: Option<IdempotentRequest>, work: W) -> Result<Outcome<R>, Fault>
    where
        R: StoredReply + 'static,
        W: FnOnce(&mut Self) -> Result<D, Fault> + 'static,
        D: Future<Output = Result<R, Fault>> + 'static,
    {
        let Some(IdempotentRequest { key, digest }) = named else {
            let done = work(self)?;
            return Ok(Outcome::Async(Box::pin(done.into_actor(self))));
        };
        match self.hub.client_ids().look_up(&key, digest)? {
            Found::First(claim) => Ok(Outcome::Async(self.run_first(claim, work)?)),
            Found::Again(answer) => R::of_bytes(&answer).map(Outcome::Reply).ok_or_else(Fault::outcome_unknown),
            Found::InProgress(wait) => {
                let again =
                    wait.ended().into_actor(self).then(move |(), session, _| {
                        let outcome = session.hub.accepting();
                        let outcome =
                            outcome.and_then(|()| session.run_once(Some(IdempotentRequest { key, digest }), work));
                        match outcome {
                            Ok(Outcome::Async(answer)) => answer,
                            Ok(Outcome::Reply(reply)) => Box::pin(ready(Ok(reply))),
                            Ok(_) => Box::pin(ready(Err(Fault::internal()
                                .caused_by("a publish with a client_id has an unexpected kind of outcome")))),
                            Err(fault) => Box::pin(ready(Err(fault))) as ReplyFuture<R>,
                        }
                    });
                Ok(Outcome::Async(Box::pin(again)))
            }
        }
    }

    fn run_first<R, W, D>(&mut self, claim: Ticket, work: W) -> Result<ReplyFuture<R>, Fault>
    where
        R: StoredReply + 'static,
        W: FnOnce(&mut Self) -> Result<D, Fault> + 'static,
        D: Future<Output = Result<R, Fault>> + 'static,
    {
        let publishing = match work(self) {
            Ok(publishing) => publishing,
            Err(fault) => {
                claim.free();
                return Err(fault);
            }
        };
        // A task of its own: the result is stored even if the session ends meanwhile.
        let done = actix::spawn(async move {
            let result = publishing.await;
            match &result {
                Ok(reply) => claim.keep(reply.to_bytes()),
                Err(fault) if fault.code == Code::OutcomeUnknown => drop(claim),
                Err(_) => claim.free(),
            }
            result
        });
        let answer = async move { done.await.unwrap_or_else(|_| Err(Fault::outcome_unknown())) };
        Ok(Box::pin(answer.into_actor(self)))
    }
}
