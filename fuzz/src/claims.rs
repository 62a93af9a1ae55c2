//! The claims of a token: what they say of its holder, and that no claim which narrows is passed over.

use hubbub::auth::jwt::{Hmac, Keys, Settings, TOKEN_MAX, Verifier, sign};
use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::model::identity::Identity;
use hubbub_actors::model::ids::UserId;
use hubbub_actors::store::MARK_MAX;
use serde_json::{Map, Value, json};

use super::at_once;

const SECRET: &[u8] = b"a secret of this target, long enough for HS256";

/// The time, ms since the epoch, where the claims name none.
const NOW: i64 = 1_700_000_000_000;

const LEEWAY_MS: i64 = 5_000;

fn verifier(require_exp: bool) -> Verifier {
    let settings = Settings { require_exp, ..Settings::default() };
    Verifier::new(Keys::Secret(SECRET.to_vec()), settings)
}

fn judge(claims: &Map<String, Value>, require_exp: bool, now: i64) -> Option<Result<Identity, Fault>> {
    let token = sign(&Value::Object(claims.clone()), SECRET, Hmac::Hs256).ok()?;
    Some(at_once(verifier(require_exp).verify(&token, now)))
}

/// The claims of a token, or else the text of one.
pub(crate) fn claims(bytes: &[u8]) {
    let Ok(Value::Object(claims)) = serde_json::from_slice::<Value>(bytes) else {
        let token = String::from_utf8_lossy(bytes);
        let refused = at_once(verifier(false).verify(&token, NOW)).expect_err("nobody signed it");
        assert_eq!(refused.code, Code::InvalidToken);
        assert!(token.len() < 20 || !refused.message.contains(&*token), "a token is not repeated");
        return;
    };
    let Some(judged) = judge(&claims, false, NOW) else { return };
    check_application(&claims, judged.is_ok());
    match judged {
        Ok(identity) => {
            check(&claims, &identity);
            check_times(&claims, &identity);
            narrowed(&claims, &identity);
        }
        Err(fault) => {
            assert!(matches!(fault.code, Code::InvalidToken | Code::TokenExpired), "{fault:?}");
            assert!(!fault.message.is_empty());
            // Claims that only describe the holder refuse no token.
            let mut fewer = claims.clone();
            for claim in ["name", "username", "email", "avatar", "role", "roles", "permissions"] {
                fewer.remove(claim);
            }
            let again = judge(&fewer, false, NOW).and_then(Result::err);
            assert_eq!(again.map(|fault| fault.code), Some(fault.code));
        }
    }
}

/// Where issuers and audiences are named, a token holds that is good otherwise and was made by and for one of them.
fn check_application(claims: &Map<String, Value>, is_good: bool) {
    let texts = |text: &str| vec![text.to_owned(), "other".to_owned()];
    let settings =
        Settings { require_exp: false, issuers: texts("issuer"), audiences: texts("audience"), ..Settings::default() };
    let verifier = Verifier::new(Keys::Secret(SECRET.to_vec()), settings);
    for made in [json!({}), json!({"iss": "issuer"}), json!({"iss": "other", "aud": ["x", "audience"]})] {
        let mut claims = claims.clone();
        claims.extend(made.as_object().cloned().unwrap_or_default());
        let Ok(token) = sign(&Value::Object(claims.clone()), SECRET, Hmac::Hs256) else { return };
        let is_one = |value: &Value, text: &str| value == text || value == "other";
        let of_issuer = claims.get("iss").is_some_and(|issuer| is_one(issuer, "issuer"));
        let for_us = claims.get("aud").is_some_and(|audience| match audience {
            Value::Array(several) => several.iter().any(|one| is_one(one, "audience")),
            one => is_one(one, "audience"),
        });
        let holds = at_once(verifier.verify(&token, NOW)).is_ok();
        // A longer token may be too long.
        assert!(holds == (is_good && of_issuer && for_us) || token.len() > TOKEN_MAX);
    }
}

/// The identity says what the claims say.
fn check(claims: &Map<String, Value>, identity: &Identity) {
    assert_eq!(UserId::parse(identity.user.as_str(), "user").as_ref(), Ok(&identity.user));
    let named = ["sub", "userId", "user_id"].iter().find_map(|&claim| claims.get(claim).filter(|id| !id.is_null()));
    let named = named.expect("a user").clone();
    assert_eq!(serde_json::from_value::<UserId>(named).as_ref().ok(), Some(&identity.user));
    for (claim, read) in [("sid", &identity.sign_in), ("jti", &identity.token_id)] {
        assert_eq!(read.is_some(), claims.contains_key(claim), "what a token is revoked by is read or refused");
        assert!(read.as_ref().is_none_or(|mark| mark.chars().count() <= MARK_MAX));
    }
    for (claim, read) in [("name", &identity.name), ("username", &identity.username), ("email", &identity.email)] {
        assert!(read.is_none() || read.as_deref() == claims.get(claim).and_then(Value::as_str));
        assert!(read.as_ref().is_none_or(|text| !text.trim().is_empty()));
    }
    for (held, claims_of) in [(&identity.roles, &["role", "roles"][..]), (&identity.permissions, &["permissions"])] {
        for (place, one) in held.iter().enumerate() {
            assert!(!one.is_empty() && !held[..place].contains(one), "each once");
            let said = claims_of.iter().filter_map(|&claim| claims.get(claim)).any(|value| says(value, one));
            assert!(said, "{one:?} is held, and no claim says so");
        }
    }
    for (key, read) in [("subscribe", &identity.subscribe), ("publish", &identity.publish)] {
        let said = claims.get("topics").and_then(|topics| topics.get(key));
        assert_eq!(read.is_some(), said.is_some(), "what narrows is read or refused");
        let patterns = read.as_ref().map(|patterns| patterns.iter().map(|pattern| json!(pattern.as_str())).collect());
        assert_eq!(patterns.map(Value::Array).as_ref(), said);
    }
}

/// Whether a claim says this word, as one string or in a list.
fn says(value: &Value, word: &str) -> bool {
    match value {
        Value::String(text) => text == word || text.split_whitespace().any(|part| part == word),
        Value::Array(list) => list.iter().any(|item| item.as_str() == Some(word)),
        _ => false,
    }
}

/// A token ends when it says so, and where it must say so, one that does not is refused.
fn check_times(claims: &Map<String, Value>, identity: &Identity) {
    assert_eq!(identity.expires_at.is_some(), claims.contains_key("exp"));
    assert_eq!(identity.issued_at.is_some(), claims.contains_key("iat"));
    let strict = judge(claims, true, NOW).expect("signed before");
    match identity.expires_at {
        None => assert_eq!(strict.map_err(|fault| fault.code), Err(Code::InvalidToken)),
        Some(end) => {
            assert!(end > NOW);
            if let Some(seconds) = claims["exp"].as_i64() {
                assert_eq!(end, seconds.max(0) * 1_000 + LEEWAY_MS);
            }
            assert_eq!(strict.as_ref().ok(), Some(identity));
            assert!(judge(claims, true, end - 1).is_some_and(|judged| judged.is_ok()), "good until its last moment");
            let over = judge(claims, true, end).and_then(Result::err).map(|fault| fault.code);
            assert_eq!(over, Some(Code::TokenExpired));
        }
    }
    // Who is let in now was let in at `nbf`, and later.
    assert!(!claims.contains_key("nbf") || judge(claims, false, NOW + 1).is_some());
}

/// A token that is narrowed to nothing opens nothing.
fn narrowed(claims: &Map<String, Value>, identity: &Identity) {
    let mut narrow = claims.clone();
    narrow.insert("topics".into(), json!({ "subscribe": [], "publish": [] }));
    let narrow = judge(&narrow, false, NOW).expect("an object").expect("as good as before");
    assert_eq!((narrow.subscribe.as_deref(), narrow.publish.as_deref()), (Some(&[][..]), Some(&[][..])));
    assert_eq!(narrow.user, identity.user);
    let mut misspelt = claims.clone();
    misspelt.insert("topics".into(), json!({ "subscribes": [] }));
    assert!(judge(&misspelt, false, NOW).is_some_and(|judged| judged.is_err()), "a misspelt key narrows nothing");
}
