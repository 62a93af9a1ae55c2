//! Verifies signed tokens (RFC 7515, RFC 7518, RFC 8037): with a shared secret or with a public key.
//!
//! This module owns the check of the signature. The algorithm is always the configured one: a token with another
//! algorithm, `none` included, is refused before any key is used. This module knows neither the meaning of claims nor
//! the origin of keys.

use std::fmt;
use std::sync::Arc;

use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::identity::Identity;
pub use jsonwebtoken::Algorithm;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::Value;

use self::parts::Parts;
use super::algorithm;
use super::claims::{self, ClaimRequirements, invalid};
use super::key_source::KeySource;

mod parts;

/// Longest token that is read, in bytes. A longer token is refused unread.
pub const TOKEN_MAX: usize = 8 * 1024;

/// The algorithms for a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hmac {
    /// HMAC with SHA-256.
    #[default]
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl Hmac {
    /// The algorithm with exactly that name: `HS256`, `HS384` or `HS512` (RFC 7518, section 3.1).
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Hs256, Self::Hs384, Self::Hs512].into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// Its name in a token's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// The same algorithm as a value of [`Algorithm`].
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Hs384 => Algorithm::HS384,
            Self::Hs512 => Algorithm::HS512,
        }
    }
}

impl fmt::Display for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The requirements of a [`Verifier`] for every token.
#[derive(Debug, Clone)]
pub struct VerifierSettings {
    /// The only accepted algorithm.
    pub algorithm: Algorithm,
    /// Whether a token needs an `exp`.
    pub require_exp: bool,
    /// Allowed difference between the issuer's clock and ours, in seconds.
    pub leeway_secs: u64,
    /// The accepted values of `iss`. Empty: any.
    pub issuers: Vec<String>,
    /// The accepted values of `aud`, which may be a list with one of them. Empty: any.
    pub audiences: Vec<String>,
}

impl Default for VerifierSettings {
    /// HS256, a required expiry, a leeway of 5 seconds, and any issuer and audience.
    fn default() -> Self {
        let (issuers, audiences) = (Vec::new(), Vec::new());
        Self { algorithm: Algorithm::HS256, require_exp: true, leeway_secs: 5, issuers, audiences }
    }
}

/// The source of the key that verifies a token's signature.
pub enum Keys {
    /// A secret shared by the issuer and the hub. With an empty secret, no token is valid.
    Secret(Vec<u8>),
    /// One public key, for tokens with any `kid`.
    Public(DecodingKey),
    /// A set of public keys, selected by `kid`.
    Set(Arc<KeySource>),
}

enum VerifierKey {
    One(Arc<DecodingKey>),
    Set(Arc<KeySource>),
}

/// Verifies signed tokens. Its debug output contains no secret.
pub struct Verifier {
    /// `None` without a configured secret: no token is valid.
    key: Option<VerifierKey>,
    algorithm: Algorithm,
    requirements: ClaimRequirements,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier for tokens of one algorithm. With a key of another family, no token is valid.
    pub fn new(keys: Keys, settings: VerifierSettings) -> Self {
        let VerifierSettings { algorithm, require_exp, leeway_secs, issuers, audiences } = settings;
        let leeway_ms = i64::try_from(leeway_secs.saturating_mul(1_000));
        let key = match keys {
            Keys::Secret(secret) if secret.is_empty() => None,
            Keys::Secret(secret) => Some(VerifierKey::One(Arc::new(DecodingKey::from_secret(&secret)))),
            Keys::Public(key) => Some(VerifierKey::One(Arc::new(key))),
            Keys::Set(source) => Some(VerifierKey::Set(source)),
        };
        Self {
            key,
            algorithm,
            requirements: ClaimRequirements {
                require_exp,
                leeway_ms: leeway_ms.unwrap_or(i64::MAX),
                issuers,
                audiences,
            },
        }
    }

    /// Returns the identity in `token`, which must be valid at `now_ms`.
    ///
    /// # Errors
    /// `TokenExpired` for a token that was valid before; `AuthUnavailable` when its key is not available now;
    /// `InvalidToken` for any other error.
    pub async fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
        if token.len() > TOKEN_MAX {
            return Err(too_long());
        }
        let Some(verifier_key) = &self.key else {
            return Err(invalid("No token is accepted here"));
        };
        let parts = Parts::of(token).ok_or_else(malformed)?;
        // Checked before the key lookup: an invalid token must not cause a load of the key set.
        let header = parts.header().ok_or_else(malformed)?;
        if algorithm::named(&header.alg) != Some(self.algorithm) {
            return Err(invalid(algorithm::mismatch(&header.alg, self.algorithm)).by("auth.algorithm"));
        }
        // RFC 7515, section 4.1.11: a token with an unknown critical extension is refused. The hub knows none.
        if header.has_crit {
            return Err(invalid("The token's `crit` asks for an unknown extension").by("token crit"));
        }
        let key = match verifier_key {
            VerifierKey::One(key) => key.clone(),
            VerifierKey::Set(source) => source.key(header.kid.as_deref()).await?,
        };
        // Uses the configured algorithm. A key of another family, or a signature that is not base64url, is an error.
        match jsonwebtoken::crypto::verify(parts.signature, parts.message.as_bytes(), &key, self.algorithm) {
            Ok(true) => claims::identity(&parts.claims().ok_or_else(malformed)?, &self.requirements, now_ms),
            Ok(false) => Err(invalid("The token's signature is invalid").by("token signature")),
            Err(_) => Err(malformed()),
        }
    }

    /// The key set, if one is configured.
    pub fn key_source(&self) -> Option<&Arc<KeySource>> {
        match self.key.as_ref()? {
            VerifierKey::One(_) => None,
            VerifierKey::Set(source) => Some(source),
        }
    }
}

fn malformed() -> Fault {
    invalid("The token is malformed").by("token")
}

/// The error for a token longer than [`TOKEN_MAX`].
pub(super) fn too_long() -> Fault {
    invalid(format!("The token is longer than {TOKEN_MAX} bytes")).by("token")
}

/// Signs `claims`, an object, into a token.
///
/// # Errors
/// `Internal` when the claims are no object or the secret is empty: both come from the hub itself.
pub fn sign(claims: &Value, secret: &[u8], algorithm: Hmac) -> Result<String, Fault> {
    if secret.is_empty() || !claims.is_object() {
        return Err(Fault::internal().caused_by("a token needs a secret and claims in an object"));
    }
    jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm.algorithm()), claims, &EncodingKey::from_secret(secret))
        .map_err(|error| Fault::internal().caused_by(format!("a token could not be signed: {error}")))
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod tests;
