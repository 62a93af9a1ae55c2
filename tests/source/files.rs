//! The Rust files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the Rust files are, from the root of the repository.
const ROOTS: &[&str] =
    &["actors/src", "bench/src", "benches", "examples", "fuzz/src", "fuzz/fuzz_targets", "src", "tests"];

/// A Rust file.
pub(crate) struct File {
    /// Its path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

/// The Rust files below the directories `roots`, sorted by path.
pub(crate) fn below(roots: &[&str]) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for directory in roots {
        collect(&root.join(directory), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        File { path: name, text: fs::read_to_string(&path).unwrap() }
    };
    paths.into_iter().map(read).collect()
}

/// All Rust files.
pub(crate) fn all() -> Vec<File> {
    below(ROOTS)
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let is_installed = path.file_name().is_some_and(|name| name == "node_modules" || name == "target");
        if path.is_dir() && !is_installed {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}
