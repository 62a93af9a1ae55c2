//! A publisher: sends to random topics and records the reply to each message.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

use super::audit::{NamedCounts, PublishAttempt, PublishResult, PublishedId};
use super::connection::{PostOutcome, RawConnection, post};
use super::{TOPICS, topic};
use crate::support::DEADLINE;
use crate::support::rng::Rng;
use crate::support::token::token;

/// The timeout of a response over the proxy, which may drop it. A direct publisher waits for much longer: the hub could
/// still publish an abandoned message after the next one.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);

/// How a publisher sends its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PublishMethod {
    /// On a raw connection. An unanswered message is not repeated.
    Raw,
    /// By HTTP. An unanswered message is not repeated.
    Http,
    /// By HTTP with an idempotency key. A message is repeated until it is accepted.
    Idempotent,
}

pub(super) struct Publisher {
    number: usize,
    method: PublishMethod,
    address: SocketAddr,
    rng: Rng,
    connection: Option<RawConnection>,
    /// The accepted messages of all publishers.
    accepted: Arc<AtomicU64>,
    attempts: Vec<PublishAttempt>,
    counts: NamedCounts,
}

impl Publisher {
    pub(super) fn new(
        number: usize,
        method: PublishMethod,
        address: SocketAddr,
        seed: u64,
        accepted: Arc<AtomicU64>,
    ) -> Self {
        let rng = Rng::new(seed, 10_000 + number);
        let (attempts, counts) = (Vec::new(), NamedCounts::new());
        Self { number, method, address, rng, connection: None, accepted, attempts, counts }
    }

    /// Publishes until `stop`.
    pub(super) async fn publish(mut self, stop: Arc<AtomicBool>) -> (Vec<PublishAttempt>, NamedCounts) {
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.publish_one(n).await;
            sleep(self.rng.duration(10, 60)).await;
        }
        (self.attempts, self.counts)
    }

    async fn publish_one(&mut self, n: u64) {
        let topic = self.rng.below(TOPICS);
        let message = PublishedId { publisher: self.number, n };
        let result = match self.method {
            PublishMethod::Raw => self.broadcast(topic, message).await,
            PublishMethod::Http => push(self.address, topic, message).await,
            PublishMethod::Idempotent => self.push_until_accepted(topic, message).await,
        };
        if result == PublishResult::Accepted {
            self.accepted.fetch_add(1, Ordering::Relaxed);
        }
        self.attempts.push(PublishAttempt { topic, message, result });
    }

    async fn broadcast(&mut self, topic: usize, message: PublishedId) -> PublishResult {
        let mut connection = self.connect().await;
        let data = json!({"topic": super::topic(topic), "payload": payload(topic, message)});
        if !connection.send(&json!({"type": "Broadcast", "data": data, "id": message.n})).await {
            return PublishResult::Unknown;
        }
        loop {
            match connection.next().await {
                Some(answer) if answer["id"] == message.n => {
                    self.connection = Some(connection);
                    return match answer["type"].as_str() {
                        Some("Ack") => PublishResult::Accepted,
                        _ => PublishResult::Refused,
                    };
                }
                Some(_) => {}
                None => return PublishResult::Unknown,
            }
        }
    }

    /// The open connection, or a new one as soon as the hub accepts it.
    async fn connect(&mut self) -> RawConnection {
        let started = Instant::now();
        loop {
            if let Some(connection) = self.connection.take() {
                return connection;
            }
            assert!(started.elapsed() < DEADLINE * 2, "publisher {} cannot connect", self.number);
            self.connection =
                RawConnection::open(self.address, &token(&format!("publisher-{}", self.number)), DEADLINE * 2).await;
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn push_until_accepted(&mut self, topic: usize, message: PublishedId) -> PublishResult {
        let key = format!("{}-{}", message.publisher, message.n);
        let body = body(topic, message);
        let started = Instant::now();
        while started.elapsed() < DEADLINE * 2 {
            match post(self.address, "/api/room", Some(&key), &body, RESPONSE_TIMEOUT).await {
                PostOutcome::Answered { status: 200, replayed } => {
                    if replayed {
                        self.count("published: repeated after it was accepted");
                    }
                    return PublishResult::Accepted;
                }
                // Even after a refusal, an earlier unanswered attempt may have been accepted.
                PostOutcome::Answered { .. } | PostOutcome::NoResponse | PostOutcome::NotConnected => {
                    self.count("published: repeated");
                }
            }
            sleep(self.rng.duration(5, 50)).await;
        }
        PublishResult::Unknown
    }

    fn count(&mut self, name: &str) {
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }
}

/// Pushes by HTTP. Reconnects until a hub listens.
pub(super) async fn push(address: SocketAddr, topic: usize, message: PublishedId) -> PublishResult {
    let body = body(topic, message);
    let started = Instant::now();
    loop {
        match post(address, "/api/room", None, &body, DEADLINE * 2).await {
            PostOutcome::NotConnected => assert!(started.elapsed() < DEADLINE * 2, "no hub listens on {address}"),
            PostOutcome::NoResponse => return PublishResult::Unknown,
            PostOutcome::Answered { status: 200, .. } => return PublishResult::Accepted,
            PostOutcome::Answered { status: 503, .. } => return PublishResult::Refused,
            PostOutcome::Answered { status, .. } => panic!("a push got status {status}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn payload(topic: usize, message: PublishedId) -> Value {
    json!({"topic": topic, "publisher": message.publisher, "n": message.n})
}

fn body(number: usize, message: PublishedId) -> Value {
    json!({"room": topic(number), "event": "news", "data": payload(number, message)})
}
