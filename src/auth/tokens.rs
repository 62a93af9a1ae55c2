//! The one place that judges a token: by its shape it goes to who can tell, and whatever holds is checked once more
//! against what was revoked.
//!
//! Knows no configuration and no surface. Shared by all workers; what it waits for, it waits for without blocking one.

use std::sync::Arc;

use hubbub_actors::fault::Fault;
use hubbub_actors::identity::Identity;

use super::claims::invalid;
use super::jwt::{self, TOKEN_MAX, Verifier};
use super::opaque::{self, Backend};

/// What may still be said against a token that holds: that it was revoked. Asked at every verification, also when the
/// rest of the answer is remembered, so it must be quick.
pub type Check = Arc<dyn Fn(&Identity) -> Result<(), Fault> + Send + Sync>;

/// Judges tokens of every kind.
pub struct Tokens {
    jwt: Verifier,
    backend: Option<Backend>,
    check: Option<Check>,
}

/// How it is with those who are asked about tokens, for those who watch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// The key set, where there is one: its keys that fit (`None` before the first load), the loads that gave a set, and
    /// those that failed.
    pub keys: Option<(Option<usize>, u64, u64)>,
    /// The application that knows opaque tokens, where there is one.
    pub backend: Option<opaque::Standing>,
}

impl Standing {
    /// What keeps the hub from judging tokens at all.
    pub fn complaint(&self) -> Option<&'static str> {
        if self.keys.is_some_and(|(keys, ..)| keys.is_none()) {
            return Some("The keys of auth.jwks are not there yet");
        }
        self.backend.is_some_and(|backend| backend.open).then_some("auth.backend.url does not answer")
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("jwt", &self.jwt).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Judges JWTs by `jwt`, and all other tokens by `backend`, where there is one.
    pub fn new(jwt: Verifier, backend: Option<Backend>) -> Self {
        Self { jwt, backend, check: None }
    }

    /// Asks `check` about every token that holds; what it answers instead of nothing is the refusal.
    #[must_use]
    pub fn with_check(self, check: Check) -> Self {
        Self { check: Some(check), ..self }
    }

    /// Loads the key set, where there is one, and keeps it fresh for as long as the hub runs; `died` is called should
    /// that end by a defect. To be called on a runtime.
    pub fn start(&self, died: impl FnOnce() + Send + 'static) {
        if let Some(source) = self.jwt.key_source() {
            let task = tokio::spawn(source.clone().keep());
            tokio::spawn(async move {
                if task.await.is_err_and(|error| error.is_panic()) {
                    died();
                }
            });
        }
    }

    /// Says who holds `token`, which must be good at `now_ms`.
    ///
    /// # Errors
    /// [`TokenExpired`](hubbub_actors::fault::Code::TokenExpired) for a token that was good once,
    /// [`AuthUnavailable`](hubbub_actors::fault::Code::AuthUnavailable) when nobody can tell now,
    /// [`InvalidToken`](hubbub_actors::fault::Code::InvalidToken) for whatever else is wrong with it, and what the check
    /// says.
    pub async fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
        if token.len() > TOKEN_MAX {
            return Err(jwt::too_long());
        }
        let identity = match &self.backend {
            _ if is_jwt(token) => self.jwt.verify(token, now_ms).await,
            Some(backend) => backend.verify(token, now_ms).await,
            None => Err(invalid("The token is malformed")),
        }?;
        if let Some(check) = &self.check {
            check(&identity)?;
        }
        Ok(identity)
    }

    /// How it is with those who are asked.
    pub fn standing(&self, now_ms: i64) -> Standing {
        Standing {
            keys: self.jwt.key_source().map(|source| source.standing()),
            backend: self.backend.as_ref().map(|backend| backend.standing(now_ms)),
        }
    }
}

/// Whether `token` has a JWT's shape: three parts of base64url, empty ones too, so that an unsigned JWT is judged, and
/// refused, as what it is.
fn is_jwt(token: &str) -> bool {
    token.bytes().filter(|&byte| byte == b'.').count() == 2
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}
