//! Tests: which tokens are valid. The tests beside `claims` cover the meaning of claims.

use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hubbub_actors::model::fault::Code;
use serde_json::json;

use super::*;

const SECRET: &[u8] = b"a secret of thirty-two bytes or so";

/// 2026-01-01T00:00:00Z, in seconds.
pub(super) const NOW: i64 = 1_767_225_600;

fn verifier(algorithm: Hmac, require_exp: bool) -> Verifier {
    let settings = VerifierSettings { algorithm: algorithm.algorithm(), require_exp, ..VerifierSettings::default() };
    Verifier::new(Keys::Secret(SECRET.to_vec()), settings)
}

/// Verifies at once: a verifier with one key never waits.
pub(super) fn at_once(verifier: &Verifier, token: &str) -> Result<Identity, Fault> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(verifier.verify(token, NOW * 1_000)).poll(&mut context) {
        Poll::Ready(decision) => decision,
        Poll::Pending => panic!("waits"),
    }
}

fn verify(token: &str) -> Result<Identity, Fault> {
    at_once(&verifier(Hmac::Hs256, true), token)
}

fn token(claims: &Value) -> String {
    sign(claims, SECRET, Hmac::Hs256).unwrap()
}

/// The claims of a valid token, overridden by `more`.
pub(super) fn claims(more: Value) -> Value {
    let mut claims = json!({"sub": "alice", "exp": NOW + 60});
    for (claim, value) in more.as_object().unwrap() {
        claims[claim] = value.clone();
    }
    claims
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

/// A token with the given header and payload, signed with the right secret.
fn forged(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn good_payload() -> String {
    claims(json!({})).to_string()
}

#[test]
fn a_forged_or_misshapen_token_is_refused_with_the_same_code() {
    let good = token(&claims(json!({})));
    verify(&good).unwrap();
    verify(&forged(r#"{"alg":"HS256"}"#, &good_payload())).unwrap();

    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let admin = base64url(claims(json!({"role": "admin"})).to_string().as_bytes());
    let mut attacks = vec![
        ("empty", String::new()),
        ("not a JWT", "12|abcdef".into()),
        ("one part", header.into()),
        ("two parts", format!("{header}.{payload}")),
        ("dots alone", "..".into()),
        ("four parts", format!("{good}.{signature}")),
        ("a part in front", format!("{header}.{good}")),
        ("empty header", format!(".{payload}.{signature}")),
        ("empty payload", format!("{header}..{signature}")),
        ("empty signature", format!("{header}.{payload}.")),
        ("another payload", format!("{header}.{admin}.{signature}")),
        ("a signature cut", good[..good.len() - 2].into()),
        ("a padded signature", format!("{good}=")),
        ("a space in front", format!(" {good}")),
        ("a zero byte behind", format!("{good}\0")),
        ("signed with HS384", { sign(&claims(json!({})), SECRET, Hmac::Hs384).unwrap() }),
        ("signed with HS512", { sign(&claims(json!({})), SECRET, Hmac::Hs512).unwrap() }),
        ("signed with another secret", { sign(&claims(json!({})), b"guessed", Hmac::Hs256).unwrap() }),
        ("longer than the bound", { token(&claims(json!({"name": "x".repeat(TOKEN_MAX)}))) }),
    ];
    for algorithm in
        ["none", "None", "NONE", "nOnE", "", "HS512", "RS256", "ES256", "PS256", "EdDSA", "hs256", "HS256 "]
    {
        let header = json!({"alg": algorithm, "typ": "JWT"}).to_string();
        let signed = forged(&header, &good_payload());
        let unsigned = signed[..=signed.rfind('.').unwrap()].to_owned();
        attacks.push(("another algorithm", signed));
        attacks.push(("another algorithm, unsigned", unsigned));
    }
    for header in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","kid":"a","kid":"a"}"#,
        r#"{"alg":"HS256"}{"alg":"HS256"}"#,
        r#"{"ALG":"HS256"}"#,
        "[]",
        "not JSON",
    ] {
        attacks.push(("a bad header", forged(header, &good_payload())));
    }
    for payload in ["", "[]", "null", "\"alice\"", "{", "\u{feff}{}"] {
        attacks.push(("a bad payload", forged(r#"{"alg":"HS256"}"#, payload)));
    }
    for (attack, token) in attacks {
        let fault = verify(&token).expect_err(attack);
        assert_eq!(fault.code, Code::InvalidToken, "{attack}: {token}");
    }
}

#[test]
fn a_change_of_any_byte_breaks_a_token() {
    let good = token(&claims(json!({})));
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert_eq!(verify(&changed).unwrap_err().code, Code::InvalidToken, "{at}");
    }
}

#[test]
fn each_algorithm_accepts_only_its_own_tokens() {
    let all = [Hmac::Hs256, Hmac::Hs384, Hmac::Hs512];
    for pinned in all {
        assert_eq!(Hmac::parse(pinned.as_str()), Some(pinned));
        for signed in all {
            let token = sign(&claims(json!({})), SECRET, signed).unwrap();
            let holds = at_once(&verifier(pinned, true), &token).is_ok();
            assert_eq!(holds, pinned == signed, "{signed} at {pinned}");
        }
    }
    assert_eq!(Hmac::parse("none"), None);
    assert_eq!(Hmac::parse("hs256"), None);
}

#[test]
fn a_refusal_gives_the_reason_and_no_secret() {
    for (token, message) in [
        ("nonsense".to_owned(), "The token is malformed"),
        (sign(&claims(json!({})), SECRET, Hmac::Hs512).unwrap(), "The token is not signed with HS256, but with HS512"),
        (sign(&claims(json!({})), b"guessed", Hmac::Hs256).unwrap(), "The token's signature is invalid"),
        ("x".repeat(TOKEN_MAX + 1), "The token is longer than 8192 bytes"),
        (token(&claims(json!({"sub": ""}))), "The token's `sub` is empty"),
    ] {
        assert_eq!(verify(&token).unwrap_err(), Fault::new(Code::InvalidToken, message));
    }
    let shown = format!("{:?}", verifier(Hmac::Hs256, true));
    assert_eq!(shown, "Verifier { algorithm: HS256, .. }");
}

#[test]
fn a_token_of_the_longest_length_is_accepted() {
    let short = token(&claims(json!({"pad": ""}))).len();
    // Four characters of a token encode three bytes of claims.
    let pad = "x".repeat((TOKEN_MAX - short) / 4 * 3);
    let long = token(&claims(json!({ "pad": pad })));
    assert!((TOKEN_MAX - 4..=TOKEN_MAX).contains(&long.len()), "{}", long.len());
    verify(&long).unwrap();
}

#[test]
fn an_endless_leeway_never_overflows() {
    let settings = VerifierSettings { leeway_secs: u64::MAX, ..VerifierSettings::default() };
    let verifier = Verifier::new(Keys::Secret(SECRET.to_vec()), settings);
    for more in [json!({"exp": 1}), json!({"nbf": NOW + 60})] {
        let identity = at_once(&verifier, &token(&claims(more))).unwrap();
        assert_eq!(identity.expires_at, Some(i64::MAX));
    }
}

#[test]
fn an_empty_secret_signs_and_verifies_nothing() {
    assert_eq!(sign(&claims(json!({})), b"", Hmac::Hs256).unwrap_err().code, Code::Internal);
    assert_eq!(sign(&json!("alice"), SECRET, Hmac::Hs256).unwrap_err().code, Code::Internal);
    let verifier = Verifier::new(Keys::Secret(Vec::new()), VerifierSettings::default());
    let key = EncodingKey::from_secret(b"");
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims(json!({})), &key).unwrap();
    let fault = at_once(&verifier, &token).unwrap_err();
    assert_eq!(fault.code, Code::InvalidToken);
}

#[test]
fn an_expiry_out_of_range_and_a_repeated_claim_are_refused() {
    for payload in [
        r#"{"sub":"alice","exp":1e999}"#,
        r#"{"sub":"alice","exp":NaN}"#,
        r#"{"sub":"alice","exp":1,"exp":1767225660}"#,
        r#"{"sub":"alice","exp":1767225660,"role":"user","role":"admin"}"#,
        r#"{"sub":"alice","exp":1767225660,"\u0073ub":"admin"}"#,
    ] {
        let fault = verify(&forged(r#"{"alg":"HS256"}"#, payload)).unwrap_err();
        assert_eq!(fault.code, Code::InvalidToken, "{payload}");
    }
}

#[test]
fn a_header_without_an_object_or_with_a_repeated_member_is_malformed() {
    verify(&forged(r#"{"alg":"HS256","kid":null}"#, &good_payload())).unwrap();
    for header in [
        r#"["HS256",null]"#,
        r#"["HS256",null,false]"#,
        r#""HS256""#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","typ":"JWT","typ":"JWE"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"HS256","kid":1}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256"} {}"#,
    ] {
        assert_eq!(verify(&forged(header, &good_payload())).unwrap_err(), malformed(), "{header}");
    }
}

/// Node signs a name cut within an emoji as `\ud83d`.
#[test]
fn half_a_surrogate_pair_in_a_claim_is_replaced_and_the_token_accepted() {
    let payload = r#"{"sub":"alice","exp":1767225660,"name":"Al\u0069ce \ud83d","theme":["\udc00"],"\ud800":1}"#;
    let identity = verify(&forged(r#"{"alg":"HS256"}"#, payload)).unwrap();
    assert_eq!(identity.name.as_deref(), Some("Alice \u{fffd}"));
}

/// jjwt chooses HS384 or HS512 by the length of the secret; other libraries use algorithms that the hub does not know.
#[test]
fn the_refusal_of_another_algorithm_names_the_expected_one() {
    for (alg, but) in [
        ("HS384", ", but with HS384"),
        ("ES256K", ", but with ES256K"),
        ("Ed25519", ", but with Ed25519"),
        ("A192GCMKW", ", but with A192GCMKW"),
        ("<script>", ""),
        ("", ""),
    ] {
        let token = forged(&json!({ "alg": alg }).to_string(), &good_payload());
        assert_eq!(verify(&token).unwrap_err(), invalid(format!("The token is not signed with HS256{but}")), "{alg}");
        assert_eq!(verify(&token).unwrap_err().rule(), Some("auth.algorithm"));
    }
    let unsigned = format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(good_payload().as_bytes()));
    let message = "The token is not signed; expected a signature with HS256";
    assert_eq!(verify(&unsigned).unwrap_err(), invalid(message));
}

/// Libraries format a header differently: the signature covers its bytes.
#[test]
fn a_header_is_verified_as_it_was_written() {
    for header in [
        " {\"kid\" : null,\t\"alg\":\"HS256\" }\n",
        r#"{"\u0061lg":"HS\u0032\u0035\u0036","typ":"at+jwt"}"#,
        r#"{"alg":"HS256","typ":7,"cty":null,"x5c":"none","jwk":{"kty":"new"},"zip":"DEF","b64":true}"#,
    ] {
        verify(&forged(header, &good_payload())).unwrap_or_else(|fault| panic!("{header}: {fault:?}"));
    }
}
