//! The tables of the file, as numbered migrations. A released migration never changes; a change is a new migration.
//! Does not interpret the rows.

use rusqlite::{Connection, TransactionBehavior};

/// `PRAGMA application_id` of a hub's file: `HUBB`.
const APPLICATION: i32 = 0x4855_4242;

/// One migration for each version: the first creates version 1 in an empty file. Times are ms since the epoch.
const MIGRATIONS: &[&str] = &["
    -- What the store writes to see whether it can.
    CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL) STRICT;

    -- name_key is the name as it is compared; roles is a JSON list; password a PHC string.
    CREATE TABLE users (
        id TEXT PRIMARY KEY,
        username TEXT NOT NULL,
        name_key TEXT NOT NULL UNIQUE,
        password TEXT NOT NULL,
        name TEXT,
        email TEXT,
        roles TEXT NOT NULL,
        disabled INTEGER NOT NULL DEFAULT 0,
        created_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL
    ) STRICT;

    -- refresh is the SHA-256 of the refresh token; the last access token ends at tokens_until.
    CREATE TABLE sign_ins (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        refresh BLOB NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        refresh_until INTEGER NOT NULL,
        tokens_until INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX sign_ins_of_user ON sign_ins (user_id, created_at);
    CREATE INDEX sign_ins_by_end ON sign_ins (refresh_until);

    -- Tokens that no longer hold: those whose `mark` (account, user, sign-in or token) is `subject` and that were issued
    -- before `before`. The last of them ends at `until`, where that is known. user_id is whose they are, where known.
    CREATE TABLE revocations (
        mark TEXT NOT NULL,
        subject TEXT NOT NULL,
        user_id TEXT,
        before INTEGER NOT NULL,
        until INTEGER,
        made_at INTEGER NOT NULL,
        PRIMARY KEY (mark, subject)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX revocations_by_end ON revocations (until);

    -- User ids outside `users` are tokens' subjects: they need no account.
    CREATE TABLE chats (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        is_public INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        changed_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE chat_participants (
        chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
        user_id TEXT NOT NULL,
        PRIMARY KEY (chat_id, user_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX chats_of_user ON chat_participants (user_id);

    -- seq orders the messages of all chats.
    CREATE TABLE messages (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        chat_id TEXT NOT NULL REFERENCES chats (id) ON DELETE CASCADE,
        user_id TEXT NOT NULL,
        username TEXT NOT NULL,
        kind TEXT NOT NULL,
        content TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX messages_of_chat ON messages (chat_id, seq);
    CREATE TABLE receipts (
        message INTEGER NOT NULL REFERENCES messages (seq) ON DELETE CASCADE,
        user_id TEXT NOT NULL,
        delivered_at INTEGER NOT NULL,
        read_at INTEGER,
        PRIMARY KEY (message, user_id)
    ) STRICT, WITHOUT ROWID;

    -- data is the JSON text that came. An id is one user's: two users may have the same.
    CREATE TABLE notifications (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id TEXT NOT NULL,
        id TEXT NOT NULL,
        data TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        read_at INTEGER,
        UNIQUE (user_id, id)
    ) STRICT;
    CREATE INDEX notifications_unread ON notifications (user_id, seq) WHERE read_at IS NULL;
    CREATE INDEX notifications_by_age ON notifications (created_at);
", "
    -- How many messages of the chat are kept.
    ALTER TABLE chats ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
    UPDATE chats SET messages = (SELECT count(*) FROM messages WHERE chat_id = chats.id);
    CREATE INDEX chats_public ON chats (id) WHERE is_public;

    -- One row: the messages and receipts of all chats, and those receipts that say that it was read.
    CREATE TABLE message_tally (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        messages INTEGER NOT NULL,
        delivered INTEGER NOT NULL,
        read INTEGER NOT NULL
    ) STRICT;
    INSERT INTO message_tally
        SELECT 1, (SELECT count(*) FROM messages), count(*), count(read_at) FROM receipts;

    -- They see what a cascade deletes, too.
    CREATE TRIGGER message_kept AFTER INSERT ON messages BEGIN
        UPDATE chats SET messages = messages + 1 WHERE id = NEW.chat_id;
        UPDATE message_tally SET messages = messages + 1;
    END;
    CREATE TRIGGER message_gone AFTER DELETE ON messages BEGIN
        UPDATE chats SET messages = messages - 1 WHERE id = OLD.chat_id;
        UPDATE message_tally SET messages = messages - 1;
    END;
    CREATE TRIGGER receipt_kept AFTER INSERT ON receipts BEGIN
        UPDATE message_tally SET delivered = delivered + 1, read = read + (NEW.read_at IS NOT NULL);
    END;
    CREATE TRIGGER receipt_changed AFTER UPDATE OF read_at ON receipts BEGIN
        UPDATE message_tally SET read = read + (NEW.read_at IS NOT NULL) - (OLD.read_at IS NOT NULL);
    END;
    CREATE TRIGGER receipt_gone AFTER DELETE ON receipts BEGIN
        UPDATE message_tally SET delivered = delivered - 1, read = read - (OLD.read_at IS NOT NULL);
    END;
", "
    -- What rooms with history kept when the hub went away; empty while it runs. Offsets end with `last`.
    CREATE TABLE histories (
        seq INTEGER PRIMARY KEY,
        room TEXT NOT NULL UNIQUE,
        epoch TEXT NOT NULL,
        last INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE history_messages (
        seq INTEGER PRIMARY KEY,
        history INTEGER NOT NULL,
        name TEXT NOT NULL,
        tells_topic INTEGER NOT NULL,
        data BLOB NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX messages_of_history ON history_messages (history, seq);
", "
    -- Sessions that were cut off, between a planned end and the next start: token is a SHA-256, head JSON, deliveries are
    -- numbers of parked_deliveries, 8 bytes each, in order.
    CREATE TABLE parked (
        seq INTEGER PRIMARY KEY,
        token BLOB NOT NULL,
        until INTEGER NOT NULL,
        head TEXT NOT NULL,
        deliveries BLOB NOT NULL
    ) STRICT;
    CREATE TABLE parked_deliveries (
        number INTEGER NOT NULL,
        is_frame INTEGER NOT NULL,
        room TEXT NOT NULL,
        bytes BLOB NOT NULL,
        about TEXT,
        PRIMARY KEY (number, is_frame)
    ) STRICT, WITHOUT ROWID;
", "
    -- What was done once, between a planned end and the next start. An answer that is NULL is not known. The one row of
    -- planned_end says that the end was planned; nonces are 16 bytes of a SHA-256 and 8 of a time each.
    CREATE TABLE answers (
        seq INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        digest BLOB NOT NULL,
        until INTEGER NOT NULL,
        answer BLOB
    ) STRICT;
    CREATE TABLE planned_end (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        not_before INTEGER NOT NULL,
        nonces BLOB NOT NULL
    ) STRICT;
", "
    -- A deleted chat keeps its row until its messages are deleted, which is_purging says; a chat of the same id may be
    -- made in it meanwhile. Messages up to cleared_until are a deleted chat's.
    ALTER TABLE chats ADD COLUMN is_deleted INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE chats ADD COLUMN is_purging INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE chats ADD COLUMN cleared_until INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX chats_purging ON chats (id) WHERE is_purging;
    DROP TRIGGER message_gone;
    CREATE TRIGGER message_gone AFTER DELETE ON messages BEGIN
        UPDATE chats SET messages = messages - 1 WHERE id = OLD.chat_id AND cleared_until < OLD.seq;
        UPDATE message_tally SET messages = messages - 1;
    END;
", "
    -- The user who made it by joining it; NULL for one that was configured or made over HTTP.
    ALTER TABLE chats ADD COLUMN made_by TEXT;
", "
    -- permissions is a JSON list, as roles.
    ALTER TABLE users ADD COLUMN permissions TEXT NOT NULL DEFAULT '[]';
", "
    -- Suspended sessions between a planned stop and the next start: token is a SHA-256, record JSON. The sessions of an
    -- earlier version have no positions in the log, so they are not recovered.
    DROP TABLE parked;
    DROP TABLE parked_deliveries;
    CREATE TABLE suspended_sessions (
        seq INTEGER PRIMARY KEY,
        token BLOB NOT NULL,
        until INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT;

    -- The part of the log that these sessions may need. One row of log_head: the sequence of the last publication, and
    -- the time of the stop. The publications of a room are stored after the sequence evicted; messages is the number of
    -- its last message. The first segment has the newest publications; is_last marks the one with the oldest.
    CREATE TABLE log_head (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        head INTEGER NOT NULL,
        stopped_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE log_rooms (
        seq INTEGER PRIMARY KEY,
        room TEXT NOT NULL UNIQUE,
        evicted INTEGER NOT NULL,
        messages INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE log_segments (
        seq INTEGER PRIMARY KEY,
        is_last INTEGER NOT NULL,
        entries BLOB NOT NULL
    ) STRICT;
"];

/// The reason why a file cannot be used.
#[derive(Debug)]
pub(super) enum UnusableFile {
    /// The database is not a hub's.
    Foreign,
    /// A later version of the hub wrote it.
    Newer { version: usize },
    /// An earlier version of the hub wrote it, and it cannot be migrated now.
    Older { version: usize },
    /// It does not support a write-ahead log.
    NoLog,
    /// SQLite reports an error.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for UnusableFile {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The version that this hub writes.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Migrates the file to [`VERSION`] in one transaction: it has all tables of a version or none.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), UnusableFile> {
    if version(conn)? == VERSION {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read the version again: another program may have migrated the file meanwhile.
    let from = version(&tx)?;
    for migration in &MIGRATIONS[from..] {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", VERSION as i64)?;
    tx.commit()?;
    Ok(())
}

/// An in-memory database with empty tables.
pub(super) fn empty() -> Result<Connection, rusqlite::Error> {
    let conn = Connection::open_in_memory()?;
    MIGRATIONS.iter().try_for_each(|migration| conn.execute_batch(migration))?;
    Ok(conn)
}

/// The file's version, if this hub supports it. Changes nothing.
pub(super) fn version(conn: &Connection) -> Result<usize, UnusableFile> {
    let number = |pragma| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if application != i64::from(APPLICATION) && (tables > 0 || application != 0) {
        return Err(UnusableFile::Foreign);
    }
    match usize::try_from(version) {
        Ok(version) if version <= VERSION => Ok(version),
        Ok(version) => Err(UnusableFile::Newer { version }),
        Err(_) => Err(UnusableFile::Foreign),
    }
}

/// Creates the tables as a hub of this version would.
#[cfg(test)]
pub(super) fn make(conn: &Connection, version: usize) {
    for migration in &MIGRATIONS[..version] {
        conn.execute_batch(migration).unwrap();
    }
    conn.pragma_update(None, "application_id", APPLICATION).unwrap();
    conn.pragma_update(None, "user_version", version as i64).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_migrated_once() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        conn.execute("INSERT INTO probe VALUES (1, 0)", ()).unwrap();
        migrate(&mut conn).unwrap();
        assert_eq!(version(&conn).unwrap(), VERSION);
    }

    #[test]
    fn a_migrated_account_of_an_earlier_version_has_no_permissions() {
        let mut conn = Connection::open_in_memory().unwrap();
        make(&conn, 7);
        let user = "INSERT INTO users (id, username, name_key, password, roles, created_at, changed_at)
                    VALUES ('u', 'Alice', 'alice', 'phc', '[\"admin\"]', 0, 0)";
        conn.execute(user, ()).unwrap();
        migrate(&mut conn).unwrap();
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let (roles, permissions): (String, String) =
            conn.query_row("SELECT roles, permissions FROM users", (), read).unwrap();
        assert_eq!((roles.as_str(), permissions.as_str()), ("[\"admin\"]", "[]"));
    }

    #[test]
    fn a_migrated_file_keeps_histories_and_drops_the_suspended_sessions_of_an_earlier_version() {
        let mut conn = Connection::open_in_memory().unwrap();
        make(&conn, 8);
        conn.execute_batch(
            "INSERT INTO histories (room, epoch, last) VALUES ('lobby', 'e', 1);
             INSERT INTO history_messages (history, name, tells_topic, data, created_at) VALUES (1, 'x', 1, x'31', 5);
             INSERT INTO parked (token, until, head, deliveries) VALUES (x'07', 5, '{}', x'');
             INSERT INTO parked_deliveries (number, is_frame, room, bytes) VALUES (1, 0, 'lobby', x'31')",
        )
        .unwrap();
        migrate(&mut conn).unwrap();
        let count = |table| conn.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get::<_, i64>(0));
        assert_eq!(["histories", "history_messages"].map(|table| count(table).unwrap()), [1, 1]);
        let new = ["suspended_sessions", "log_head", "log_rooms", "log_segments"];
        assert_eq!(new.map(|table| count(table).unwrap()), [0; 4]);
        assert!(count("parked").is_err() && count("parked_deliveries").is_err());
    }

    #[test]
    fn a_file_of_a_later_version_or_of_another_program_is_refused() {
        let mut newer = Connection::open_in_memory().unwrap();
        migrate(&mut newer).unwrap();
        newer.pragma_update(None, "user_version", 9_000).unwrap();
        assert!(matches!(migrate(&mut newer), Err(UnusableFile::Newer { version: 9_000 })));
        let mut other = Connection::open_in_memory().unwrap();
        other.execute_batch("CREATE TABLE theirs (a)").unwrap();
        assert!(matches!(migrate(&mut other), Err(UnusableFile::Foreign)));
    }
}
