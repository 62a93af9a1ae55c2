//! Keeps suspended sessions and their deliveries between a planned stop and the next start: see [`super::handover`]. A
//! delivery is stored once for all sessions. Recovery tokens are stored as hashes only.

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::Store;
use super::handover::Handover;
use super::health::{StoreError, unless_damaged};
use crate::model::fault::Fault;

/// Suspended sessions, in the order of their suspension, and their deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredSessions {
    /// The sessions.
    pub sessions: Vec<StoredSession>,
    /// The deliveries of all sessions.
    pub deliveries: Vec<StoredDelivery>,
}

/// A suspended session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// The SHA-256 of the recovery token.
    pub token: [u8; 32],
    /// Expiry time of the recovery token, ms since the epoch.
    pub until: i64,
    /// The session's state, JSON text.
    pub head: String,
    /// The numbers of the session's deliveries, in order.
    pub deliveries: Vec<u64>,
}

/// A delivery that at least one session needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDelivery {
    /// The number.
    pub number: u64,
    /// Whether `bytes` are a frame as on the wire, or the data only.
    pub is_frame: bool,
    /// The room of the publication.
    pub room: String,
    /// The frame or the data.
    pub bytes: Bytes,
    /// The id of the notification that it carries.
    pub about: Option<String>,
}

impl Store {
    /// Stores these sessions and replaces all stored sessions.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::StoreUnavailable`], [`crate::model::fault::Code::Overloaded`].
    pub async fn keep_suspended(&self, suspended: StoredSessions) -> Result<(), Fault> {
        self.hand_over(suspended).await
    }

    /// Removes the stored sessions and returns them.
    ///
    /// # Errors
    /// As [`Store::keep_suspended`].
    pub async fn take_suspended(&self) -> Result<StoredSessions, Fault> {
        self.take_over().await
    }
}

impl Handover for StoredSessions {
    const CLEAR: &'static str = "DELETE FROM parked; DELETE FROM parked_deliveries";

    fn write(&self, conn: &Connection) -> Result<(), StoreError> {
        keep(conn, self)
    }

    fn read(conn: &Connection) -> Result<Self, StoreError> {
        read(conn)
    }
}

fn keep(conn: &Connection, suspended: &StoredSessions) -> Result<(), StoreError> {
    let mut add = conn.prepare_cached("INSERT INTO parked (token, until, head, deliveries) VALUES (?1, ?2, ?3, ?4)")?;
    for session in &suspended.sessions {
        let numbers: Vec<u8> = session.deliveries.iter().flat_map(|number| number.to_le_bytes()).collect();
        add.execute(params![session.token, session.until, session.head, numbers])?;
    }
    let mut add = conn.prepare_cached(
        "INSERT OR IGNORE INTO parked_deliveries (number, is_frame, room, bytes, about) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for StoredDelivery { number, is_frame, room, bytes, about } in &suspended.deliveries {
        add.execute(params![number.cast_signed(), is_frame, room, &bytes[..], about])?;
    }
    Ok(())
}

/// Reads the valid sessions and deliveries. A damaged one is skipped, so that the hub still starts.
fn read(conn: &Connection) -> Result<StoredSessions, StoreError> {
    let mut sessions = conn.prepare("SELECT token, until, head, deliveries FROM parked ORDER BY seq")?;
    let sessions = sessions.query_map((), |row| {
        let numbers: Vec<u8> = row.get(3)?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let deliveries = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
        let token: Vec<u8> = row.get(0)?;
        // A row that the hub did not write belongs to no session.
        let token = <[u8; 32]>::try_from(token).ok();
        let (until, head) = (row.get(1)?, row.get(2)?);
        Ok(token.map(|token| StoredSession { token, until, head, deliveries }))
    })?;
    let sessions = sessions.filter_map(|row| unless_damaged(row, "a suspended session").transpose());
    let sessions = sessions.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let mut deliveries = conn.prepare("SELECT number, is_frame, room, bytes, about FROM parked_deliveries")?;
    let deliveries = deliveries.query_map((), |row| {
        let bytes: Vec<u8> = row.get(3)?;
        let number: i64 = row.get(0)?;
        Ok(StoredDelivery {
            number: number.cast_unsigned(),
            is_frame: row.get(1)?,
            room: row.get(2)?,
            bytes: bytes.into(),
            about: row.get(4)?,
        })
    })?;
    let deliveries = deliveries.filter_map(|row| unless_damaged(row, "a delivery of a suspended session").transpose());
    Ok(StoredSessions { sessions, deliveries: deliveries.collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::Role;

    #[tokio::test]
    async fn sessions_are_taken_once_and_a_shared_delivery_is_stored_once() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let session = |token, deliveries| StoredSession { token: [token; 32], until: 7, head: "{}".into(), deliveries };
        let delivery = |number, is_frame| {
            let (room, bytes, about) = ("room".into(), Bytes::from_static(b"\x81\x00"), Some("7".into()));
            StoredDelivery { number, is_frame, room, bytes, about }
        };
        let deliveries = vec![delivery(1, false), delivery(1, true), delivery(u64::MAX, true)];
        let sessions = vec![session(9, vec![u64::MAX, 1]), session(2, Vec::new()), session(3, vec![1])];
        let kept = StoredSessions { sessions, deliveries };
        let mut twice = kept.clone();
        twice.deliveries.push(delivery(1, false));
        let store = open();
        store
            .keep_suspended(StoredSessions { sessions: vec![session(1, vec![5])], ..Default::default() })
            .await
            .unwrap();
        store.keep_suspended(twice).await.unwrap();
        store.close().await;
        drop(store);
        let store = open();
        let mut taken = store.take_suspended().await.unwrap();
        taken.deliveries.sort_by_key(|delivery| (delivery.number, delivery.is_frame));
        assert_eq!(taken, kept);
        assert_eq!(store.take_suspended().await.unwrap(), StoredSessions::default());
    }

    #[tokio::test]
    async fn unreadable_sessions_and_deliveries_are_skipped_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
        let session = |token| StoredSession { token: [token; 32], until: 7, head: "{}".into(), deliveries: vec![1] };
        let delivery = |number| {
            let (room, bytes) = ("room".into(), Bytes::from_static(b"1"));
            StoredDelivery { number, is_frame: false, room, bytes, about: None }
        };
        let (sessions, deliveries) = (vec![session(1), session(2)], vec![delivery(1), delivery(2)]);
        store.keep_suspended(StoredSessions { sessions, deliveries }).await.unwrap();
        let file = Connection::open(store.path()).unwrap();
        file.execute("UPDATE parked SET head = CAST(x'ff' AS TEXT) WHERE seq = 1", ()).unwrap();
        file.execute("UPDATE parked_deliveries SET room = CAST(x'ff' AS TEXT) WHERE number = 2", ()).unwrap();
        let taken = StoredSessions { sessions: vec![session(2)], deliveries: vec![delivery(1)] };
        assert_eq!(store.take_suspended().await.unwrap(), taken);
        assert_eq!(store.take_suspended().await.unwrap(), StoredSessions::default());
    }
}
