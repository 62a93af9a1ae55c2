//! The one place that judges a token: by its shape it goes to who can tell, and whatever holds is checked once more
//! against what was revoked.
//!
//! Knows no configuration and no surface. Shared by all workers; what it waits for, it waits for without blocking one.

use std::sync::Arc;

use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::identity::Identity;

use super::claims::invalid;
use super::jwt::{self, TOKEN_MAX, Verifier};
use super::key_source::KeySource;
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
        match self.keys {
            Some((None, ..)) => return Some("The keys of auth.jwks are not there yet"),
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
    /// Judges JWTs by `jwt`, and all other tokens by `backend`, where there is one.
    pub fn new(jwt: Verifier, backend: Option<Backend>) -> Self {
        Self { jwt, backend, check: None }
    }

    /// Asks `check` about every token that holds; what it answers instead of nothing is the refusal.
    #[must_use]
    pub fn with_check(self, check: Check) -> Self {
        Self { check: Some(check), ..self }
    }

    /// Loads the key set, where there is one that is not kept fresh yet, and does so for as long as it is used; `died` is called should
    /// that end by a defect. To be called on a runtime.
    pub fn start(&self, died: impl FnOnce() + Send + 'static) {
        if let Some(source) = self.jwt.key_source()
            && source.begin_keeping()
        {
            let task = tokio::spawn(KeySource::keep(Arc::downgrade(source), source.wanted()));
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
    /// [`TokenExpired`](hubbub_actors::model::fault::Code::TokenExpired) for a token that was good once,
    /// [`AuthUnavailable`](hubbub_actors::model::fault::Code::AuthUnavailable) when nobody can tell now,
    /// [`InvalidToken`](hubbub_actors::model::fault::Code::InvalidToken) for whatever else is wrong with it, and what the check
    /// says.
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
            check(&identity)?;
        }
        Ok(identity)
    }

    /// The key set, where there is one.
    pub fn key_source(&self) -> Option<&Arc<KeySource>> {
        self.jwt.key_source()
    }

    /// The application that knows opaque tokens, where there is one.
    pub fn backend(&self) -> Option<&Backend> {
        self.backend.as_ref()
    }

    /// How it is with those who are asked.
    pub fn auth_state(&self, now_ms: i64) -> Standing {
        Standing {
            keys: self.jwt.key_source().map(|source| source.auth_state()),
            backend: self.backend.as_ref().map(|backend| backend.auth_state(now_ms)),
        }
    }
}

/// Whether `token` has a JWT's shape: three parts of base64url, empty ones too, so that an unsigned JWT is judged, and
/// refused, as what it is.
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
    use crate::auth::jwt::{Hmac, Keys, Settings};

    const SECRET: &[u8] = b"a secret of thirty-two bytes or so";

    fn tokens(backend: Option<Backend>) -> Tokens {
        let settings = Settings { require_exp: false, ..Settings::default() };
        Tokens::new(Verifier::new(Keys::Secret(SECRET.to_vec()), settings), backend)
    }

    #[test]
    fn three_parts_of_base64url_are_a_jwt_and_nothing_else_is() {
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
    fn verifying_may_move_between_threads() {
        fn sent<T: Send>(_: T) {}
        sent(tokens(None).verify("a.b.c", 0));
    }

    #[tokio::test]
    async fn what_was_revoked_is_refused_also_when_its_answer_is_remembered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        // Answers once: the second time it is remembered, or the test fails.
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"id\": \"alice\"}").unwrap();
        });
        let backend = Backend::new(&opaque::Settings { url, cache_secs: 60, leeway_secs: 0 }).unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let counted = asked.clone();
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
        assert_eq!(asked.load(Ordering::Relaxed), 4, "nothing is asked about a token that does not hold");
    }
}
