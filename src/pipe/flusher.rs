//! Writes for all connections of a worker: those whose outbox got something in one turn are written in the next, once
//! each, without waking a task a connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::Pipe;

/// Connections written before other tasks of the worker get their turn.
const TURN: usize = 256;

/// The connections of a worker that have something to write.
#[derive(Default)]
pub struct Flusher {
    queue: RefCell<Vec<Rc<Pipe>>>,
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

    pub(super) fn queue(&self, pipe: Rc<Pipe>) {
        self.queue.borrow_mut().push(pipe);
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
            for (written, pipe) in turn.drain(..).enumerate() {
                if written > 0 && written % TURN == 0 {
                    tokio::task::yield_now().await;
                }
                pipe.flush();
            }
            turn.shrink_to(TURN);
        }
    }
}
