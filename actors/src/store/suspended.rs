//! Keeps suspended sessions, and the part of the publication log that they may need, between a planned stop and the next
//! start: see [`super::handover`]. Recovery tokens are stored as hashes only.
//!
//! The sessions, the rooms and the head of the log are one write. The publications follow in segments, the newest ones
//! first, each segment in a write of its own. So a stop that runs out of time has stored the newest ones. The last
//! segment is marked: without it, the next start knows that older publications are missing.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Store;
use super::handover::Handover;
use super::health::{StoreError, unless_damaged};
use crate::model::fault::Fault;

/// Suspended sessions, and the part of the log that they may need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredSessions {
    /// The sessions, in the order of their expiry.
    pub sessions: Vec<StoredSession>,
    /// The log.
    pub log: StoredLog,
}

/// A suspended session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// The SHA-256 of the recovery token.
    pub token: [u8; 32],
    /// Expiry time of the recovery token, ms since the epoch.
    pub until: i64,
    /// The session's state, JSON text.
    pub record: String,
}

/// The publication log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredLog {
    /// The sequence of the last publication, of any room.
    pub head: u64,
    /// When the hub stopped, ms since the epoch.
    pub stopped_at: i64,
    /// The rooms of the sessions.
    pub rooms: Vec<StoredRoom>,
    /// The publications, the newest segment first.
    pub segments: Vec<StoredSegment>,
}

impl StoredLog {
    /// Whether no segment is missing.
    pub fn is_complete(&self) -> bool {
        self.segments.last().is_some_and(|segment| segment.is_last)
    }
}

/// A room of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Its name.
    pub room: String,
    /// The sequence up to which its publications are not stored.
    pub evicted: u64,
    /// The number of its last message.
    pub messages: u64,
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSegment {
    /// Whether it has the oldest publications: no segment follows.
    pub is_last: bool,
    /// Its publications, the newest first.
    pub entries: Bytes,
}

impl Store {
    /// Stores these sessions and this log, and replaces all stored sessions and the stored log.
    ///
    /// # Errors
    /// [`crate::model::fault::Code::StoreUnavailable`], [`crate::model::fault::Code::Overloaded`].
    pub async fn keep_suspended(&self, suspended: StoredSessions) -> Result<(), Fault> {
        self.hand_over(suspended).await
    }

    /// Adds a segment to the stored log, after the segments with newer publications.
    ///
    /// # Errors
    /// As [`Store::keep_suspended`].
    pub async fn keep_segment(&self, segment: StoredSegment) -> Result<(), Fault> {
        self.write(move |conn| keep_segment(conn, &segment)).await
    }

    /// Removes the stored sessions and the stored log, and returns them.
    ///
    /// # Errors
    /// As [`Store::keep_suspended`].
    pub async fn take_suspended(&self) -> Result<StoredSessions, Fault> {
        self.take_over().await
    }
}

impl Handover for StoredSessions {
    const CLEAR: &'static str =
        "DELETE FROM suspended_sessions; DELETE FROM log_head; DELETE FROM log_rooms; DELETE FROM log_segments";

    fn write(&self, conn: &Connection) -> Result<(), StoreError> {
        let Self { sessions, log } = self;
        let mut add =
            conn.prepare_cached("INSERT INTO suspended_sessions (token, until, record) VALUES (?1, ?2, ?3)")?;
        for StoredSession { token, until, record } in sessions {
            add.execute(params![token, until, record])?;
        }
        conn.execute(
            "INSERT INTO log_head (id, head, stopped_at) VALUES (1, ?1, ?2)",
            params![log.head.cast_signed(), log.stopped_at],
        )?;
        let mut add = conn.prepare_cached("INSERT INTO log_rooms (room, evicted, messages) VALUES (?1, ?2, ?3)")?;
        for StoredRoom { room, evicted, messages } in &log.rooms {
            add.execute(params![room, evicted.cast_signed(), messages.cast_signed()])?;
        }
        log.segments.iter().try_for_each(|segment| keep_segment(conn, segment))
    }

    /// Reads what is valid, so that the hub still starts. A damaged session or room is skipped. The log ends with a
    /// damaged segment. Without the head, there are no sessions: nothing tells them what they missed.
    fn read(conn: &Connection) -> Result<Self, StoreError> {
        let head =
            conn.query_row("SELECT head, stopped_at FROM log_head", (), |row| Ok((unsigned(row, 0)?, row.get(1)?)));
        let Some((head, stopped_at)) = unless_damaged(head, "the head of the log").optional()?.flatten() else {
            return Ok(Self::default());
        };
        let (sessions, rooms, segments) = (read_sessions(conn)?, read_rooms(conn)?, read_segments(conn)?);
        Ok(Self { sessions, log: StoredLog { head, stopped_at, rooms, segments } })
    }
}

fn keep_segment(conn: &Connection, StoredSegment { is_last, entries }: &StoredSegment) -> Result<(), StoreError> {
    let mut add = conn.prepare_cached("INSERT INTO log_segments (is_last, entries) VALUES (?1, ?2)")?;
    add.execute(params![is_last, &entries[..]])?;
    Ok(())
}

fn read_sessions(conn: &Connection) -> rusqlite::Result<Vec<StoredSession>> {
    let mut sessions = conn.prepare("SELECT token, until, record FROM suspended_sessions ORDER BY seq")?;
    let sessions = sessions.query_map((), |row| {
        let token: Vec<u8> = row.get(0)?;
        // A row that the hub did not write belongs to no session.
        let token = <[u8; 32]>::try_from(token).ok();
        let (until, record) = (row.get(1)?, row.get(2)?);
        Ok(token.map(|token| StoredSession { token, until, record }))
    })?;
    let sessions = sessions.filter_map(|row| unless_damaged(row, "a suspended session").transpose());
    sessions.filter_map(Result::transpose).collect()
}

fn read_rooms(conn: &Connection) -> rusqlite::Result<Vec<StoredRoom>> {
    let mut rooms = conn.prepare("SELECT room, evicted, messages FROM log_rooms ORDER BY seq")?;
    let rooms = rooms.query_map((), |row| {
        Ok(StoredRoom { room: row.get(0)?, evicted: unsigned(row, 1)?, messages: unsigned(row, 2)? })
    })?;
    rooms.filter_map(|row| unless_damaged(row, "a room of the log").transpose()).collect()
}

fn read_segments(conn: &Connection) -> rusqlite::Result<Vec<StoredSegment>> {
    let mut segments = conn.prepare("SELECT is_last, entries FROM log_segments ORDER BY seq")?;
    let segments = segments.query_map((), |row| {
        let entries: Vec<u8> = row.get(1)?;
        Ok(StoredSegment { is_last: row.get(0)?, entries: entries.into() })
    })?;
    segments.map_while(|row| unless_damaged(row, "a segment of the log").transpose()).collect()
}

/// A number that is never negative.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock::Clock;
    use crate::store::Role;

    fn session(token: u8) -> StoredSession {
        StoredSession { token: [token; 32], until: 7, record: "{}".into() }
    }

    fn room(name: &str) -> StoredRoom {
        StoredRoom { room: name.into(), evicted: 3, messages: 2 }
    }

    fn segment(is_last: bool, entries: &'static str) -> StoredSegment {
        StoredSegment { is_last, entries: entries.into() }
    }

    fn sessions(tokens: &[u8]) -> StoredSessions {
        let sessions = tokens.iter().copied().map(session).collect();
        let log =
            StoredLog { head: i64::MAX as u64, stopped_at: 9, rooms: vec![room("a"), room("b")], segments: vec![] };
        StoredSessions { sessions, log }
    }

    fn open(directory: &tempfile::TempDir) -> Store {
        Store::open(directory.path(), Role::Hub, Clock::System).unwrap()
    }

    #[tokio::test]
    async fn sessions_and_segments_are_taken_once_and_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let mut kept = sessions(&[9, 2, 3]);
        let store = open(&directory);
        let mut old = sessions(&[1]);
        old.log.segments = vec![segment(true, "old")];
        store.keep_suspended(old).await.unwrap();
        store.keep_suspended(kept.clone()).await.unwrap();
        kept.log.segments = vec![segment(false, "z"), segment(false, "a"), segment(true, "")];
        for segment in kept.log.segments.clone() {
            store.keep_segment(segment).await.unwrap();
        }
        store.close().await;
        drop(store);
        let store = open(&directory);
        let taken = store.take_suspended().await.unwrap();
        assert!(taken.log.is_complete());
        assert_eq!(taken, kept);
        assert_eq!(store.take_suspended().await.unwrap(), StoredSessions::default());
    }

    #[tokio::test]
    async fn a_log_without_its_last_segment_is_incomplete() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory);
        for segments in [vec![], vec![segment(false, "z"), segment(false, "a")]] {
            let mut kept = sessions(&[1]);
            kept.log.segments = segments;
            store.keep_suspended(kept.clone()).await.unwrap();
            let taken = store.take_suspended().await.unwrap();
            assert_eq!((taken.log.is_complete(), &taken), (false, &kept));
        }
    }

    #[tokio::test]
    async fn unreadable_sessions_and_rooms_are_skipped_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory);
        store.keep_suspended(sessions(&[1, 2])).await.unwrap();
        let file = Connection::open(store.path()).unwrap();
        file.execute("UPDATE suspended_sessions SET record = CAST(x'ff' AS TEXT) WHERE seq = 1", ()).unwrap();
        file.execute("UPDATE log_rooms SET evicted = -1 WHERE seq = 1", ()).unwrap();
        let mut expected = sessions(&[2]);
        expected.log.rooms.remove(0);
        assert_eq!(store.take_suspended().await.unwrap(), expected);
        assert_eq!(store.take_suspended().await.unwrap(), StoredSessions::default());
    }

    #[tokio::test]
    async fn no_session_is_taken_without_the_head_of_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory);
        for damage in ["DELETE FROM log_head", "UPDATE log_head SET head = -1"] {
            store.keep_suspended(sessions(&[1, 2])).await.unwrap();
            Connection::open(store.path()).unwrap().execute(damage, ()).unwrap();
            assert_eq!(store.take_suspended().await.unwrap(), StoredSessions::default());
        }
        let file = Connection::open(store.path()).unwrap();
        let rows = "SELECT (SELECT count(*) FROM suspended_sessions) + (SELECT count(*) FROM log_rooms)";
        assert_eq!(file.query_row(rows, (), |row| row.get::<_, i64>(0)).unwrap(), 0, "they are removed");
    }
}
