//! Keeps idempotency over a planned restart: the results of idempotent requests and publications, and the nonces of
//! signed requests.

use super::Hub;
use crate::idempotency::{Bound, Bounds, End, Idempotency, IdempotencyKey, Remembered};
use crate::model::fault::Fault;
use crate::runtime::clock::Clock;
use crate::store::{StoredAnswer, StoredNonces};

/// The bounds of remembered publications with a `client_id`, for one user and in all.
pub const CLIENT_IDS: Bounds = Bounds {
    owner: Bound { entries: 1_000, bytes: 1024 * 1024 },
    total: Bound { entries: 50_000, bytes: 32 * 1024 * 1024 },
};

/// An empty table of publications.
pub(super) fn client_ids(clock: Clock) -> Idempotency {
    Idempotency::new(CLIENT_IDS, "This `client_id` was used for a different publish", clock)
}

/// The kind of idempotency keys that users choose: `client_id`.
const CLIENT_ID: &str = "client_id";
/// The kind of idempotency keys that backends choose: `Idempotency-Key`.
const IDEMPOTENCY_KEY: &str = "idempotency_key";

impl Hub {
    /// The results of publications with a `client_id`.
    pub fn client_ids(&self) -> &Idempotency {
        &self.client_ids
    }

    /// Stores the remembered results of publications and of `requests`, and the used nonces, for the next start. Must
    /// be called after the last request: nothing is claimed after that. A failure is logged; the next start then
    /// behaves as after a crash.
    pub async fn store_once(&self, requests: &Idempotency, nonces: StoredNonces) {
        let now = self.clock().now_ms();
        let kinds = [(CLIENT_ID, &self.client_ids), (IDEMPOTENCY_KEY, requests)];
        let answers: Vec<_> = kinds
            .into_iter()
            .flat_map(|(kind, memory)| memory.take().into_iter().map(move |remembered| stored(kind, remembered, now)))
            .collect();
        if let Err(fault) = self.store.keep_answers(answers).await {
            log::warn!(
                "the results of idempotent requests could not be stored; repeated requests will run again: {fault}"
            );
        }
        if let Err(fault) = self.store.keep_nonces(nonces).await {
            log::warn!("nonces could not be stored; requests signed before the next start will be rejected: {fault}");
        }
    }

    /// Loads the remembered results of publications and of `requests` of the previous run. Returns the used nonces;
    /// `None` when that run crashed or the store fails.
    ///
    /// # Errors
    /// Another failure of the store.
    pub async fn open_once(&self, requests: &Idempotency) -> Result<Option<StoredNonces>, Fault> {
        match self.take_once(requests).await {
            Ok(nonces) => Ok(nonces),
            Err(fault) => self.continue_without_store(&fault).map(|()| None),
        }
    }

    async fn take_once(&self, requests: &Idempotency) -> Result<Option<StoredNonces>, Fault> {
        let now = self.clock().now_ms();
        let (mut publishes, mut others) = (Vec::new(), Vec::new());
        for answer in self.store.take_answers().await? {
            let kind = if answer.kind == CLIENT_ID { &mut publishes } else { &mut others };
            kind.extend((answer.until > now).then(|| remembered(answer, now)));
        }
        self.client_ids.restore(publishes);
        requests.restore(others);
        self.store.take_nonces().await
    }
}

fn stored(kind: &str, Remembered { key, digest, end, left_ms }: Remembered, now: i64) -> StoredAnswer {
    let answer = match end {
        End::Answered(answer) => Some(answer),
        End::Unknown => None,
    };
    let (owner, name) = (key.owner.to_string(), key.name.to_string());
    StoredAnswer { kind: kind.to_owned(), owner, name, digest, until: now + left_ms, answer }
}

fn remembered(StoredAnswer { owner, name, digest, until, answer, .. }: StoredAnswer, now: i64) -> Remembered {
    let key = IdempotencyKey { owner: owner.into(), name: name.into() };
    Remembered { key, digest, end: answer.map_or(End::Unknown, End::Answered), left_ms: until - now }
}
