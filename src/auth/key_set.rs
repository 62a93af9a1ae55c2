//! A JSON Web Key Set (RFC 7517): the keys for one algorithm, selected by a token's `kid`.
//!
//! Pure: `key_source` owns the origin and the refresh of a set.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::public_key;

/// Most keys of one set. Issuers publish only a few.
pub const KEYS_MAX: usize = 100;

/// The usable keys of a set.
pub struct KeySet {
    keys: Vec<(Option<String>, Arc<DecodingKey>)>,
}

/// Why no key of the set can verify a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// No key has that `kid`. The issuer may have added it since the last load.
    Unknown,
    /// Several keys match.
    Several,
}

impl KeySet {
    /// Reads a set and keeps the keys for `algorithm`. The second value has one line for each ignored key.
    ///
    /// # Errors
    /// Why it is not a key set.
    pub fn parse(bytes: &[u8], algorithm: Algorithm) -> Result<(Self, Vec<String>), String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }

        let set: Set = serde_json::from_slice(bytes).map_err(|_| "is not a JSON Web Key Set".to_owned())?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!("has {} keys; {KEYS_MAX} are the most", set.keys.len()));
        }
        let mut keys = Vec::new();
        let mut left_out = Vec::new();
        for (index, jwk) in set.keys.iter().enumerate() {
            match public_key::from_jwk(jwk, algorithm) {
                Ok((kid, key)) => keys.push((kid, Arc::new(key))),
                Err(why) => left_out.push(format!("key {index} is not usable for {algorithm:?}: {why}")),
            }
        }
        Ok((Self { keys }, left_out))
    }

    /// The number of usable keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The only key that can have signed a token with this `kid`, or without one.
    ///
    /// # Errors
    /// See [`Missing`]. No second key is tried: a token names its key, or the set has a single key.
    pub fn find(&self, kid: Option<&str>) -> Result<&Arc<DecodingKey>, Missing> {
        let mut fitting = self.keys.iter().filter(|(id, _)| kid.is_none() || id.as_deref() == kid);
        match (fitting.next(), fitting.next()) {
            (Some((_, key)), None) => Ok(key),
            (Some(_), Some(_)) => Err(Missing::Several),
            (None, _) => Err(Missing::Unknown),
        }
    }
}
