//! What a service manager, such as systemd, is notified of: the hub serves, reloads, stops, and is alive.
//!
//! The manager names a datagram socket in `NOTIFY_SOCKET`; without it, nothing is sent. A notification is one datagram of a
//! few `NAME=value` lines, so the standard library is enough. A manager that does not read never stops or delays the hub: a
//! notification that cannot be sent is kept, and sent again until it can.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The time after which a notification that could not be sent is sent again.
const RETRY_TIME: Duration = Duration::from_millis(500);

/// The time between the end of a shutdown and the end of the process: the rest of the log is written.
const EXIT_TIME: Duration = Duration::from_secs(5);

/// The service manager of this process.
#[derive(Debug)]
pub(super) struct ServiceManager {
    socket: Option<NotifySocket>,
    /// The longest time between two signs of life that the manager accepts.
    watchdog: Option<Duration>,
    is_stopping: Cell<bool>,
    /// The changes of state that could not be sent yet, in order: at most a reload and its end.
    unsent: RefCell<VecDeque<String>>,
    /// Wakes [`Self::watch`] when a change could not be sent.
    has_unsent: Notify,
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
        let refused = |address: &OsStr, error: &io::Error| {
            log::warn!(
                "NOTIFY_SOCKET cannot be used, so the service manager is not notified: {}: {error}",
                address.display()
            );
        };
        let socket = address
            .filter(|address| !address.is_empty())
            .and_then(|address| NotifySocket::new(address).inspect_err(|error| refused(address, error)).ok());
        let watchdog = watchdog_usec.and_then(|usec| usec.parse().ok()).filter(|usec| *usec > 0);
        Self {
            socket,
            watchdog: watchdog.map(Duration::from_micros),
            is_stopping: Cell::new(false),
            unsent: RefCell::default(),
            has_unsent: Notify::new(),
        }
    }

    /// The hub serves: after its start, and after each reload.
    pub(super) fn ready(&self, status: &str) {
        if !self.is_stopping.get() {
            self.notify(format!("READY=1\nSTATUS={status}"));
        }
    }

    /// A reload begins; [`Self::ready`] is its end.
    pub(super) fn reloading(&self) {
        if !self.is_stopping.get() {
            let now = clock_gettime(ClockId::Monotonic);
            let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
            // What was not sent before this reload is outdated.
            self.unsent.borrow_mut().clear();
            self.notify(format!("RELOADING=1\nMONOTONIC_USEC={usec}\nSTATUS=Reloading the configuration"));
        }
    }

    /// The hub shuts down and needs up to `time`, also where the manager's own timeout is shorter.
    pub(super) fn stopping(&self, time: Duration) {
        self.is_stopping.set(true);
        self.unsent.borrow_mut().clear();
        let (secs, usec) = (time.as_secs(), (time + EXIT_TIME).as_micros());
        self.notify(format!("STOPPING=1\nSTATUS=Shutting down within {secs} s\nEXTEND_TIMEOUT_USEC={usec}"));
    }

    /// Sends signs of life, twice in the time that the manager accepts, and again what could not be sent. Ends only if there
    /// is no manager.
    pub(super) async fn watch(&self) {
        let Some(socket) = &self.socket else { return };
        let interval = self.watchdog.map(|longest| longest / 2);
        let retry = interval.map_or(RETRY_TIME, |interval| interval.min(RETRY_TIME));
        let mut sign_due = interval.map(|_| Instant::now());
        loop {
            let mut all_sent = self.flush(socket);
            let now = Instant::now();
            if let (Some(due), Some(interval)) = (&mut sign_due, interval)
                && *due <= now
            {
                match socket.send("WATCHDOG=1") {
                    true => *due = now + interval,
                    false => all_sent = false,
                }
            }
            let again = if all_sent { sign_due } else { Some(now + retry) };
            match again {
                Some(again) => drop(timeout_at(again, self.has_unsent.notified()).await),
                None => self.has_unsent.notified().await,
            }
        }
    }

    /// Sends a change of state after the earlier ones, now or later.
    fn notify(&self, lines: String) {
        let Some(socket) = &self.socket else { return };
        self.unsent.borrow_mut().push_back(lines);
        if !self.flush(socket) {
            self.has_unsent.notify_one();
        }
    }

    /// Sends the changes of state in order until one cannot be sent. Returns whether all are sent.
    fn flush(&self, socket: &NotifySocket) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        while let Some(lines) = unsent.front() {
            if !socket.send(lines) {
                return false;
            }
            unsent.pop_front();
        }
        true
    }
}

/// The hub's side of `NOTIFY_SOCKET`. It is not connected: the manager may bind its address again.
#[derive(Debug)]
struct NotifySocket {
    socket: UnixDatagram,
    address: SocketAddr,
    /// The last notification could not be sent.
    has_failed: Cell<bool>,
}

impl NotifySocket {
    /// A socket that sends to `address`: a path, or `@` and an abstract name.
    fn new(address: &OsStr) -> io::Result<Self> {
        let address = match address.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(address)?,
            #[cfg(target_os = "linux")]
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => return Err(io::Error::other("the address is neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        // This thread runs the central actors, so it must not wait for the manager.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address, has_failed: Cell::new(false) })
    }

    /// Returns whether the notification is sent. Logs the first failure, and the next success.
    fn send(&self, lines: &str) -> bool {
        let sent = self.socket.send_to_addr(lines.as_bytes(), &self.address);
        match (&sent, self.has_failed.replace(sent.is_err())) {
            (Err(error), false) => {
                log::warn!("NOTIFY_SOCKET cannot be used, so the service manager is notified later: {error}");
            }
            (Ok(_), true) => log::info!("the service manager is notified again"),
            _ => {}
        }
        sent.is_ok()
    }
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

    /// What the manager gets within a second of the hub's time.
    async fn received_later(socket: &UnixDatagram, manager: &ServiceManager) -> Vec<String> {
        let _ = tokio::time::timeout(Duration::from_secs(1), manager.watch()).await;
        std::iter::from_fn(|| received(socket)).collect()
    }

    /// Fills the queue of the manager's socket.
    fn fill(dir: &tempfile::TempDir) -> usize {
        let mut sent = 0;
        loop {
            // Each sender has a bound of its own, which may be lower than that of the queue.
            let sender = UnixDatagram::unbound().unwrap();
            sender.set_nonblocking(true).unwrap();
            let before = sent;
            while sender.send_to(b"filler", dir.path().join("notify")).is_ok() {
                sent += 1;
            }
            if sent == before {
                return sent;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_delays_notifications_without_blocking_the_hub() {
        let (socket, manager, dir) = manager(Some("200000"));
        let filled = fill(&dir);
        manager.ready("Serving");
        manager.reloading();
        manager.ready("Serving after the first");
        manager.reloading();
        manager.ready("Serving after the second");
        assert_eq!(manager.unsent.borrow().len(), 2, "the last reload and its end");
        let _ = tokio::time::timeout(Duration::from_secs(1), manager.watch()).await;
        for _ in 0..filled {
            assert_eq!(received(&socket).as_deref(), Some("filler"));
        }
        assert_eq!(received(&socket), None);

        let later = received_later(&socket, &manager).await;
        assert!(later[0].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{later:?}");
        assert_eq!(later[1], "READY=1\nSTATUS=Serving after the second");
        assert!(later.len() > 10 && later[2..].iter().all(|sign| sign == "WATCHDOG=1"), "{later:?}");
        manager.stopping(Duration::from_secs(1));
        assert!(received(&socket).unwrap().starts_with("STOPPING=1\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_cannot_be_sent_is_sent_soon_without_a_watchdog_too() {
        let (socket, manager, dir) = manager(None);
        let filled = fill(&dir);
        let watched = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            manager.ready("Serving");
            for _ in 0..filled {
                received(&socket).unwrap();
            }
            tokio::time::sleep(RETRY_TIME).await;
            received(&socket)
        };
        let sent = tokio::select! {
            biased;
            () = manager.watch() => None,
            sent = watched => sent,
        };
        assert_eq!(sent.as_deref(), Some("READY=1\nSTATUS=Serving"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_is_bound_again_is_notified() {
        let (socket, manager, dir) = manager(Some("1000000"));
        let path = dir.path().join("notify");
        drop(socket);
        std::fs::remove_file(&path).unwrap();
        manager.ready("Serving");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let later = received_later(&socket, &manager).await;
        assert_eq!(later[..2], ["READY=1\nSTATUS=Serving", "WATCHDOG=1"]);
    }

    #[test]
    fn an_address_that_is_no_socket_is_not_used() {
        for address in ["relative", "vsock:2:1", ""] {
            assert!(ServiceManager::at(Some(address.as_ref()), None).socket.is_none(), "{address}");
        }
    }
}
