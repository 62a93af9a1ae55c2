//! How the hub creates the tokens of a sign-in: their secret, lifetime and claims.

use hubbub_actors::model::fault::{Code, Fault};
use hubbub_actors::store::Account;
use serde_json::{Value, json};
use uuid::Uuid;

use super::passwords::Cost;
use crate::auth::jwt::Hmac;
use crate::config::{self, Secret};

/// The largest possible `auth.leeway_secs`: a token may be accepted this long after its expiry.
const LEEWAY_MAX_SECS: i64 = 3_600;

/// The settings for tokens.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) signing: Option<Signing>,
    pub(super) access_ttl_secs: i64,
    pub(super) refresh_ttl_secs: i64,
    pub(super) leeway_ms: i64,
    /// The cost of a password's hash.
    pub(super) cost: Cost,
}

impl Terms {
    pub(super) fn of(auth: &config::Auth) -> Self {
        let algorithm = match auth.algorithm {
            config::Algorithm::Hs256 => Some(Hmac::Hs256),
            config::Algorithm::Hs384 => Some(Hmac::Hs384),
            config::Algorithm::Hs512 => Some(Hmac::Hs512),
            _ => None,
        };
        let signing = algorithm.zip(auth.jwt_secret.clone());
        Self {
            signing: signing.map(|(algorithm, secret)| Signing {
                secret,
                algorithm,
                own_claims: auth.own_claims().map(|(claim, text)| (claim, text.to_owned())).collect(),
            }),
            access_ttl_secs: auth.access_ttl_secs.into(),
            refresh_ttl_secs: auth.refresh_ttl_secs.into(),
            leeway_ms: auth.leeway_ms(),
            cost: Cost { memory_kib: auth.password_memory_kib, passes: auth.password_passes },
        }
    }

    pub(super) fn signing(&self) -> Result<&Signing, Fault> {
        self.signing.as_ref().ok_or_else(|| {
            let message = "Sign-in is off: auth.algorithm is not one that the hub signs tokens with";
            Fault::new(Code::NotFound, message).by("auth.algorithm")
        })
    }

    pub(super) fn tokens_until(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add((self.access_ttl_secs + LEEWAY_MAX_SECS + 1) * 1_000)
    }
}

#[derive(Debug)]
pub(super) struct Signing {
    pub(super) secret: Secret,
    pub(super) algorithm: Hmac,
    /// The claims for issuer and audience in every token.
    pub(super) own_claims: Vec<(&'static str, String)>,
}

/// A time in ms as an `iat` in seconds. Its fraction makes the hub read the same ms again.
pub(super) fn written_iat(ms: i64) -> Value {
    (ms as f64 / 1_000.0 + 0.000_5).into()
}

pub(super) fn claims(account: &Account, session_id: &str, now: i64, ttl: i64) -> Value {
    let mut claims = json!({
        "sub": account.id,
        "username": account.username,
        "roles": account.roles,
        "permissions": account.permissions,
        "sid": session_id,
        "jti": Uuid::new_v4().to_string(),
        "iat": now,
        "exp": now.saturating_add(ttl),
    });
    for (claim, value) in [("name", &account.name), ("email", &account.email)] {
        if let Some(value) = value {
            claims[claim] = value.as_str().into();
        }
    }
    claims
}
