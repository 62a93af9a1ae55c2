//! Signed tokens (RFC 7515, RFC 7518, RFC 8037): with a shared secret, or with a private key whose public half is known.
//!
//! Owns whether a token holds. The algorithm is the configuration's, never the token's: `none` and every other one are
//! refused before any key is touched. What the claims then mean, and where keys come from, is not known here.

use std::fmt;
use std::sync::Arc;

use hubbub_actors::fault::Fault;
use hubbub_actors::identity::Identity;
pub use jsonwebtoken::Algorithm;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value};

use super::claims::{self, Terms, invalid};
use super::key_source::KeySource;

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
    signature_alone: Validation,
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
        // The crate judges the signature and the algorithm. Times are judged by us, against the hub's clock.
        let mut signature_alone = Validation::new(algorithm);
        signature_alone.required_spec_claims.clear();
        signature_alone.validate_exp = false;
        signature_alone.validate_nbf = false;
        signature_alone.validate_aud = false;
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
            signature_alone,
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
        // Before any key is sought: a token that cannot hold must not have one fetched. Of the header's other members,
        // those that offer a key or a way to one (`jwk`, `jku`, `x5c`, `x5u`) are never read.
        let header = jsonwebtoken::decode_header(token).map_err(|error| self.explain(error.kind()))?;
        if header.alg != self.algorithm {
            return Err(self.explain(&ErrorKind::InvalidAlgorithm));
        }
        // RFC 7515, section 4.1.11: extensions that must be understood and are not refuse the token. We know none.
        if header.crit.is_some() {
            return Err(invalid("The token's `crit` asks for an unknown extension").by("token crit"));
        }
        let key = match source {
            Source::One(key) => key.clone(),
            Source::Set(source) => source.key(header.kid.as_deref()).await?,
        };
        let token = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &self.signature_alone)
            .map_err(|error| self.explain(error.kind()))?;
        claims::identity(&token.claims, &self.terms, now_ms)
    }

    /// The key set, where there is one.
    pub fn key_source(&self) -> Option<&Arc<KeySource>> {
        match self.source.as_ref()? {
            Source::One(_) => None,
            Source::Set(source) => Some(source),
        }
    }

    fn explain(&self, kind: &ErrorKind) -> Fault {
        match kind {
            ErrorKind::InvalidAlgorithm => {
                invalid(format!("The token is not signed with {:?}", self.algorithm)).by("auth.algorithm")
            }
            ErrorKind::InvalidSignature => invalid("The token's signature does not hold").by("token signature"),
            _ => invalid("The token is malformed").by("token"),
        }
    }
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
        return Err(Fault::internal());
    }
    jsonwebtoken::encode(&Header::new(algorithm.algorithm()), claims, &EncodingKey::from_secret(secret))
        .map_err(|_| Fault::internal())
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod tests;
