//! The documents' own clients, as printed, against the hub: what a user has today has to work
//! tomorrow without a change. The clients are files beside this one, letter for letter; what drives
//! them is ours.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;

// The raw document's three: Node, a browser, Python.
mod raw;

// Socket.IO's own clients: Node, a browser, Python.
pub(crate) mod socketio;

// The same by polling, when much waits.
mod polling;

// Which clients can go on after a cut.
mod offered;

// Limits, after which a client comes back.
mod retry;

// Namespaces that are entered and left faster than the hub answers.
mod namespaces;

// Tokens of every origin, in Node.
mod tokens;

// What only a browser enforces of origins.
mod origins;

// The push document's and the community document's code blocks, in Node.
mod documents;

// What they are answered: `success`, the documents' words, limits.
mod answers;

// The chat document's class in Node, and python-socketio on `/chat`.
mod chat;

// The laravel document's PHP.
mod laravel;

/// A file beside this one.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// That files are still as the documents print them: each has this SHA-256.
#[track_caller]
fn assert_printed(printed: &[(&str, &str)]) {
    for (name, digest) in printed {
        let digest_now = hex::encode(Sha256::digest(fs::read(fixture(name)).unwrap()));
        assert_eq!(digest_now, *digest, "{name} is to stay as the document prints it");
    }
}

/// Takes the number of an event from its arguments: the last of them, for clients that come back with it.
#[track_caller]
fn take_number(arguments: &mut Value) {
    let last = arguments.as_array_mut().and_then(Vec::pop).unwrap_or_default();
    let is_number = last.as_str().is_some_and(|text| u64::from_str_radix(text, 16).is_ok());
    assert!(is_number, "the last argument is {last}, before it {arguments}");
}
