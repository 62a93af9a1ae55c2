//! The listening sockets, and the file descriptors for connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use super::ServeError;
use crate::config::Server;

/// Most connections that wait to be accepted.
pub(super) const BACKLOG: i32 = 4_096;

/// Plain HTTP connections that are always possible, however few descriptors there are.
const HTTP_CONNECTIONS_MIN: usize = 256;

/// Descriptors reserved for files, listeners and the like.
const DESCRIPTORS_KEPT: u64 = 256;

/// Attempts to find a port that is free for both IPv4 and IPv6, if the system chooses the port.
const CHOICES: usize = 8;

/// Listens on the first of the host's addresses that works; for `localhost`, on IPv4 and IPv6 as far as the machine has both.
///
/// # Errors
/// [`ServeError::Listen`].
pub(crate) fn listen(server: &Server) -> Result<Vec<TcpListener>, ServeError> {
    let failed = |error| ServeError::Listen(server.authority(), error);
    if server.host.eq_ignore_ascii_case("localhost") {
        return listen_on_loopback(server.port).map_err(failed);
    }
    let host = server.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&server.host);
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    for address in (host, server.port).to_socket_addrs().map_err(failed)? {
        match listen_on(address) {
            Ok(listener) => return Ok(vec![listener]),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// Listens on one port of both loopback addresses. A machine may have only one of them.
fn listen_on_loopback(port: u16) -> io::Result<Vec<TcpListener>> {
    let [v4, v6] = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let mut tries = 0;
    loop {
        tries += 1;
        let first = match listen_on((v4, port).into()) {
            Ok(first) => first,
            Err(error) if is_refused(&error) => return Err(error),
            Err(_) => return Ok(vec![listen_on((v6, port).into())?]),
        };
        match listen_on((v6, first.local_addr()?.port()).into()) {
            Ok(second) => return Ok(vec![first, second]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port == 0 && tries < CHOICES => {}
            // Some clients would reach the other program.
            Err(error) if is_refused(&error) => return Err(error),
            Err(_) => return Ok(vec![first]),
        }
    }
}

/// Whether the address exists but cannot be used. Other errors mean that the machine lacks the address family.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted hub must not wait until the connections of the last one time out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The open files that `connections` connections need, with those of the hub itself.
pub(crate) fn descriptors_needed(connections: usize) -> u64 {
    (connections as u64).saturating_add(DESCRIPTORS_KEPT)
}

/// Raises the limit of open files, warns if it is too low for `connections` sessions, and returns how many plain HTTP
/// connections have descriptors. A polling session uses one of these; any other session has a descriptor of its own.
pub(super) fn share_descriptors(connections: usize) -> usize {
    let granted = rlimit::increase_nofile_limit(u64::MAX).unwrap_or_else(|error| {
        log::warn!("the limit of open files could not be raised: {error}");
        1_024
    });
    let needed = descriptors_needed(connections);
    if granted < needed {
        log::warn!("the system allows {granted} open files; {connections} connections need {needed}");
    }
    let left = usize::try_from(granted.saturating_sub(needed)).unwrap_or(usize::MAX);
    left.max(HTTP_CONNECTIONS_MIN).saturating_add(connections)
}

/// Advice for an address that cannot be listened on.
pub(super) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it, or set another server.port (--port, HUBBUB_SERVER__PORT)"
        }
        io::ErrorKind::PermissionDenied => {
            "; set a server.port (--port, HUBBUB_SERVER__PORT) from 1024 up, or let the hub use lower ones \
             (CAP_NET_BIND_SERVICE)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; no interface of this machine has that address: set server.host (--host, HUBBUB_SERVER__HOST) to one that \
             it has, 127.0.0.1 for this machine alone, or 0.0.0.0 for all"
        }
        // Other errors come from names that cannot be resolved.
        _ => "; is server.host (--host, HUBBUB_SERVER__HOST) right?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_listened_on_is_reported_with_its_key_and_flag() {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, Other, PermissionDenied};
        for (kind, key, flag) in [
            (AddrInUse, "server.port", "--port"),
            (PermissionDenied, "server.port", "--port"),
            (AddrNotAvailable, "server.host", "--host"),
            (Other, "server.host", "--host"),
        ] {
            let printed = ServeError::Listen("example:80".into(), kind.into()).to_string();
            assert!(printed.starts_with("cannot listen on example:80: "), "{printed}");
            assert!(printed.contains(key) && printed.contains(flag), "{printed}");
        }
    }

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.into(), port, ..Server::default() }
    }

    fn addresses(host: &str) -> Vec<SocketAddr> {
        listen(&server(host, 0)).unwrap().iter().map(|listener| listener.local_addr().unwrap()).collect()
    }

    #[test]
    fn localhost_is_both_loopback_addresses_on_one_port() {
        let found = addresses("localhost");
        let [v4, v6] = found[..] else { panic!("{found:?}") };
        assert_eq!((v4.ip(), v6.ip()), (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()));
        assert_eq!(v4.port(), v6.port());
        assert_eq!(addresses("LocalHost").len(), 2);
    }

    #[test]
    fn an_ipv6_address_can_be_in_brackets() {
        for host in ["::1", "[::1]"] {
            assert_eq!(addresses(host).iter().map(SocketAddr::ip).collect::<Vec<_>>(), [Ipv6Addr::LOCALHOST], "{host}");
            assert_eq!(server(host, 8081).authority(), "[::1]:8081");
        }
        assert_eq!(server("hub.example", 8081).authority(), "hub.example:8081");
    }

    #[test]
    fn localhost_is_not_shared_with_a_program_on_one_of_its_addresses() {
        let other = TcpListener::bind("[::1]:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let error = listen(&server("localhost", port)).unwrap_err().to_string();
        assert!(error.contains("another program listens there"), "{error}");
    }
}
