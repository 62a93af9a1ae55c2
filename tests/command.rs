//! The command line: the output of each command, and the exit status of each failure.

use sha2::{Digest, Sha256};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use crate::support::hub::configuration;
use crate::support::run::{CommandOutput, finish, hubbub, run};
use crate::support::{Client, DEADLINE, Hub, wait_until};

/// A directory with this `config.toml`.
fn dir(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), config).unwrap();
    dir
}

/// Asserts that a command failed with one line that has all of these.
#[track_caller]
fn assert_failed(ended: &CommandOutput, names: &[&str]) {
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    let [line] = lines.as_slice() else { panic!("one line, not {ended:?}") };
    for name in names {
        assert!(line.contains(name), "{name} is not named: {line}");
    }
}

/// Starts a hub in `dir` that has to fail.
#[track_caller]
fn serve(dir: &Path) -> CommandOutput {
    run(dir, &[])
}

#[test]
fn a_mistake_in_the_configuration_stops_the_start_with_a_line_about_it() {
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
        ("[[api.keys]]\nname = \"a\"\nscopes = [\"pull\"]\n", ["config.toml", "3", "api.keys[0].scopes[0]"]),
        ("[[api.keys]]\nname = \"a\"\nexpires = \"soon\"\n", ["config.toml", "3", "api.keys[0].expires"]),
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
    // A directory cannot be read as a file, even by root.
    fs::create_dir(dir.path().join("folder.toml")).unwrap();
    assert_failed(&run(dir.path(), &["--config", "folder.toml"]), &["folder.toml"]);
}

#[test]
fn a_wrong_environment_variable_stops_the_start_with_a_line_about_it() {
    let dir = dir(&configuration(""));
    let ended = finish(hubbub(dir.path()).env("HUBBUB_SERVER__PORT", "eighty"));
    assert_failed(&ended, &["HUBBUB_SERVER__PORT"]);
}

#[test]
fn check_and_the_start_print_the_topic_rules_in_force() {
    let rule = "\"news.*\" subscribe authenticated, publish server";
    let closed = "other topics are refused, because no rule has the pattern \"*\"";
    for (config, text) in [
        ("", vec!["\"*\" subscribe authenticated, publish authenticated"]),
        ("[[topics]]\npattern = \"news.*\"\npublish = \"server\"", vec![rule, closed]),
    ] {
        let dir = dir(&configuration(config));
        let checked = run(dir.path(), &["check", "--config", "config.toml"]);
        assert_eq!((checked.status, checked.stdout.as_str()), (Some(0), "the configuration is valid\n"));
        let hub = Hub::with(config);
        for words in text {
            assert!(checked.stderr.contains(words), "{words} is not in {}", checked.stderr);
            wait_for_line(&hub, words);
        }
    }
}

#[test]
fn the_presence_of_topics_is_refused_until_it_is_supported() {
    let dir = dir(&configuration("[[topics]]\npattern = \"*\"\npresence = true"));
    assert_failed(
        &serve(dir.path()),
        &["topics[0].presence: not supported yet: clients receive no joins and leaves of a topic"],
    );
}

fn wait_for_line(hub: &Hub, words: &str) {
    wait_until(DEADLINE, words, || hub.output().contains(words));
}

#[test]
fn a_taken_port_stops_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = dir(&configuration(&format!("[server]\nport = {port}")));
    let ended = serve(dir.path());
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap_or_default();
    for text in [&format!("127.0.0.1:{port}"), "server.port", "--port", "another program listens there"] {
        assert!(last.contains(text), "{text} is not in {last}");
    }
}

#[test]
fn a_host_that_is_not_an_address_of_this_machine_stops_the_start() {
    // An address for documentation, and a name that is never resolved.
    for (host, text) in [("192.0.2.1", "no interface of this machine"), ("host.invalid", "is server.host")] {
        let dir = dir(&configuration(&format!("[server]\nhost = \"{host}\"")));
        let ended = serve(dir.path());
        assert_eq!(ended.status, Some(1), "{ended:?}");
        let last = ended.stderr.lines().last().unwrap_or_default();
        for text in [host, text, "--host"] {
            assert!(last.contains(text), "{text} is not in {last}");
        }
    }
}

#[test]
fn an_unknown_command_or_flag_exits_with_2() {
    let dir = dir("");
    for args in [&["nonsense"][..], &["--nonsense"], &["token"], &["key"], &["token", "--user", "a", "--ttl", "soon"]] {
        let ended = run(dir.path(), args);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {ended:?}");
        assert!(!ended.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_printed_to_standard_output() {
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
fn check_accepts_a_valid_configuration() {
    let dir = dir(&configuration(""));
    let ended = run(dir.path(), &["check"]);
    let folder = dir.path().canonicalize().unwrap();
    let rules = "hubbub: topic rules (the first match applies): \"*\" subscribe authenticated, publish authenticated\n";
    let reading = format!("hubbub: reading {}/config.toml\n{rules}", folder.display());
    assert_eq!((ended.status, &ended.stderr), (Some(0), &reading), "{ended:?}");
    fs::remove_file(dir.path().join("config.toml")).unwrap();
    let ended = run(dir.path(), &["check"]);
    let reading = format!("hubbub: no config.toml in {}: defaults\n{rules}", folder.display());
    assert_eq!((ended.status, &ended.stderr), (Some(0), &reading), "{ended:?}");
}

/// All files below a directory, without the files that SQLite keeps beside an open database.
fn everything_in(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(everything_in(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn commands_create_nothing_in_a_directory_without_a_hub() {
    let dir = tempfile::tempdir().unwrap();
    for (args, status, text) in [
        (&["token", "--user", "alice"][..], 1, "data/jwt.secret: does not exist; start the hub once"),
        (&["user", "list"], 1, "data/hubbub.db: does not exist; start the hub once"),
        (&["user", "disable", "alice"], 1, "data/hubbub.db: does not exist; start the hub once"),
        (&["check"], 0, "no config.toml in "),
        (&["key", "new"], 0, ""),
        (&["events"], 0, ""),
    ] {
        let ended = run(dir.path(), args);
        assert_eq!(ended.status, Some(status), "{ended:?}");
        assert!(ended.stderr.contains(text), "{ended:?}");
        assert_eq!(ended.stdout.is_empty(), status == 1, "{ended:?}");
    }
    run(dir.path(), &["check", "--live", "--port", "0"]);
    assert_eq!(everything_in(dir.path()), Vec::<String>::new());
}

#[test]
fn check_live_prints_each_result_and_changes_nothing() {
    let dir = dir(&configuration("[server]\nmax_connections = 10"));
    let live = |dir: &Path| run(dir, &["check", "--live"]);
    let outcome = |ended: &CommandOutput, key: &str| {
        let line = ended.stdout.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")));
        line.unwrap_or_else(|| panic!("nothing of {key} in {ended:?}")).to_owned()
    };
    let fresh = live(dir.path());
    assert_eq!(fresh.status, Some(0), "{fresh:?}");
    assert_eq!(fresh.stdout.lines().count(), 7, "{fresh:?}");
    for (key, text) in [
        ("server.port", "ok"),
        ("server.data_dir", "ok"),
        ("store", "skipped because there is none yet"),
        ("auth.public_key_file", "skipped because"),
        ("backend.url", "skipped because it is not set"),
        ("server.max_connections", "ok"),
    ] {
        assert!(outcome(&fresh, key).starts_with(text), "{key}: {fresh:?}");
    }

    let hub = Hub::in_dir(dir);
    let before = everything_in(hub.dir());
    let beside = live(hub.dir());
    assert!(outcome(&beside, "store").starts_with("ok"), "{beside:?}");
    assert_eq!(everything_in(hub.dir()), before);
    let dir = hub.shut_down();
    let before = everything_in(dir.path());
    assert_eq!(live(dir.path()).status, Some(0));
    assert_eq!(everything_in(dir.path()), before);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", unused.local_addr().unwrap());
    drop(unused);
    fs::write(dir.path().join("data/hubbub.db"), "no database, but a text of some length ".repeat(200)).unwrap();
    let config = format!(
        "[server]\nport = {port}\nmax_connections = 100000000\n[auth]\nalgorithm = \"RS256\"\njwks = \"{url}\"\n\
         backend.url = \"{url}\"\n[backend]\nurl = \"{url}\""
    );
    fs::write(dir.path().join("config.toml"), configuration(&config)).unwrap();
    let broken = live(dir.path());
    assert_eq!(broken.status, Some(1), "{broken:?}");
    for key in ["server.port", "store", "auth.jwks", "auth.backend.url", "backend.url", "server.max_connections"] {
        assert!(outcome(&broken, key).starts_with("failed"), "{key}: {broken:?}");
    }
    assert!(broken.stderr.ends_with("hubbub: 6 of 7 checks failed\n"), "{broken:?}");
}

#[tokio::test]
async fn a_token_of_the_command_line_is_accepted() {
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

#[tokio::test]
async fn secrets_are_created_at_the_first_start_and_reused() {
    let hub = Hub::in_dir(dir("[server]\nport = 0\ndata_dir = \"data\"\n"));
    let output = hub.output();
    let token = run(hub.dir(), &["token", "--user", "alice"]).stdout.trim_end().to_owned();
    let dir = hub.shut_down();
    let mut count = 0;
    for file in ["jwt.secret", "api.key"] {
        use std::os::unix::fs::PermissionsExt;
        let file = dir.path().join("data").join(file);
        assert!(
            output.contains(&format!("data/{}", file.file_name().unwrap().display())),
            "the path of the file: {output}"
        );
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
        let secret = fs::read_to_string(&file).unwrap();
        assert!(!output.contains(secret.trim()), "a secret is never shown");
        count += 1;
    }
    assert_eq!(count, 2);

    let hub = Hub::in_dir(dir);
    assert_eq!(
        Client::connect(&hub, &token).await.welcome["data"]["status"],
        "connected",
        "the first token still holds"
    );
    assert!(!hub.output().contains("created a random"), "created once: {}", hub.output());
}

#[tokio::test]
async fn health_succeeds_while_the_hub_is_ready() {
    let mut hub = Hub::unready("[server]\nbase_path = \"/hub\"");
    let port = hub.address().port().to_string();
    let ask = |more: &[&str]| run(hub.dir(), &[&["health", "--port", &port], more].concat());
    let ready = ask(&[]);
    assert_eq!((ready.status, ready.stdout.as_str(), ready.stderr.as_str()), (Some(0), "ready\n", ""), "{ready:?}");
    let live = ask(&[&format!("http://{}/hub/health/live", hub.address())]);
    assert_eq!((live.status, live.stdout.as_str()), (Some(0), "alive\n"), "{live:?}");
    assert_failed(&ask(&[&format!("http://{}/absent", hub.address())]), &["/absent: status 404"]);
    assert_failed(&run(hub.dir(), &["health"]), &["server.port is 0", "name the URL"]);

    hub.shut_down_and_read();
    let down = run(hub.dir(), &["health", "--port", &port]);
    assert_failed(&down, &[&format!("http://127.0.0.1:{port}/hub/health/ready: "), "refused"]);
}

#[test]
fn health_gives_the_reason_of_a_hub_that_is_not_ready() {
    let hub = Hub::unready("[auth]\nalgorithm = \"RS256\"\njwks = \"http://127.0.0.1:9/keys\"");
    let asked = run(hub.dir(), &["health", "--port", &hub.address().port().to_string()]);
    assert_failed(&asked, &["/health/ready: status 503: ", "auth.jwks"]);
}
