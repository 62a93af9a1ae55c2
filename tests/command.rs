//! The command line: what each command prints, and the exit status of everything that goes wrong.

use sha2::{Digest, Sha256};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use crate::support::hub::configuration;
use crate::support::run::{Ended, finish, hubbub, run};
use crate::support::{Client, Hub};

/// A directory with this `config.toml`.
fn dir(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), config).unwrap();
    dir
}

/// That a command failed with one line that names all of these.
#[track_caller]
fn assert_failed(ended: &Ended, names: &[&str]) {
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    let [line] = lines.as_slice() else { panic!("one line, not {ended:?}") };
    for name in names {
        assert!(line.contains(name), "{name} is not named: {line}");
    }
}

/// Starts the hub in `dir`, which has to fail.
#[track_caller]
fn serve(dir: &Path) -> Ended {
    run(dir, &[])
}

#[test]
fn a_configuration_with_a_mistake_stops_the_start_and_is_named() {
    let mistakes = [
        ("[server]\nport = 0\nprot = 1\n", ["config.toml", "3", "prot"]),
        ("[sever]\nport = 0\n", ["config.toml", "1", "sever"]),
        ("[server]\nport = \"eighty\"\n", ["config.toml", "2", "port"]),
        ("[server]\nport = 70000\n", ["config.toml", "2", "port"]),
        ("[server]\nmax_frame_size = -1\n", ["config.toml", "2", "max_frame_size"]),
        ("[server]\n\nmax_connections = 0\n", ["config.toml", "3", "max_connections"]),
        ("[auth]\nalgorithm = \"none\"\n", ["config.toml", "2", "algorithm"]),
        ("[server]\nport = = 1\n", ["config.toml", "2", ""]),
        ("[[topics]]\npattern = \"*\"\nsubscribe = \"everyone\"\n", ["config.toml", "3", "subscribe"]),
    ];
    for (config, names) in mistakes {
        let dir = dir(config);
        assert_failed(&serve(dir.path()), &names);
        let checked = run(dir.path(), &["check"]);
        assert_eq!(checked.status, Some(1), "{checked:?}");
        assert!(names.iter().all(|name| checked.stderr.contains(name)), "{checked:?}");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_stops_the_start() {
    let dir = dir("");
    assert_failed(&run(dir.path(), &["--config", "absent.toml"]), &["absent.toml"]);
    // A directory cannot be read as a file, whoever asks.
    fs::create_dir(dir.path().join("folder.toml")).unwrap();
    assert_failed(&run(dir.path(), &["--config", "folder.toml"]), &["folder.toml"]);
}

#[test]
fn a_wrong_variable_of_the_environment_stops_the_start_and_is_named() {
    let dir = dir(&configuration(""));
    let ended = finish(hubbub(dir.path()).env("HUBBUB_SERVER__PORT", "eighty"));
    assert_failed(&ended, &["HUBBUB_SERVER__PORT"]);
}

#[test]
fn a_port_that_is_taken_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = dir(&configuration(&format!("[server]\nport = {port}")));
    let ended = serve(dir.path());
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.contains(&port.to_string()), "{ended:?}");
}

#[test]
fn a_usage_that_does_not_exist_exits_with_2() {
    let dir = dir("");
    for args in [&["nonsense"][..], &["--nonsense"], &["token"], &["key"], &["token", "--user", "a", "--ttl", "soon"]] {
        let ended = run(dir.path(), args);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {ended:?}");
        assert!(!ended.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_answers() {
    let dir = dir("");
    let help = run(dir.path(), &["--help"]);
    assert_eq!(help.status, Some(0), "{help:?}");
    for command in ["serve", "check", "token", "user", "key", "events"] {
        assert!(help.stdout.contains(command), "{command} is not in {}", help.stdout);
    }
    let version = run(dir.path(), &["--version"]);
    assert_eq!((version.status, version.stdout), (Some(0), format!("hubbub {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn check_is_content_with_a_sound_configuration() {
    let dir = dir(&configuration(""));
    let ended = run(dir.path(), &["check"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}

#[tokio::test]
async fn a_token_of_the_command_line_lets_its_user_in() {
    let hub = Hub::start();
    let args = ["token", "--user", "alice", "--name", "Alice", "--role", "admin", "--ttl", "1h"];
    let ended = run(hub.dir(), &args);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let token = ended.stdout.strip_suffix('\n').unwrap();
    let client = Client::connect(&hub, token).await;
    let user = serde_json::json!({"id": "alice", "name": "Alice", "roles": ["admin"]});
    assert_eq!(client.welcome["data"]["details"]["user"], user);
}

#[test]
fn a_new_key_is_printed_with_the_hash_that_the_configuration_takes() {
    let dir = dir(&configuration(""));
    let made = run(dir.path(), &["key", "new"]);
    assert_eq!(made.status, Some(0), "{made:?}");
    let key = made.stdout.lines().find_map(|line| line.strip_prefix("key: ")).unwrap();
    let digest = hex::encode(Sha256::digest(key));
    assert!(made.stdout.contains(&format!("sha256 = \"{digest}\"")), "{made:?}");

    fs::write(dir.path().join("key"), format!("{key}\n")).unwrap();
    let given = fs::File::open(dir.path().join("key")).unwrap();
    let hashed = finish(hubbub(dir.path()).args(["key", "hash"]).stdin(Stdio::from(given)));
    assert_eq!((hashed.status, hashed.stdout), (Some(0), format!("{digest}\n")));

    let hub = Hub::with(&format!("[[api.keys]]\nname = \"backend\"\nsha256 = \"{digest}\""));
    let answer = hub.http().request("GET", "/api/rooms").header("X-API-Key", key).send();
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = hub.http().request("GET", "/api/rooms").header("X-API-Key", &digest).send();
    assert_eq!(answer.status, 401, "the hash is no key: {answer:?}");
}

#[test]
fn events_prints_the_catalogue() {
    let dir = dir("");
    let ended = run(dir.path(), &["events"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    for name in ["Ping", "Subscribe", "Unsubscribe", "Broadcast", "DirectMessage", "Authenticate"] {
        assert!(ended.stdout.contains(name), "{name} is not in {}", ended.stdout);
    }
}

#[test]
fn secrets_are_made_at_the_first_start_and_kept() {
    let dir = dir("[server]\nport = 0\ndata_dir = \"data\"\n");
    let first = run(dir.path(), &["token", "--user", "alice"]);
    assert_eq!(first.status, Some(0), "{first:?}");
    assert!(first.stderr.contains("data"), "says where: {first:?}");
    let token = first.stdout.trim_end().to_owned();
    let mut kept = 0;
    for file in fs::read_dir(dir.path().join("data")).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
        let secret = fs::read_to_string(file.path()).unwrap();
        assert!(!first.stderr.contains(secret.trim()), "a secret is never shown");
        kept += 1;
    }
    assert!(kept > 0, "nothing was kept");

    let hub = Hub::in_dir(dir);
    let answer = hub.http().request("GET", "/ws").bearer(&token).send();
    assert_ne!(answer.status, 401, "the first token still holds: {answer:?}");
    let again = run(hub.dir(), &["token", "--user", "alice"]);
    assert_eq!(again.stderr, "", "made once: {again:?}");
}
