//! Public keys, from PEM text and from JWKs (RFC 7517), each checked once for its algorithm.
//!
//! This module owns which key fits which algorithm, and the minimum strength. It knows no file, no URL and no token.

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::pkcs8::spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use rsa::pkcs8::{Document, spki::DecodePublicKey as _};
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, RsaPublicKey};
use serde::Deserialize;

/// Fewest bits of an RSA modulus (RFC 7518, section 3.3).
const RSA_MIN: usize = 2_048;

/// The object identifiers of the supported kinds of key in PEM files.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The kind of key that an algorithm needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
    Other,
}

impl KeyKind {
    fn of(algorithm: Algorithm) -> Self {
        match (algorithm.family(), algorithm) {
            (AlgorithmFamily::Hmac, _) => Self::Secret,
            (AlgorithmFamily::Rsa, _) => Self::Rsa,
            (AlgorithmFamily::Ec, Algorithm::ES256) => Self::P256,
            (AlgorithmFamily::Ec, _) => Self::P384,
            (AlgorithmFamily::Ed, _) => Self::Ed25519,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "a shared secret",
            Self::Rsa => "an RSA key",
            Self::P256 => "an EC key on P-256",
            Self::P384 => "an EC key on P-384",
            Self::Ed25519 => "an Ed25519 key",
            Self::Other => "a key of another kind",
        }
    }
}

/// The public key in `text`, a single PEM block: `PUBLIC KEY` (RFC 5280) or `RSA PUBLIC KEY` (RFC 8017).
///
/// # Errors
/// The problem, as the end of a sentence that begins with the file's name. Contains nothing from the file.
pub fn from_pem(text: &str, algorithm: Algorithm) -> Result<DecodingKey, String> {
    let (label, document) =
        Document::from_pem(text.trim()).map_err(|_| "is not a PEM file with one public key".to_owned())?;
    let bytes = document.as_bytes();
    let kind = match label {
        "PUBLIC KEY" => kind_of_spki(bytes)?,
        "RSA PUBLIC KEY" => KeyKind::Rsa,
        label if label.ends_with("PRIVATE KEY") => {
            return Err("contains a private key; expected only the public key".into());
        }
        label => return Err(format!("contains a {label}; expected a PUBLIC KEY")),
    };
    let needed = KeyKind::of(algorithm);
    if kind != needed {
        return Err(format!("contains {}; {algorithm:?} needs {}", kind.as_str(), needed.as_str()));
    }
    let malformed = || format!("contains {} that is malformed", kind.as_str());
    match kind {
        KeyKind::Rsa => {
            let key = if label == "PUBLIC KEY" {
                RsaPublicKey::from_public_key_der(bytes).ok()
            } else {
                RsaPublicKey::from_pkcs1_der(bytes).ok()
            };
            rsa(key.ok_or_else(malformed)?)
        }
        KeyKind::P256 | KeyKind::P384 | KeyKind::Ed25519 => {
            let info = SubjectPublicKeyInfoRef::try_from(bytes).map_err(|_| malformed())?;
            let point = info.subject_public_key.as_bytes().ok_or_else(malformed)?;
            if kind == KeyKind::Ed25519 { edwards(point) } else { elliptic(kind, point) }
        }
        KeyKind::Secret | KeyKind::Other => None,
    }
    .ok_or_else(|| match kind {
        KeyKind::Rsa => format!("contains an RSA key of other than {RSA_MIN} to {} bits", RsaPublicKey::MAX_SIZE),
        _ => malformed(),
    })
}

fn kind_of_spki(bytes: &[u8]) -> Result<KeyKind, String> {
    let info = SubjectPublicKeyInfoRef::try_from(bytes).map_err(|_| "contains a PUBLIC KEY that is malformed")?;
    let curve = info.algorithm.parameters_oid().ok();
    Ok(match (info.algorithm.oid, curve) {
        (RSA, _) => KeyKind::Rsa,
        (EC, Some(P256)) => KeyKind::P256,
        (EC, Some(P384)) => KeyKind::P384,
        (ED25519, _) => KeyKind::Ed25519,
        _ => KeyKind::Other,
    })
}

/// An RSA key of an accepted size.
fn rsa(key: RsaPublicKey) -> Option<DecodingKey> {
    let fits = (RSA_MIN..=RsaPublicKey::MAX_SIZE).contains(&key.n().bits());
    fits.then(|| DecodingKey::from_rsa_raw_components(&key.n().to_bytes_be(), &key.e().to_bytes_be()))
}

/// A point on its curve.
fn elliptic(kind: KeyKind, point: &[u8]) -> Option<DecodingKey> {
    let lies_on_curve = match kind {
        KeyKind::P256 => p256::PublicKey::from_sec1_bytes(point).is_ok(),
        KeyKind::P384 => p384::PublicKey::from_sec1_bytes(point).is_ok(),
        _ => false,
    };
    lies_on_curve.then(|| DecodingKey::from_ec_der(point))
}

/// A point outside the small subgroup. With a key in that subgroup, one signature would be valid for many messages.
fn edwards(point: &[u8]) -> Option<DecodingKey> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(point.try_into().ok()?).ok()?;
    (!key.is_weak()).then(|| DecodingKey::from_ed_der(point))
}

/// The used members of a JWK; other members are ignored.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private part, for every kind of key.
    d: Option<serde::de::IgnoredAny>,
    /// The secret of a symmetric key.
    k: Option<serde::de::IgnoredAny>,
}

/// The key in a JWK, and its `kid`.
///
/// # Errors
/// Why it does not fit `algorithm`, for the log. Contains nothing of the key.
pub fn from_jwk(jwk: &serde_json::Value, algorithm: Algorithm) -> Result<(Option<String>, DecodingKey), &'static str> {
    let jwk = Jwk::deserialize(jwk).map_err(|_| "it is malformed")?;
    if jwk.k.is_some() || jwk.kty == "oct" {
        return Err("it is a shared secret");
    }
    if jwk.d.is_some() {
        return Err("it has its private part, so every reader of the set can sign with it");
    }
    if jwk.usage.as_ref().is_some_and(|usage| usage != "sig") {
        return Err("its `use` is not `sig`");
    }
    if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
        return Err("its `key_ops` lack `verify`");
    }
    let alg = jwk.alg.as_deref();
    if alg.is_some_and(|alg| super::algorithm::named(alg) != Some(algorithm)) {
        return Err("its `alg` is another one");
    }
    let curve = jwk.crv.as_deref().unwrap_or_default();
    let kind = match (jwk.kty.as_str(), curve) {
        ("RSA", _) => KeyKind::Rsa,
        ("EC", "P-256") => KeyKind::P256,
        ("EC", "P-384") => KeyKind::P384,
        ("OKP", "Ed25519") => KeyKind::Ed25519,
        _ => KeyKind::Other,
    };
    if kind != KeyKind::of(algorithm) {
        return Err("its kind or curve does not fit the algorithm");
    }
    let part = |part: &Option<String>| part.as_deref().and_then(base64url).ok_or("it lacks a part");
    let key = match kind {
        KeyKind::Rsa => {
            let (n, e) = (part(&jwk.n)?, part(&jwk.e)?);
            // Checked before any computation with it.
            if n.len() > RsaPublicKey::MAX_SIZE / 8 + 1 {
                return Err("it is too weak or too large");
            }
            RsaPublicKey::new(BigUint::from_bytes_be(&n), BigUint::from_bytes_be(&e)).ok().and_then(rsa)
        }
        KeyKind::Ed25519 => edwards(&part(&jwk.x)?),
        _ => elliptic(kind, &[&[4], &part(&jwk.x)?[..], &part(&jwk.y)?[..]].concat()),
    };
    Ok((jwk.kid, key.ok_or("it is too weak, too large or not on its curve")?))
}

/// The bytes of base64url text without padding (RFC 7515, section 2).
fn base64url(text: &str) -> Option<Vec<u8>> {
    match DecodingKey::from_ed_components(text).ok()?.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => Some(bytes.clone()),
        DecodingKeyKind::RsaModulusExponent { .. } => None,
    }
}

#[cfg(test)]
mod tests;
