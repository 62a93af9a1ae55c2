//! How what was done once outlasts a planned restart: the answers to named requests and publishes, and the nonces of
//! signed requests.

use super::Hub;
use crate::idempotency::{Bound, Bounds, End, Idempotency, Key, Remembered};
use crate::model::fault::Fault;
use crate::runtime::clock::Clock;
use crate::store::{StoredAnswer, StoredNonces};

/// How much is remembered of publishes with a `client_id`, of one user and in all.
pub const CLIENT_IDS: Bounds = Bounds {
    owner: Bound { entries: 1_000, bytes: 1024 * 1024 },
    total: Bound { entries: 50_000, bytes: 32 * 1024 * 1024 },
};

/// An empty memory of publishes.
pub(super) fn client_ids(clock: Clock) -> Idempotency {
    Idempotency::new(CLIENT_IDS, "This `client_id` was used for a different publish", clock)
}

/// Names that users give their publishes.
const CLIENT_ID: &str = "client_id";
/// Names that backends give their requests.
const IDEMPOTENCY_KEY: &str = "idempotency_key";

impl Hub {
    /// What became of publishes that their clients named.
    pub fn client_ids(&self) -> &Idempotency {
        &self.client_ids
    }

    /// Puts into the store, for the next start, what is remembered of publishes and of `requests`, and the nonces that
    /// were used. To be called when the last request is done: nothing is claimed from then on. What cannot be stored is
    /// logged; the next start then does as after a crash.
    pub async fn store_once(&self, requests: &Idempotency, nonces: StoredNonces) {
        let now = self.clock().now_ms();
        let kinds = [(CLIENT_ID, &self.client_ids), (IDEMPOTENCY_KEY, requests)];
        let answers: Vec<_> = kinds
            .into_iter()
            .flat_map(|(kind, memory)| memory.take().into_iter().map(move |remembered| stored(kind, remembered, now)))
            .collect();
        if let Err(fault) = self.store.keep_answers(answers).await {
            log::warn!("the answers to named requests could not be stored, and are forgotten: {fault}");
        }
        if let Err(fault) = self.store.keep_nonces(nonces).await {
            log::warn!("nonces could not be stored; what was signed before the next start is refused then: {fault}");
        }
    }

    /// Takes over what was remembered of publishes and of `requests` when the last hub went away; answers the nonces that
    /// were used, or `None` when its end was not planned or the store fails, which counts as a crash.
    ///
    /// # Errors
    /// What else is wrong with the store.
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
    let key = Key { owner: owner.into(), name: name.into() };
    Remembered { key, digest, end: answer.map_or(End::Unknown, End::Answered), left_ms: until - now }
}
