//! How many plain connections there are: of an address, and in all. A connection is plain from its acceptance until it is
//! upgraded or ends. When there are too many, the one that has been without a request for longest gives way.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hubbub_actors::limits::held::{Hold, HoldKey, Holds};

use super::exchange::Exchange;
use super::linger::Lingering;

/// The plain connections of the hub, counted for all workers.
#[derive(Debug)]
pub struct Connections {
    most: AtomicUsize,
    most_of_an_address: u32,
    now: AtomicUsize,
    of_address: Arc<Holds>,
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
pub enum Refused {
    /// There are as many as may be.
    Full,
    /// There are as many of this address as may be.
    Address,
}

impl Connections {
    /// At most `most` in all, and `most_of_an_address` of each address; 0 of the latter is any number.
    pub fn new(most: usize, most_of_an_address: u32) -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(most),
            most_of_an_address,
            now: AtomicUsize::new(0),
            of_address: Arc::default(),
            evicted: AtomicU64::new(0),
            refused_full: AtomicU64::new(0),
            refused_address: AtomicU64::new(0),
            lingering: Lingering::default(),
        })
    }

    /// Lowers the number that there may be in all to what the system has descriptors for.
    pub fn bound(&self, most: usize) {
        self.most.fetch_min(most, Ordering::AcqRel);
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Acquire)
    }

    /// How many there are.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Acquire)
    }

    /// Takes one of the places; `address` is `None` for a client that is exempt from the limit of an address.
    fn enter(self: &Arc<Self>, address: Option<IpAddr>, idle: &IdleList) -> Result<Counted, Refused> {
        let held = match address.map(|ip| self.of_address.take(HoldKey::Address(ip), self.most_of_an_address)) {
            Some(Err(_)) => {
                self.refused_address.fetch_add(1, Ordering::Relaxed);
                return Err(Refused::Address);
            }
            Some(Ok(held)) => Some(held),
            None => None,
        };
        // The one that gives way leaves in a moment, so that there is one too many until then.
        if self.now.fetch_add(1, Ordering::AcqRel) >= self.most() {
            if !idle.evict_oldest() {
                self.now.fetch_sub(1, Ordering::AcqRel);
                self.refused_full.fetch_add(1, Ordering::Relaxed);
                return Err(Refused::Full);
            }
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Counted { connections: self.clone(), _held: held })
    }
}

/// A place among the plain connections, given back when dropped.
#[derive(Debug)]
pub(super) struct Counted {
    connections: Arc<Connections>,
    _held: Option<Hold>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.now.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The connections of one worker that have no request in work, the longest idle first.
#[derive(Debug, Default)]
pub(super) struct IdleList {
    next: Cell<u64>,
    idle: RefCell<BTreeMap<u64, Weak<Exchange>>>,
}

impl IdleList {
    /// A connection has no request in work; returns its ticket.
    fn add(&self, exchange: &Rc<Exchange>) -> u64 {
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        self.idle.borrow_mut().insert(ticket, Rc::downgrade(exchange));
        ticket
    }

    fn remove(&self, ticket: u64) {
        self.idle.borrow_mut().remove(&ticket);
    }

    /// Has the longest idle connection close; `false` when none is idle.
    fn evict_oldest(&self) -> bool {
        let oldest = std::iter::from_fn(|| self.idle.borrow_mut().pop_first());
        oldest.filter_map(|(_, exchange)| exchange.upgrade()).map(|exchange| exchange.evict()).next().is_some()
    }
}

/// A connection's own place: counted, and in the list of the idle ones while no request is in work.
#[derive(Debug)]
pub(super) struct Registration {
    _plain: Counted,
    idle: Rc<IdleList>,
    exchange: Rc<Exchange>,
    ticket: Cell<Option<u64>>,
}

impl Registration {
    /// Takes a place for a new connection.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn take(
        connections: &Arc<Connections>,
        idle: &Rc<IdleList>,
        exchange: &Rc<Exchange>,
        address: Option<IpAddr>,
    ) -> Result<Self, Refused> {
        let plain = connections.enter(address, idle)?;
        let registration =
            Self { _plain: plain, idle: idle.clone(), exchange: exchange.clone(), ticket: Cell::new(None) };
        registration.is_idle();
        Ok(registration)
    }

    pub(super) fn is_idle(&self) {
        self.is_busy();
        self.ticket.set(Some(self.idle.add(&self.exchange)));
    }

    pub(super) fn is_busy(&self) {
        if let Some(ticket) = self.ticket.take() {
            self.idle.remove(ticket);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.is_busy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn connect(
        connections: &Arc<Connections>,
        idle: &Rc<IdleList>,
        address: Option<IpAddr>,
    ) -> Result<(Registration, Rc<Exchange>), Refused> {
        let exchange = Exchange::new();
        Registration::take(connections, idle, &exchange, address).map(|registration| (registration, exchange))
    }

    #[test]
    fn an_address_has_so_many_and_gets_them_back() {
        let (connections, idle) = (Connections::new(10, 2), Rc::default());
        let held = [connect(&connections, &idle, ip(1)).unwrap(), connect(&connections, &idle, ip(1)).unwrap()];
        assert_eq!(connect(&connections, &idle, ip(1)).unwrap_err(), Refused::Address);
        let exempt = connect(&connections, &idle, None).unwrap();
        let other = connect(&connections, &idle, ip(2)).unwrap();
        assert_eq!((connections.now(), connections.refused_address.load(Ordering::Relaxed)), (4, 1));
        drop(held);
        connect(&connections, &idle, ip(1)).unwrap();
        drop((exempt, other));
        assert_eq!(connections.now(), 0);
    }

    #[test]
    fn the_longest_idle_gives_way_and_one_with_a_request_does_not() {
        let (connections, idle) = (Connections::new(3, 0), Rc::default());
        let [(one, first), (two, second), (three, third)] =
            [(); 3].map(|()| connect(&connections, &idle, ip(1)).unwrap());
        one.is_busy();
        two.is_busy();
        two.is_idle();
        let (four, fourth) = connect(&connections, &idle, ip(1)).unwrap();
        assert_eq!(
            [&first, &second, &third, &fourth].map(|exchange| exchange.is_evicted()),
            [false, false, true, false]
        );
        drop(three);
        two.is_busy();
        four.is_busy();
        assert_eq!(connect(&connections, &idle, ip(1)).unwrap_err(), Refused::Full);
        assert_eq!(connections.now(), 3);
        let counts = [&connections.evicted, &connections.refused_full].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [1, 1]);
    }
}
