//! A port that stays free for a hub while no hub listens there: of all that others bind meanwhile, and of the many who
//! connect, none gets it from the system.

use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr};

/// A port, kept as long as this lives.
pub(crate) struct ReservedPort {
    /// Bound and never listening: whoever says that the address may be used again can listen there.
    _held: Socket,
    address: SocketAddr,
}

impl ReservedPort {
    /// One that nobody has.
    pub(crate) fn reserve() -> Self {
        let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        held.set_reuse_address(true).unwrap();
        held.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = held.local_addr().unwrap().as_socket().unwrap();
        Self { _held: held, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
