//! Writes for all connections of a worker: those whose outbox got something in one turn are written in the next, once
//! each, without waking a task a connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Connections written before other tasks of the worker get their turn.
const TURN: usize = 256;

/// What writes when it is its turn.
pub trait Flushable {
    /// Writes what waits.
    fn flush(self: Rc<Self>);
}

/// The connections of a worker that have something to write.
#[derive(Default)]
pub struct Flusher {
    queue: RefCell<Vec<Rc<dyn Flushable>>>,
    waker: Cell<Option<Waker>>,
}

impl Flusher {
    /// Starts a flusher on the worker's thread; it runs as long as the thread. `died` is called should it panic: a
    /// worker that writes no more must not look alive.
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

    /// Gives a connection its turn. Who is queued already should not come again before it was flushed.
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
