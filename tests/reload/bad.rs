//! Reloads that change nothing: invalid files, and keys that need a restart. Also `hubbub check --diff`.

use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::hub::configuration;
use crate::support::run::run;
use crate::support::token::token;
use crate::support::{API_KEY, Client, DEADLINE, Hub, JWT_SECRET, Wire, wait_until};

#[tokio::test]
async fn an_invalid_file_changes_nothing_and_is_reported_with_line_and_key() {
    let hub = Hub::start();
    let mut alice = Client::of(&hub, "alice").await;
    let config = hub.dir().join("config.toml");
    let valid = fs::read_to_string(&config).unwrap();
    for (text, expected) in [
        (format!("{valid}\n[limits]\nrooms = \"many\""), "config.toml:"),
        (format!("{valid}\n[limits]\nrooms = \"many\""), "limits.rooms"),
        (format!("{valid}\n[limit]\nrooms = 1"), "limit: "),
        (format!("{valid}\n[limits"), "config.toml:"),
        // A value that contradicts a key that needs a restart.
        (
            format!("{valid}\n[limits]\noutbox_bytes = 1000\n").replace("[server]", "[server]\nmax_frame_size = 500"),
            "limits.outbox_bytes",
        ),
    ] {
        fs::write(&config, format!("{text}\n")).unwrap();
        let log = hub.sighup();
        assert!(log.contains("the configuration was not reloaded") && log.contains(expected), "{expected}: {log}");
        assert!(!log.contains(JWT_SECRET) && !log.contains(API_KEY), "{log}");
    }
    fs::remove_file(&config).unwrap();
    assert!(hub.sighup().contains("cannot be read"));
    alice.expect_silence().await;
    let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token("bob")), &[]).await;
    assert_eq!(answer.status, 101);
    fs::write(&config, valid).unwrap();
    assert!(!hub.sighup().contains("not reloaded"));
}

#[tokio::test]
async fn keys_that_need_a_restart_are_logged_and_keep_their_values() {
    let hub = Hub::with("[server]\nmax_connections = 2");
    let before = hub.output().len();
    let log = hub.reload("[server]\nmax_connections = 3\n[recovery]\nwindow_secs = 7\n[limits]\nrooms = 9");
    assert!(log.contains("limits.rooms"), "{log}");
    wait_until(DEADLINE, "the keys are logged", || {
        let log = hub.output()[before..].to_owned();
        let line = log.lines().find(|line| line.contains("a restart is needed")).unwrap_or_default();
        line.contains("WARN")
            && line.contains("recovery.window_secs, server.max_connections")
            && !line.contains("rooms")
    });
    let _two = (Client::of(&hub, "alice").await, Client::of(&hub, "bob").await);
    let (answer, _) = Wire::upgrade(&hub, &format!("/ws?token={}", token("carol")), &[]).await;
    assert_eq!(answer.status, 503);
    assert_eq!(hub.get("/info").json()["server"]["config"]["max_connections"], json!(2));
}

#[tokio::test]
async fn check_diff_lists_the_differences_to_the_running_hub() {
    let mut hub = Hub::with("[[topics]]\npattern = \"*\"\nsubscribe = \"anyone\"\npublish = \"anyone\"");
    let running = hub.data().join("running.toml");
    let text = fs::read_to_string(&running).unwrap();
    assert_eq!(fs::metadata(&running).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!text.contains(JWT_SECRET) && !text.contains(API_KEY) && text.contains("\"auth.jwt_secret\" = \"sha256:"));
    let diff = |args: &[&str]| run(hub.dir(), &[&["check", "--config", "config.toml", "--diff"], args].concat());
    let same = diff(&[]);
    assert_eq!(
        (same.status, same.stdout.trim()),
        (Some(0), "the configuration is valid, and the same as in data/running.toml")
    );

    let config = hub.dir().join("config.toml");
    let old = fs::read_to_string(&config).unwrap();
    fs::write(hub.dir().join("old.toml"), &old).unwrap();
    let more = "[server]\nmax_connections = 5\n[auth]\njwt_secret = \"another secret of these tests\"\n\
                [[topics]]\npattern = \"*\"\nsubscribe = \"members\"\npublish = \"anyone\"";
    fs::write(&config, configuration(more)).unwrap();
    for output in [diff(&[]), diff(&["old.toml"])] {
        let lines: Vec<_> = output.stdout.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "auth.jwt_secret: [secret] -> [secret]: SIGHUP applies it at once",
                "server.max_connections: 10000 -> 5: needs a restart",
                "topics[0].subscribe: [\"anyone\"] -> [\"members\"]: SIGHUP applies it at once",
            ],
            "{output:?}"
        );
    }
    hub.sighup();
    let left = diff(&[]);
    assert_eq!(left.stdout.lines().nth(1), Some("server.max_connections: 10000 -> 5: needs a restart"), "{left:?}");
    assert_eq!(left.stdout.lines().count(), 2, "{left:?}");

    hub.signal("TERM");
    assert_eq!(hub.exit_status(DEADLINE), Some(0));
    let none = run(hub.dir(), &["check", "--config", "config.toml", "--diff"]);
    assert_eq!(none.status, Some(1), "{none:?}");
    assert!(none.stderr.contains("data/running.toml: no hub runs with this server.data_dir"), "{none:?}");
}

#[test]
fn generated_secrets_are_no_difference() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), "[server]\nport = 0\n").unwrap();
    let hub = Hub::in_dir(dir);
    let same = run(hub.dir(), &["check", "--config", "config.toml", "--diff"]);
    assert!(same.stdout.contains("the same as in data/running.toml"), "{same:?}");
    fs::remove_file(hub.data().join("jwt.secret")).unwrap();
    let output = run(hub.dir(), &["check", "--config", "config.toml", "--diff"]);
    assert!(output.stdout.contains("auth.jwt_secret: [secret] -> not set"), "{output:?}");
    assert!(!hub.data().join("jwt.secret").exists(), "the check creates no secret");
}

#[test]
fn a_hub_starts_when_its_snapshot_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("data/running.toml/in the way")).unwrap();
    fs::write(dir.path().join("config.toml"), configuration("")).unwrap();
    let hub = Hub::in_dir(dir);
    wait_until(DEADLINE, "the log warns", || hub.output().contains("running.toml cannot be written"));
}

#[test]
fn an_empty_file_or_a_fifo_is_refused_at_once() {
    let hub = Hub::start();
    let config = hub.dir().join("config.toml");
    let valid = fs::read_to_string(&config).unwrap();
    fs::write(&config, "").unwrap();
    let log = hub.sighup();
    assert!(log.contains("not reloaded") && log.contains("config.toml: is empty"), "{log}");
    fs::remove_file(&config).unwrap();
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    let log = hub.sighup();
    assert!(log.contains("not reloaded") && log.contains("config.toml: is not a regular file"), "{log}");
    fs::remove_file(&config).unwrap();
    fs::write(&config, valid).unwrap();
    assert!(!hub.sighup().contains("not reloaded"));
}

#[test]
fn a_configuration_file_found_in_the_folder_must_stay() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::without_config_flag(dir, "[server]\nport = 0\n");
    let config = hub.dir().join("config.toml");
    fs::rename(&config, hub.dir().join("gone")).unwrap();
    let log = hub.sighup();
    assert!(log.contains("not reloaded") && log.contains("config.toml: cannot be read"), "{log}");

    // A hub started without a file reads one that appears later. From then on, the file is required.
    let hub = Hub::without_config_flag(tempfile::tempdir().unwrap(), "");
    let config = hub.dir().join("config.toml");
    assert!(!hub.sighup().contains("not reloaded"));
    fs::write(&config, "[limits]\nrooms = 9\n").unwrap();
    assert!(hub.sighup().contains("limits.rooms"));
    fs::remove_file(&config).unwrap();
    let log = hub.sighup();
    assert!(log.contains("not reloaded") && log.contains("config.toml: cannot be read"), "{log}");
}

#[test]
fn the_snapshot_of_a_crashed_hub_is_no_running_hub() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), configuration("")).unwrap();
    let mut hub = Hub::in_dir(dir);
    let running = hub.data().join("running.toml");
    wait_until(DEADLINE, "the snapshot is written", || running.exists());
    hub.signal("KILL");
    hub.exit_status(DEADLINE);
    assert!(running.exists());
    let none = run(hub.dir(), &["check", "--config", "config.toml", "--diff"]);
    assert!(none.status == Some(1) && none.stderr.contains("no hub runs with this server.data_dir"), "{none:?}");
}

#[test]
fn a_failed_write_of_the_snapshot_removes_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("data/running.toml.new/in the way")).unwrap();
    fs::write(dir.path().join("data/running.toml"), "\"server.port\" = 1\n").unwrap();
    fs::write(dir.path().join("config.toml"), configuration("")).unwrap();
    let hub = Hub::in_dir(dir);
    wait_until(DEADLINE, "the log warns", || hub.output().contains("running.toml cannot be written"));
    let none = run(hub.dir(), &["check", "--config", "config.toml", "--diff"]);
    assert!(none.status == Some(1) && none.stderr.contains("running.toml: not found: the hub could not"), "{none:?}");
}
