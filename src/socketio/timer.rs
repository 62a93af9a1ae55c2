//! A delayed task that is cancelled when dropped.

use std::future::Future;

use actix_rt::task::JoinHandle;

/// A task on this thread that is aborted when this value is dropped.
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
