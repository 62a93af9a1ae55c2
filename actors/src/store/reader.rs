//! The reader threads. Each has its own read-only connection. A job reads one snapshot.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::health::{Condition, StoreError};
use super::writer::guarded;
use crate::model::fault::Fault;
use crate::runtime::work_queue::Queue;

/// A read, with the channel for its result.
pub(super) type Query = Box<dyn FnOnce(&Connection, &Condition) + Send>;

/// Wraps a closure as a query.
pub(super) fn query<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    reply: oneshot::Sender<Result<T, Fault>>,
) -> Query {
    Box::new(move |conn, condition| {
        // The caller has stopped waiting.
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

/// A query that may change the data. An error undoes the change.
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

/// Runs queries until the queue is closed and empty.
pub(super) fn run(conn: &Connection, queue: &Arc<Queue<Query>>, condition: &Condition) {
    while let Some(query) = queue.take() {
        query(conn, condition);
    }
}
