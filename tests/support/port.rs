//! A port that stays reserved for a hub while no hub listens on it: the system gives it to no other socket.

use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr};

/// A port, reserved until this is dropped.
pub(crate) struct ReservedPort {
    /// Bound and never listening: a listener with `SO_REUSEADDR` can still use the port.
    _socket: Socket,
    address: SocketAddr,
}

impl ReservedPort {
    /// Reserves a free port.
    pub(crate) fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { _socket: socket, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
