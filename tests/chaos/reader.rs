//! A reader of two topics on the raw WebSocket. After each disconnect it subscribes again with its offsets.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

use super::audit::{LAST_PUBLISHER, PublishedId, ReaderEvent, ReaderRecord};
use super::connection::RawConnection;
use super::{TOPICS, topic};
use crate::support::rng::Rng;
use crate::support::token::token;

/// The timeout of a read. The hub pings every second.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// The position of a reader in a topic.
#[derive(Debug, Clone)]
struct TopicPosition {
    epoch: String,
    offset: u64,
}

/// The topics of a reader.
pub(super) fn topics(reader: usize) -> [usize; 2] {
    [reader % TOPICS, (reader + 1 + reader / TOPICS % (TOPICS - 1)) % TOPICS]
}

pub(super) struct Reader {
    address: SocketAddr,
    token: String,
    rng: Rng,
    topics: BTreeSet<usize>,
    positions: BTreeMap<usize, TopicPosition>,
    /// Topics with the last message received.
    ended: BTreeSet<usize>,
    /// The topics of this connection, each with the last offset of the replay.
    joined: BTreeMap<usize, u64>,
    /// The number of readers with a position in all their topics.
    ready: Arc<AtomicUsize>,
    record: ReaderRecord,
}

impl Reader {
    pub(super) fn new(number: usize, address: SocketAddr, seed: u64, ready: Arc<AtomicUsize>) -> Self {
        let name = format!("reader-{number}");
        Self {
            address,
            token: token(&name),
            rng: Rng::new(seed, number),
            topics: topics(number).into(),
            positions: BTreeMap::new(),
            ended: BTreeSet::new(),
            joined: BTreeMap::new(),
            ready,
            record: ReaderRecord {
                name,
                events: topics(number).map(|topic| (topic, Vec::new())).into(),
                ..ReaderRecord::default()
            },
        }
    }

    /// Reads until the last message of all its topics, or until `over`.
    pub(super) async fn read(mut self, mut over: watch::Receiver<bool>) -> Vec<ReaderRecord> {
        tokio::select! {
            () = self.read_all() => {}
            _ = over.wait_for(|over| *over) => {}
        }
        vec![self.record]
    }

    async fn read_all(&mut self) {
        let mut failed = 0;
        loop {
            match RawConnection::open(self.address, &self.token, READ_TIMEOUT).await {
                Some(mut connection) => {
                    failed = 0;
                    self.record.connections += 1;
                    if self.receive(&mut connection).await.is_some() {
                        return;
                    }
                }
                None => {
                    failed = 3.min(failed + 1);
                    self.record.count("failed connections of readers");
                }
            }
            sleep(self.rng.duration(20, 200 << failed)).await;
        }
    }

    /// Subscribes and receives. `Some` after the last message of all topics, `None` when the connection has failed.
    async fn receive(&mut self, connection: &mut RawConnection) -> Option<()> {
        self.joined.clear();
        let topics: Vec<_> = self.topics.iter().copied().collect();
        // One request for both topics, or one for each.
        let requests: Vec<_> = topics.chunks(1 + self.rng.below(2)).collect();
        for topics in requests {
            let subscribe = json!({"type": "Subscribe", "data": self.subscription(topics)});
            connection.send(&subscribe).await.then_some(())?;
        }
        loop {
            let message = connection.next().await?;
            match message["type"].as_str() {
                Some("Status") if message["data"]["status"] == "subscribed" => {
                    self.subscribed(&message["data"]["details"])?;
                }
                Some("Broadcast") => {
                    self.message(&message, &message["data"]["topic"], &message["data"]["payload"]);
                }
                Some("news") => self.message(&message, &message["topic"], &message["data"]),
                Some("Error") => {
                    self.record.count(&format!("readers' requests refused: {}", message["data"]["code"]));
                    return None;
                }
                _ => {}
            }
            if self.ended == self.topics {
                return Some(());
            }
            // Some bytes to the hub, for the proxy to cut.
            if self.rng.below(8) == 0 {
                connection.send(&json!({"type": "Ping", "data": {"timestamp": 1}})).await.then_some(())?;
            }
        }
    }

    fn subscription(&self, topics: &[usize]) -> Value {
        let position = |topic: &usize| {
            let TopicPosition { epoch, offset } = self.positions.get(topic)?;
            Some((super::topic(*topic), json!({"epoch": epoch, "offset": offset})))
        };
        let since: serde_json::Map<_, _> = topics.iter().filter_map(position).collect();
        let topics: Vec<_> = topics.iter().map(|number| topic(*number)).collect();
        json!({"topics": topics, "since": since})
    }

    /// Handles the reply to a subscription. `None` if a topic was denied.
    fn subscribed(&mut self, details: &Value) -> Option<()> {
        for denied in details["denied"].as_array().unwrap() {
            self.record.count(&format!("readers' topics denied: {}", denied["code"]));
        }
        for number in self.topics.clone() {
            let name = topic(number);
            let position = &details["positions"][&name];
            let Some(epoch) = position["epoch"].as_str() else { continue };
            let current = TopicPosition { epoch: epoch.to_owned(), offset: position["offset"].as_u64().unwrap() };
            self.joined.insert(number, current.offset);
            match (self.positions.get(&number), details["recovered"][&name].as_bool()) {
                (None, None) => {
                    self.positions.insert(number, current);
                    if self.positions.len() == self.topics.len() {
                        self.ready.fetch_add(1, Ordering::Relaxed);
                    }
                }
                (Some(old), Some(true)) => {
                    if old.epoch != current.epoch || old.offset > current.offset {
                        self.record.faults.push(format!("{name}: recovered from {old:?} at {current:?}"));
                    }
                    self.record.add(number, ReaderEvent::Recovered);
                }
                (Some(_), Some(false)) => {
                    self.positions.insert(number, current);
                    self.record.add(number, ReaderEvent::Lost);
                }
                (old, recovered) => {
                    self.record.faults.push(format!("{name}: recovered is {recovered:?} for {old:?}"));
                }
            }
        }
        details["denied"].as_array().unwrap().is_empty().then_some(())
    }

    fn message(&mut self, message: &Value, name: &Value, payload: &Value) {
        let number = self.topics.iter().copied().find(|number| *name == topic(*number));
        let Some(number) = number else {
            return self.record.fault(format!("a message of another topic: {message}"));
        };
        let (Some(position), Some(replayed_to)) = (self.positions.get_mut(&number), self.joined.get(&number)) else {
            return self.record.fault(format!("a message before the reply to the subscription: {message}"));
        };
        if message["offset"] != position.offset + 1 {
            self.record.faults.push(format!("a message after {position:?}: {message}"));
        }
        position.offset = message["offset"].as_u64().unwrap();
        self.record.replayed += u64::from(position.offset <= *replayed_to);
        let received = PublishedId {
            publisher: payload["publisher"].as_u64().unwrap() as usize,
            n: payload["n"].as_u64().unwrap(),
        };
        self.record.add(number, ReaderEvent::Received(received));
        if received.publisher == LAST_PUBLISHER {
            self.ended.insert(number);
        }
    }
}
