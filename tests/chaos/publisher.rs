//! One who publishes to all topics by chance, and writes down what it was told of each message.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

use super::ledger::{Counts, Fate, Message, Published};
use super::line::{Line, Posted, post};
use super::{TOPICS, topic};
use crate::support::DEADLINE;
use crate::support::rng::Rng;
use crate::support::token::token;

/// How long one waits for an answer that the proxy may have swallowed. Whoever publishes directly waits for much longer:
/// what it gave up too early might still be published, behind what it published then.
const PATIENCE: Duration = Duration::from_secs(4);

/// How one publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From a raw connection. What is not answered is not sent again.
    Raw,
    /// By HTTP, likewise.
    Http,
    /// By HTTP under a name, again and again until it is answered.
    Named,
}

/// The publisher.
pub(super) struct Publisher {
    number: usize,
    way: Way,
    address: SocketAddr,
    rng: Rng,
    line: Option<Line>,
    /// How many messages of all publishers were accepted.
    accepted: Arc<AtomicU64>,
    published: Vec<Published>,
    counts: Counts,
}

impl Publisher {
    pub(super) fn new(number: usize, way: Way, address: SocketAddr, seed: u64, accepted: Arc<AtomicU64>) -> Self {
        let rng = Rng::new(seed, 10_000 + number);
        let (published, counts) = (Vec::new(), Counts::new());
        Self { number, way, address, rng, line: None, accepted, published, counts }
    }

    /// Publishes until it is told to stop.
    pub(super) async fn publish(mut self, stop: Arc<AtomicBool>) -> (Vec<Published>, Counts) {
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.publish_one(n).await;
            sleep(self.rng.duration(10, 60)).await;
        }
        (self.published, self.counts)
    }

    async fn publish_one(&mut self, n: u64) {
        let topic = self.rng.below(TOPICS);
        let message = Message { by: self.number, n };
        let fate = match self.way {
            Way::Raw => self.broadcast(topic, message).await,
            Way::Http => push(self.address, topic, message).await,
            Way::Named => self.push_until_answered(topic, message).await,
        };
        if fate == Fate::Accepted {
            self.accepted.fetch_add(1, Ordering::Relaxed);
        }
        self.published.push(Published { topic, message, fate });
    }

    async fn broadcast(&mut self, topic: usize, message: Message) -> Fate {
        let mut line = self.line().await;
        let data = json!({"topic": super::topic(topic), "payload": payload(topic, message)});
        if !line.send(&json!({"type": "Broadcast", "data": data, "id": message.n})).await {
            return Fate::Unknown;
        }
        loop {
            match line.next().await {
                Some(answer) if answer["id"] == message.n => {
                    self.line = Some(line);
                    return match answer["type"].as_str() {
                        Some("Ack") => Fate::Accepted,
                        _ => Fate::Refused,
                    };
                }
                Some(_) => {}
                None => return Fate::Unknown,
            }
        }
    }

    /// The connection, or a new one as soon as there is one to be had.
    async fn line(&mut self) -> Line {
        let started = Instant::now();
        loop {
            if let Some(line) = self.line.take() {
                return line;
            }
            assert!(started.elapsed() < DEADLINE * 2, "publisher {} is not let in", self.number);
            self.line = Line::open(self.address, &token(&format!("publisher-{}", self.number)), DEADLINE * 2).await;
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn push_until_answered(&mut self, topic: usize, message: Message) -> Fate {
        let name = format!("{}-{}", message.by, message.n);
        let body = body(topic, message);
        let started = Instant::now();
        while started.elapsed() < DEADLINE * 2 {
            match post(self.address, "/api/room", Some(&name), &body, PATIENCE).await {
                Posted::Answered { status: 200, again } => {
                    if again {
                        self.count("published: sent again under its name, and published once");
                    }
                    return Fate::Accepted;
                }
                // Refused it may have been as often as it likes: what went before may have been taken.
                Posted::Answered { .. } | Posted::Lost | Posted::Away => self.count("published: sent again"),
            }
            sleep(self.rng.duration(5, 50)).await;
        }
        Fate::Unknown
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }
}

/// Pushes by HTTP, as soon as somebody is there to take it.
pub(super) async fn push(address: SocketAddr, topic: usize, message: Message) -> Fate {
    let body = body(topic, message);
    let started = Instant::now();
    loop {
        match post(address, "/api/room", None, &body, DEADLINE * 2).await {
            Posted::Away => assert!(started.elapsed() < DEADLINE * 2, "nobody listens on {address}"),
            Posted::Lost => return Fate::Unknown,
            Posted::Answered { status: 200, .. } => return Fate::Accepted,
            Posted::Answered { status: 503, .. } => return Fate::Refused,
            Posted::Answered { status, .. } => panic!("a push was answered with {status}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn payload(topic: usize, message: Message) -> Value {
    json!({"topic": topic, "by": message.by, "n": message.n})
}

fn body(number: usize, message: Message) -> Value {
    json!({"room": topic(number), "event": "news", "data": payload(number, message)})
}
