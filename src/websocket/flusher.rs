//! Writes for all connections of a worker. A connection with new messages in its outbox is written once in the next turn,
//! without waking a task per connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Connections written before the worker's other tasks have their turn.
const TURN: usize = 256;

/// A connection in the flusher's queue.
pub trait Flushable {
    /// Writes the outbox.
    fn flush(self: Rc<Self>);
}

/// The queue of a worker's connections with messages to write.
#[derive(Default)]
pub struct Flusher {
    queue: RefCell<Vec<Rc<dyn Flushable>>>,
    waker: Cell<Option<Waker>>,
}

impl Flusher {
    /// Starts a flusher on the worker's thread, for the thread's lifetime. `died` is called if it panics, because a
    /// worker that cannot write must not appear healthy.
    pub fn start(died: impl FnOnce() + 'static) -> Rc<Self> {
        let flusher = Rc::new(Self::default());
        let task = actix_rt::spawn(flusher.clone().run());
        actix_rt::spawn(async move {
            if task.await.is_err_and(|error| error.is_panic()) {
                died();
            }
        });
        flusher
    }

    /// Queues a connection. It must not be queued again before it is flushed.
    pub fn queue(&self, connection: Rc<dyn Flushable>) {
        self.queue.borrow_mut().push(connection);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn run(self: Rc<Self>) {
        let mut turn = Vec::new();
        loop {
            poll_fn(|cx| {
                if self.queue.borrow().is_empty() {
                    self.waker.set(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            std::mem::swap(&mut turn, &mut *self.queue.borrow_mut());
            for (written, connection) in turn.drain(..).enumerate() {
                if written > 0 && written % TURN == 0 {
                    tokio::task::yield_now().await;
                }
                connection.flush();
            }
            turn.shrink_to(TURN);
        }
    }
}
