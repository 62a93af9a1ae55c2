//! Verifies every token: selects the verifier by the token's form, then checks a valid token against the revocations.
//!
//! This module knows no configuration and no transport. All workers share it; it waits without blocking a worker.

use std::sync::Arc;

use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::identity::Identity;

use super::claims::invalid;
use super::jwt::{self, TOKEN_MAX, Verifier};
use super::key_source::KeySource;
use super::opaque::{self, Backend};

/// The last check of a valid token: whether it is revoked. It runs at every verification, cached responses included, so
/// it must be quick.
pub type RevocationCheck = Arc<dyn Fn(&Identity) -> Result<(), Fault> + Send + Sync>;

/// Verifies tokens of every kind.
pub struct Tokens {
    jwt: Verifier,
    backend: Option<Backend>,
    check: Option<RevocationCheck>,
}

/// The status of the key set and the application, for health checks and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuthStatus {
    /// The key set, if configured: its usable keys (`None` before the first load), the successful loads, and the failed
    /// loads.
    pub keys: Option<(Option<usize>, u64, u64)>,
    /// The application that verifies opaque tokens, if configured.
    pub backend: Option<opaque::BackendStatus>,
}

impl AuthStatus {
    /// Why the hub cannot verify tokens at all, if so.
    pub fn problem(&self) -> Option<&'static str> {
        match self.keys {
            Some((None, ..)) => return Some("auth.jwks is not loaded yet"),
            Some((Some(0), ..)) => return Some("auth.jwks has no key that fits auth.algorithm"),
            _ => {}
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
    /// Verifies JWTs with `jwt`, and all other tokens with `backend`, if configured.
    pub fn new(jwt: Verifier, backend: Option<Backend>) -> Self {
        Self { jwt, backend, check: None }
    }

    /// Runs `check` for every valid token; an error of it refuses the token.
    #[must_use]
    pub fn with_check(self, check: RevocationCheck) -> Self {
        Self { check: Some(check), ..self }
    }

    /// Keeps a configured key set fresh while it is in use, unless another task does. Calls `died` if that task panics.
    /// Needs a runtime.
    pub fn start(&self, died: impl FnOnce() + Send + 'static) {
        if let Some(source) = self.jwt.key_source()
            && source.start_refreshing()
        {
            let task = tokio::spawn(KeySource::run(Arc::downgrade(source), source.wanted()));
            tokio::spawn(async move {
                if task.await.is_err_and(|error| error.is_panic()) {
                    died();
                }
            });
        }
    }

    /// Returns the identity of `token`, which must be valid at `now_ms`.
    ///
    /// # Errors
    /// [`TokenExpired`](hubbub_actors::model::fault::Code::TokenExpired) for a token that was valid before,
    /// [`AuthUnavailable`](hubbub_actors::model::fault::Code::AuthUnavailable) when it cannot be verified now,
    /// [`InvalidToken`](hubbub_actors::model::fault::Code::InvalidToken) for any other error, and the error of the
    /// check.
    pub async fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, Fault> {
        if token.len() > TOKEN_MAX {
            return Err(jwt::too_long());
        }
        let identity = match &self.backend {
            _ if is_jwt(token) => self.jwt.verify(token, now_ms).await,
            Some(backend) => backend.verify(token, now_ms).await,
            None => Err(invalid("The token is malformed").by("token")),
        }?;
        if let Some(check) = &self.check {
            check(&identity).map_err(|fault| fault.of_user(identity.user.as_str()))?;
        }
        Ok(identity)
    }

    /// The key set, if configured.
    pub fn key_source(&self) -> Option<&Arc<KeySource>> {
        self.jwt.key_source()
    }

    /// The application that verifies opaque tokens, if configured.
    pub fn backend(&self) -> Option<&Backend> {
        self.backend.as_ref()
    }

    /// The status of the key set and the application.
    pub fn status(&self, now_ms: i64) -> AuthStatus {
        AuthStatus {
            keys: self.jwt.key_source().map(|source| source.load_counts()),
            backend: self.backend.as_ref().map(|backend| backend.status(now_ms)),
        }
    }
}

/// Whether `token` has the form of a JWT: three parts of base64url, which may be empty. An unsigned JWT thus goes to
/// the JWT verifier, which refuses it.
fn is_jwt(token: &str) -> bool {
    token.bytes().filter(|&byte| byte == b'.').count() == 2
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicU32, Ordering};

    use hubbub_actors::model::fault::Code;
    use serde_json::json;

    use super::*;
    use crate::auth::jwt::{Hmac, Keys, VerifierSettings};

    const SECRET: &[u8] = b"a secret of thirty-two bytes or so";

    fn tokens(backend: Option<Backend>) -> Tokens {
        let settings = VerifierSettings { require_exp: false, ..VerifierSettings::default() };
        Tokens::new(Verifier::new(Keys::Secret(SECRET.to_vec()), settings), backend)
    }

    #[test]
    fn only_three_parts_of_base64url_are_a_jwt() {
        for (token, is) in [
            ("a.b.c", true),
            ("a.b.", true),
            ("..", true),
            ("a-_9.b.c", true),
            ("12|abc", false),
            ("a.b", false),
            ("a.b.c.d", false),
            ("a.b.c=", false),
            ("a.b.c ", false),
            ("1|a.b.c", false),
            ("", false),
        ] {
            assert_eq!(is_jwt(token), is, "{token:?}");
        }
    }

    #[test]
    fn a_verification_may_move_between_threads() {
        fn sent<T: Send>(_: T) {}
        sent(tokens(None).verify("a.b.c", 0));
    }

    #[tokio::test]
    async fn a_revoked_token_is_refused_even_if_its_answer_is_cached() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        // Answers one request: the second verification must use the cache, or the test fails.
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"id\": \"alice\"}").unwrap();
        });
        let backend = Backend::new(&opaque::BackendSettings { url, cache_secs: 60, leeway_secs: 0 }).unwrap();
        let checks = Arc::new(AtomicU32::new(0));
        let counted = checks.clone();
        let tokens = tokens(Some(backend)).with_check(Arc::new(move |identity| {
            let revoked = counted.fetch_add(1, Ordering::Relaxed) % 2 == 1;
            assert_eq!(identity.user.as_str(), "alice");
            if revoked { Err(invalid("The token was revoked")) } else { Ok(()) }
        }));
        let jwt = jwt::sign(&json!({"sub": "alice"}), SECRET, Hmac::Hs256).unwrap();
        for token in ["12|abc", &jwt] {
            tokens.verify(token, 1_000).await.unwrap();
            assert_eq!(tokens.verify(token, 1_000).await.unwrap_err(), invalid("The token was revoked"));
        }
        answering.join().unwrap();
        assert_eq!(tokens.verify("a.b.c", 1_000).await.unwrap_err().code, Code::InvalidToken);
        assert_eq!(checks.load(Ordering::Relaxed), 4, "an invalid token causes no check");
    }
}
