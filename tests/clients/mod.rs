//! The documents' clients against the hub, so that existing clients work unchanged. The files beside this one contain the
//! documents' code, byte for byte. The drivers are our own.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;

// The raw document's clients for Node, browsers and Python.
mod raw;

// Socket.IO's own clients for Node, browsers and Python.
pub(crate) mod socketio;

// The same clients by polling, with many waiting packets.
mod polling;

// Clients that can recover after a disconnect.
mod recovery_support;

// Clients that reconnect after a limit.
mod retry;

// Namespaces that are joined and left faster than the hub replies.
mod namespace_changes;

// Tokens of every issuer, in Node.
mod tokens;

// Origin rules that only browsers enforce.
mod origins;

// The push document's and the community document's code blocks, in Node.
mod documents;

// Replies to Socket.IO's own clients: `success`, the documents' texts, limits.
mod replies;

// The chat document's class in Node, and python-socketio on `/chat`.
mod chat;

// The laravel document's PHP.
mod laravel;

/// A file beside this one.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Asserts that each file has this SHA-256: it is still the code of its document.
#[track_caller]
fn assert_unchanged(files: &[(&str, &str)]) {
    for (name, digest) in files {
        let actual = hex::encode(Sha256::digest(fs::read(fixture(name)).unwrap()));
        assert_eq!(actual, *digest, "{name} differs from its document");
    }
}

/// Removes the offset from the arguments of an event. It is the last argument, for clients that support recovery.
#[track_caller]
fn remove_offset(arguments: &mut Value) {
    let last = arguments.as_array_mut().and_then(Vec::pop).unwrap_or_default();
    let is_offset = last.as_str().is_some_and(|text| u64::from_str_radix(text, 16).is_ok());
    assert!(is_offset, "the last argument is {last}, after {arguments}");
}
