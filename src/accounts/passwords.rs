//! Hashes passwords with argon2id, on threads of its own.
//!
//! By default, one hash takes some hundredths of a second of one core and 19 MiB. At the highest cost it takes some
//! seconds and 256 MiB. The number of running hashes and of waiting passwords is bounded. No worker of the hub hashes.

use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, PasswordVerifier as _, Version};
use hubbub_actors::model::fault::Fault;
use hubbub_actors::runtime::work_queue::{PushError, Queue, Taken};
use subtle::ConstantTimeEq as _;
use tokio::sync::oneshot;

/// Most passwords that wait to be hashed; the next request is answered with 503. By default, one thread hashes this
/// many within seconds.
pub const WAITING_MAX: usize = 128;

/// Longest wait of a password; after it, the request is answered with 503 and the password is not hashed. At a high
/// cost, a full queue takes minutes. The hub cannot always tell a client that gave up from a client that closed only
/// its sending side.
const WAITING_TIME: Duration = Duration::from_secs(30);

/// Most threads that hash. With fewer than 8 cores, half of the cores hash and the other half delivers.
const THREADS_MAX: usize = 4;

/// Parallel computations within one hash; RFC 9106 calls them lanes.
const PARALLELISM: u32 = 1;

/// The salt of the hash for an unknown user. Such a sign-in takes as long as that of a known user.
const DUMMY_SALT: &[u8; 16] = b"nobody-nobody-no";

/// The cost of a hash. Hashes of other costs remain valid, but are outdated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
}

impl Cost {
    fn params(self) -> Result<Params, argon2::Error> {
        Params::new(self.memory_kib, self.passes, PARALLELISM, None)
    }
}

/// The result of verifying a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The password matches the hash.
    pub matches: bool,
    /// The hash has another cost than the requested one, or another program created it.
    pub is_outdated: bool,
}

type HashJob = Box<dyn FnOnce(&mut Hasher) + Send>;

/// A thread without a password for this long frees its memory.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// The state of a hashing thread. Its memory is allocated at the first password and kept while passwords arrive,
/// because allocating 19 MiB for each hash is slow. A hash that costs more than configured does not enlarge the memory
/// that is kept.
#[derive(Default)]
struct Hasher {
    memory: Vec<Block>,
}

impl Hasher {
    /// Frees the memory until the next password.
    fn release_memory(&mut self) {
        self.memory = Vec::new();
    }

    /// Makes the memory `blocks` long. Of existing memory, up to `kept` blocks are kept.
    fn take_memory(&mut self, blocks: usize, kept: usize) {
        if !(blocks..=kept.max(blocks)).contains(&self.memory.capacity()) {
            // Free the old memory first: both must not be allocated together.
            self.release_memory();
            self.memory.reserve_exact(blocks);
        }
        self.memory.resize(blocks, Block::default());
    }

    /// The output of `params` for a password, where the usual cost is `usual`.
    fn output(
        &mut self,
        password: &str,
        salt: &[u8],
        params: Params,
        usual: &Params,
    ) -> Result<[u8; Params::DEFAULT_OUTPUT_LEN], argon2::Error> {
        self.take_memory(params.block_count(), usual.block_count());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut output, &mut self.memory)?;
        Ok(output)
    }

    fn hash(&mut self, password: &str, cost: Cost) -> Result<String, Box<dyn Error>> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let params = cost.params()?;
        let output = self.output(password, &salt, params.clone(), &params)?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params)?,
            salt: Some(Salt::new(&salt)?),
            hash: Some(Output::new(&output)?),
        };
        Ok(hash.to_string())
    }

    /// Verifies a password at the cost of its hash. Without a hash, computes one at `cost` and reports a mismatch.
    fn verify(&mut self, password: &str, hash: Option<&str>, cost: Cost) -> Result<Verified, Box<dyn Error>> {
        let ours = cost.params()?;
        let Some(hash) = hash else {
            self.output(password, DUMMY_SALT, ours.clone(), &ours)?;
            return Ok(Verified { matches: false, is_outdated: false });
        };
        let known = PasswordHash::new(hash)?;
        let theirs = Params::try_from(&known)?;
        let is_usual = known.algorithm == Algorithm::Argon2id.ident()
            && known.version == Some(Version::V0x13.into())
            && known.hash.is_some_and(|hash| hash.len() == Params::DEFAULT_OUTPUT_LEN);
        let of = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        let is_outdated = !is_usual || of(&theirs) != of(&ours);
        let matches = match (known.salt, known.hash) {
            (Some(salt), Some(hash)) if is_usual => {
                self.output(password, &salt, theirs, &ours)?.ct_eq(hash.as_bytes()).into()
            }
            // A hash of another Argon2 variant, created by another program.
            _ => Argon2::default().verify_password(password.as_bytes(), &known).is_ok(),
        };
        Ok(Verified { matches, is_outdated })
    }
}

/// The threads that hash passwords. They end when this is dropped.
#[derive(Debug)]
pub struct Passwords {
    queue: Arc<Queue<HashJob>>,
    waiting_time: Duration,
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.queue.close_and_clear();
    }
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system cannot start them.
    pub fn start() -> io::Result<Self> {
        Self::with_waiting_time(WAITING_TIME)
    }

    /// As [`Passwords::start`], with another bound on the wait of a password.
    pub(super) fn with_waiting_time(waiting_time: Duration) -> io::Result<Self> {
        let passwords = Self { queue: Arc::new(Queue::new(WAITING_MAX)), waiting_time };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for number in 0..(cores / 2).clamp(1, THREADS_MAX) {
            let queue = passwords.queue.clone();
            let mut hasher = Hasher::default();
            std::thread::Builder::new().name(format!("passwords-{number}")).spawn(move || {
                loop {
                    match queue.take_all(1, IDLE_TIME) {
                        Taken::Some(jobs) => jobs.into_iter().for_each(|job| {
                            // The panic is in the log already. The caller notices it because its reply channel closes.
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

    /// Hashes a new password into a PHC string.
    ///
    /// # Errors
    /// [`OVERLOADED`](hubbub_actors::model::fault::Code::Overloaded).
    pub async fn hash(&self, password: String, cost: Cost) -> Result<String, Fault> {
        self.submit(move |hasher| hasher.hash(&password, cost)).await
    }

    /// Checks whether the password matches `hash`. Without a hash it does not match, and the check takes as long as a
    /// hash at `cost`.
    ///
    /// # Errors
    /// [`OVERLOADED`](hubbub_actors::model::fault::Code::Overloaded).
    pub async fn verify(&self, password: String, hash: Option<String>, cost: Cost) -> Result<Verified, Fault> {
        self.submit(move |hasher| hasher.verify(&password, hash.as_deref(), cost)).await
    }

    /// The number of passwords that wait.
    pub fn depth(&self) -> usize {
        self.queue.depth()
    }

    async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Hasher) -> Result<T, Box<dyn Error>> + Send + 'static,
    ) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let (requested, waiting_time) = (Instant::now(), self.waiting_time);
        let job: HashJob = Box::new(move |hasher| {
            if reply.is_closed() {
                return;
            }
            let _ = reply.send(if requested.elapsed() < waiting_time {
                work(hasher).map_err(|error| hash_failure(&*error))
            } else {
                Err(Fault::overloaded())
            });
        });
        self.queue.push(job).map_err(|PushError(_)| Fault::overloaded())?;
        answer.await.map_err(|_| Fault::internal().caused_by("the password worker ended"))?
    }
}

fn hash_failure(error: &dyn Error) -> Fault {
    Fault::internal().caused_by(format!("a password could not be hashed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Cost = Cost { memory_kib: 19_456, passes: 2 };
    const GOOD: Verified = Verified { matches: true, is_outdated: false };
    const BAD: Verified = Verified { matches: false, is_outdated: false };

    #[tokio::test]
    async fn a_password_matches_only_its_own_hash() {
        let passwords = Passwords::start().unwrap();
        let hash = passwords.hash("correct horse".into(), COST).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(passwords.hash("correct horse".into(), COST).await.unwrap(), hash, "salted");
        let verify = |password: &str, hash: Option<&String>| passwords.verify(password.into(), hash.cloned(), COST);
        assert_eq!(verify("correct horse", Some(&hash)).await, Ok(GOOD));
        assert_eq!(verify("correct horsf", Some(&hash)).await, Ok(BAD));
        assert_eq!(verify("correct horse", None).await, Ok(BAD));
    }

    #[test]
    fn a_hash_of_another_cost_or_program_matches_and_is_outdated() {
        let mut hasher = Hasher::default();
        // The hash of the password "password" with the salt "somesalt", from the tests of the reference implementation.
        let theirs = [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        ];
        for hash in theirs {
            let verify = |hasher: &mut Hasher, password| hasher.verify(password, Some(hash), COST).unwrap();
            assert_eq!(verify(&mut hasher, "password"), Verified { is_outdated: true, ..GOOD }, "{hash}");
            assert_eq!(verify(&mut hasher, "passwore"), Verified { is_outdated: true, ..BAD }, "{hash}");
        }
        assert!(hasher.verify("password", Some("no hash"), COST).is_err());
        let ours = hasher.hash("password", COST).unwrap();
        for other in [Cost { passes: 3, ..COST }, Cost { memory_kib: 19_457, ..COST }] {
            let verified = hasher.verify("password", Some(&ours), other).unwrap();
            assert_eq!(verified, Verified { is_outdated: true, ..GOOD });
        }
        // The reference implementation accepts our hash too.
        assert!(Argon2::default().verify_password(b"password", &PasswordHash::new(&ours).unwrap()).is_ok());
    }

    #[test]
    fn a_missing_hash_costs_one_hash_of_the_configured_cost() {
        let (mut hasher, mut expected) = (Hasher::default(), Hasher::default());
        for memory_kib in [19_456, 32_768] {
            let cost = Cost { memory_kib, passes: 2 };
            let params = cost.params().unwrap();
            assert_eq!(hasher.verify("password", None, cost).unwrap(), BAD);
            expected.output("password", DUMMY_SALT, params.clone(), &params).unwrap();
            // The content of the memory after a hash depends on its size and the number of passes.
            let left = |hasher: &Hasher| hasher.memory.iter().map(|block| block.as_ref().to_vec()).collect::<Vec<_>>();
            assert_eq!(hasher.memory.len(), params.block_count());
            assert!(left(&hasher) == left(&expected), "{memory_kib} KiB");
        }
    }

    #[test]
    fn the_kept_memory_is_at_most_that_of_the_configured_cost() {
        let mut hasher = Hasher::default();
        let costs = [19_456, 20_000].map(|memory_kib| Cost { memory_kib, passes: 2 });
        let [small, large] = costs.map(|cost| cost.params().unwrap().block_count());
        let old = hasher.hash("password", costs[0]).unwrap();
        assert_eq!(hasher.memory.capacity(), small);
        let new = hasher.hash("password", costs[1]).unwrap();
        assert_eq!(hasher.memory.capacity(), large, "no more than is needed");
        hasher.verify("password", Some(&old), costs[1]).unwrap();
        assert_eq!(hasher.memory.capacity(), large, "the next hash needs it again");
        hasher.verify("password", Some(&new), costs[0]).unwrap();
        hasher.verify("password", Some(&old), costs[0]).unwrap();
        assert_eq!(hasher.memory.capacity(), small, "the cost was lowered");
    }

    #[tokio::test]
    async fn passwords_beyond_the_bound_of_the_queue_are_refused() {
        let passwords = Passwords { queue: Arc::new(Queue::new(1)), waiting_time: WAITING_TIME };
        let mut first = Box::pin(passwords.hash("first".into(), COST));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        assert_eq!(passwords.depth(), 1);
        assert_eq!(passwords.hash("second".into(), COST).await, Err(Fault::overloaded()));
    }

    #[tokio::test]
    async fn a_password_that_waited_too_long_is_not_hashed() {
        let passwords = Passwords::with_waiting_time(Duration::ZERO).unwrap();
        assert_eq!(passwords.hash("password".into(), COST).await, Err(Fault::overloaded()));
        // No hash can have this cost, so verifying with it would be a defect.
        let none = Cost { memory_kib: 0, passes: 0 };
        assert_eq!(passwords.verify("password".into(), None, none).await, Err(Fault::overloaded()));
    }
}
