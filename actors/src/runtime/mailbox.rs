//! The mailbox of a central actor: messages, requests with a reply, a bound, a name and a visible depth.
//!
//! actix does not bound `do_send`, and it gives every sender a slot of its own. A counted semaphore therefore stands in
//! front of the actor: a permit travels with each message and is returned after the message is handled.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::model::fault::Fault;

/// A message that occupies the mailbox until it is handled.
#[derive(Debug)]
pub struct Posted<M> {
    /// The message.
    pub message: M,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<M> Message for Posted<M> {
    type Result = ();
}

/// Handles a message from the actor's [`Mailbox`]. A request carries a [`ReplySender`].
pub trait Receive<M>: Actor {
    /// Handles the message.
    fn receive(&mut self, message: M, ctx: &mut Self::Context);
}

/// Lets an actor receive the messages posted to it.
#[macro_export]
macro_rules! receives_posts {
    ($actor:ty) => {
        impl<M> actix::Handler<$crate::runtime::mailbox::Posted<M>> for $actor
        where
            $actor: $crate::runtime::mailbox::Receive<M>,
        {
            type Result = ();

            fn handle(&mut self, posted: $crate::runtime::mailbox::Posted<M>, ctx: &mut Self::Context) {
                self.receive(posted.message, ctx);
            }
        }
    };
}
pub use receives_posts;

/// Sends the reply to a request. Dropped unsent, it fails the [`ReplyReceiver`].
pub type ReplySender<T> = oneshot::Sender<T>;

/// The pending reply to a request. Fails with [`Fault::internal`] when the actor ends without a reply; the fault's
/// cause names the actor.
#[derive(Debug)]
#[must_use = "a reply is awaited or dropped on purpose"]
pub struct ReplyReceiver<T> {
    actor: Arc<str>,
    changes: bool,
    receiver: oneshot::Receiver<T>,
}

impl<T> ReplyReceiver<T> {
    /// Without a reply, the future fails with [`Fault::outcome_unknown`]: the request may have changed something.
    pub fn for_change(self) -> Self {
        Self { changes: true, ..self }
    }
}

impl<T> Future for ReplyReceiver<T> {
    type Output = Result<T, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map_err(|_| {
            let fault = if self.changes { Fault::outcome_unknown() } else { Fault::internal() };
            fault.caused_by(format!("the actor {} ended without a reply", self.actor))
        })
    }
}

/// The mailbox is full; this returns the message.
#[derive(Debug)]
pub struct Full<M>(pub M);

/// The address of a central actor, with a bound.
#[derive(Debug)]
pub struct Mailbox<A: Actor> {
    name: Arc<str>,
    address: Addr<A>,
    permits: Arc<Semaphore>,
    bound: usize,
}

impl<A: Actor> Clone for Mailbox<A> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            address: self.address.clone(),
            permits: self.permits.clone(),
            bound: self.bound,
        }
    }
}

impl<A: Actor<Context = Context<A>>> Mailbox<A> {
    /// Puts a bound of `bound` waiting messages before `address`.
    pub fn new(name: impl Into<Arc<str>>, address: Addr<A>, bound: usize) -> Self {
        Self { name: name.into(), address, permits: Arc::new(Semaphore::new(bound)), bound }
    }

    /// Posts a message, unless the bound is reached.
    ///
    /// # Errors
    /// [`Full`] with the message.
    pub fn post<M>(&self, message: M) -> Result<(), Full<M>>
    where
        A: Handler<Posted<M>>,
        M: Send + 'static,
    {
        match self.permits.clone().try_acquire_owned() {
            Ok(permit) => {
                self.push(Posted { message, _permit: Some(permit) });
                Ok(())
            }
            Err(_) => Err(Full(message)),
        }
    }

    /// Posts a request, which `request` builds around the sender of its reply.
    ///
    /// # Errors
    /// [`Fault::overloaded`] when the mailbox is full: the request was not accepted.
    pub fn ask<M, T>(&self, request: impl FnOnce(ReplySender<T>) -> M) -> Result<ReplyReceiver<T>, Fault>
    where
        A: Handler<Posted<M>>,
        M: Send + 'static,
    {
        let (sender, reply) = self.reply();
        self.post(request(sender)).map_err(|Full(_)| Fault::overloaded())?;
        Ok(reply)
    }

    /// As [`Mailbox::ask`], but waits for free space instead of failing.
    pub async fn ask_when_free<M, T>(&self, request: impl FnOnce(ReplySender<T>) -> M) -> ReplyReceiver<T>
    where
        A: Handler<Posted<M>>,
        M: Send + 'static,
    {
        let (sender, reply) = self.reply();
        self.post_when_free(request(sender)).await;
        reply
    }

    /// As [`Mailbox::ask`], for the messages of [`Mailbox::post_departure`].
    pub fn ask_departure<M, T>(&self, request: impl FnOnce(ReplySender<T>) -> M) -> ReplyReceiver<T>
    where
        A: Handler<Posted<M>>,
        M: Send + 'static,
    {
        let (sender, reply) = self.reply();
        self.post_departure(request(sender));
        reply
    }

    /// Makes the channel for a reply of this actor.
    pub fn reply<T>(&self) -> (ReplySender<T>, ReplyReceiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (sender, ReplyReceiver { actor: self.name.clone(), changes: false, receiver })
    }

    /// Posts a message as soon as the mailbox has free space. Waiting posts keep their order.
    pub async fn post_when_free<M>(&self, message: M)
    where
        A: Handler<Posted<M>>,
        M: Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.ok();
        self.push(Posted { message, _permit: permit });
    }

    /// Posts a message that completes accepted work, such as a leave, or a message that the hub sends one at a time.
    /// Each accepted start has at most one such message, so it is never refused and the depth does not count it.
    pub fn post_departure<M>(&self, message: M)
    where
        A: Handler<Posted<M>>,
        M: Send + 'static,
    {
        self.push(Posted { message, _permit: None });
    }

    #[expect(clippy::disallowed_methods, reason = "the caller holds a permit")]
    fn push<M>(&self, posted: Posted<M>)
    where
        A: Handler<Posted<M>>,
        M: Send + 'static,
    {
        self.address.do_send(posted);
    }
}

/// Makes the actor handle the rest of a message after the messages that wait now.
pub(crate) fn continue_with<A, M>(rest: M, ctx: &mut Context<A>)
where
    A: Actor<Context = Context<A>> + Handler<Posted<M>>,
    M: Send + 'static,
{
    ctx.notify(Posted { message: rest, _permit: None });
}

/// The state of a mailbox, for health checks and metrics.
pub trait Watched: Send + Sync {
    /// The name in metrics and faults.
    fn name(&self) -> &str;

    /// Waiting messages and the message being handled, without departures.
    fn depth(&self) -> usize;

    /// The largest depth.
    fn bound(&self) -> usize;

    /// Whether the actor is alive.
    fn is_alive(&self) -> bool;
}

impl<A: Actor<Context = Context<A>>> Watched for Mailbox<A> {
    fn name(&self) -> &str {
        &self.name
    }

    fn depth(&self) -> usize {
        self.bound - self.permits.available_permits()
    }

    fn bound(&self) -> usize {
        self.bound
    }

    fn is_alive(&self) -> bool {
        self.address.connected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::Code;

    struct Counter(u32);

    impl Actor for Counter {
        type Context = Context<Self>;
    }

    receives_posts!(Counter);

    #[derive(Debug)]
    struct Next(ReplySender<u32>);

    impl Receive<Next> for Counter {
        fn receive(&mut self, Next(reply): Next, _: &mut Self::Context) {
            self.0 += 1;
            let _ = reply.send(self.0);
        }
    }

    #[derive(Debug)]
    struct Lose(#[expect(dead_code, reason = "dropped without a reply")] ReplySender<()>);

    impl Receive<Lose> for Counter {
        fn receive(&mut self, _: Lose, _: &mut Self::Context) {}
    }

    #[actix::test]
    async fn a_full_mailbox_refuses_a_request_or_makes_it_wait() {
        let mailbox = Mailbox::new("counter", Counter(0).start(), 1);
        let first = mailbox.ask(Next).unwrap();
        assert_eq!(mailbox.ask(Next).unwrap_err(), Fault::overloaded());
        let departure = mailbox.ask_departure(Next);
        let waiting = mailbox.ask_when_free(Next).await;
        assert_eq!((first.await, departure.await, waiting.await), (Ok(1), Ok(2), Ok(3)));
    }

    #[actix::test]
    async fn a_lost_reply_fails_with_a_cause_that_names_the_actor() {
        let mailbox = Mailbox::new("counter", Counter(0).start(), 2);
        let query = mailbox.ask(Lose).unwrap().await.unwrap_err();
        assert_eq!((query.code, query.cause()), (Code::Internal, Some("the actor counter ended without a reply")));
        let change = mailbox.ask(Lose).unwrap().for_change().await.unwrap_err();
        assert_eq!((change.code, change.cause()), (Code::OutcomeUnknown, query.cause()));
    }
}
