//! Tests: which keys are accepted, and the errors for the others.

use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk as Made;
use serde_json::{Value, json};

use super::*;
use crate::auth::key_set::{KEYS_MAX, KeySet, Missing};

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../../../tests/keys/", $name, ".pem"))
    };
}

/// The JWK of the public half of a private key.
fn jwk(private: &str, algorithm: Algorithm) -> Value {
    let key = match algorithm.family() {
        AlgorithmFamily::Ec => EncodingKey::from_ec_pem(private.as_bytes()),
        AlgorithmFamily::Ed => EncodingKey::from_ed_pem(private.as_bytes()),
        _ => EncodingKey::from_rsa_pem(private.as_bytes()),
    };
    serde_json::to_value(Made::from_encoding_key(&key.unwrap(), algorithm).unwrap()).unwrap()
}

fn with(mut jwk: Value, more: Value) -> Value {
    jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    jwk
}

#[test]
fn a_pem_file_contains_one_public_key_for_its_algorithm() {
    let keys = [
        (pem!("rsa-2048.public"), "an RSA key", "RS256 RS384 RS512 PS256 PS384 PS512"),
        (pem!("rsa-3072.public"), "an RSA key", "RS256 RS384 RS512 PS256 PS384 PS512"),
        (pem!("rsa-2048.pkcs1"), "an RSA key", "RS256 RS384 RS512 PS256 PS384 PS512"),
        (pem!("p256.public"), "an EC key on P-256", "ES256"),
        (pem!("p384.public"), "an EC key on P-384", "ES384"),
        (pem!("ed25519.public"), "an Ed25519 key", "EdDSA"),
        (pem!("ed448.public"), "a key of another kind", ""),
        (pem!("secp256k1.public"), "a key of another kind", ""),
    ];
    let all = "HS256 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA";
    for (text, kind, fits) in keys {
        for algorithm in all.split(' ') {
            let read = from_pem(text, algorithm.parse().unwrap());
            if fits.split(' ').any(|fit| fit == algorithm) {
                read.unwrap();
            } else {
                let why = read.unwrap_err();
                assert!(why.starts_with(&format!("contains {kind}; {algorithm} needs ")), "{kind} {algorithm}: {why}");
            }
        }
    }
}

#[test]
fn an_invalid_pem_file_is_refused_without_its_content() {
    let good = pem!("rsa-2048.public");
    let (too_long, odd) = (good.replacen("MII", "MIJ", 1), good.replacen("MIIBCgKC", "MIIBCgOC", 1));
    for (text, why) in [
        ("", "is not a PEM file with one public key"),
        ("garbage", "is not a PEM file with one public key"),
        (&good[..200], "is not a PEM file with one public key"),
        (&format!("{good}{good}"), "is not a PEM file with one public key"),
        (&too_long, "is not a PEM file with one public key"),
        (&odd, "contains an RSA key that is malformed"),
        (pem!("rsa-2048.private"), "contains a private key; expected only the public key"),
        (pem!("p256.private"), "contains a private key; expected only the public key"),
        (pem!("rsa-2048.certificate"), "contains a CERTIFICATE; expected a PUBLIC KEY"),
        (pem!("rsa-1024.public"), "contains an RSA key of other than 2048 to 4096 bits"),
    ] {
        assert_eq!(from_pem(text, Algorithm::RS256).unwrap_err(), why, "{text}");
    }
    let windows = format!("\r\n{}\r\n", good.replace('\n', "\r\n"));
    from_pem(&windows, Algorithm::RS256).unwrap();
}

/// The points of small order on Curve25519 (RFC 7748, section 6, and later literature), some of them not canonical.
#[test]
fn a_point_of_small_order_is_not_a_key() {
    for point in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        assert!(edwards(&hex::decode(point).unwrap()).is_none(), "{point}");
    }
    for length in [0, 31, 33, 64] {
        assert!(edwards(&vec![7; length]).is_none(), "{length} bytes");
    }
}

#[test]
fn a_jwk_is_used_only_if_all_its_members_fit() {
    let rsa = || jwk(pem!("rsa-2048.private"), Algorithm::RS256);
    let p256 = || jwk(pem!("p256.private"), Algorithm::ES256);
    let p384 = || jwk(pem!("p384.private"), Algorithm::ES384);
    let ed = || jwk(pem!("ed25519.private"), Algorithm::EdDSA);
    let no_alg = |mut jwk: Value| {
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    };
    for (jwk, algorithm) in [
        (rsa(), Algorithm::RS256),
        (no_alg(rsa()), Algorithm::PS512),
        (with(ed(), json!({"alg": "Ed25519"})), Algorithm::EdDSA),
        (
            with(rsa(), json!({"use": "sig", "key_ops": ["verify"], "kid": "a", "x5c": ["?"], "odd": {}})),
            Algorithm::RS256,
        ),
        (with(rsa(), json!({"crv": "P-256"})), Algorithm::RS256),
        (p256(), Algorithm::ES256),
        (p384(), Algorithm::ES384),
        (ed(), Algorithm::EdDSA),
    ] {
        from_jwk(&jwk, algorithm).map(|_| ()).unwrap_or_else(|why| panic!("{jwk} {algorithm:?}: {why}"));
    }
    let short = json!({"n": "AQAB"});
    let even = json!({"e": "AQAC"});
    let off_curve = with(p256(), json!({"y": p256()["x"]}));
    for (jwk, algorithm) in [
        (rsa(), Algorithm::RS384),
        (rsa(), Algorithm::PS256),
        (no_alg(rsa()), Algorithm::ES256),
        (no_alg(rsa()), Algorithm::EdDSA),
        (no_alg(p256()), Algorithm::ES384),
        (no_alg(p384()), Algorithm::ES256),
        (with(no_alg(p256()), json!({"crv": "P-384"})), Algorithm::ES384),
        (with(no_alg(p256()), json!({"crv": "P-521"})), Algorithm::ES256),
        (with(no_alg(p256()), json!({"crv": "p-256"})), Algorithm::ES256),
        (with(no_alg(ed()), json!({"crv": "Ed448"})), Algorithm::EdDSA),
        (with(no_alg(ed()), json!({"crv": "X25519"})), Algorithm::EdDSA),
        (with(ed(), json!({"alg": "Ed448"})), Algorithm::EdDSA),
        (with(ed(), json!({"alg": "ed25519"})), Algorithm::EdDSA),
        (with(p256(), json!({"alg": "Ed25519"})), Algorithm::ES256),
        (with(rsa(), json!({"alg": "HS256"})), Algorithm::RS256),
        (with(rsa(), json!({"alg": "none"})), Algorithm::RS256),
        (with(rsa(), json!({"alg": "RSA-OAEP"})), Algorithm::RS256),
        (with(rsa(), json!({"use": "enc"})), Algorithm::RS256),
        (with(rsa(), json!({"key_ops": ["encrypt"]})), Algorithm::RS256),
        (with(rsa(), json!({"key_ops": []})), Algorithm::RS256),
        (with(rsa(), json!({"d": "AQAB"})), Algorithm::RS256),
        (with(p256(), json!({"d": "AQAB"})), Algorithm::ES256),
        (with(ed(), json!({"d": ""})), Algorithm::EdDSA),
        (with(rsa(), json!({"k": "AQAB"})), Algorithm::RS256),
        (with(rsa(), json!({"kty": "oct"})), Algorithm::RS256),
        (json!({"kty": "oct", "k": "AQAB"}), Algorithm::RS256),
        (json!({"kty": "oct", "k": "AQAB", "alg": "HS256"}), Algorithm::HS256),
        (with(rsa(), json!({"kid": 7})), Algorithm::RS256),
        (with(rsa(), json!({"kty": null})), Algorithm::RS256),
        (with(rsa(), json!({"n": null})), Algorithm::RS256),
        (with(rsa(), json!({"n": "not base64!"})), Algorithm::RS256),
        (with(rsa(), json!({"n": format!("{}==", rsa()["n"].as_str().unwrap())})), Algorithm::RS256),
        (with(rsa(), short), Algorithm::RS256),
        (with(rsa(), even), Algorithm::RS256),
        (with(rsa(), json!({"e": "AQ"})), Algorithm::RS256),
        (with(rsa(), json!({"e": ""})), Algorithm::RS256),
        (with(rsa(), json!({"n": "_".repeat(200_000)})), Algorithm::RS256),
        (jwk(pem!("rsa-1024.private"), Algorithm::RS256), Algorithm::RS256),
        (off_curve, Algorithm::ES256),
        (with(p256(), json!({"x": "", "y": ""})), Algorithm::ES256),
        (with(ed(), json!({"x": "AQAB"})), Algorithm::EdDSA),
        (with(ed(), json!({"x": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})), Algorithm::EdDSA),
        (json!("RSA"), Algorithm::RS256),
        (json!(null), Algorithm::RS256),
    ] {
        assert!(from_jwk(&jwk, algorithm).is_err(), "{jwk} {algorithm:?}");
    }
}

#[test]
fn the_usable_keys_of_a_set_are_found_by_kid() {
    let key = |kid: &str| with(jwk(pem!("p256.private"), Algorithm::ES256), json!({ "kid": kid }));
    let parse = |keys: Vec<Value>| {
        let set = json!({"keys": keys, "more": true}).to_string();
        KeySet::parse(set.as_bytes(), Algorithm::ES256).unwrap()
    };
    let odd = json!({"kty": "oct", "k": "AQAB", "kid": "c"});
    let (set, left_out) = parse(vec![key("a"), json!(null), odd, key("b"), key("twice"), key("twice")]);
    assert_eq!((set.len(), left_out.len()), (4, 2), "{left_out:?}");
    assert_eq!(left_out[1], "key 2 is not usable for ES256: it is a shared secret");
    for (kid, found) in [
        (Some("a"), None),
        (Some("b"), None),
        (Some("c"), Some(Missing::Unknown)),
        (Some(""), Some(Missing::Unknown)),
        (Some("A"), Some(Missing::Unknown)),
        (Some("twice"), Some(Missing::Several)),
        (None, Some(Missing::Several)),
    ] {
        assert_eq!(set.find(kid).err(), found, "{kid:?}");
    }
    let (only, _) = parse(vec![key("a")]);
    assert_eq!(only.find(None).err(), None);
    let nameless = jwk(pem!("p256.private"), Algorithm::ES256);
    let (nameless, _) = parse(vec![nameless]);
    assert_eq!(nameless.find(None).err(), None);
    assert_eq!(nameless.find(Some("a")).err(), Some(Missing::Unknown), "a named key selects no other key");
    let (none, _) = parse(vec![]);
    assert_eq!(none.find(None).err(), Some(Missing::Unknown));
    assert!(none.is_empty());
}

#[test]
fn an_invalid_set_is_refused_as_a_whole() {
    let many = json!({"keys": vec![json!({}); KEYS_MAX + 1]}).to_string();
    for text in ["", "{}", "[]", "null", "{\"keys\": {}}", "{\"keys\": [}", &many] {
        assert!(KeySet::parse(text.as_bytes(), Algorithm::ES256).is_err(), "{text}");
    }
}
