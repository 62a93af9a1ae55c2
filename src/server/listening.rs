//! The listening socket, and how many connections there are file descriptors for.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use super::ServeError;

/// Connections that wait to be accepted.
pub(super) const BACKLOG: i32 = 4_096;

/// The least number of plain HTTP connections, however few descriptors there are.
const HTTP_CONNECTIONS_MIN: usize = 256;

/// Descriptors that are kept back for files, listeners and the like.
const DESCRIPTORS_KEPT: u64 = 256;

/// Listens on the first of the host's addresses that can be.
///
/// # Errors
/// [`ServeError::Listen`].
pub(crate) fn listen(host: &str, port: u16) -> Result<TcpListener, ServeError> {
    let failed = |error| ServeError::Listen(format!("{host}:{port}"), error);
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    for address in (host, port).to_socket_addrs().map_err(failed)? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A hub that is started again must not wait for the connections of the last one to time out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// How many open files so many connections need, with those of the hub itself.
pub(crate) fn descriptors_needed(connections: usize) -> u64 {
    (connections as u64).saturating_add(DESCRIPTORS_KEPT)
}

/// Asks the system for all the descriptors it gives, says so when they are too few for `connections` sessions, and
/// returns how many plain HTTP connections there are descriptors for. A session has one of its own or, polling, one of
/// these.
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

/// What to do about an address that cannot be listened on.
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
        // Only a name can fail otherwise: it is not known.
        _ => "; is server.host (--host, HUBBUB_SERVER__HOST) right?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_listened_on_is_told_with_the_key_and_the_flag() {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, Other, PermissionDenied};
        for (kind, key, flag) in [
            (AddrInUse, "server.port", "--port"),
            (PermissionDenied, "server.port", "--port"),
            (AddrNotAvailable, "server.host", "--host"),
            (Other, "server.host", "--host"),
        ] {
            let told = ServeError::Listen("example:80".into(), kind.into()).to_string();
            assert!(told.starts_with("cannot listen on example:80: "), "{told}");
            assert!(told.contains(key) && told.contains(flag), "{told}");
        }
    }
}
