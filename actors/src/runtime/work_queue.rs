//! A bounded queue before blocking threads: the store's, and the threads that hash passwords. It does not know its
//! items. A push never waits; a take waits for an item.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A bounded queue. All its threads share it.
pub struct Queue<T> {
    state: Mutex<WorkQueueState<T>>,
    arrived: Condvar,
    bound: usize,
}

struct WorkQueueState<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

/// The queue is full or closed; the error returns the item.
#[derive(Debug, PartialEq, Eq)]
pub struct PushError<T>(pub T);

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
        Self {
            state: Mutex::new(WorkQueueState { waiting: VecDeque::new(), closed: false }),
            arrived: Condvar::new(),
            bound,
        }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// [`PushError`] with the item.
    pub fn push(&self, item: T) -> Result<(), PushError<T>> {
        let mut state = self.state();
        if state.closed || state.waiting.len() >= self.bound {
            return Err(PushError(item));
        }
        state.waiting.push_back(item);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for the next item; `None` once the queue is closed and empty.
    pub fn take(&self) -> Option<T> {
        let idle = |state: &mut WorkQueueState<T>| state.waiting.is_empty() && !state.closed;
        let mut state = self.arrived.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
        state.waiting.pop_front()
    }

    /// Up to `most` waiting items. If there are none, it waits up to `timeout` for the first.
    pub fn take_all(&self, most: usize, timeout: Duration) -> Taken<T> {
        let idle = |state: &mut WorkQueueState<T>| state.waiting.is_empty() && !state.closed;
        let (mut state, _) =
            self.arrived.wait_timeout_while(self.state(), timeout, idle).unwrap_or_else(PoisonError::into_inner);
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
    pub fn close_and_clear(&self) {
        let mut state = self.state();
        state.closed = true;
        let dropped = std::mem::take(&mut state.waiting);
        drop(state);
        self.arrived.notify_all();
        drop(dropped);
    }

    /// The number of waiting items.
    pub fn depth(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, WorkQueueState<T>> {
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
    fn items_are_taken_in_order_and_the_queue_keeps_its_bound() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        assert_eq!(queue.push(2), Ok(()));
        assert_eq!(queue.push(3), Err(PushError(3)));
        assert_eq!(queue.depth(), 2);
        assert_eq!(queue.take(), Some(1));
        assert_eq!(queue.push(3), Ok(()));
        assert_eq!(queue.take_all(9, Duration::ZERO), Taken::Some(vec![2, 3]));
        assert_eq!(queue.take_all(9, Duration::ZERO), Taken::Idle);
    }

    #[test]
    fn a_closed_queue_returns_waiting_items_and_a_cleared_queue_does_not() {
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        queue.close();
        assert_eq!(queue.push(2), Err(PushError(2)));
        assert_eq!(queue.take(), Some(1));
        assert_eq!(queue.take(), None);
        assert_eq!(queue.take_all(9, Duration::ZERO), Taken::Closed);
        let queue = Queue::new(2);
        assert_eq!(queue.push(1), Ok(()));
        queue.close_and_clear();
        assert_eq!(queue.take(), None);
    }
}
