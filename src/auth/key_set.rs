//! A JSON Web Key Set (RFC 7517) as far as it serves one algorithm: which key a token's `kid` stands for.
//!
//! Pure: where a set comes from and when it is read again is `key_source`'s.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::public_key;

/// Most keys of one set. Issuers have a handful; what has more is no key set of an issuer.
pub const KEYS_MAX: usize = 100;

/// The keys of a set that fit.
pub struct KeySet {
    keys: Vec<(Option<String>, Arc<DecodingKey>)>,
}

/// Why no key of the set serves a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// None goes by that `kid`: perhaps one that the issuer has since added does.
    Unknown,
    /// Several could be meant.
    Several,
}

impl KeySet {
    /// Reads a set and keeps the keys that fit `algorithm`. What is left out is told in the second value, a line each.
    ///
    /// # Errors
    /// Why it is no key set.
    pub fn parse(bytes: &[u8], algorithm: Algorithm) -> Result<(Self, Vec<String>), String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }

        let set: Set = serde_json::from_slice(bytes).map_err(|_| "is no JSON Web Key Set".to_owned())?;
        if set.keys.len() > KEYS_MAX {
            return Err(format!("has {} keys; {KEYS_MAX} are the most", set.keys.len()));
        }
        let mut keys = Vec::new();
        let mut left_out = Vec::new();
        for (index, jwk) in set.keys.iter().enumerate() {
            match public_key::from_jwk(jwk, algorithm) {
                Ok((kid, key)) => keys.push((kid, Arc::new(key))),
                Err(why) => left_out.push(format!("key {index} does not serve {algorithm:?}: {why}")),
            }
        }
        Ok((Self { keys }, left_out))
    }

    /// How many keys fit.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none fits.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The one key that a token with this `kid`, or with none, can be signed with.
    ///
    /// # Errors
    /// See [`Missing`]. No second key is tried: a token names its key, or there is but one.
    pub fn find(&self, kid: Option<&str>) -> Result<&Arc<DecodingKey>, Missing> {
        let mut fitting = self.keys.iter().filter(|(id, _)| kid.is_none() || id.as_deref() == kid);
        match (fitting.next(), fitting.next()) {
            (Some((_, key)), None) => Ok(key),
            (Some(_), Some(_)) => Err(Missing::Several),
            (None, _) => Err(Missing::Unknown),
        }
    }
}
