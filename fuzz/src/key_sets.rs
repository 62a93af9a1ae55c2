//! Key sets and public keys: the hub trusts only suitable keys, whatever an issuer publishes.

use hubbub::auth::jwt::Algorithm;
use hubbub::auth::key_set::{KEYS_MAX, KeySet, Missing};
use hubbub::auth::public_key::from_pem;
use serde_json::Value;

/// One algorithm for each kind of key, and some with the same kind.
const ALGORITHMS: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::PS512, Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::HS256];

/// A JSON Web Key Set, or a PEM file.
pub(crate) fn key_sets(bytes: &[u8]) {
    let value = serde_json::from_slice::<Value>(bytes).ok();
    for algorithm in ALGORITHMS {
        match KeySet::parse(bytes, algorithm) {
            Ok((set, left_out)) => check(&set, &left_out, value.as_ref(), algorithm),
            Err(error) => {
                assert!(!error.is_empty());
                let keys = value.as_ref().and_then(|value| value.get("keys")).and_then(Value::as_array);
                assert!(keys.is_none_or(|keys| keys.len() > KEYS_MAX) || !is_object(bytes), "{error}");
            }
        }
    }
    pem(&String::from_utf8_lossy(bytes));
}

fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

fn check(set: &KeySet, left_out: &[String], value: Option<&Value>, algorithm: Algorithm) {
    assert!(set.len() + left_out.len() <= KEYS_MAX);
    match set.find(None) {
        Ok(_) => assert_eq!(set.len(), 1, "only a single key is found without a `kid`"),
        Err(Missing::Several) => assert!(set.len() > 1),
        Err(Missing::Unknown) => assert!(set.is_empty()),
    }
    let Some(keys) = value.and_then(|value| value["keys"].as_array()) else { return };
    assert_eq!(set.len() + left_out.len(), keys.len(), "every left-out key is reported");
    let fits = |key: &&Value| {
        let has = |member: &str| key.get(member).is_some_and(|value| !value.is_null());
        let kty = key["kty"].as_str();
        let kinds: &[&str] = match algorithm {
            Algorithm::RS256 | Algorithm::PS512 => &["RSA"],
            Algorithm::ES256 | Algorithm::ES384 => &["EC"],
            Algorithm::EdDSA => &["OKP"],
            _ => &[],
        };
        let usage = key["use"].as_str();
        kty.is_some_and(|kty| kinds.contains(&kty))
            && !has("d")
            && !has("k")
            && usage.is_none_or(|usage| usage == "sig")
    };
    let fitting: Vec<_> = keys.iter().filter(fits).collect();
    assert!(set.len() <= fitting.len(), "the set contains a key of another kind, a secret or a private key");
    for kid in keys.iter().filter_map(|key| key["kid"].as_str()) {
        let named = fitting.iter().filter(|key| key["kid"].as_str() == Some(kid)).count();
        if set.find(Some(kid)).is_ok() {
            assert!(named >= 1);
        }
        assert!(set.find(Some(kid)).err() != Some(Missing::Several) || named > 1);
    }
}

/// A file has one kind of key, and serves only algorithms of that kind.
fn pem(text: &str) {
    let serves = ALGORITHMS.map(|algorithm| match from_pem(text, algorithm) {
        Ok(_) => true,
        Err(error) => {
            assert!(!error.is_empty() && !error.contains("\n"));
            assert!(text.len() < 40 || !error.contains(text), "the message does not contain the file");
            false
        }
    });
    let [rsa, rsa_pss, p256, p384, edwards, secret] = serves;
    assert_eq!(rsa, rsa_pss);
    assert!([rsa, p256, p384, edwards].into_iter().filter(|&serves| serves).count() <= 1);
    assert!(!secret, "a public key is not accepted as a shared secret");
    assert!(!text.contains("PRIVATE KEY") || !serves.contains(&true));
}
