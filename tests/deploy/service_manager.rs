//! A service manager, such as systemd, is notified in order over a start, reloads and a stop.

use std::fs;
use std::os::unix::net::UnixDatagram;

use crate::support::hub::configuration;
use crate::support::run::hubbub;
use crate::support::{Client, DEADLINE, Hub};

/// A hub with a manager, and the manager's socket. Each `HUBBUB_…` and `NOTIFY_…` variable is set by the test alone.
fn managed(watchdog_usec: Option<&str>) -> (Hub, UnixDatagram) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("config.toml"),
        configuration("[server]\nshutdown_secs = 20\ndrain_per_sec = 1\nworkers = 1"),
    )
    .unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut program = hubbub(dir.path());
    program.env("NOTIFY_SOCKET", &path).env_remove("WATCHDOG_USEC").env_remove("WATCHDOG_PID");
    if let Some(usec) = watchdog_usec {
        program.env("WATCHDOG_USEC", usec);
    }
    (Hub::from_program(dir, program), socket)
}

/// The next notification: its lines.
#[track_caller]
fn next(socket: &UnixDatagram) -> Vec<String> {
    try_next(socket).unwrap()
}

fn try_next(socket: &UnixDatagram) -> Option<Vec<String>> {
    let mut buffer = [0; 4_096];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8(buffer[..length].to_vec()).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn the_service_manager_is_notified_in_order() {
    let (mut hub, socket) = managed(None);
    assert_eq!(next(&socket), ["READY=1", "STATUS=Serving"]);
    assert_eq!(hub.get("/health/ready").status, 200);

    hub.sighup();
    let [reloading, time, _] = &next(&socket)[..] else { panic!("three lines") };
    assert_eq!(reloading, "RELOADING=1");
    assert!(time.strip_prefix("MONOTONIC_USEC=").unwrap().parse::<u64>().unwrap() > 0, "{time}");
    assert_eq!(next(&socket), ["READY=1", "STATUS=Serving"]);

    fs::write(hub.dir().join("config.toml"), "wrong").unwrap();
    hub.sighup();
    assert_eq!(next(&socket)[0], "RELOADING=1");
    assert_eq!(
        next(&socket),
        ["READY=1", "STATUS=Serving; the configuration was not reloaded, see the log"],
        "the hub serves with the configuration before"
    );

    hub.shut_down_and_read();
    assert_eq!(next(&socket), ["STOPPING=1", "STATUS=Shutting down within 20 s", "EXTEND_TIMEOUT_USEC=25000000"]);
}

#[tokio::test]
async fn the_service_manager_gets_signs_of_life_until_the_end() {
    let (mut hub, socket) = managed(Some("200000"));
    assert_eq!(next(&socket)[0], "READY=1");
    for _ in 0..3 {
        assert_eq!(next(&socket), ["WATCHDOG=1"]);
    }
    // The worker closes the second session after 1.5 seconds.
    let _clients = [Client::of(&hub, "alice").await, Client::of(&hub, "bob").await];
    hub.shut_down_and_read();
    socket.set_nonblocking(true).unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| try_next(&socket)).collect();
    let stopping = rest.iter().position(|lines| lines[0] == "STOPPING=1").unwrap();
    let after = &rest[stopping + 1..];
    assert!(after.len() >= 3 && after.iter().all(|lines| *lines == ["WATCHDOG=1"]), "{after:?}");
}

#[test]
fn a_service_manager_that_binds_its_socket_again_is_notified() {
    let (mut hub, socket) = managed(None);
    let path = hub.dir().join("notify");
    assert_eq!(next(&socket)[0], "READY=1");
    drop(socket);
    fs::remove_file(&path).unwrap();
    hub.sighup();
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(next(&socket)[0], "RELOADING=1");
    assert_eq!(next(&socket), ["READY=1", "STATUS=Serving"]);
    hub.shut_down_and_read();
    assert_eq!(next(&socket)[0], "STOPPING=1");
}

#[test]
fn a_hub_without_its_service_manager_warns_once_and_serves() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), configuration("")).unwrap();
    let mut program = hubbub(dir.path());
    program.env("NOTIFY_SOCKET", dir.path().join("absent"));
    let mut hub = Hub::from_program(dir, program);
    hub.sighup();
    let output = hub.shut_down_and_read();
    assert_eq!(output.matches("NOTIFY_SOCKET cannot be used").count(), 1, "{output}");
}
