//! A hub at an address that stays, a proxy before it, readers and publishers; from the first to the last of what is
//! published.

use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ledger::{Audit, Counts, Message, Published, Record, THE_END};
use super::publisher::{Publisher, Way, push};
use super::reader::Reader;
use super::{READERS, TOPICS, socketio, topic};
use crate::support::port::ReservedPort;
use crate::support::proxy::Faults;
use crate::support::{DEADLINE, Hub, Proxy, eventually};

/// The number of who said something before there was anybody to hear it.
const THE_BEGINNING: usize = 998;

/// What stands behind the port: no limit that this meets, short heartbeats, and more memory than is needed.
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

/// Who takes part, and over what way.
pub(super) struct Plan<'a> {
    pub(super) who: Who,
    pub(super) seed: u64,
    pub(super) weather: Faults,
    /// Whether this reader goes by the proxy.
    pub(super) spoilt: fn(usize) -> bool,
    /// The publishers, and whether they go by the proxy.
    pub(super) ways: &'a [(Way, bool)],
}

/// What the readers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Raw,
    SocketIo,
}

/// All of it, under way.
pub(super) struct Scene {
    pub(super) hub: Hub,
    seed: u64,
    port: ReservedPort,
    proxy: Proxy,
    readers: JoinSet<Vec<Record>>,
    over: watch::Sender<bool>,
    publishers: JoinSet<(Vec<Published>, Counts)>,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
}

impl Scene {
    /// Begins: all readers have their place, then the publishers start.
    pub(super) async fn open(Plan { who, seed, weather, spoilt, ways }: Plan<'_>) -> Self {
        println!("HUBBUB_SEED={seed}");
        let port = ReservedPort::reserve();
        let hub = Hub::with(&format!("[server]\nport = {}\n{CONFIG}", port.address().port()));
        let proxy = Proxy::to(port.address(), weather, seed).await;
        let way = |spoilt: bool| if spoilt { proxy.address() } else { port.address() };
        for number in 0..TOPICS {
            // What nobody has ever published to is another topic after a restart.
            push(port.address(), number, Message { by: THE_BEGINNING, n: 0 }).await;
        }
        let (over, is_over) = watch::channel(false);
        let ready = Arc::new(AtomicUsize::new(0));
        let mut readers = JoinSet::new();
        let addresses = (0..READERS).map(|number| way(spoilt(number)));
        match who {
            Who::Raw => addresses.enumerate().for_each(|(number, address)| {
                let reader = Reader::new(number, address, seed, ready.clone());
                readers.spawn(reader.read(is_over.clone()));
            }),
            Who::SocketIo => {
                readers.spawn(socketio::read(addresses.collect(), ready.clone(), is_over));
            }
        }
        eventually(DEADLINE * 4, "all readers have a place", || ready.load(Ordering::Relaxed) == READERS).await;
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut publishers = JoinSet::new();
        for (number, &(how, spoilt)) in ways.iter().enumerate() {
            let publisher = Publisher::new(number, how, way(spoilt), seed, accepted.clone());
            publishers.spawn(publisher.publish(stop.clone()));
        }
        Self { hub, seed, port, proxy, readers, over, publishers, stop, accepted }
    }

    /// Goes on until so many more messages have been accepted.
    pub(super) async fn go_on(&self, more: u64) {
        let enough = self.accepted.load(Ordering::Relaxed) + more;
        let is_enough = || self.accepted.load(Ordering::Relaxed) >= enough;
        eventually(DEADLINE * 2, "something is published", is_enough).await;
    }

    /// Ends it; the ledger, in which there is no fault.
    pub(super) async fn close(self) -> Audit {
        self.account(false).await
    }

    /// As [`Scene::close`], where nobody may have lost anything, told or not.
    pub(super) async fn close_without_a_loss(self) -> Audit {
        self.account(true).await
    }

    async fn account(mut self, without_a_loss: bool) -> Audit {
        self.stop.store(true, Ordering::Relaxed);
        let (mut published, mut counts) = (Vec::new(), Counts::new());
        while let Some(publisher) = self.publishers.join_next().await {
            let (by_one, counted) = publisher.unwrap();
            published.extend(by_one);
            for (what, count) in counted {
                *counts.entry(what).or_default() += count;
            }
        }
        self.proxy.stop_faults();
        let records = self.hear_out(&mut published).await;
        let kept = without_a_loss.then(|| (0..TOPICS).map(|number| kept(&self.hub, number)).collect::<Vec<_>>());
        let mut audit = Audit::of(&published, kept.as_deref(), &records);
        for (what, count) in counts {
            audit.count(&what, count);
        }
        for (what, count) in self.proxy.counts() {
            audit.count(&format!("proxy: {what}"), count);
        }
        audit.print();
        let faults = audit.faults().len();
        assert_eq!(faults, 0, "see above; HUBBUB_SEED={}", self.seed);
        audit
    }

    /// Says the end until all have heard it; what they met.
    async fn hear_out(&mut self, published: &mut Vec<Published>) -> Vec<Record> {
        let address: SocketAddr = self.port.address();
        let (started, mut records) = (Instant::now(), Vec::new());
        for n in 0.. {
            for topic in 0..TOPICS {
                let message = Message { by: THE_END, n };
                published.push(Published { topic, message, fate: push(address, topic, message).await });
            }
            while let Ok(Some(record)) = timeout(Duration::from_millis(200), self.readers.join_next()).await {
                records.extend(record.unwrap());
            }
            if self.readers.is_empty() {
                break;
            }
            if started.elapsed() > DEADLINE * 4 {
                println!("some readers did not come to the end");
                self.over.send_replace(true);
            }
        }
        println!("{:>10?}  after the last message all had heard it", started.elapsed());
        records.sort_by_key(|record| (record.name.len(), record.name.clone()));
        records
    }
}

/// What the hub keeps of a topic, oldest first.
fn kept(hub: &Hub, number: usize) -> Vec<Message> {
    let (http, mut kept) = (hub.http(), Vec::new());
    loop {
        let path = format!("/api/rooms/{}/history?limit=100&after={}", topic(number), kept.len());
        let page = http.request("GET", &path).key().send().json();
        for (message, offset) in page["messages"].as_array().unwrap().iter().zip(kept.len() + 1..) {
            assert_eq!(message["offset"], offset, "{message}");
            let payload = if message["event"] == "news" { &message["data"] } else { &message["data"]["payload"] };
            let field = |name: &str| payload[name].as_u64().unwrap_or_else(|| panic!("{message}"));
            kept.push(Message { by: field("by") as usize, n: field("n") });
        }
        if page["hasMore"] == json!(false) {
            return kept;
        }
    }
}
