//! What a service manager, such as systemd, is notified of: the hub serves, reloads, stops, and is alive.
//!
//! The manager names a datagram socket in `NOTIFY_SOCKET`; without it, nothing is sent. A notification is one datagram of a
//! few `NAME=value` lines, so the standard library is enough. A socket that fails never stops the hub: one line is logged, and
//! nothing more is sent.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use actix_rt::time::sleep;
use rustix::time::{ClockId, clock_gettime};

/// Longest time for one notification, if the manager does not read.
const SEND_TIME: Duration = Duration::from_secs(1);

/// The time between the end of a shutdown and the end of the process: the rest of the log is written.
const EXIT_TIME: Duration = Duration::from_secs(5);

/// The service manager of this process.
#[derive(Debug)]
pub(super) struct ServiceManager {
    socket: RefCell<Option<UnixDatagram>>,
    /// The longest time between two signs of life that the manager accepts.
    watchdog: Option<Duration>,
    is_stopping: Cell<bool>,
}

impl ServiceManager {
    /// The manager that the environment names.
    pub(super) fn from_env() -> Self {
        let own_pid = std::process::id().to_string();
        let is_own = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == own_pid);
        let interval = std::env::var("WATCHDOG_USEC").ok().filter(|_| is_own);
        Self::at(std::env::var_os("NOTIFY_SOCKET").as_deref(), interval.as_deref())
    }

    /// No manager.
    pub(super) fn none() -> Self {
        Self::at(None, None)
    }

    fn at(address: Option<&OsStr>, watchdog_usec: Option<&str>) -> Self {
        let socket = address.filter(|address| !address.is_empty()).and_then(|address| {
            connect(address).inspect_err(|error| warn(&format!("{}: {error}", address.display()))).ok()
        });
        let watchdog = watchdog_usec.and_then(|usec| usec.parse().ok()).filter(|usec| *usec > 0);
        Self {
            socket: RefCell::new(socket),
            watchdog: watchdog.map(Duration::from_micros),
            is_stopping: Cell::new(false),
        }
    }

    /// The hub serves: after its start, and after each reload.
    pub(super) fn ready(&self, status: &str) {
        if !self.is_stopping.get() {
            self.send(&format!("READY=1\nSTATUS={status}"));
        }
    }

    /// A reload begins; [`Self::ready`] is its end.
    pub(super) fn reloading(&self) {
        if !self.is_stopping.get() {
            let now = clock_gettime(ClockId::Monotonic);
            let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
            self.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\nSTATUS=Reloading the configuration"));
        }
    }

    /// The hub shuts down and needs up to `time`, also where the manager's own timeout is shorter.
    pub(super) fn stopping(&self, time: Duration) {
        self.is_stopping.set(true);
        let (secs, usec) = (time.as_secs(), (time + EXIT_TIME).as_micros());
        self.send(&format!("STOPPING=1\nSTATUS=Shutting down within {secs} s\nEXTEND_TIMEOUT_USEC={usec}"));
    }

    /// Sends signs of life, twice in the time that the manager accepts. Returns at once if it expects none.
    pub(super) async fn watch(&self) {
        let Some(interval) = self.watchdog else { return };
        while self.socket.borrow().is_some() {
            self.send("WATCHDOG=1");
            sleep(interval / 2).await;
        }
    }

    fn send(&self, lines: &str) {
        let mut socket = self.socket.borrow_mut();
        if let Some(Err(error)) = socket.as_ref().map(|socket| socket.send(lines.as_bytes())) {
            warn(&error.to_string());
            *socket = None;
        }
    }
}

fn warn(why: &str) {
    log::warn!("NOTIFY_SOCKET cannot be used, so the service manager is not notified: {why}");
}

/// A socket that sends to `address`: a path, or `@` and an abstract name.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(address)?,
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => return Err(io::Error::other("the address is neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(SEND_TIME))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manager's socket, and the hub's side of it.
    fn manager(watchdog_usec: Option<&str>) -> (UnixDatagram, ServiceManager, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        (socket, ServiceManager::at(Some(path.as_os_str()), watchdog_usec), dir)
    }

    fn received(socket: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 1_024];
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    #[test]
    fn a_shutdown_is_the_last_notification() {
        let (socket, manager, _dir) = manager(None);
        manager.ready("Serving");
        manager.stopping(Duration::from_secs(15));
        manager.reloading();
        manager.ready("Serving");
        assert_eq!(received(&socket).as_deref(), Some("READY=1\nSTATUS=Serving"));
        assert_eq!(
            received(&socket).as_deref(),
            Some("STOPPING=1\nSTATUS=Shutting down within 15 s\nEXTEND_TIMEOUT_USEC=20000000")
        );
        assert_eq!(received(&socket), None);
    }

    #[test]
    fn a_reload_has_the_monotonic_time() {
        let (socket, manager, _dir) = manager(None);
        manager.reloading();
        let text = received(&socket).unwrap();
        let time: u64 = text.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap().parse().unwrap();
        assert!(text.starts_with("RELOADING=1\n") && time > 0, "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_is_sent_twice_in_the_watchdog_interval() {
        let (socket, manager, _dir) = manager(Some("3000000"));
        let _ = tokio::time::timeout(Duration::from_millis(4_000), manager.watch()).await;
        for _ in 0..3 {
            assert_eq!(received(&socket).as_deref(), Some("WATCHDOG=1"));
        }
        assert_eq!(received(&socket), None);
        for off in [None, Some("0"), Some("often")] {
            ServiceManager::at(None, off).watch().await;
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_abstract_socket_is_notified() {
        let name = format!("hubbub-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        ServiceManager::at(Some(format!("@{name}").as_ref()), None).ready("Serving");
        assert_eq!(received(&socket).as_deref(), Some("READY=1\nSTATUS=Serving"));
    }

    #[test]
    fn a_socket_that_fails_is_not_used_again() {
        let (socket, manager, dir) = manager(None);
        drop((socket, dir));
        manager.ready("Serving");
        assert!(manager.socket.borrow().is_none());
        for address in ["/nonexistent/notify", "relative", "vsock:2:1", ""] {
            assert!(ServiceManager::at(Some(address.as_ref()), None).socket.borrow().is_none(), "{address}");
        }
    }
}
