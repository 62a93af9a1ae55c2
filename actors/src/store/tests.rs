//! Tests of the store alone: results, rollbacks and refusals.

use std::sync::mpsc;

use super::*;
use crate::model::fault::Code;

fn open(directory: &Path) -> Store {
    Store::open(directory, Role::Hub, Clock::System).unwrap()
}

fn add(number: i64) -> impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static {
    move |conn| {
        conn.execute("INSERT INTO revocations VALUES ('user', ?1, NULL, 0, NULL, 0)", [number.to_string()])?;
        Ok(())
    }
}

async fn count(store: &Store) -> i64 {
    store.read(|conn| Ok(conn.query_row("SELECT count(*) FROM revocations", (), |row| row.get(0))?)).await.unwrap()
}

/// Keeps the writer busy until the sender is dropped. Resolves once it is busy.
async fn occupy(store: &Store) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Fault>>) {
    let (release, released) = mpsc::channel::<()>();
    let (at_work, begun) = oneshot::channel();
    let own = store.clone();
    let job = tokio::spawn(async move {
        own.write(move |_| {
            let _ = at_work.send(());
            let _ = released.recv();
            Ok(())
        })
        .await
    });
    begun.await.unwrap();
    (release, job)
}

/// Keeps all threads of a store busy until it is dropped.
pub(crate) struct StalledStore {
    _release: Vec<mpsc::Sender<()>>,
}

/// Keeps all threads of the store busy. Resolves once they are.
pub(crate) async fn stall(store: &Store) -> StalledStore {
    let (writer, _) = occupy(store).await;
    let mut release = vec![writer];
    for _ in 0..READERS {
        let (reader, released) = mpsc::channel::<()>();
        let (at_work, begun) = oneshot::channel();
        let own = store.clone();
        tokio::spawn(async move {
            own.read(move |_| {
                let _ = at_work.send(());
                let _ = released.recv();
                Ok(())
            })
            .await
        });
        begun.await.unwrap();
        release.push(reader);
    }
    StalledStore { _release: release }
}

#[tokio::test]
async fn queued_writes_share_one_commit() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (release, first) = occupy(&store).await;
    let writes: Vec<_> = (0..100)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.write(add(number)).await })
        })
        .collect();
    while store.0.writes.depth() < 100 {
        tokio::task::yield_now().await;
    }
    drop(release);
    assert_eq!(first.await.unwrap(), Ok(()));
    for write in writes {
        assert_eq!(write.await.unwrap(), Ok(()));
    }
    assert_eq!(count(&store).await, 100);
    assert_eq!(store.counts(), StoreCounts { writes: 101, commits: 2, ..StoreCounts::default() });
}

#[tokio::test]
async fn no_write_returns_before_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (release, _first) = occupy(&store).await;
    let own = store.clone();
    let early = tokio::spawn(async move { own.write(add(1)).await });
    while store.0.writes.depth() < 1 {
        tokio::task::yield_now().await;
    }
    // In the same transaction, after the first job.
    let own = store.clone();
    let behind = tokio::spawn(async move { occupy(&own).await });
    while store.0.writes.depth() < 2 {
        tokio::task::yield_now().await;
    }
    drop(release);
    let (release, _behind) = behind.await.unwrap();
    assert_eq!(count(&store).await, 0);
    assert!(!early.is_finished());
    drop(release);
    assert_eq!(early.await.unwrap(), Ok(()));
    assert_eq!((count(&store).await, store.counts().commits), (1, 2));
}

#[tokio::test]
async fn a_write_that_fails_or_panics_undoes_only_its_own_changes() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (release, first) = occupy(&store).await;
    let fails = |conn: &Connection| -> Result<(), StoreError> {
        add(7)(conn)?;
        Err(Fault::new(Code::Conflict, "no").into())
    };
    let breaks = |conn: &Connection| -> Result<(), StoreError> {
        add(8)(conn)?;
        panic!("on purpose");
    };
    let twice = |conn: &Connection| -> Result<(), StoreError> {
        add(9)(conn)?;
        add(9)(conn)
    };
    let results = tokio::join!(
        store.write(add(1)),
        store.write(fails),
        store.write(breaks),
        store.write(twice),
        store.write(add(2)),
        async { drop(release) }
    );
    assert_eq!((results.0, results.4), (Ok(()), Ok(())));
    let faults = [results.1, results.2, results.3].map(Result::unwrap_err);
    assert_eq!(faults.each_ref().map(|fault| fault.code), [Code::Conflict, Code::Internal, Code::Internal]);
    let [_, panic, failed] = faults.each_ref().map(|fault| fault.cause().unwrap_or_default());
    assert_eq!(panic, "a panic in the store");
    assert!(failed.starts_with("a statement of the store failed: UNIQUE constraint failed"), "{failed}");
    assert_eq!(first.await.unwrap(), Ok(()));
    assert_eq!(count(&store).await, 2);
    assert_eq!((store.counts().commits, store.failing()), (2, None));
}

#[tokio::test]
async fn a_full_queue_refuses_new_writes_and_loses_no_accepted_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (release, _first) = occupy(&store).await;
    let mut taken = Vec::new();
    for number in 0..WRITES_MAX as i64 {
        let store = store.clone();
        taken.push(tokio::spawn(async move { store.write(add(number)).await }));
    }
    while store.0.writes.depth() < WRITES_MAX {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.depths()[0], ("store-writer", WRITES_MAX));
    assert_eq!(store.write(add(-1)).await, Err(Fault::overloaded()));
    assert_eq!(store.counts().overloads, 1);
    drop(release);
    for write in taken {
        assert_eq!(write.await.unwrap(), Ok(()));
    }
    assert_eq!(count(&store).await, WRITES_MAX as i64);
}

#[tokio::test]
async fn a_full_disk_is_reported_and_the_store_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let limit = |pages: i64| {
        move |conn: &Connection| -> Result<(), StoreError> {
            conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
            Ok(())
        }
    };
    store.write(limit(1)).await.unwrap();
    let fill = |conn: &Connection| -> Result<(), StoreError> {
        conn.execute(
            "INSERT INTO users VALUES ('u', 'u', 'u', hex(zeroblob(100000)), '', '', '[]', 0, 0, 0, '[]')",
            (),
        )?;
        Ok(())
    };
    let beside = store.clone();
    let (full, _) = tokio::join!(store.write(fill), beside.write(add(1)));
    assert_eq!(full, Err(Fault::store_unavailable()));
    let reason = store.failing();
    assert!(reason.is_none_or(|reason| reason.starts_with("the disk is full")));
    // The store retries and finds that small writes still fit.
    while store.failing().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.write(limit(1_000_000)).await.unwrap();
    store.write(fill).await.unwrap();
    assert!(store.counts().failures >= 1);
    assert!(store.ping().await.is_ok());
}

#[tokio::test]
async fn a_lock_of_another_program_is_reported_and_the_store_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let other = Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(store.write(add(1)).await, Err(Fault::store_unavailable()));
    assert!(store.failing().unwrap().starts_with("the file is locked by another program"));
    assert_eq!(store.write(add(1)).await, Err(Fault::store_unavailable()), "at once");
    assert_eq!(count(&store).await, 0, "reads continue");
    other.execute_batch("INSERT INTO revocations VALUES ('user', 'u', NULL, 0, NULL, 0); COMMIT").unwrap();
    store.changed().await;
    while store.failing().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.write(add(1)).await.unwrap();
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn closing_a_store_writes_queued_jobs_and_the_store_can_be_reopened() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (release, first) = occupy(&store).await;
    let own = store.clone();
    let waits = tokio::spawn(async move { own.write(add(1)).await });
    while store.0.writes.depth() < 1 {
        tokio::task::yield_now().await;
    }
    drop(release);
    store.close().await;
    assert_eq!((first.await.unwrap(), waits.await.unwrap()), (Ok(()), Ok(())));
    assert_eq!(store.write(add(2)).await.unwrap_err().code, Code::Overloaded);
    let left = |name| directory.path().join(name).exists();
    assert!(left("hubbub.db") && !left("hubbub.db-wal"), "the log is merged into the file");
    assert_eq!(count(&open(directory.path())).await, 1);
}

#[test]
fn a_directory_belongs_to_one_hub_and_commands_may_open_it_too() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("data");
    let _hub = open(&inner);
    let second = Store::open(&inner, Role::Hub, Clock::System).unwrap_err().to_string();
    assert!(second.contains("hubbub.lock: another hub uses this data directory"), "{second}");
    assert!(Store::open(&inner, Role::Command, Clock::System).is_ok());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for file in std::fs::read_dir(&inner).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[test]
fn the_database_of_another_program_is_refused_and_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(directory.path(), Role::Hub, Clock::System).unwrap_err().to_string();
    assert!(error.contains("is another program's database"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn an_unusable_file_is_refused_with_one_line() {
    let refusal = |content: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), content).unwrap();
        let error = Store::open(directory.path(), Role::Hub, Clock::System).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    };
    let garbage = refusal(&b"this is no database at all, it is longer than a header is: ".repeat(100));
    assert!(garbage.contains("hubbub.db: the file is damaged"), "{garbage}");

    let directory = tempfile::tempdir().unwrap();
    actix_rt::System::new().block_on(async {
        let store = open(directory.path());
        for number in 0..2_000 {
            store.write(add(number)).await.unwrap();
        }
        store.close().await;
    });
    let mut bytes = std::fs::read(directory.path().join(FILE)).unwrap();
    let half = bytes.len() / 2;
    let damaged = refusal(&bytes[..half]);
    assert!(damaged.contains("hubbub.db: the file is damaged"), "{damaged}");
    bytes[half..half + 4096].fill(0xa5);
    let damaged = refusal(&bytes);
    assert!(damaged.contains("hubbub.db: the file is damaged"), "{damaged}");
}

#[tokio::test]
async fn writes_are_refused_while_the_file_is_removed_or_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.write(add(1)).await.unwrap();
    let aside = directory.path().join("aside");
    std::fs::rename(store.path(), &aside).unwrap();
    assert_eq!(store.write(add(2)).await, Err(Fault::store_unavailable()), "at once");
    let reason = store.failing().unwrap();
    assert!(reason.starts_with("hubbub.db was removed"), "{reason}");
    assert_eq!(count(&store).await, 1, "reads continue");
    std::fs::write(store.path(), "").unwrap();
    while !store.failing().unwrap().starts_with("hubbub.db was replaced") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::fs::rename(&aside, store.path()).unwrap();
    while store.failing().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.write(add(3)).await.unwrap();
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_backup_that_replaces_an_open_file_is_not_damaged_by_the_old_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.write(add(1)).await.unwrap();
    let path = store.path().to_owned();
    store.close().await;
    let backup = directory.path().join("backup");
    std::fs::copy(&path, &backup).unwrap();
    let store = open(directory.path());
    for number in 2..100 {
        store.write(add(number)).await.unwrap();
    }
    std::fs::rename(&backup, &path).unwrap();
    assert_eq!(store.write(add(100)).await, Err(Fault::store_unavailable()));
    store.close().await;
    let store = open(directory.path());
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn an_idle_store_detects_that_its_file_was_removed() {
    let directory = tempfile::tempdir().unwrap();
    let within = directory.path().join("data");
    let store = open(&within);
    std::fs::rename(&within, directory.path().join("elsewhere")).unwrap();
    while store.failing().is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(store.failing().unwrap().starts_with("hubbub.db was removed"));
}
