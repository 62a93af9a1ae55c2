//! Something that is done later, unless it is dropped before.

use std::future::Future;

use actix_rt::task::JoinHandle;

/// A task of this thread that ends when this is dropped.
#[derive(Debug)]
pub(super) struct Timer(JoinHandle<()>);

impl Timer {
    /// Starts the task.
    pub(super) fn start(task: impl Future<Output = ()> + 'static) -> Self {
        Self(actix_rt::spawn(task))
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}
