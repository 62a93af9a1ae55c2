//! Tokens, signed here and not by the hub, so that tests can make wrong ones too.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

use super::hub::JWT_SECRET;

/// `{"alg":"none","typ":"JWT"}`, encoded.
const NO_ALGORITHM: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A valid token of `user` for an hour.
pub(crate) fn token(user: &str) -> String {
    token_with(json!({ "sub": user }))
}

/// A token with these claims. Without an `exp` it is valid for an hour; with `null` it has no `exp`.
pub(crate) fn token_with(mut claims: Value) -> String {
    let map = claims.as_object_mut().unwrap();
    match map.get("exp") {
        None => {
            map.insert("exp".to_owned(), json!(now() + 3600));
        }
        Some(Value::Null) => {
            map.remove("exp");
        }
        Some(_) => {}
    }
    signed(Algorithm::HS256, JWT_SECRET, &claims)
}

/// A token of exactly these claims, by this algorithm and secret.
pub(crate) fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(algorithm), claims, &key).unwrap()
}

/// A token of these claims with `alg: none` and no signature.
pub(crate) fn unsigned(claims: Value) -> String {
    let token = token_with(claims);
    let payload = token.split('.').nth(1).unwrap();
    format!("{NO_ALGORITHM}.{payload}.")
}
