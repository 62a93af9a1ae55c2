//! Tests: forged tokens, created without the private key, for each public-key algorithm.

use std::sync::Arc;

use hubbub_actors::model::fault::Code;
use jsonwebtoken::jwk::Jwk;
use serde_json::{Value, json};

use super::tests::{NOW, at_once, base64url, claims};
use super::*;
use crate::auth::public_key;

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../../../tests/keys/", $name, ".pem"))
    };
}

/// An algorithm with its key, and another key of the same kind if there is one.
struct Case {
    algorithm: Algorithm,
    public: &'static str,
    private: EncodingKey,
    other: Option<EncodingKey>,
}

fn cases() -> Vec<Case> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};

    let rsa = |pem: &str| EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let ec = |pem: &str| EncodingKey::from_ec_pem(pem.as_bytes()).unwrap();
    let mut cases: Vec<_> = [RS256, RS384, RS512, PS256, PS384, PS512]
        .into_iter()
        .map(|algorithm| Case {
            algorithm,
            public: pem!("rsa-2048.public"),
            private: rsa(pem!("rsa-2048.private")),
            other: Some(rsa(pem!("rsa-2048-other.private"))),
        })
        .collect();
    cases.push(Case {
        algorithm: ES256,
        public: pem!("p256.public"),
        private: ec(pem!("p256.private")),
        other: Some(ec(pem!("p256-other.private"))),
    });
    cases.push(Case { algorithm: ES384, public: pem!("p384.public"), private: ec(pem!("p384.private")), other: None });
    let ed = EncodingKey::from_ed_pem(pem!("ed25519.private").as_bytes()).unwrap();
    cases.push(Case { algorithm: EdDSA, public: pem!("ed25519.public"), private: ed, other: None });
    cases
}

fn settings(algorithm: Algorithm) -> VerifierSettings {
    VerifierSettings { algorithm, ..VerifierSettings::default() }
}

fn verifier(case: &Case) -> Verifier {
    let key = public_key::from_pem(case.public, case.algorithm).unwrap();
    Verifier::new(Keys::Public(key), settings(case.algorithm))
}

/// A token with exactly this header, signed with `algorithm`.
fn signed(header: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = message(header);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn message(header: &Value) -> String {
    let payload = claims(json!({"role": "admin"})).to_string();
    format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(payload.as_bytes()))
}

#[test]
fn each_algorithm_accepts_only_signatures_of_its_private_key() {
    let cases = cases();
    for pinned in &cases {
        let verifier = verifier(pinned);
        for case in &cases {
            // One key works with all RSA algorithms: only the configured one is accepted.
            let header = json!({ "alg": case.algorithm });
            let decision = at_once(&verifier, &signed(&header, &case.private, case.algorithm));
            assert_eq!(decision.is_ok(), pinned.algorithm == case.algorithm, "{:?}: {decision:?}", case.algorithm);
        }
    }
}

#[test]
fn no_attack_on_a_token_succeeds() {
    for case in cases() {
        let algorithm = case.algorithm;
        let verifier = verifier(&case);
        let header = json!({"alg": algorithm, "typ": "JWT"});
        let good = signed(&header, &case.private, algorithm);
        at_once(&verifier, &good).unwrap();
        let (message_part, signature) = good.rsplit_once('.').unwrap();
        let (head, payload) = message_part.split_once('.').unwrap();

        let mut attacks: Vec<(&str, String)> = vec![
            ("no signature", format!("{message_part}.")),
            ("no signature and no dot", message_part.to_owned()),
            ("a signature of zeros", format!("{message_part}.{}", base64url(&[0; 64]))),
            ("a long signature of zeros", format!("{message_part}.{}", base64url(&[0; 256]))),
            ("a signature of ones", format!("{message_part}.{}", base64url(&[0xFF; 64]))),
            ("half a signature", format!("{message_part}.{}", &signature[..signature.len() / 2])),
            ("the signature twice", format!("{message_part}.{signature}{signature}")),
            ("padding", format!("{message_part}.{signature}=")),
            ("more padding", format!("{message_part}.{signature}==")),
            ("padding inside", format!("{head}=.{payload}.{signature}")),
            ("standard base64", format!("{message_part}.{}", signature.replacen(['-', '_'], "+", 1) + "/")),
            ("a dot behind", format!("{good}.")),
            ("a dot in front", format!(".{good}")),
            ("a space in front", format!(" {good}")),
            ("a space behind", format!("{good} ")),
            ("a line end behind", format!("{good}\n")),
            ("a line end inside", format!("{head}.\n{payload}.{signature}")),
            ("a zero byte behind", format!("{good}\0")),
            ("the parts in another order", format!("{payload}.{head}.{signature}")),
            ("another payload", format!("{head}.{}.{signature}", base64url(br#"{"sub":"admin","exp":9999999999}"#))),
            ("five parts, as if encrypted", format!("{good}.a.b")),
            ("huge", format!("{head}.{}.{signature}", "A".repeat(TOKEN_MAX))),
        ];
        for alg in [
            "none",
            "None",
            "NONE",
            "nOnE",
            "",
            "HS256",
            "HS384",
            "HS512",
            "ES512",
            "RS1",
            "ES256K",
            "Ed25519",
            "ed25519",
            "Ed448",
            "EDDSA",
            "ML-DSA-44",
            "dir",
            "RSA-OAEP",
            "HS256\0",
            "\u{ff28}S256",
        ] {
            let message = message(&json!({ "alg": alg }));
            attacks.push(("unsigned under another name", format!("{message}.")));
            attacks.push(("another name over a good signature", format!("{message}.{signature}")));
        }
        // The public key is not secret: a verifier that used it as an HMAC secret would accept forged tokens.
        let der: Vec<u8> = pem_bytes(case.public);
        for secret in [case.public.as_bytes(), case.public.trim().as_bytes(), &der, b""] {
            for hmac in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let key = EncodingKey::from_secret(secret);
                attacks.push(("the public key as a secret", signed(&json!({ "alg": hmac }), &key, hmac)));
                let forged = message(&header);
                let mac = jsonwebtoken::crypto::sign(forged.as_bytes(), &key, hmac).unwrap();
                attacks.push(("the same under the right name", format!("{forged}.{mac}")));
            }
        }
        attacks.push(("an extension that must be understood", {
            let header = json!({"alg": algorithm, "crit": ["exp"], "exp": 1});
            signed(&header, &case.private, algorithm)
        }));
        if let Some(other) = &case.other {
            let jwk = serde_json::to_value(Jwk::from_encoding_key(other, algorithm).unwrap()).unwrap();
            for more in [
                json!({}),
                json!({ "jwk": jwk }),
                json!({"jku": "https://evil.example.com/jwks.json"}),
                json!({"jku": "http://127.0.0.1:1/jwks.json"}),
                json!({"x5u": "https://evil.example.com/cert.pem"}),
                json!({"x5c": ["MIIB"], "x5t": "AAAA", "x5t#S256": "AAAA"}),
                json!({"kid": "/dev/null"}),
            ] {
                let mut header = json!({ "alg": algorithm });
                header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                attacks.push(("somebody else's key", signed(&header, other, algorithm)));
            }
        }
        for (attack, token) in attacks {
            let fault = at_once(&verifier, &token).expect_err(attack);
            assert_eq!(fault.code, Code::InvalidToken, "{algorithm:?}: {attack}: {token}");
        }
    }
}

fn pem_bytes(pem: &str) -> Vec<u8> {
    rsa::pkcs8::Document::from_pem(pem).unwrap().1.as_bytes().to_vec()
}

/// Some libraries accepted an ES256 signature of zeros (CVE-2022-21449); values of r or s out of range are refused
/// too.
#[test]
fn an_ecdsa_signature_out_of_range_is_invalid() {
    let case = cases().into_iter().find(|case| case.algorithm == Algorithm::ES256).unwrap();
    let verifier = verifier(&case);
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let (zero, one) = ([0; 32], [[0; 31].as_slice(), &[1]].concat());
    for (r, s) in [(&zero[..], &zero[..]), (&zero, &one), (&one, &zero), (&order, &order), (&order, &one), (&one, &one)]
    {
        let message = message(&json!({"alg": "ES256"}));
        let token = format!("{message}.{}", base64url(&[r, s].concat()));
        assert_eq!(at_once(&verifier, &token).unwrap_err().code, Code::InvalidToken);
    }
}

#[test]
fn a_token_with_a_kid_is_verified_only_with_that_key() {
    let cases = cases();
    let case = cases.iter().find(|case| case.algorithm == Algorithm::ES256).unwrap();
    let other = case.other.as_ref().unwrap();
    let jwk = |key: &EncodingKey, kid: &str| {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = json!(kid);
        jwk
    };
    let secret = json!({"kty": "oct", "k": base64url(b"a secret of 32 bytes, no key here"), "kid": "oct"});
    let keys = json!({"keys": [jwk(&case.private, "first"), jwk(other, "other"), secret]});
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    std::fs::write(&path, keys.to_string()).unwrap();
    let source = KeySource::file(&path, Algorithm::ES256).unwrap();
    let verifier = Verifier::new(Keys::Set(Arc::new(source)), settings(Algorithm::ES256));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.unwrap();
    let verify = |header: Value, key: &EncodingKey| {
        runtime.block_on(verifier.verify(&signed(&header, key, Algorithm::ES256), NOW * 1_000))
    };

    verify(json!({"alg": "ES256", "kid": "first"}), &case.private).unwrap();
    verify(json!({"alg": "ES256", "kid": "other"}), other).unwrap();
    // No task loads this source again, so none of these calls waits.
    for (header, key, message) in [
        (json!({"alg": "ES256", "kid": "other"}), &case.private, "The token's signature is invalid"),
        (json!({"alg": "ES256"}), &case.private, "Several keys match the token; its `kid` must name one"),
        (json!({"alg": "ES256", "kid": null}), other, "Several keys match the token; its `kid` must name one"),
        (json!({"alg": "ES256", "kid": 7}), other, "The token is malformed"),
        (json!({"alg": "ES256", "kid": ["first"]}), other, "The token is malformed"),
    ] {
        assert_eq!(verify(header.clone(), key).unwrap_err(), invalid(message), "{header}");
    }
    runtime.block_on(async {
        tokio::time::pause();
        for kid in [
            "oct",
            "",
            "FIRST",
            "first ",
            "../../../../dev/null",
            "/etc/passwd",
            "' OR '1'='1",
            "first' UNION SELECT 'secret' --",
            "first; rm -rf /",
            "http://evil.example.com/jwks.json",
            "first\0",
            "\u{202e}tsrif",
            "fırst",
            &"k".repeat(4_000),
        ] {
            let token = signed(&json!({"alg": "ES256", "kid": kid}), &case.private, Algorithm::ES256);
            let fault = verifier.verify(&token, NOW * 1_000).await.unwrap_err();
            assert_eq!(fault, invalid("The token is signed with an unknown key"), "{kid}");
        }
    });
    let mac = EncodingKey::from_secret(b"a secret of 32 bytes, no key here");
    let token = signed(&json!({"alg": "HS256", "kid": "oct"}), &mac, Algorithm::HS256);
    let message = "The token is not signed with ES256, but with HS256";
    assert_eq!(at_once(&verifier, &token).unwrap_err(), invalid(message));
}

/// RFC 9864: both names are one algorithm, and the second name selects no other algorithm.
#[test]
fn ed25519_is_an_alias_of_eddsa_and_does_not_bypass_the_configured_algorithm() {
    let cases = cases();
    let ed = cases.iter().find(|case| case.algorithm == Algorithm::EdDSA).unwrap();
    let own = verifier(ed);
    for alg in ["EdDSA", "Ed25519"] {
        at_once(&own, &signed(&json!({ "alg": alg, "typ": "JWT" }), &ed.private, ed.algorithm)).unwrap();
    }
    // The name is part of the signed bytes: replacing it by the other name breaks the signature.
    let token = signed(&json!({"alg": "EdDSA"}), &ed.private, ed.algorithm);
    let signature = token.rsplit_once('.').unwrap().1;
    let renamed = format!("{}.{signature}", message(&json!({"alg": "Ed25519"})));
    assert_eq!(at_once(&own, &renamed).unwrap_err(), invalid("The token's signature is invalid"));
    for alg in ["ed25519", "ED25519", "Ed448", "Ed25519ph", "Ed25519 ", "none"] {
        let fault = at_once(&own, &signed(&json!({ "alg": alg }), &ed.private, ed.algorithm)).unwrap_err();
        assert_eq!((fault.code, fault.rule()), (Code::InvalidToken, Some("auth.algorithm")), "{alg}");
    }
    let crit = json!({"alg": "Ed25519", "crit": ["b64"], "b64": false});
    let message = "The token's `crit` asks for an unknown extension";
    assert_eq!(at_once(&own, &signed(&crit, &ed.private, ed.algorithm)).unwrap_err(), invalid(message));
    // The public key as an HMAC secret, under the new name.
    for secret in [ed.public.as_bytes(), &pem_bytes(ed.public)] {
        let key = EncodingKey::from_secret(secret);
        let token = signed(&json!({"alg": "Ed25519"}), &key, Algorithm::HS256);
        assert_eq!(at_once(&own, &token).unwrap_err().code, Code::InvalidToken);
    }
    // Verifiers for other algorithms refuse the token, whatever its signature.
    for case in cases.iter().filter(|case| case.algorithm != Algorithm::EdDSA) {
        for (key, algorithm) in [(&ed.private, Algorithm::EdDSA), (&case.private, case.algorithm)] {
            let fault = at_once(&verifier(case), &signed(&json!({"alg": "Ed25519"}), key, algorithm)).unwrap_err();
            let message = format!("The token is not signed with {:?}, but with Ed25519", case.algorithm);
            assert_eq!(fault, invalid(message));
        }
    }
}
