//! The hashing of passwords: argon2id, on threads of its own. One hash takes a core for some hundredths of a second and
//! 19 MiB, so only so many run at once and only so many wait; no worker of the hub ever does.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use hubbub_actors::fault::{Code, Fault};
use hubbub_actors::queue::{Queue, Refused};
use tokio::sync::oneshot;

/// Passwords that may wait to be hashed; one more is answered with 503. A thread needs seconds for as many.
pub const WAITING_MAX: usize = 128;

/// Threads that hash, at most; half the cores where those are fewer, so that the other half delivers.
const THREADS_MAX: usize = 4;

/// The cost: 19 MiB, two passes, one lane, which OWASP's cheat sheet on password storage gives as the least.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A hash of no password, as dear to compare with as any other: who has no account waits as long as who has.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LW5vYm9keS1ubw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

type Job = Box<dyn FnOnce(&Argon2<'_>) + Send>;

/// The threads that hash passwords. They end when this is dropped.
#[derive(Debug)]
pub struct Passwords {
    queue: Arc<Queue<Job>>,
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn start() -> io::Result<Self> {
        let passwords = Self { queue: Arc::new(Queue::new(WAITING_MAX)) };
        let params =
            Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| io::Error::other(error.to_string()))?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for number in 0..(cores / 2).clamp(1, THREADS_MAX) {
            let queue = passwords.queue.clone();
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
            std::thread::Builder::new().name(format!("passwords-{number}")).spawn(move || {
                while let Some(job) = queue.take() {
                    // The panic's own words went to the log; who waits is told by the answer that never comes.
                    let _ = catch_unwind(AssertUnwindSafe(|| job(&argon2)));
                }
            })?;
        }
        Ok(passwords)
    }

    /// The hash of a new password, a PHC string.
    ///
    /// # Errors
    /// [`Code::Overloaded`].
    pub async fn hash(&self, password: String) -> Result<String, Fault> {
        self.ask(move |argon2| {
            let hash = argon2.hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|error| defect(&error))
        })
        .await
    }

    /// Whether the password is that of `hash`. Without a hash it is not, and finding that out takes as long.
    ///
    /// # Errors
    /// [`Code::Overloaded`].
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Fault> {
        self.ask(move |argon2| {
            let known = PasswordHash::new(hash.as_deref().unwrap_or(NOBODY)).map_err(|error| defect(&error))?;
            let holds = argon2.verify_password(password.as_bytes(), &known).is_ok();
            Ok(holds && hash.is_some())
        })
        .await
    }

    /// Passwords that wait.
    pub fn depth(&self) -> usize {
        self.queue.depth()
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |argon2| {
            // Who hung up no longer costs anything.
            if !reply.is_closed() {
                let _ = reply.send(work(argon2));
            }
        });
        self.queue.push(job).map_err(|Refused(_)| Fault::overloaded())?;
        answer.await.map_err(|_| Fault::new(Code::Internal, "Internal error"))?
    }
}

fn defect(error: &dyn std::fmt::Display) -> Fault {
    log::error!("a password could not be hashed: {error}");
    Fault::internal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_holds_for_its_own_hash_alone() {
        let passwords = Passwords::start().unwrap();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(passwords.hash("correct horse".into()).await.unwrap(), hash, "salted");
        let verify = |password: &str, hash: Option<&String>| passwords.verify(password.into(), hash.cloned());
        assert_eq!(verify("correct horse", Some(&hash)).await, Ok(true));
        assert_eq!(verify("correct horsf", Some(&hash)).await, Ok(false));
        assert_eq!(verify("correct horse", None).await, Ok(false));
    }

    #[test]
    fn nobody_is_as_dear_as_anybody() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&nobody).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (MEMORY_KIB, PASSES, LANES));
        assert_eq!(nobody.hash.unwrap().len(), Params::DEFAULT_OUTPUT_LEN);
        assert_eq!(nobody.algorithm, Algorithm::Argon2id.ident());
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused() {
        let passwords = Passwords { queue: Arc::new(Queue::new(1)) };
        let mut first = Box::pin(passwords.hash("first".into()));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        assert_eq!(passwords.depth(), 1);
        assert_eq!(passwords.hash("second".into()).await, Err(Fault::overloaded()));
    }
}
