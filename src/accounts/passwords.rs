//! The hashing of passwords: argon2id, on threads of its own. One hash takes a core for some hundredths of a second and
//! 19 MiB, so only so many run at once and only so many wait; no worker of the hub ever does.

use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, PasswordVerifier as _, Version};
use hubbub_actors::fault::Fault;
use hubbub_actors::queue::{Queue, Refused, Taken};
use subtle::ConstantTimeEq as _;
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

type Job = Box<dyn FnOnce(&mut Hasher) + Send>;

/// After how long without a password a thread gives its memory back.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// What a thread hashes with. Its memory is allocated when it is first needed and kept while passwords come: given back
/// after every hash, 19 MiB at a time, it would be taken from elsewhere each time.
struct Hasher {
    argon2: Argon2<'static>,
    memory: Vec<Block>,
}

impl Hasher {
    fn new() -> Result<Self, argon2::Error> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
        Ok(Self { argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params), memory: Vec::new() })
    }

    /// Gives back the 19 MiB, until the next password comes.
    fn release_memory(&mut self) {
        self.memory = Vec::new();
    }

    fn output(&mut self, password: &str, salt: &[u8]) -> Result<[u8; Params::DEFAULT_OUTPUT_LEN], argon2::Error> {
        self.memory.resize(self.argon2.params().block_count(), Block::default());
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        self.argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut output, &mut self.memory)?;
        Ok(output)
    }

    fn hash(&mut self, password: &str) -> Result<String, Box<dyn Error>> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let output = self.output(password, &salt)?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(self.argon2.params())?,
            salt: Some(Salt::new(&salt)?),
            hash: Some(Output::new(&output)?),
        };
        Ok(hash.to_string())
    }

    fn verify(&mut self, password: &str, hash: &str) -> Result<bool, Box<dyn Error>> {
        let known = PasswordHash::new(hash)?;
        let ours = self.argon2.params();
        let theirs = Params::try_from(&known)?;
        let is_ours = known.algorithm == Algorithm::Argon2id.ident()
            && known.version == Some(Version::V0x13.into())
            && (theirs.m_cost(), theirs.t_cost(), theirs.p_cost()) == (ours.m_cost(), ours.t_cost(), ours.p_cost());
        match (known.salt, known.hash) {
            (Some(salt), Some(hash)) if is_ours => Ok(self.output(password, &salt)?.ct_eq(hash.as_bytes()).into()),
            // Made at another cost, by another version of the hub.
            _ => Ok(self.argon2.verify_password(password.as_bytes(), &known).is_ok()),
        }
    }
}

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
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for number in 0..(cores / 2).clamp(1, THREADS_MAX) {
            let queue = passwords.queue.clone();
            let mut hasher = Hasher::new().map_err(|error| io::Error::other(error.to_string()))?;
            std::thread::Builder::new().name(format!("passwords-{number}")).spawn(move || {
                loop {
                    match queue.take_all(1, IDLE_TIME) {
                        Taken::Some(jobs) => jobs.into_iter().for_each(|job| {
                            // The panic's own words went to the log; the caller is told by the answer that never comes.
                            let _ = catch_unwind(AssertUnwindSafe(|| job(&mut hasher)));
                        }),
                        Taken::Idle => hasher.release_memory(),
                        Taken::Closed => return,
                    }
                }
            })?;
        }
        Ok(passwords)
    }

    /// The hash of a new password, a PHC string.
    ///
    /// # Errors
    /// [`OVERLOADED`](hubbub_actors::fault::Code::Overloaded).
    pub async fn hash(&self, password: String) -> Result<String, Fault> {
        self.ask(move |hasher| hasher.hash(&password)).await
    }

    /// Whether the password is that of `hash`. Without a hash it is not, and finding that out takes as long.
    ///
    /// # Errors
    /// [`OVERLOADED`](hubbub_actors::fault::Code::Overloaded).
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Fault> {
        self.ask(move |hasher| {
            let holds = hasher.verify(&password, hash.as_deref().unwrap_or(NOBODY))?;
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
        work: impl FnOnce(&mut Hasher) -> Result<T, Box<dyn Error>> + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |hasher| {
            // Who hung up no longer costs anything.
            if !reply.is_closed() {
                let _ = reply.send(work(hasher).map_err(|error| defect(&*error)));
            }
        });
        self.queue.push(job).map_err(|Refused(_)| Fault::overloaded())?;
        answer.await.map_err(|_| Fault::internal())?
    }
}

fn defect(error: &dyn Error) -> Fault {
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
    fn a_hash_of_another_cost_or_another_program_holds_too() {
        let mut hasher = Hasher::new().unwrap();
        // Of the password "password" and the salt "somesalt", from the tests of the reference implementation.
        let theirs = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(hasher.verify("password", theirs).unwrap());
        assert!(!hasher.verify("passwore", theirs).unwrap());
        assert!(hasher.verify("password", "no hash").is_err());
        // And theirs of ours.
        let ours = hasher.hash("password").unwrap();
        assert!(Argon2::default().verify_password(b"password", &PasswordHash::new(&ours).unwrap()).is_ok());
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
