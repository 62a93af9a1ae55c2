//! Finds the configured API key that a request presents. The hub keeps only SHA-256 digests of keys.
//!
//! This module knows no header and no rate limit.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// Longest presented key that is looked up, in bytes. No configured key is longer.
pub const KEY_MAX: usize = 512;

/// A configured key, with its digest only.
pub struct KeySpec {
    /// The name of the key in logs and limits.
    pub name: String,
    /// The SHA-256 of the key's text.
    pub sha256: Option<[u8; 32]>,
    /// Whether every request with this key must be signed.
    pub require_signature: bool,
    /// Requests a minute, 0 for no limit; `None` for the default limit.
    pub per_minute: Option<u32>,
}

/// A configured key that a request presented, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The name of the key in logs and limits.
    pub name: Arc<str>,
    /// Whether every request with this key must be signed.
    pub require_signature: bool,
    /// Requests a minute, 0 for no limit; `None` for the default limit.
    pub per_minute: Option<u32>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// All keys for the HTTP API.
pub struct ApiKeys {
    /// Each digest with the index of its key in `keys`.
    digests: Vec<([u8; 32], u64)>,
    keys: Vec<ApiKey>,
}

impl ApiKeys {
    /// Takes the configured keys. A key without a digest, or with the digest of an empty text, never matches.
    pub fn new(specs: Vec<KeySpec>) -> Self {
        let mut digests = Vec::with_capacity(specs.len());
        let mut keys = Vec::with_capacity(specs.len());
        for spec in specs {
            let index = keys.len() as u64;
            digests.extend(spec.sha256.map(|sha256| (sha256, index)));
            keys.push(ApiKey {
                name: Arc::from(spec.name),
                require_signature: spec.require_signature,
                per_minute: spec.per_minute,
            });
        }
        Self { digests, keys }
    }

    /// The configured key that equals `presented`.
    ///
    /// All digests are compared, each in constant time, so that the duration reveals nothing about the keys.
    pub fn find(&self, presented: &str) -> Option<&ApiKey> {
        if presented.is_empty() || presented.len() > KEY_MAX {
            return None;
        }
        let presented = digest(presented);
        let mut found = u64::MAX;
        for (digest, index) in &self.digests {
            found.conditional_assign(index, digest.ct_eq(&presented));
        }
        self.keys.get(usize::try_from(found).ok()?)
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str) -> KeySpec {
        KeySpec { name: name.into(), sha256: None, require_signature: false, per_minute: None }
    }

    fn keys() -> ApiKeys {
        ApiKeys::new(vec![
            KeySpec { sha256: Some(digest("first-key")), per_minute: Some(7), ..spec("first") },
            KeySpec { sha256: Some(digest("second-key")), require_signature: true, ..spec("second") },
            spec("neither text nor digest"),
            KeySpec { sha256: Some(digest("")), ..spec("empty text") },
            KeySpec { sha256: Some(digest("last-key")), ..spec("last") },
        ])
    }

    #[test]
    fn a_key_is_found_by_its_text_however_it_was_configured() {
        let keys = keys();
        for (presented, name) in [
            ("first-key", Some("first")),
            ("second-key", Some("second")),
            ("last-key", Some("last")),
            ("", None),
            ("first-ke", None),
            ("first-key ", None),
            ("First-Key", None),
            ("first", None),
            (hex::encode(digest("second-key")).as_str(), None),
            ("x".repeat(KEY_MAX).as_str(), None),
            ("x".repeat(KEY_MAX + 1).as_str(), None),
        ] {
            let found = keys.find(presented).map(|key| &*key.name);
            assert_eq!(found, name, "{presented}");
        }
    }

    #[test]
    fn a_key_has_its_own_settings() {
        let keys = keys();
        let first = keys.find("first-key").unwrap();
        assert_eq!((first.require_signature, first.per_minute), (false, Some(7)));
        let second = keys.find("second-key").unwrap();
        assert_eq!((second.require_signature, second.per_minute), (true, None));
    }

    #[test]
    fn without_keys_every_key_is_refused() {
        assert_eq!(ApiKeys::new(Vec::new()).find("anything"), None);
    }
}
