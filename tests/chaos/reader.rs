//! One who reads two topics on the raw WebSocket, comes back whenever it is cut off, and says each time what it has.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

use super::ledger::{Message, Met, Record, THE_END};
use super::line::Line;
use super::{TOPICS, topic};
use crate::support::rng::Rng;
use crate::support::token::token;

/// How long the hub, which pings every second, may be silent.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where a reader is in a topic.
#[derive(Debug, Clone)]
struct Place {
    epoch: String,
    offset: u64,
}

/// The topics that a reader reads.
pub(super) fn topics(reader: usize) -> [usize; 2] {
    [reader % TOPICS, (reader + 1 + reader / TOPICS % (TOPICS - 1)) % TOPICS]
}

/// The reader.
pub(super) struct Reader {
    address: SocketAddr,
    token: String,
    rng: Rng,
    topics: BTreeSet<usize>,
    places: BTreeMap<usize, Place>,
    /// Topics of which it has heard the end.
    ended: BTreeSet<usize>,
    /// Topics that this connection is in, and the offset up to which they are what was missed.
    joined: BTreeMap<usize, u64>,
    /// Readers that have a place in all their topics.
    ready: Arc<AtomicUsize>,
    record: Record,
}

impl Reader {
    pub(super) fn new(number: usize, address: SocketAddr, seed: u64, ready: Arc<AtomicUsize>) -> Self {
        let name = format!("reader-{number}");
        Self {
            address,
            token: token(&name),
            rng: Rng::new(seed, number),
            topics: topics(number).into(),
            places: BTreeMap::new(),
            ended: BTreeSet::new(),
            joined: BTreeMap::new(),
            ready,
            record: Record { name, met: topics(number).map(|topic| (topic, Vec::new())).into(), ..Record::default() },
        }
    }

    /// Reads to the end of all its topics, or until it is over.
    pub(super) async fn read(mut self, mut over: watch::Receiver<bool>) -> Vec<Record> {
        tokio::select! {
            () = self.read_to_the_end() => {}
            _ = over.wait_for(|over| *over) => {}
        }
        vec![self.record]
    }

    async fn read_to_the_end(&mut self) {
        let mut failed = 0;
        loop {
            match Line::open(self.address, &self.token, PATIENCE).await {
                Some(mut line) => {
                    failed = 0;
                    self.record.connections += 1;
                    if self.listen(&mut line).await.is_some() {
                        return;
                    }
                }
                None => {
                    failed = 3.min(failed + 1);
                    self.record.count("connections of readers that came to nothing");
                }
            }
            sleep(self.rng.duration(20, 200 << failed)).await;
        }
    }

    /// Listens to the end, or until the connection has ended or is of no use any more.
    async fn listen(&mut self, line: &mut Line) -> Option<()> {
        self.joined.clear();
        let topics: Vec<_> = self.topics.iter().copied().collect();
        // All at once, or each by itself.
        let asked: Vec<_> = topics.chunks(1 + self.rng.below(2)).collect();
        for topics in asked {
            let subscribe = json!({"type": "Subscribe", "data": self.wishes(topics)});
            line.send(&subscribe).await.then_some(())?;
        }
        loop {
            let message = line.next().await?;
            match message["type"].as_str() {
                Some("Status") if message["data"]["status"] == "subscribed" => {
                    self.settle(&message["data"]["details"])?;
                }
                Some("Broadcast") => {
                    self.hear(&message, &message["data"]["topic"], &message["data"]["payload"]);
                }
                Some("news") => self.hear(&message, &message["topic"], &message["data"]),
                Some("Error") => {
                    self.record.count(&format!("readers' requests refused: {}", message["data"]["code"]));
                    return None;
                }
                _ => {}
            }
            if self.ended == self.topics {
                return Some(());
            }
            // Some bytes this way too, for the proxy to spoil.
            if self.rng.below(8) == 0 {
                line.send(&json!({"type": "Ping", "data": {"timestamp": 1}})).await.then_some(())?;
            }
        }
    }

    fn wishes(&self, topics: &[usize]) -> Value {
        let place = |topic: &usize| {
            let Place { epoch, offset } = self.places.get(topic)?;
            Some((super::topic(*topic), json!({"epoch": epoch, "offset": offset})))
        };
        let since: serde_json::Map<_, _> = topics.iter().filter_map(place).collect();
        let topics: Vec<_> = topics.iter().map(|number| topic(*number)).collect();
        json!({"topics": topics, "since": since})
    }

    /// Takes what is said of its topics; none where it was not let into one.
    fn settle(&mut self, details: &Value) -> Option<()> {
        for denied in details["denied"].as_array().unwrap() {
            self.record.count(&format!("readers' topics denied: {}", denied["code"]));
        }
        for number in self.topics.clone() {
            let name = topic(number);
            let position = &details["positions"][&name];
            let Some(epoch) = position["epoch"].as_str() else { continue };
            let stands = Place { epoch: epoch.to_owned(), offset: position["offset"].as_u64().unwrap() };
            self.joined.insert(number, stands.offset);
            match (self.places.get(&number), details["recovered"][&name].as_bool()) {
                (None, None) => {
                    self.places.insert(number, stands);
                    if self.places.len() == self.topics.len() {
                        self.ready.fetch_add(1, Ordering::Relaxed);
                    }
                }
                (Some(place), Some(true)) => {
                    if place.epoch != stands.epoch || place.offset > stands.offset {
                        self.record.faults.push(format!("{name}: had {place:?}, and nothing is missing at {stands:?}"));
                    }
                    self.record.meet(number, Met::Recovered);
                }
                (Some(_), Some(false)) => {
                    self.places.insert(number, stands);
                    self.record.meet(number, Met::Lost);
                }
                (place, said) => self.record.faults.push(format!("{name}: recovered is {said:?} for {place:?}")),
            }
        }
        details["denied"].as_array().unwrap().is_empty().then_some(())
    }

    fn hear(&mut self, message: &Value, name: &Value, payload: &Value) {
        let number = self.topics.iter().copied().find(|number| *name == topic(*number));
        let Some(number) = number else {
            return self.record.fault(format!("is in no such topic: {message}"));
        };
        let (Some(place), Some(missed)) = (self.places.get_mut(&number), self.joined.get(&number)) else {
            return self.record.fault(format!("came before it was said from where on: {message}"));
        };
        if message["offset"] != place.offset + 1 {
            self.record.faults.push(format!("came after {place:?}: {message}"));
        }
        place.offset = message["offset"].as_u64().unwrap();
        self.record.caught_up += u64::from(place.offset <= *missed);
        let heard = Message { by: payload["by"].as_u64().unwrap() as usize, n: payload["n"].as_u64().unwrap() };
        self.record.meet(number, Met::Heard(heard));
        if heard.by == THE_END {
            self.ended.insert(number);
        }
    }
}
