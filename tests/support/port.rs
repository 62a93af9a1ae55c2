//! A port that stays reserved for a hub while no hub listens on it: the system gives it to no other socket.

use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// A port, reserved until this is dropped.
pub(crate) struct ReservedPort {
    /// Bound and never listening: a listener with `SO_REUSEADDR` can still use the port.
    _socket: Socket,
    /// The same port of IPv6.
    ipv6: Option<Socket>,
    address: SocketAddr,
}

impl ReservedPort {
    /// Reserves a free port.
    pub(crate) fn reserve() -> Self {
        let socket = bound((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { _socket: socket, ipv6: None, address }
    }

    /// Reserves a port that is free with IPv4 and, on a machine with IPv6, with IPv6 too.
    pub(crate) fn reserve_both() -> Self {
        let has_ipv6 = bound((Ipv6Addr::LOCALHOST, 0).into()).is_ok();
        let ports = (0..100).map(|_| {
            let port = Self::reserve();
            Self { ipv6: bound((Ipv6Addr::LOCALHOST, port.address.port()).into()).ok(), ..port }
        });
        ports.into_iter().find(|port| port.ipv6.is_some() == has_ipv6).unwrap()
    }

    /// Whether the port is reserved with IPv6 too.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.ipv6.is_some()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bound(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
