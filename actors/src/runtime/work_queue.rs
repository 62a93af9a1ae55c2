//! A bounded queue before blocking threads: the store's, and the threads that hash passwords. It does not know its
//! items. A push never waits; a take waits for an item.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A bounded queue. All its threads share it.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    bound: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

/// The queue is full or closed; this returns the item.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused<T>(pub T);

/// The result of [`Queue::take_all`].
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// The waiting items, in order.
    Some(Vec<T>),
    /// No item arrived in time.
    Idle,
    /// The queue is empty and closed.
    Closed,
}

impl<T> Queue<T> {
    /// An empty queue for at most `bound` items.
    pub fn new(bound: usize) -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), closed: false }), arrived: Condvar::new(), bound }
    }

    /// Adds an item.
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

    /// Waits for the next item; `None` once the queue is closed and empty.
    pub fn take(&self) -> Option<T> {
        let idle = |state: &mut State<T>| state.waiting.is_empty() && !state.closed;
        let mut state = self.arrived.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
        state.waiting.pop_front()
    }

    /// Up to `most` waiting items. If there are none, it waits up to `patience` for the first.
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

    /// Rejects further items. Waiting items can still be taken.
    pub fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    /// As [`Queue::close`], and drops the waiting items, because no thread takes them any more.
    pub fn abandon(&self) {
        let mut state = self.state();
        state.closed = true;
        let given_up = std::mem::take(&mut state.waiting);
        drop(state);
        self.arrived.notify_all();
        drop(given_up);
    }

    /// The number of waiting items.
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
