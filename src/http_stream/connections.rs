//! How many plain connections there are: of an address, and in all. A connection is plain from its acceptance until it is
//! upgraded or ends. When there are too many, the one that has been without a request for longest gives way; when none is
//! without a request, the one that has left an answer unread for longest.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hubbub_actors::limits::concurrency::{ConcurrencyKey, ConcurrencyLimits, ConcurrencySlot};
use tokio::sync::oneshot;

use super::linger::Lingering;
use super::listener::ClientTimeouts;

/// The plain connections of the hub, of all workers.
#[derive(Debug)]
pub struct Connections {
    max: AtomicUsize,
    max_per_address: AtomicU32,
    /// How long a client may take for a head and for a body, ms.
    head_ms: AtomicU64,
    body_ms: AtomicU64,
    now: AtomicUsize,
    per_address: Arc<ConcurrencyLimits>,
    evictable: Mutex<Evictable>,
    /// How many were closed because others came.
    pub evicted: AtomicU64,
    /// How many were refused because all had a request in work.
    pub refused_full: AtomicU64,
    /// How many were refused for their address.
    pub refused_address: AtomicU64,
    /// The ones that linger.
    pub lingering: Lingering,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// There are as many as may be.
    Full,
    /// There are as many of this address as may be.
    Address,
}

/// Why a connection can give way: in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EvictionReason {
    /// It has no request in work.
    Idle,
    /// Its client has not read the answer.
    Unread,
}

/// The connections that can give way, in the order in which they do.
#[derive(Debug, Default)]
struct Evictable {
    next: u64,
    /// What tells each of them to close.
    connections: BTreeMap<(EvictionReason, u64), oneshot::Sender<()>>,
}

impl Connections {
    /// At most `most` in all, and `most_of_an_address` of each address; 0 of the latter is any number.
    pub fn new(most: usize, most_of_an_address: u32) -> Arc<Self> {
        Arc::new(Self {
            max: AtomicUsize::new(most),
            max_per_address: AtomicU32::new(most_of_an_address),
            head_ms: AtomicU64::new(0),
            body_ms: AtomicU64::new(0),
            now: AtomicUsize::new(0),
            per_address: Arc::default(),
            evictable: Mutex::default(),
            evicted: AtomicU64::new(0),
            refused_full: AtomicU64::new(0),
            refused_address: AtomicU64::new(0),
            lingering: Lingering::default(),
        })
    }

    /// As [`Connections::new`], with the times that a client may take.
    pub fn timed(times: ClientTimeouts, most: usize, most_of_an_address: u32) -> Arc<Self> {
        let connections = Self::new(most, most_of_an_address);
        connections.set_times(times);
        connections
    }

    /// Lowers the number that there may be in all to what the system has descriptors for.
    pub fn lower_max(&self, most: usize) {
        self.max.fetch_min(most, Ordering::AcqRel);
    }

    /// Sets how many there may be of each address from now on; those that are there stay.
    pub fn set_max_per_address(&self, most: u32) {
        self.max_per_address.store(most, Ordering::Relaxed);
    }

    /// Sets how long a client may take for what it begins from now on.
    pub fn set_times(&self, times: ClientTimeouts) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.head_ms.store(millis(times.head), Ordering::Relaxed);
        self.body_ms.store(millis(times.body), Ordering::Relaxed);
    }

    /// How long a client may take.
    pub(super) fn times(&self) -> ClientTimeouts {
        let time = |millis: &AtomicU64| Duration::from_millis(millis.load(Ordering::Relaxed));
        ClientTimeouts { head: time(&self.head_ms), body: time(&self.body_ms) }
    }

    /// How many there may be.
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Acquire)
    }

    /// How many there are.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Acquire)
    }

    /// Takes a place for a new connection. `address` is `None` for a client that is exempt from the limit of an address.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn register(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Registration, ConnectionRefusal> {
        let held = address
            .map(|ip| self.per_address.take(ConcurrencyKey::Address(ip), self.max_per_address.load(Ordering::Relaxed)))
            .transpose();
        let held = held.map_err(|_| {
            self.refused_address.fetch_add(1, Ordering::Relaxed);
            ConnectionRefusal::Address
        })?;
        // The one that gives way leaves in a moment, so that there is one too many until then.
        if self.now.fetch_add(1, Ordering::AcqRel) >= self.max() {
            if !self.evict() {
                self.now.fetch_sub(1, Ordering::AcqRel);
                self.refused_full.fetch_add(1, Ordering::Relaxed);
                return Err(ConnectionRefusal::Full);
            }
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        let mut registration = Registration { connections: self.clone(), _slot: held, eviction: None };
        registration.make_evictable(EvictionReason::Idle);
        Ok(registration)
    }

    /// Has the first connection that can give way close; `false` when there is none.
    fn evict(&self) -> bool {
        while let Some((_, close)) = self.evictable().connections.pop_first() {
            // One that has just ended by itself does not listen.
            if close.send(()).is_ok() {
                return true;
            }
        }
        false
    }

    fn evictable(&self) -> MutexGuard<'_, Evictable> {
        self.evictable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the plain ones, given back when dropped.
#[derive(Debug)]
pub(super) struct Registration {
    connections: Arc<Connections>,
    _slot: Option<ConcurrencySlot>,
    /// Its number while it can give way, and what tells it to.
    eviction: Option<((EvictionReason, u64), oneshot::Receiver<()>)>,
}

impl Registration {
    /// From now on the connection can give way to others.
    pub(super) fn make_evictable(&mut self, reason: EvictionReason) {
        self.protect();
        let (close, closes) = oneshot::channel();
        let mut evictable = self.connections.evictable();
        let key = (reason, evictable.next);
        evictable.next += 1;
        evictable.connections.insert(key, close);
        drop(evictable);
        self.eviction = Some((key, closes));
    }

    /// As [`Self::offer`], unless it can give way already.
    pub(super) fn make_evictable_once(&mut self, reason: EvictionReason) {
        if self.eviction.is_none() {
            self.make_evictable(reason);
        }
    }

    /// From now on the connection does not give way.
    pub(super) fn protect(&mut self) {
        if let Some((key, _)) = self.eviction.take() {
            self.connections.evictable().connections.remove(&key);
        }
    }

    /// Whether the connection has to close because others came; wakes the task when it has to.
    pub(super) fn is_evicted(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((_, closes)) = &mut self.eviction else { return false };
        matches!(Pin::new(closes).poll(cx), Poll::Ready(Ok(())))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.protect();
        self.connections.now.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn evicted<const N: usize>(registrations: [&mut Registration; N]) -> [bool; N] {
        registrations.map(|registration| registration.is_evicted(&mut Context::from_waker(Waker::noop())))
    }

    fn counts(connections: &Connections) -> [u64; 3] {
        let counts = [&connections.evicted, &connections.refused_full, &connections.refused_address];
        counts.map(|count| count.load(Ordering::Relaxed))
    }

    #[test]
    fn an_address_has_so_many_and_gets_them_back() {
        let connections = Connections::new(10, 2);
        let held = [connections.register(ip(1)).unwrap(), connections.register(ip(1)).unwrap()];
        assert_eq!(connections.register(ip(1)).unwrap_err(), ConnectionRefusal::Address);
        let exempt = connections.register(None).unwrap();
        let other = connections.register(ip(2)).unwrap();
        assert_eq!((connections.now(), counts(&connections)), (4, [0, 0, 1]));
        drop(held);
        connections.register(ip(1)).unwrap();
        drop((exempt, other));
        assert_eq!((connections.now(), connections.evictable().connections.len()), (0, 0));
    }

    #[test]
    fn another_number_of_an_address_and_other_times_hold_at_once() {
        let connections = Connections::new(10, 2);
        let _held = [connections.register(ip(1)).unwrap(), connections.register(ip(1)).unwrap()];
        connections.set_max_per_address(3);
        let _third = connections.register(ip(1)).unwrap();
        connections.set_max_per_address(1);
        assert_eq!(connections.register(ip(1)).unwrap_err(), ConnectionRefusal::Address);
        connections.set_max_per_address(0);
        connections.register(ip(1)).unwrap();
        let (head, body) = (Duration::from_secs(7), Duration::from_millis(20));
        connections.set_times(ClientTimeouts { head, body });
        assert_eq!((connections.times().head, connections.times().body), (head, body));
    }

    #[test]
    fn the_longest_idle_gives_way_then_the_longest_unread_and_none_with_a_request() {
        let connections = Connections::new(4, 0);
        let [mut one, mut two, mut three, mut four] = [(); 4].map(|()| connections.register(ip(1)).unwrap());
        one.protect();
        two.make_evictable(EvictionReason::Idle);
        four.make_evictable(EvictionReason::Unread);
        let mut five = connections.register(ip(1)).unwrap();
        assert_eq!(evicted([&mut one, &mut two, &mut three, &mut four, &mut five]), [false, false, true, false, false]);
        drop(three);
        two.protect();
        five.protect();
        let mut six = connections.register(ip(1)).unwrap();
        assert_eq!(evicted([&mut one, &mut two, &mut four, &mut five, &mut six]), [false, false, true, false, false]);
        drop(four);
        six.protect();
        assert_eq!(connections.register(ip(1)).unwrap_err(), ConnectionRefusal::Full);
        assert_eq!((connections.now(), counts(&connections)), (4, [2, 1, 0]));
    }
}
