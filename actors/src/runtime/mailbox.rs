//! The way to a central actor: a mailbox with a bound, a name and a depth that shows.
//!
//! actix bounds a mailbox only for those who ask (`do_send` and its own slot for every sender do not), so a counted
//! semaphore stands in front of it: a permit travels with each message and comes back when the message was handled.

use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A message that holds its place in the mailbox until it was handled.
#[derive(Debug)]
pub struct Posted<M> {
    /// What was posted.
    pub message: M,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<M> Message for Posted<M> {
    type Result = ();
}

/// What an actor does with a message that came through its [`Mailbox`]. Answers, where wanted, go back by a oneshot.
pub trait Receive<M>: Actor {
    /// Handles the message.
    fn receive(&mut self, message: M, ctx: &mut Self::Context);
}

/// Lets an actor receive what is posted to it.
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

/// The mailbox is full; here is the message back.
#[derive(Debug)]
pub struct Full<M>(pub M);

/// The address of a central actor behind its bound.
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

    /// Posts a message as soon as there is a place for it, after those who waited before.
    pub async fn post_when_free<M>(&self, message: M)
    where
        A: Handler<Posted<M>>,
        M: Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.ok();
        self.push(Posted { message, _permit: permit });
    }

    /// Posts the end of something whose beginning was let in: there is at most one of these for each of those, so they
    /// are bounded by them and never refused.
    pub fn post_departure<M>(&self, message: M)
    where
        A: Handler<Posted<M>>,
        M: Send + 'static,
    {
        self.push(Posted { message, _permit: None });
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where the bound has been kept already")]
    fn push<M>(&self, posted: Posted<M>)
    where
        A: Handler<Posted<M>>,
        M: Send + 'static,
    {
        self.address.do_send(posted);
    }
}

/// A mailbox as those see it who watch over it.
pub trait Watched: Send + Sync {
    /// The name that metrics and faults show.
    fn name(&self) -> &str;

    /// Messages that wait or are being handled, departures left out.
    fn depth(&self) -> usize;

    /// How many may.
    fn bound(&self) -> usize;

    /// Whether the actor behind it lives.
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
