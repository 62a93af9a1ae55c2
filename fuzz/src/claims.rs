//! The claims of a token: the identity that they describe. No restricting claim is ignored.

use hubbub::auth::jwt::{Hmac, Keys, TOKEN_MAX, Verifier, VerifierSettings, sign};
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::UserId;
use hubbub_actors::store::SUBJECT_MAX;
use serde_json::{Map, Value, json};

use super::at_once;

const SECRET: &[u8] = b"a secret of this target, long enough for HS256";

/// The current time, ms since the epoch.
const NOW: i64 = 1_700_000_000_000;

const LEEWAY_MS: i64 = 5_000;

fn verifier(require_exp: bool) -> Verifier {
    let settings = VerifierSettings { require_exp, ..VerifierSettings::default() };
    Verifier::new(Keys::Secret(SECRET.to_vec()), settings)
}

fn verify(claims: &Map<String, Value>, require_exp: bool, now: i64) -> Option<Result<Identity, Fault>> {
    let token = sign(&Value::Object(claims.clone()), SECRET, Hmac::Hs256).ok()?;
    Some(at_once(verifier(require_exp).verify(&token, now)))
}

/// The claims of a token, or the text of a token.
pub(crate) fn claims(bytes: &[u8]) {
    let Ok(Value::Object(claims)) = serde_json::from_slice::<Value>(bytes) else {
        let token = String::from_utf8_lossy(bytes);
        let refused = at_once(verifier(false).verify(&token, NOW)).expect_err("an unsigned token");
        assert_eq!(refused.code, Code::InvalidToken);
        assert!(token.len() < 20 || !refused.message.contains(&*token), "the message does not contain the token");
        return;
    };
    let Some(result) = verify(&claims, false, NOW) else { return };
    check_application(&claims, result.is_ok());
    match result {
        Ok(identity) => {
            check(&claims, &identity);
            check_times(&claims, &identity);
            narrowed(&claims, &identity);
        }
        Err(fault) => {
            assert!(matches!(fault.code, Code::InvalidToken | Code::TokenExpired), "{fault:?}");
            assert!(!fault.message.is_empty());
            // Claims that only describe the user refuse no token.
            let mut fewer = claims.clone();
            for claim in ["name", "username", "email", "avatar", "role", "roles", "permissions"] {
                fewer.remove(claim);
            }
            let again = verify(&fewer, false, NOW).and_then(Result::err);
            assert_eq!(again.map(|fault| fault.code), Some(fault.code));
        }
    }
}

/// With configured issuers and audiences, a token needs one of each.
fn check_application(claims: &Map<String, Value>, is_valid: bool) {
    let texts = |text: &str| vec![text.to_owned(), "other".to_owned()];
    let settings = VerifierSettings {
        require_exp: false,
        issuers: texts("issuer"),
        audiences: texts("audience"),
        ..VerifierSettings::default()
    };
    let verifier = Verifier::new(Keys::Secret(SECRET.to_vec()), settings);
    for extra in [json!({}), json!({"iss": "issuer"}), json!({"iss": "other", "aud": ["x", "audience"]})] {
        let mut claims = claims.clone();
        claims.extend(extra.as_object().cloned().unwrap_or_default());
        let Ok(token) = sign(&Value::Object(claims.clone()), SECRET, Hmac::Hs256) else { return };
        let is_one = |value: &Value, text: &str| value == text || value == "other";
        let of_issuer = claims.get("iss").is_some_and(|issuer| is_one(issuer, "issuer"));
        let for_us = claims.get("aud").is_some_and(|audience| match audience {
            Value::Array(list) => list.iter().any(|item| is_one(item, "audience")),
            single => is_one(single, "audience"),
        });
        let is_accepted = at_once(verifier.verify(&token, NOW)).is_ok();
        // The extra claims can make the token too long.
        assert!(is_accepted == (is_valid && of_issuer && for_us) || token.len() > TOKEN_MAX);
    }
}

/// Checks the identity against the claims.
fn check(claims: &Map<String, Value>, identity: &Identity) {
    assert_eq!(UserId::parse(identity.user.as_str(), "user").as_ref(), Ok(&identity.user));
    let named = ["sub", "userId", "user_id"].iter().find_map(|&claim| claims.get(claim).filter(|id| !id.is_null()));
    let named = named.expect("a user").clone();
    assert_eq!(serde_json::from_value::<UserId>(named).as_ref().ok(), Some(&identity.user));
    for (claim, read) in [("sid", &identity.sign_in), ("jti", &identity.token_id)] {
        assert_eq!(read.is_some(), claims.contains_key(claim), "a claim that revocations use is read or refused");
        assert!(read.as_ref().is_none_or(|mark| mark.chars().count() <= SUBJECT_MAX));
    }
    for (claim, read) in [("name", &identity.name), ("username", &identity.username), ("email", &identity.email)] {
        assert!(read.is_none() || read.as_deref() == claims.get(claim).and_then(Value::as_str));
        assert!(read.as_ref().is_none_or(|text| !text.trim().is_empty()));
    }
    for (held, claims_of) in [(&identity.roles, &["role", "roles"][..]), (&identity.permissions, &["permissions"])] {
        for (index, item) in held.iter().enumerate() {
            assert!(!item.is_empty() && !held[..index].contains(item), "each once");
            let is_claimed = claims_of.iter().filter_map(|&claim| claims.get(claim)).any(|value| contains(value, item));
            assert!(is_claimed, "{item:?} is not in the claims");
        }
    }
    for (key, read) in [("subscribe", &identity.subscribe), ("publish", &identity.publish)] {
        let claimed = claims.get("topics").and_then(|topics| topics.get(key));
        assert_eq!(read.is_some(), claimed.is_some(), "a restriction is read or refused");
        let patterns = read.as_ref().map(|patterns| patterns.iter().map(|pattern| json!(pattern.as_str())).collect());
        assert_eq!(patterns.map(Value::Array).as_ref(), claimed);
    }
}

/// Whether a claim contains this word, in a string or in a list.
fn contains(value: &Value, word: &str) -> bool {
    match value {
        Value::String(text) => text == word || text.split_whitespace().any(|part| part == word),
        Value::Array(list) => list.iter().any(|item| item.as_str() == Some(word)),
        _ => false,
    }
}

/// A token is valid until its `exp`. With `require_exp`, a token without it is refused.
fn check_times(claims: &Map<String, Value>, identity: &Identity) {
    assert_eq!(identity.expires_at.is_some(), claims.contains_key("exp"));
    assert_eq!(identity.issued_at.is_some(), claims.contains_key("iat"));
    let strict = verify(claims, true, NOW).expect("signed before");
    match identity.expires_at {
        None => assert_eq!(strict.map_err(|fault| fault.code), Err(Code::InvalidToken)),
        Some(end) => {
            assert!(end > NOW);
            if let Some(seconds) = claims["exp"].as_i64() {
                assert_eq!(end, seconds.max(0) * 1_000 + LEEWAY_MS);
            }
            assert_eq!(strict.as_ref().ok(), Some(identity));
            assert!(
                verify(claims, true, end - 1).is_some_and(|result| result.is_ok()),
                "valid until its last millisecond"
            );
            let over = verify(claims, true, end).and_then(Result::err).map(|fault| fault.code);
            assert_eq!(over, Some(Code::TokenExpired));
        }
    }
    // A token that is accepted now is also accepted later.
    assert!(!claims.contains_key("nbf") || verify(claims, false, NOW + 1).is_some());
}

/// A token restricted to no topics allows no topic.
fn narrowed(claims: &Map<String, Value>, identity: &Identity) {
    let mut narrow = claims.clone();
    narrow.insert("topics".into(), json!({ "subscribe": [], "publish": [] }));
    let narrow = verify(&narrow, false, NOW).expect("an object").expect("a valid token");
    assert_eq!((narrow.subscribe.as_deref(), narrow.publish.as_deref()), (Some(&[][..]), Some(&[][..])));
    assert_eq!(narrow.user, identity.user);
    let mut misspelt = claims.clone();
    misspelt.insert("topics".into(), json!({ "subscribes": [] }));
    assert!(verify(&misspelt, false, NOW).is_some_and(|result| result.is_err()), "a misspelt key is refused");
}
