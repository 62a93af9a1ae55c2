//! The threads that read, each with a connection of its own that cannot write. What one job reads is of one moment.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::health::{Condition, StoreError};
use super::writer::guarded;
use crate::model::fault::Fault;
use crate::runtime::work_queue::Queue;

/// Something to read, and somebody who waits for it.
pub(super) type Query = Box<dyn FnOnce(&Connection, &Condition) + Send>;

/// A query out of a closure.
pub(super) fn query<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    reply: oneshot::Sender<Result<T, Fault>>,
) -> Query {
    Box::new(move |conn, condition| {
        // Nobody waits for it any more.
        if reply.is_closed() {
            return;
        }
        let read = || {
            let snapshot = conn.unchecked_transaction()?;
            let value = work(conn)?;
            snapshot.finish()?;
            Ok(value)
        };
        let _ = reply.send(guarded(read, condition));
    })
}

/// A query that may change what it reads; what fails is undone.
pub(super) fn change<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    reply: oneshot::Sender<Result<T, Fault>>,
) -> Query {
    Box::new(move |conn, condition| {
        let change = || {
            let transaction = conn.unchecked_transaction()?;
            let value = work(conn)?;
            transaction.commit()?;
            Ok(value)
        };
        let _ = reply.send(guarded(change, condition));
    })
}

/// Reads until the queue is closed and empty.
pub(super) fn run(conn: &Connection, queue: &Arc<Queue<Query>>, condition: &Condition) {
    while let Some(query) = queue.take() {
        query(conn, condition);
    }
}
