//! Limits the number of plain connections, per address and in total. A connection is plain from its accept until it is
//! upgraded or ends. Over the total limit, the connection that has had no request for longest is evicted. If every
//! connection has a request, the hub evicts the connection with the response that has been unread for longest.

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

/// The time limits of clients.
#[derive(Debug, Clone, Copy)]
pub struct ClientTimeouts {
    /// For a request's head: from the accept for the first one, from the first byte for later ones.
    pub head: Duration,
    /// For a request's body, from the permission to read it.
    pub body: Duration,
}

/// The plain connections of all workers.
#[derive(Debug)]
pub struct Connections {
    max: AtomicUsize,
    max_per_address: AtomicU32,
    /// Time limits for a head and for a body, ms.
    head_ms: AtomicU64,
    body_ms: AtomicU64,
    now: AtomicUsize,
    per_address: Arc<ConcurrencyLimits>,
    evictable: Mutex<Evictable>,
    /// Connections that were evicted.
    pub evicted: AtomicU64,
    /// Connections that were refused because no other connection could be evicted.
    pub refused_full: AtomicU64,
    /// Connections that were refused by the limit per address.
    pub refused_address: AtomicU64,
    /// The lingering connections.
    pub lingering: Lingering,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// The total limit is reached.
    Full,
    /// The limit of its address is reached.
    Address,
}

/// Why a connection can be evicted, in order of eviction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EvictionReason {
    /// It has no request in progress.
    Idle,
    /// Its client has not read the response.
    Unread,
}

/// The connections that can be evicted, in order of eviction.
#[derive(Debug, Default)]
struct Evictable {
    next: u64,
    /// Notifies each of them to close.
    connections: BTreeMap<(EvictionReason, u64), oneshot::Sender<()>>,
}

impl Connections {
    /// Limits of `most` in total, and of `max_per_address` per address; 0 per address is unlimited.
    pub fn new(most: usize, max_per_address: u32) -> Arc<Self> {
        Arc::new(Self {
            max: AtomicUsize::new(most),
            max_per_address: AtomicU32::new(max_per_address),
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

    /// Like [`Connections::new`], with the time limits of clients.
    pub fn timed(times: ClientTimeouts, most: usize, max_per_address: u32) -> Arc<Self> {
        let connections = Self::new(most, max_per_address);
        connections.set_times(times);
        connections
    }

    /// Lowers the total limit to the number of available file descriptors.
    pub fn lower_max(&self, most: usize) {
        self.max.fetch_min(most, Ordering::AcqRel);
    }

    /// Sets the limit per address for new connections.
    pub fn set_max_per_address(&self, most: u32) {
        self.max_per_address.store(most, Ordering::Relaxed);
    }

    /// Sets the time limits for heads and bodies that begin from now on.
    pub fn set_times(&self, times: ClientTimeouts) {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.head_ms.store(millis(times.head), Ordering::Relaxed);
        self.body_ms.store(millis(times.body), Ordering::Relaxed);
    }

    /// The current time limits.
    pub(super) fn times(&self) -> ClientTimeouts {
        let time = |millis: &AtomicU64| Duration::from_millis(millis.load(Ordering::Relaxed));
        ClientTimeouts { head: time(&self.head_ms), body: time(&self.body_ms) }
    }

    /// The total limit.
    pub fn max(&self) -> usize {
        self.max.load(Ordering::Acquire)
    }

    /// The number of plain connections.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Acquire)
    }

    /// Takes a slot for a new connection. `address` is `None` if the client is exempt from the limit per address.
    ///
    /// # Errors
    /// The limit that refuses the connection.
    pub(super) fn register(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Registration, ConnectionRefusal> {
        let slot = address
            .map(|ip| self.per_address.take(ConcurrencyKey::Address(ip), self.max_per_address.load(Ordering::Relaxed)))
            .transpose();
        let slot = slot.map_err(|_| {
            self.refused_address.fetch_add(1, Ordering::Relaxed);
            ConnectionRefusal::Address
        })?;
        // The evicted connection leaves a little later, so there is one too many until then.
        if self.now.fetch_add(1, Ordering::AcqRel) >= self.max() {
            if !self.evict() {
                self.now.fetch_sub(1, Ordering::AcqRel);
                self.refused_full.fetch_add(1, Ordering::Relaxed);
                return Err(ConnectionRefusal::Full);
            }
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        let mut registration = Registration { connections: self.clone(), _slot: slot, eviction: None };
        registration.make_evictable(EvictionReason::Idle);
        Ok(registration)
    }

    /// Evicts the first connection that can be evicted; `false` if there is none.
    fn evict(&self) -> bool {
        while let Some((_, close)) = self.evictable().connections.pop_first() {
            // A connection that has just ended does not receive it.
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

/// A connection's slot among the plain ones, released on drop.
#[derive(Debug)]
pub(super) struct Registration {
    connections: Arc<Connections>,
    _slot: Option<ConcurrencySlot>,
    /// Its key while it can be evicted, and the eviction signal.
    eviction: Option<((EvictionReason, u64), oneshot::Receiver<()>)>,
}

impl Registration {
    /// From now on the connection can be evicted.
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

    /// Like [`Self::make_evictable`], unless it can be evicted already.
    pub(super) fn make_evictable_once(&mut self, reason: EvictionReason) {
        if self.eviction.is_none() {
            self.make_evictable(reason);
        }
    }

    /// From now on the connection cannot be evicted.
    pub(super) fn protect(&mut self) {
        if let Some((key, _)) = self.eviction.take() {
            self.connections.evictable().connections.remove(&key);
        }
    }

    /// Whether the connection was evicted. Wakes the task on eviction.
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
    fn connections_per_address_are_bounded_and_slots_are_released() {
        let connections = Connections::new(10, 2);
        let taken = [connections.register(ip(1)).unwrap(), connections.register(ip(1)).unwrap()];
        assert_eq!(connections.register(ip(1)).unwrap_err(), ConnectionRefusal::Address);
        let exempt = connections.register(None).unwrap();
        let other = connections.register(ip(2)).unwrap();
        assert_eq!((connections.now(), counts(&connections)), (4, [0, 0, 1]));
        drop(taken);
        connections.register(ip(1)).unwrap();
        drop((exempt, other));
        assert_eq!((connections.now(), connections.evictable().connections.len()), (0, 0));
    }

    #[test]
    fn a_new_limit_per_address_and_new_times_apply_at_once() {
        let connections = Connections::new(10, 2);
        let _registrations = [connections.register(ip(1)).unwrap(), connections.register(ip(1)).unwrap()];
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
    fn the_longest_idle_is_evicted_then_the_longest_unread_and_none_with_a_request() {
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
