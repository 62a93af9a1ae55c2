//! Checks that the open files are still the files at their paths. A removed or replaced file can still be written
//! through its open descriptor, but such writes are lost at the next start.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Device and inode.
type FileId = (u64, u64);

/// The identities of the opened files: the database, its write-ahead log and the log's index.
#[derive(Debug)]
pub(super) struct FileIdentities {
    files: Vec<(PathBuf, FileId)>,
    /// Whether the database had content when it was opened. If it is empty later, another program emptied it.
    has_content: bool,
}

impl FileIdentities {
    /// Reads the identities of the database at `path` and of the files beside it.
    pub(super) fn of(path: &Path) -> Self {
        let beside = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let paths = [path.to_owned(), beside("-wal"), beside("-shm")];
        Self {
            has_content: !is_empty(path),
            files: paths.into_iter().filter_map(|path| file_id(&path).ok().map(|number| (path, number))).collect(),
        }
    }

    /// The problem with the files, as text for an operator; `None` while all files are unchanged. A path that cannot be
    /// inspected for another reason counts as unchanged.
    pub(super) fn misplaced(&self) -> Option<String> {
        let misplaced = self.files.iter().find_map(|(path, opened)| {
            let name = path.file_name().unwrap_or_default().display();
            match file_id(path) {
                Ok(found) if found == *opened => None,
                Ok(_) => Some(format!("{name} was replaced while the hub runs; restart the hub")),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    Some(format!("{name} was removed while the hub runs; move it back or restart the hub"))
                }
                Err(_) => None,
            }
        });
        let (path, _) = self.files.first()?;
        misplaced.or_else(|| (self.has_content && is_empty(path)).then(|| emptied(path)))
    }
}

impl FileIdentities {
    /// Removes the log and its index when another database has replaced theirs: opening that database with them would
    /// damage it. Call this only when no file of the store is open.
    pub(super) fn remove_orphans(&self) {
        let is_ours = |(path, opened): &(PathBuf, FileId)| file_id(path).is_ok_and(|found| found == *opened);
        let Some((database @ (path, _), beside)) = self.files.split_first() else { return };
        if is_ours(database) || !path.exists() {
            return;
        }
        for orphan in beside.iter().filter(|file| is_ours(file)) {
            if let Err(error) = fs::remove_file(&orphan.0) {
                log::error!(
                    "{} belongs to another database than {} and cannot be removed: {error}",
                    orphan.0.display(),
                    path.display()
                );
            }
        }
    }
}

fn emptied(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().display();
    format!("{name} was emptied while the hub runs; stop the hub and put a backup in its place")
}

fn is_empty(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() == 0)
}

fn file_id(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_or_replaced_file_is_detected_until_it_is_put_back() {
        let directory = tempfile::tempdir().unwrap();
        let within = directory.path().join("data");
        fs::create_dir(&within).unwrap();
        let (path, log) = (within.join("a.db"), within.join("a.db-wal"));
        fs::write(&path, "").unwrap();
        fs::write(&log, "").unwrap();
        let identity = FileIdentities::of(&path);
        assert_eq!(identity.misplaced(), None);
        for (moved, name) in [(&path, "a.db "), (&log, "a.db-wal ")] {
            let aside = within.join("aside");
            fs::rename(moved, &aside).unwrap();
            let removed = identity.misplaced().unwrap();
            assert!(removed.starts_with(name) && removed.contains("removed"), "{removed}");
            fs::write(moved, "").unwrap();
            let replaced = identity.misplaced().unwrap();
            assert!(replaced.starts_with(name) && replaced.contains("replaced"), "{replaced}");
            fs::rename(&aside, moved).unwrap();
            assert_eq!(identity.misplaced(), None);
        }
        fs::write(&path, "content").unwrap();
        let identity = FileIdentities::of(&path);
        assert_eq!(identity.misplaced(), None);
        fs::write(&path, "").unwrap();
        assert!(identity.misplaced().unwrap().starts_with("a.db was emptied"));
        let elsewhere = directory.path().join("elsewhere");
        fs::rename(&within, &elsewhere).unwrap();
        assert!(identity.misplaced().unwrap().contains("removed"), "the directory is gone");
        fs::write(&within, "").unwrap();
        assert!(identity.misplaced().unwrap().contains("removed"), "a file has replaced the directory");
    }
}
