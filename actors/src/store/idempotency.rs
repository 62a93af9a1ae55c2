//! Keeps, between a planned stop and the next start, the answers to requests and publications with an idempotency key
//! and the nonces of signed requests. Stored nonces prove that the stop was planned. Without them, the next start
//! refuses every request that was signed before it.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Store;
use super::handover::Handover;
use super::health::{StoreError, unless_damaged};
use crate::model::fault::Fault;

/// The outcome of a request with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The kind of name.
    pub kind: String,
    /// The owner of the name.
    pub owner: String,
    /// The name.
    pub name: String,
    /// The SHA-256 of the request.
    pub digest: [u8; 32],
    /// Expiry time, ms since the epoch.
    pub until: i64,
    /// The answer; `None` when the outcome is unknown.
    pub answer: Option<Bytes>,
}

/// The nonces of signed requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNonces {
    /// Requests signed before this time are refused, ms since the epoch: an earlier crash lost their nonces.
    pub not_before: i64,
    /// The used nonces.
    pub used: Vec<StoredNonce>,
}

/// A used nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredNonce {
    /// The key of the nonce.
    pub name: [u8; 16],
    /// The last time at which its request is fresh, ms since the epoch.
    pub until: i64,
}

impl Store {
    /// Stores these answers and replaces all stored answers.
    ///
    /// # Errors
    /// As [`Store::keep_histories`].
    pub async fn keep_answers(&self, answers: Vec<StoredAnswer>) -> Result<(), Fault> {
        self.hand_over(answers).await
    }

    /// Removes the stored answers and returns them in their order.
    ///
    /// # Errors
    /// As [`Store::keep_histories`].
    pub async fn take_answers(&self) -> Result<Vec<StoredAnswer>, Fault> {
        self.take_over().await
    }

    /// Stores these nonces, which also marks this stop as planned.
    ///
    /// # Errors
    /// As [`Store::keep_histories`].
    pub async fn keep_nonces(&self, nonces: StoredNonces) -> Result<(), Fault> {
        self.hand_over(Some(nonces)).await
    }

    /// Removes the stored nonces and returns them; `None` when the last stop was not planned, or this is the first
    /// start.
    ///
    /// # Errors
    /// As [`Store::keep_histories`].
    pub async fn take_nonces(&self) -> Result<Option<StoredNonces>, Fault> {
        self.take_over().await
    }
}

impl Handover for Vec<StoredAnswer> {
    const CLEAR: &'static str = "DELETE FROM answers";

    fn write(&self, conn: &Connection) -> Result<(), StoreError> {
        let mut add = conn.prepare_cached(
            "INSERT INTO answers (kind, owner, name, digest, until, answer) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for StoredAnswer { kind, owner, name, digest, until, answer } in self {
            add.execute(params![kind, owner, name, digest, until, answer.as_deref()])?;
        }
        Ok(())
    }

    fn read(conn: &Connection) -> Result<Self, StoreError> {
        let mut answers = conn.prepare("SELECT kind, owner, name, digest, until, answer FROM answers ORDER BY seq")?;
        let answers = answers.query_map((), |row| {
            let answer: Option<Vec<u8>> = row.get(5)?;
            Ok(StoredAnswer {
                kind: row.get(0)?,
                owner: row.get(1)?,
                name: row.get(2)?,
                digest: row.get(3)?,
                until: row.get(4)?,
                answer: answer.map(Bytes::from),
            })
        })?;
        let answers = answers.filter_map(|row| unless_damaged(row, "a stored answer").transpose());
        Ok(answers.collect::<Result<_, _>>()?)
    }
}

/// Bytes of a nonce: its name and its end.
const NONCE_BYTES: usize = 24;

impl Handover for Option<StoredNonces> {
    const CLEAR: &'static str = "DELETE FROM planned_end";

    fn write(&self, conn: &Connection) -> Result<(), StoreError> {
        let Some(nonces) = self else { return Ok(()) };
        // One row for all nonces: one row for each would take seconds at the stop.
        let mut bytes = Vec::with_capacity(nonces.used.len() * NONCE_BYTES);
        for StoredNonce { name, until } in &nonces.used {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&until.to_le_bytes());
        }
        let sql = "INSERT INTO planned_end (id, not_before, nonces) VALUES (1, ?1, ?2)";
        conn.execute(sql, params![nonces.not_before, bytes])?;
        Ok(())
    }

    fn read(conn: &Connection) -> Result<Self, StoreError> {
        let nonces = conn.query_row("SELECT not_before, nonces FROM planned_end", (), |row| {
            let bytes: Vec<u8> = row.get(1)?;
            let (used, _) = bytes.as_chunks::<NONCE_BYTES>();
            Ok(StoredNonces { not_before: row.get(0)?, used: used.iter().map(stored_nonce).collect() })
        });
        // Without nonces, the stop counts as unplanned: requests signed before the start are refused.
        Ok(unless_damaged(nonces.optional(), "nonces")?.flatten())
    }
}

fn stored_nonce(bytes: &[u8; NONCE_BYTES]) -> StoredNonce {
    let (mut name, mut until) = ([0; 16], [0; 8]);
    name.copy_from_slice(&bytes[..16]);
    until.copy_from_slice(&bytes[16..]);
    StoredNonce { name, until: i64::from_le_bytes(until) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::Role;

    #[tokio::test]
    async fn stored_answers_and_nonces_are_taken_once_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let answer = |name: &str, answer: Option<&'static str>| StoredAnswer {
            kind: "client".into(),
            owner: "alice".into(),
            name: name.into(),
            digest: [7; 32],
            until: 9,
            answer: answer.map(Bytes::from),
        };
        let answers = vec![answer("b", Some("yes")), answer("a", None), answer("c", Some(""))];
        let used = vec![StoredNonce { name: [1; 16], until: i64::MAX }, StoredNonce { name: [2; 16], until: 3 }];
        let nonces = StoredNonces { not_before: i64::MIN, used };
        let none = StoredNonces { not_before: 5, used: Vec::new() };
        let store = open();
        assert_eq!(store.take_nonces().await.unwrap(), None);
        store.keep_answers(vec![answer("old", None)]).await.unwrap();
        store.keep_answers(answers.clone()).await.unwrap();
        store.keep_nonces(none.clone()).await.unwrap();
        store.keep_nonces(nonces.clone()).await.unwrap();
        store.close().await;
        drop(store);
        let store = open();
        assert_eq!((store.take_answers().await, store.take_nonces().await), (Ok(answers), Ok(Some(nonces))));
        assert_eq!((store.take_answers().await, store.take_nonces().await), (Ok(Vec::new()), Ok(None)));
        // A planned stop without any nonce is still planned.
        store.keep_nonces(none.clone()).await.unwrap();
        assert_eq!(store.take_nonces().await.unwrap(), Some(none));
    }

    #[tokio::test]
    async fn unreadable_answers_are_skipped_and_unreadable_nonces_make_the_stop_unplanned() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let answer = |name: &str| StoredAnswer {
            kind: "client".into(),
            owner: "alice".into(),
            name: name.into(),
            digest: [7; 32],
            until: 9,
            answer: None,
        };
        store.keep_answers(vec![answer("a"), answer("b")]).await.unwrap();
        store.keep_nonces(StoredNonces { not_before: 5, used: Vec::new() }).await.unwrap();
        let file = Connection::open(store.path()).unwrap();
        file.execute("UPDATE answers SET digest = x'07' WHERE name = 'a'", ()).unwrap();
        file.execute_batch("DROP TABLE planned_end; CREATE TABLE planned_end (id, not_before, nonces)").unwrap();
        file.execute("INSERT INTO planned_end VALUES (1, 'x', x'')", ()).unwrap();
        assert_eq!(store.take_answers().await.unwrap(), [answer("b")]);
        assert_eq!(store.take_nonces().await.unwrap(), None);
    }
}
