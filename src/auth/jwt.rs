//! Tokens signed with a shared secret: HS256, HS384, HS512 (RFC 7515, RFC 7518 section 3.2).
//!
//! Owns whether a token holds. The algorithm is the configuration's, never the token's: `none`, another length and a
//! public-key header are refused before any key is touched. What the claims then mean is not known here.

use std::fmt;

use hubbub_actors::fault::Fault;
use hubbub_actors::identity::Identity;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value};

use super::claims::{self, Terms, invalid};

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

    const fn algorithm(self) -> Algorithm {
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

/// What a [`Verifier`] goes by.
pub struct Settings {
    /// The secret that the issuer shares with the hub. With an empty one nothing holds.
    pub secret: Vec<u8>,
    /// The one algorithm that is accepted.
    pub algorithm: Hmac,
    /// Whether a token must say when it expires.
    pub require_exp: bool,
    /// How far the issuer's clock may be from ours, in seconds.
    pub leeway_secs: u64,
}

/// Judges tokens. Cheap to share, holds the secret, prints nothing of it.
pub struct Verifier {
    /// `None` when no secret is configured: then no token holds.
    key: Option<DecodingKey>,
    algorithm: Hmac,
    signature_alone: Validation,
    terms: Terms,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier for tokens of one secret and one algorithm.
    pub fn new(settings: Settings) -> Self {
        // The crate judges the signature and the algorithm. Times are judged by us, against the hub's clock.
        let mut signature_alone = Validation::new(settings.algorithm.algorithm());
        signature_alone.required_spec_claims.clear();
        signature_alone.validate_exp = false;
        signature_alone.validate_nbf = false;
        signature_alone.validate_aud = false;
        let leeway_ms = i64::try_from(settings.leeway_secs.saturating_mul(1_000));
        Self {
            key: (!settings.secret.is_empty()).then(|| DecodingKey::from_secret(&settings.secret)),
            algorithm: settings.algorithm,
            signature_alone,
            terms: Terms { require_exp: settings.require_exp, leeway_ms: leeway_ms.unwrap_or(i64::MAX) },
        }
    }

    /// Says who holds `token`, which must be good at `now_ms`.
    ///
    /// # Errors
    /// `TokenExpired` for a token that was good once; `InvalidToken` for whatever else is wrong with it.
    pub fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
        if token.len() > TOKEN_MAX {
            return Err(invalid(format!("The token is longer than {TOKEN_MAX} bytes")));
        }
        let Some(key) = &self.key else {
            return Err(invalid("No token is accepted here"));
        };
        let token = jsonwebtoken::decode::<Map<String, Value>>(token, key, &self.signature_alone)
            .map_err(|error| self.explain(error.kind()))?;
        // RFC 7515, section 4.1.11: extensions that must be understood and are not refuse the token. We know none.
        if token.header.crit.is_some() {
            return Err(invalid("The token's `crit` asks for an unknown extension"));
        }
        claims::identity(&token.claims, &self.terms, now_ms)
    }

    fn explain(&self, kind: &ErrorKind) -> Fault {
        match kind {
            ErrorKind::InvalidAlgorithm => invalid(format!("The token is not signed with {}", self.algorithm)),
            ErrorKind::InvalidSignature => invalid("The token's signature does not hold"),
            _ => invalid("The token is malformed"),
        }
    }
}

/// Signs `claims`, an object, into a token.
///
/// # Errors
/// `Internal` when the claims are no object or the secret is empty: the hub itself wrote both.
pub fn sign(claims: &Value, secret: &[u8], algorithm: Hmac) -> Result<String, Fault> {
    if secret.is_empty() || !claims.is_object() {
        return Err(Fault::internal());
    }
    jsonwebtoken::encode(&Header::new(algorithm.algorithm()), claims, &EncodingKey::from_secret(secret))
        .map_err(|_| Fault::internal())
}

#[cfg(test)]
mod tests;
