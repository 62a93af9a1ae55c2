//! The one place that judges a token: by its shape it goes to who can tell, and whatever holds is checked once more
//! against what was revoked.
//!
//! Knows no configuration and no surface. Shared by all workers; what it waits for, it waits for without blocking one.

use std::sync::Arc;

use hubbub_actors::fault::Fault;
use hubbub_actors::identity::Identity;

use super::jwt::Verifier;

/// What may still be said against a token that holds: that it was revoked. Asked at every verification, also when the
/// rest of the answer is remembered, so it must be quick.
pub type Check = Arc<dyn Fn(&Identity) -> Result<(), Fault> + Send + Sync>;

/// Judges tokens of every kind.
pub struct Tokens {
    jwt: Verifier,
    check: Option<Check>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("jwt", &self.jwt).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Judges JWTs by `jwt`.
    pub fn new(jwt: Verifier) -> Self {
        Self { jwt, check: None }
    }

    /// Asks `check` about every token that holds; what it answers instead of nothing is the refusal.
    #[must_use]
    pub fn with_check(self, check: Check) -> Self {
        Self { check: Some(check), ..self }
    }

    /// Says who holds `token`, which must be good at `now_ms`.
    ///
    /// # Errors
    /// [`TokenExpired`](hubbub_actors::fault::Code::TokenExpired) for a token that was good once,
    /// [`AuthUnavailable`](hubbub_actors::fault::Code::AuthUnavailable) when nobody can tell now,
    /// [`InvalidToken`](hubbub_actors::fault::Code::InvalidToken) for whatever else is wrong with it, and what the check
    /// says.
    pub async fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
        let identity = self.jwt.verify(token, now_ms)?;
        if let Some(check) = &self.check {
            check(&identity)?;
        }
        Ok(identity)
    }
}
