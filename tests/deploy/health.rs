//! `hubbub health` asks the hub that runs, whatever its configuration file has become, and shows the answer safely.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread::{self, JoinHandle};

use crate::support::Hub;
use crate::support::hub::configuration;
use crate::support::port::ReservedPort;
use crate::support::run::{CommandOutput, finish, hubbub, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A hub on a port of its own, with these keys of `[server]`.
fn hub(port: &ReservedPort, server: &str) -> Hub {
    Hub::unready(&format!("[server]\nport = {}\n{server}", port.address().port()))
}

/// Asserts that the hub in `dir` is found, and is ready.
#[track_caller]
fn assert_ready(asked: &CommandOutput) {
    assert_eq!((asked.status, &*asked.stdout, &*asked.stderr), (Some(0), "ready\n", ""), "{asked:?}");
}

/// The first list in a file of `deploy/container/` behind `name`.
#[track_caller]
fn list(file: &str, name: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("{ROOT}/deploy/container/{file}")).unwrap();
    let (_, rest) = text.split_once(name).unwrap();
    let line = &rest[rest.find('[').unwrap()..];
    serde_json::from_str(line.lines().next().unwrap()).unwrap()
}

/// Runs the health check `command` of a container with its volumes in `dir`.
fn check_in_container(dir: &Path, command: &[String]) -> CommandOutput {
    let [program, args @ ..] = command else { panic!("a program") };
    assert_eq!(program, "/usr/bin/hubbub");
    let mut check: Command = hubbub(&dir.join("data"));
    check.env("HUBBUB_SERVER__HOST", "0.0.0.0").env("HUBBUB_SERVER__DATA_DIR", dir.join("data"));
    check.args(args.iter().map(|arg| arg.replace("/etc/hubbub", &dir.display().to_string())));
    finish(&mut check)
}

#[test]
fn the_health_checks_of_containers_find_a_hub_by_its_file() {
    let port = ReservedPort::reserve();
    let hub = hub(&port, "base_path = \"/hub\"\nhosts = [\"hub.example.com\"]");
    let image = list("Dockerfile", "HEALTHCHECK");
    let compose = list("compose.yaml", "test: ");
    assert_eq!(compose[0], "CMD");
    assert_eq!(list("compose.yaml", "command: ")[1..], compose[3..], "the file of the hub is the file of the check");
    assert_ready(&check_in_container(hub.dir(), &image));
    assert_ready(&check_in_container(hub.dir(), &compose[1..]));

    fs::remove_file(hub.data().join("running.toml")).unwrap();
    assert_ready(&check_in_container(hub.dir(), &compose[1..]));
    assert_eq!(check_in_container(hub.dir(), &image).status, Some(1), "the image does not know the file");
}

#[test]
fn the_running_hub_is_asked_after_its_file_has_changed() {
    let port = ReservedPort::reserve();
    let hub = hub(&port, "base_path = \"/hub\"");
    let file = hub.dir().join("config.toml");
    assert_ready(&run(hub.dir(), &["health"]));

    fs::write(&file, configuration("[server]\nport = 1\nbase_path = \"/other\"")).unwrap();
    assert_ready(&run(hub.dir(), &["health"]));
    assert!(hub.sighup().contains("a restart is needed"));
    assert_ready(&run(hub.dir(), &["health"]));

    for broken in ["wrong", "[server]\nprot = 1", ""] {
        fs::write(&file, broken).unwrap();
        assert!(hub.sighup().contains("was not reloaded"));
        assert_ready(&run(hub.dir(), &["health"]));
    }
    fs::write(&file, "wrong").unwrap();
    fs::remove_file(hub.data().join("running.toml")).unwrap();
    let asked = run(hub.dir(), &["health"]);
    assert!(asked.status == Some(1) && asked.stderr.contains("config.toml:1"), "{asked:?}");
    assert_eq!(run(hub.dir(), &["health", "--data-dir", "absent"]).status, Some(1));
}

#[test]
fn a_hub_is_asked_by_every_kind_of_address() {
    for host in ["::1", "::", "0.0.0.0", "localhost"] {
        let port = ReservedPort::reserve();
        let hub = hub(&port, &format!("host = \"{host}\"\nhosts = [\"hub.example.com\"]"));
        assert_ready(&run(hub.dir(), &["health"]));
    }
}

/// A server that gives one request this answer; its address and the request.
fn answering(status: u16, body: &str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!("HTTP/1.1 {status} Any\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let request = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut buffer = [0; 4_096];
        let length = socket.read(&mut buffer).unwrap();
        socket.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    });
    (address, request)
}

#[test]
fn a_hub_that_listens_on_a_name_is_asked_with_an_address_as_host() {
    // Each hub allows an address in the `Host` of a health check, and a name only if server.hosts has it.
    let (address, request) = answering(200, r#"{"status": "ready"}"#);
    let dir = tempfile::tempdir().unwrap();
    let port = address.port().to_string();
    assert_ready(&run(dir.path(), &["health", "--host", "127.0.0.1", "--port", &port]));
    assert!(
        request.join().unwrap().to_lowercase().contains("\r\nhost: 127.0.0.1\r\n"),
        "without a port: not the URL's"
    );
}

/// The output of `hubbub health` for a URL with a password and a server with this answer.
fn asked(status: u16, body: &str) -> CommandOutput {
    let (address, request) = answering(status, body);
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://alice:hunter2@{address}/path?token=hunter2#hunter2");
    let output = run(dir.path(), &["health", &url]);
    assert!(request.join().unwrap().starts_with("GET /path?token=hunter2 "));
    output
}

#[test]
fn an_answer_is_shown_in_one_line_without_control_characters_and_passwords() {
    let hostile = r#""a\u001b[31m\nb\u0007""#;
    let ready = asked(200, &format!("{{\"status\": {hostile}}}"));
    assert_eq!((ready.status, ready.stdout.as_str()), (Some(0), "a\\u{1b}[31m\\nb\\u{7}\n"), "{ready:?}");

    let failed = asked(503, &format!("{{\"reason\": {hostile}}}"));
    assert!(failed.stderr.ends_with("/path: status 503: a\\u{1b}[31m\\nb\\u{7}\n"), "{failed:?}");
    assert!(failed.stderr.starts_with("hubbub: http://127.0.0.1:"), "{failed:?}");

    for malformed in ["alice:hunter2@127.0.0.1/\u{1b}", "http://alice:hunter2@[/", "alice@hunter2"] {
        let refused = run(Path::new(ROOT), &["health", malformed]);
        assert_eq!(refused.status, Some(1), "{refused:?}");
        assert!(refused.stderr.starts_with("hubbub: the URL cannot be used: "), "{refused:?}");
        assert!(!refused.stderr.contains(['\u{1b}']) && !refused.stderr.contains("hunter2"), "{refused:?}");
    }
}
