//! Messages that wait for a full fan-out, in their order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;

/// Waits until a fan-out has a free place, and posts one message.
type PendingPost = Pin<Box<dyn Future<Output = ()>>>;

/// The waiting messages.
#[derive(Clone, Default)]
pub(super) struct Backlog(Rc<RefCell<VecDeque<PendingPost>>>);

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn push(&self, post: PendingPost) {
        self.0.borrow_mut().push_back(post);
    }

    /// Posts all messages one after the other; resolves when none waits.
    pub(super) async fn empty(self) {
        while let Some(post) = { self.0.borrow_mut().pop_front() } {
            post.await;
        }
    }
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backlog").field(&self.0.borrow().len()).finish()
    }
}
