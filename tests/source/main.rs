//! Rules about the source code itself: its words, the direction of its imports, the links and the paths of the documents. These
//! tests read files and start nothing.
#![expect(clippy::unwrap_used, reason = "a failed test panics, also in its supporting functions")]

// The files of the repository.
mod files;

// Retired words in identifiers, file names and comments.
mod words;

// The directions of the imports, as the two crates' documentation states them.
mod layering;

// The links of the documents.
mod links;

// The configuration keys that refusals name.
mod keys;

// The paths that the pages for contributors name.
mod paths;
