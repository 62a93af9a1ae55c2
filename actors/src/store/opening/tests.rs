use super::*;
use crate::runtime::clock::Clock;
use crate::store::Revocation;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn revocations(directory: &Path) -> i64 {
    let conn = open_without_writing(&directory.join(FILE)).unwrap().unwrap();
    assert!(conn.execute("DELETE FROM revocations", ()).is_err());
    conn.query_row("SELECT count(*) FROM revocations", (), |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_store_is_read_without_writing_after_a_stop_and_after_a_crash() {
    let (ended, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(ended.path(), Role::Hub, Clock::System).unwrap();
    store.revoke(Revocation::parse_sid("s", "sid", 1).unwrap(), None).await.unwrap();
    // After a crash, the log is not yet in the file.
    for name in [FILE, "hubbub.db-wal"] {
        std::fs::copy(ended.path().join(name), crashed.path().join(name)).unwrap();
    }
    store.close().await;
    for directory in [ended.path(), crashed.path()] {
        let bytes = |name: &str| std::fs::read(directory.join(name)).unwrap_or_default();
        let before = [FILE, "hubbub.db-wal"].map(bytes);
        assert_eq!(revocations(directory), 1);
        assert_eq!([FILE, "hubbub.db-wal"].map(bytes), before);
        assert!(!names(directory).contains(&"hubbub.db-shm".to_owned()), "{:?}", names(directory));
    }
}

#[test]
fn opening_without_writing_creates_no_file_and_migrates_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    assert!(open_without_writing(&path).unwrap().is_none());
    assert_eq!(names(directory.path()), Vec::<String>::new());
    std::fs::write(&path, "").unwrap();
    assert!(open_without_writing(&path).unwrap().is_none());
    schema::make(&Connection::open(&path).unwrap(), 1);
    assert!(matches!(open_without_writing(&path), Err(UnusableFile::Older { version: 1 })));
}

#[test]
fn a_store_without_write_permission_is_refused_and_does_not_wait() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let refused = || Store::open_or_wait(directory.path(), Clock::System).unwrap_err().to_string();
    std::fs::create_dir(&path).unwrap();
    assert!(refused().contains("hubbub.db: cannot be opened: Is a directory"), "{}", refused());
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    // Root can write to a read-only file.
    if OpenOptions::new().write(true).open(&path).is_err() {
        assert!(refused().contains("hubbub.db: cannot be opened: Permission denied"), "{}", refused());
    }
}

#[tokio::test]
async fn reading_a_store_changes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let look = || Store::look(directory.path()).map_err(|error| error.to_string());
    assert_eq!((look(), names(directory.path()).len()), (Ok(false), 0));
    let store = Store::open(directory.path(), Role::Hub, Clock::System).unwrap();
    assert_eq!(look(), Ok(true), "beside a hub");
    store.close().await;
    let before = names(directory.path());
    assert_eq!((look(), names(directory.path())), (Ok(true), before));
    fs::write(directory.path().join(FILE), "no database, but a text of some length ".repeat(200)).unwrap();
    assert!(look().unwrap_err().contains("damaged"));
}

#[test]
fn a_command_creates_no_store_and_prints_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("data");
    let error = Store::open(&missing, Role::Command, Clock::System).unwrap_err();
    assert!(error.to_string().contains("start the hub once"), "{error}");
    assert!(!error.is_retryable() && !missing.exists());
}

#[test]
fn only_a_full_or_failing_disk_is_worth_a_retry() {
    let of = |kind: io::ErrorKind| is_retryable(&kind.into());
    assert!(of(io::ErrorKind::StorageFull) && of(io::ErrorKind::QuotaExceeded) && of(io::ErrorKind::FileTooLarge));
    assert!(is_retryable(&io::Error::from_raw_os_error(5)), "the disk fails");
    assert!(!of(io::ErrorKind::PermissionDenied) && !of(io::ErrorKind::NotFound));
    let directory = tempfile::tempdir().unwrap();
    let sqlite = |code| {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        OpenError::unusable(&directory.path().join(FILE), UnusableFile::Sqlite(error)).is_retryable()
    };
    use rusqlite::ffi;
    assert!(sqlite(ffi::SQLITE_FULL) && sqlite(ffi::SQLITE_IOERR));
    assert!(!sqlite(ffi::SQLITE_CANTOPEN), "the disk has space, so the cause is another");
    assert!(!sqlite(ffi::SQLITE_CORRUPT) && !sqlite(ffi::SQLITE_BUSY) && !sqlite(ffi::SQLITE_NOTADB));
}
