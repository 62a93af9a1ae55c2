//! A bounded queue before threads that block: the store's and those that hash passwords. Knows nothing of what waits in
//! it. Who puts something in never waits; who takes does.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue with a bound; one for all its threads.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    bound: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

/// Nothing more is taken in: the bound is reached, or nobody takes out any more. Here is the item back.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused<T>(pub T);

/// What a thread found that asked for everything.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// What waited, in order.
    Some(Vec<T>),
    /// Nothing came in time.
    Idle,
    /// Nothing waits and nothing will come.
    Closed,
}

impl<T> Queue<T> {
    /// An empty queue for at most `bound` items.
    pub fn new(bound: usize) -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), closed: false }), arrived: Condvar::new(), bound }
    }

    /// Puts an item in.
    ///
    /// # Errors
    /// [`Refused`] with the item.
    pub fn push(&self, item: T) -> Result<(), Refused<T>> {
        let mut state = self.state();
        if state.closed || state.waiting.len() >= self.bound {
            return Err(Refused(item));
        }
        state.waiting.push_back(item);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// The next item, when there is one; `None` once the queue is closed and empty.
    pub fn take(&self) -> Option<T> {
        let idle = |state: &mut State<T>| state.waiting.is_empty() && !state.closed;
        let mut state = self.arrived.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
        state.waiting.pop_front()
    }

    /// Up to `most` items that wait; if there is none, those that come within `patience`.
    pub fn take_all(&self, most: usize, patience: Duration) -> Taken<T> {
        let idle = |state: &mut State<T>| state.waiting.is_empty() && !state.closed;
        let (mut state, _) =
            self.arrived.wait_timeout_while(self.state(), patience, idle).unwrap_or_else(PoisonError::into_inner);
        let count = state.waiting.len().min(most);
        match count {
            0 if state.closed => Taken::Closed,
            0 => Taken::Idle,
            _ => Taken::Some(state.waiting.drain(..count).collect()),
        }
    }

    /// Takes nothing more in; what waits is still given out.
    pub fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    /// As [`Queue::close`], and drops what waits: nobody takes it any more.
    pub fn abandon(&self) {
        let mut state = self.state();
        state.closed = true;
        let given_up = std::mem::take(&mut state.waiting);
        drop(state);
        self.arrived.notify_all();
        drop(given_up);
    }

    /// Items that wait.
    pub fn depth(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("depth", &self.depth()).field("bound", &self.bound).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_comes_out_in_order_and_never_more_than_the_bound() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.push(3), Err(Refused(3)));
        assert_eq!(queue.depth(), 2);
        assert_eq!(queue.take(), Some(1));
        assert_eq!(queue.push(3), Ok(()));
        assert_eq!(queue.take_all(9, Duration::ZERO), Taken::Some(vec![2, 3]));
        assert_eq!(queue.take_all(9, Duration::ZERO), Taken::Idle);
    }

    #[test]
    fn a_closed_queue_gives_out_what_waits_and_an_abandoned_one_does_not() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        queue.close();
        assert_eq!(queue.push(2), Err(Refused(2)));
        assert_eq!(queue.take(), Some(1));
        assert_eq!(queue.take(), None);
        assert_eq!(queue.take_all(9, Duration::ZERO), Taken::Closed);
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        queue.abandon();
        assert_eq!(queue.take(), None);
    }
}
