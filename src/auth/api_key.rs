//! Finds the configured API key that a request presents. The hub keeps only SHA-256 digests of keys.
//!
//! This module knows no header and no rate limit.

use std::fmt;
use std::sync::Arc;

use hubbub_actors::model::fault::{Code, Fault};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::scope::Scope;

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
    /// What the key may do; `None` for everything.
    pub scopes: Option<Vec<Scope>>,
    /// From when on the key is refused, ms since the epoch.
    pub expires: Option<i64>,
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
    /// What the key may do; `None` for everything.
    pub scopes: Option<Arc<[Scope]>>,
    /// From when on the key is refused, ms since the epoch.
    pub expires: Option<i64>,
}

impl ApiKey {
    /// Refuses a key that has expired at `now`, ms since the epoch.
    ///
    /// # Errors
    /// [`Code::InvalidApiKey`].
    pub fn check_expiry(&self, now: i64) -> Result<(), Fault> {
        match self.expires {
            Some(expires) if now >= expires => {
                let rule = format!("api key \"{}\" expires", self.name);
                Err(Fault::new(Code::InvalidApiKey, "The API key has expired").by(rule))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a key without the scope `needed`.
    ///
    /// # Errors
    /// [`Code::Forbidden`].
    pub fn check_scope(&self, needed: Scope) -> Result<(), Fault> {
        match &self.scopes {
            Some(scopes) if !scopes.iter().any(|held| held.includes(needed)) => {
                let message = format!("This request needs an API key with the scope `{needed}`");
                Err(Fault::new(Code::Forbidden, message).by(format!("api key \"{}\" scopes", self.name)))
            }
            _ => Ok(()),
        }
    }
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
                scopes: spec.scopes.map(Arc::from),
                expires: spec.expires,
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
        KeySpec {
            name: name.into(),
            sha256: None,
            require_signature: false,
            per_minute: None,
            scopes: None,
            expires: None,
        }
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
    fn a_key_is_refused_without_the_scope_and_once_it_has_expired() {
        let limited = KeySpec {
            sha256: Some(digest("k")),
            scopes: Some(vec![Scope::Push, Scope::Chats]),
            expires: Some(1_000),
            ..spec("limited")
        };
        let keys = ApiKeys::new(vec![limited, KeySpec { sha256: Some(digest("all")), ..spec("all") }]);
        let (limited, all) = (keys.find("k").unwrap(), keys.find("all").unwrap());
        for needed in [Scope::Push, Scope::Chats, Scope::ChatsRead] {
            assert_eq!(limited.check_scope(needed), Ok(()));
        }
        let fault = limited.check_scope(Scope::Sessions).unwrap_err();
        assert_eq!(fault.message, "This request needs an API key with the scope `sessions`");
        assert_eq!((fault.code, fault.rule()), (Code::Forbidden, Some("api key \"limited\" scopes")));
        assert_eq!(limited.check_expiry(999), Ok(()));
        let fault = limited.check_expiry(1_000).unwrap_err();
        assert_eq!((fault.code, fault.rule()), (Code::InvalidApiKey, Some("api key \"limited\" expires")));
        assert!(Scope::ALL.iter().all(|&scope| all.check_scope(scope).is_ok()));
        assert_eq!(all.check_expiry(i64::MAX), Ok(()));
    }

    #[test]
    fn without_keys_every_key_is_refused() {
        assert_eq!(ApiKeys::new(Vec::new()).find("anything"), None);
    }
}
