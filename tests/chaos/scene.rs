//! A hub at a fixed address, a proxy before it, readers and publishers, from the first published message to the last.

use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::audit::{DeliveryAudit, LAST_PUBLISHER, NamedCounts, PublishAttempt, PublishedId, ReaderRecord};
use super::publisher::{PublishMethod, Publisher, push};
use super::reader::Reader;
use super::{READERS, TOPICS, socketio_reader, topic};
use crate::support::port::ReservedPort;
use crate::support::proxy::Faults;
use crate::support::{DEADLINE, Hub, Proxy, eventually};

/// The number of the publisher of the first message of each topic, before any reader subscribes.
const FIRST_PUBLISHER: usize = 998;

/// The configuration after the port: limits that the scene does not reach, and short heartbeats.
const CONFIG: &str = "
    workers = 2
    heartbeat_interval_secs = 1
    client_timeout_secs = 2
    [limits]
    outbox_bytes = 256000000
    outbox_frames = 1000000
    history_bytes = 2000000000
    [limits.raw]
    messages_per_minute = 0
    [limits.push]
    messages_per_minute = 0
    [limits.http]
    requests_per_minute = 0
    [socketio]
    ping_interval_ms = 1000
    ping_timeout_ms = 2000
    [recovery]
    queue = 5000
    [[topics]]
    pattern = \"*\"
    history = 1000000
";

/// The readers, the publishers and the faults of a scene.
pub(super) struct ScenePlan<'a> {
    pub(super) readers: ReaderKind,
    pub(super) seed: u64,
    pub(super) weather: Faults,
    /// Whether the reader of this number connects over the proxy.
    pub(super) is_proxied: fn(usize) -> bool,
    /// The publishers, each with whether it connects over the proxy.
    pub(super) publishers: &'a [(PublishMethod, bool)],
}

/// The protocol of the readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderKind {
    Raw,
    SocketIo,
}

/// A running scene.
pub(super) struct Scene {
    pub(super) hub: Hub,
    seed: u64,
    port: ReservedPort,
    proxy: Proxy,
    readers: JoinSet<Vec<ReaderRecord>>,
    over: watch::Sender<bool>,
    publishers: JoinSet<(Vec<PublishAttempt>, NamedCounts)>,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
}

impl Scene {
    /// Starts. The publishers start when all readers have subscribed.
    pub(super) async fn open(plan: ScenePlan<'_>) -> Self {
        let ScenePlan { readers: kind, seed, weather, is_proxied, publishers: methods } = plan;
        println!("HUBBUB_SEED={seed}");
        let port = ReservedPort::reserve();
        let hub = Hub::with(&format!("[server]\nport = {}\n{CONFIG}", port.address().port()));
        let proxy = Proxy::to(port.address(), weather, seed).await;
        let address = |is_proxied: bool| if is_proxied { proxy.address() } else { port.address() };
        for number in 0..TOPICS {
            // A topic without a message gets a new epoch at a restart.
            push(port.address(), number, PublishedId { publisher: FIRST_PUBLISHER, n: 0 }).await;
        }
        let (over, is_over) = watch::channel(false);
        let ready = Arc::new(AtomicUsize::new(0));
        let mut readers = JoinSet::new();
        let addresses = (0..READERS).map(|number| address(is_proxied(number)));
        match kind {
            ReaderKind::Raw => addresses.enumerate().for_each(|(number, address)| {
                let reader = Reader::new(number, address, seed, ready.clone());
                readers.spawn(reader.read(is_over.clone()));
            }),
            ReaderKind::SocketIo => {
                readers.spawn(socketio_reader::read(addresses.collect(), ready.clone(), is_over));
            }
        }
        eventually(DEADLINE * 4, "all readers have subscribed", || ready.load(Ordering::Relaxed) == READERS).await;
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut publishers = JoinSet::new();
        for (number, &(method, is_proxied)) in methods.iter().enumerate() {
            let publisher = Publisher::new(number, method, address(is_proxied), seed, accepted.clone());
            publishers.spawn(publisher.publish(stop.clone()));
        }
        Self { hub, seed, port, proxy, readers, over, publishers, stop, accepted }
    }

    /// Waits until `more` messages have been accepted.
    pub(super) async fn wait_for_accepted(&self, more: u64) {
        let enough = self.accepted.load(Ordering::Relaxed) + more;
        let is_enough = || self.accepted.load(Ordering::Relaxed) >= enough;
        eventually(DEADLINE * 2, "messages are accepted", is_enough).await;
    }

    /// Stops, and asserts that the audit has no fault. Reported losses are allowed.
    pub(super) async fn close(self) -> DeliveryAudit {
        self.audit(false).await
    }

    /// As [`Scene::close`], but no loss is allowed.
    pub(super) async fn close_without_a_loss(self) -> DeliveryAudit {
        self.audit(true).await
    }

    async fn audit(mut self, without_a_loss: bool) -> DeliveryAudit {
        self.stop.store(true, Ordering::Relaxed);
        let (mut attempts, mut counts) = (Vec::new(), NamedCounts::new());
        while let Some(publisher) = self.publishers.join_next().await {
            let (published, counted) = publisher.unwrap();
            attempts.extend(published);
            for (name, count) in counted {
                *counts.entry(name).or_default() += count;
            }
        }
        self.proxy.stop_faults();
        let records = self.finish_readers(&mut attempts).await;
        let histories =
            without_a_loss.then(|| (0..TOPICS).map(|number| history(&self.hub, number)).collect::<Vec<_>>());
        let mut audit = DeliveryAudit::of(&attempts, histories.as_deref(), &records);
        for (name, count) in counts {
            audit.count(&name, count);
        }
        for (name, count) in self.proxy.counts() {
            audit.count(&format!("proxy: {name}"), count);
        }
        audit.print();
        let faults = audit.faults().len();
        assert_eq!(faults, 0, "see above; HUBBUB_SEED={}", self.seed);
        audit
    }

    /// Publishes last messages until all readers have received one. Returns the records of the readers.
    async fn finish_readers(&mut self, attempts: &mut Vec<PublishAttempt>) -> Vec<ReaderRecord> {
        let address: SocketAddr = self.port.address();
        let (started, mut records) = (Instant::now(), Vec::new());
        for n in 0.. {
            for topic in 0..TOPICS {
                let message = PublishedId { publisher: LAST_PUBLISHER, n };
                attempts.push(PublishAttempt { topic, message, result: push(address, topic, message).await });
            }
            while let Ok(Some(record)) = timeout(Duration::from_millis(200), self.readers.join_next()).await {
                records.extend(record.unwrap());
            }
            if self.readers.is_empty() {
                break;
            }
            if started.elapsed() > DEADLINE * 4 {
                println!("some readers did not receive the last message");
                self.over.send_replace(true);
            }
        }
        println!("{:>10?}  until all readers received the last message", started.elapsed());
        records.sort_by_key(|record| (record.name.len(), record.name.clone()));
        records
    }
}

/// The history of a topic, oldest first.
fn history(hub: &Hub, number: usize) -> Vec<PublishedId> {
    let (http, mut history) = (hub.http(), Vec::new());
    loop {
        let path = format!("/api/rooms/{}/history?limit=100&after={}", topic(number), history.len());
        let page = http.request("GET", &path).key().send().json();
        for (message, offset) in page["messages"].as_array().unwrap().iter().zip(history.len() + 1..) {
            assert_eq!(message["offset"], offset, "{message}");
            let payload = if message["event"] == "news" { &message["data"] } else { &message["data"]["payload"] };
            let field = |name: &str| payload[name].as_u64().unwrap_or_else(|| panic!("{message}"));
            history.push(PublishedId { publisher: field("publisher") as usize, n: field("n") });
        }
        if page["hasMore"] == json!(false) {
            return history;
        }
    }
}
