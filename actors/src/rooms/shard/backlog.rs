//! What waits for a fan-out that is full; nothing overtakes it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;

/// Waits until a fan-out has room for a message, and posts it.
type Handing = Pin<Box<dyn Future<Output = ()>>>;

/// The messages that wait, in their order.
#[derive(Clone, Default)]
pub(super) struct Backlog(Rc<RefCell<VecDeque<Handing>>>);

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn push(&self, handing: Handing) {
        self.0.borrow_mut().push_back(handing);
    }

    /// Ends when nothing waits any more.
    pub(super) async fn empty(self) {
        while let Some(handing) = { self.0.borrow_mut().pop_front() } {
            handing.await;
        }
    }
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backlog").field(&self.0.borrow().len()).finish()
    }
}
