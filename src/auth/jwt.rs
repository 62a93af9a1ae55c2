//! Signed tokens (RFC 7515, RFC 7518, RFC 8037): with a shared secret, or with a private key whose public half is known.
//!
//! Owns whether a token holds. The algorithm is the configuration's, never the token's: `none` and every other one are
//! refused before any key is touched. What the claims then mean, and where keys come from, is not known here.

use std::fmt;
use std::sync::Arc;

use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::identity::Identity;
pub use jsonwebtoken::Algorithm;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::Value;

use self::parts::Parts;
use super::algorithm;
use super::claims::{self, Terms, invalid};
use super::key_source::KeySource;

mod parts;

/// Longest token that is looked at, in bytes. A longer one is refused unread.
pub const TOKEN_MAX: usize = 8 * 1024;

/// The algorithms that a shared secret can sign with.
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
    /// The algorithm of that name: `HS256`, `HS384` or `HS512`, exactly so (RFC 7518, section 3.1).
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Hs256, Self::Hs384, Self::Hs512].into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// The name it has in a token's header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// As one of all the algorithms there are.
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

/// What a [`Verifier`] asks of every token.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The one algorithm that is accepted.
    pub algorithm: Algorithm,
    /// Whether a token must say when it expires.
    pub require_exp: bool,
    /// How far the issuer's clock may be from ours, in seconds.
    pub leeway_secs: u64,
    /// Who may have made it: its `iss` is one of these. Empty: anybody.
    pub issuers: Vec<String>,
    /// Whom it may be made for: its `aud` is one of these, or holds one. Empty: anybody.
    pub audiences: Vec<String>,
}

impl Default for Settings {
    /// HS256, an expiry, 5 seconds, and any issuer and audience.
    fn default() -> Self {
        let (issuers, audiences) = (Vec::new(), Vec::new());
        Self { algorithm: Algorithm::HS256, require_exp: true, leeway_secs: 5, issuers, audiences }
    }
}

/// Where the key is that a token's signature is judged by.
pub enum Keys {
    /// A secret that the issuer shares with the hub. With an empty one nothing holds.
    Secret(Vec<u8>),
    /// One public key, whatever a token calls it.
    Public(DecodingKey),
    /// A set of public keys, each by its `kid`.
    Set(Arc<KeySource>),
}

enum Source {
    One(Arc<DecodingKey>),
    Set(Arc<KeySource>),
}

/// Judges signed tokens. Holds the secret, prints nothing of it.
pub struct Verifier {
    /// `None` when no secret is configured: then no token holds.
    source: Option<Source>,
    algorithm: Algorithm,
    terms: Terms,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier for tokens of one algorithm. A key of another family than the algorithm's makes no token hold.
    pub fn new(keys: Keys, settings: Settings) -> Self {
        let Settings { algorithm, require_exp, leeway_secs, issuers, audiences } = settings;
        let leeway_ms = i64::try_from(leeway_secs.saturating_mul(1_000));
        let source = match keys {
            Keys::Secret(secret) if secret.is_empty() => None,
            Keys::Secret(secret) => Some(Source::One(Arc::new(DecodingKey::from_secret(&secret)))),
            Keys::Public(key) => Some(Source::One(Arc::new(key))),
            Keys::Set(source) => Some(Source::Set(source)),
        };
        Self {
            source,
            algorithm,
            terms: Terms { require_exp, leeway_ms: leeway_ms.unwrap_or(i64::MAX), issuers, audiences },
        }
    }

    /// Says who holds `token`, which must be good at `now_ms`.
    ///
    /// # Errors
    /// `TokenExpired` for a token that was good once; `AuthUnavailable` when its key cannot be had now; `InvalidToken` for
    /// whatever else is wrong with it.
    pub async fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
        if token.len() > TOKEN_MAX {
            return Err(too_long());
        }
        let Some(source) = &self.source else {
            return Err(invalid("No token is accepted here"));
        };
        let parts = Parts::of(token).ok_or_else(malformed)?;
        // Before any key is sought: a token that cannot hold must not have one fetched.
        let header = parts.header().ok_or_else(malformed)?;
        if algorithm::named(&header.alg) != Some(self.algorithm) {
            return Err(invalid(algorithm::mismatch(&header.alg, self.algorithm)).by("auth.algorithm"));
        }
        // RFC 7515, section 4.1.11: extensions that must be understood and are not refuse the token. We know none.
        if header.has_crit {
            return Err(invalid("The token's `crit` asks for an unknown extension").by("token crit"));
        }
        let key = match source {
            Source::One(key) => key.clone(),
            Source::Set(source) => source.key(header.kid.as_deref()).await?,
        };
        // By the configured algorithm. A key of another family, or a signature that is not base64url, is an error.
        match jsonwebtoken::crypto::verify(parts.signature, parts.message.as_bytes(), &key, self.algorithm) {
            Ok(true) => claims::identity(&parts.claims().ok_or_else(malformed)?, &self.terms, now_ms),
            Ok(false) => Err(invalid("The token's signature does not hold").by("token signature")),
            Err(_) => Err(malformed()),
        }
    }

    /// The key set, where there is one.
    pub fn key_source(&self) -> Option<&Arc<KeySource>> {
        match self.source.as_ref()? {
            Source::One(_) => None,
            Source::Set(source) => Some(source),
        }
    }
}

fn malformed() -> Fault {
    invalid("The token is malformed").by("token")
}

/// The refusal of a token that is longer than [`TOKEN_MAX`].
pub(super) fn too_long() -> Fault {
    invalid(format!("The token is longer than {TOKEN_MAX} bytes")).by("token")
}

/// Signs `claims`, an object, into a token.
///
/// # Errors
/// `Internal` when the claims are no object or the secret is empty: the hub itself wrote both.
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
