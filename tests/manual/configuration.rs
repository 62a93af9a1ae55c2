//! docs/configuration.md: its variables and files have the settings that it says, and its commands print what it says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use hubbub::config::warnings::warnings;
use hubbub::config::{Config, Sources};
use serde_json::json;
use tempfile::TempDir;

use super::snippets::text;
use crate::support::Client;
use crate::support::Hub;
use crate::support::blocks::page;
use crate::support::run::{CommandOutput, finish, hubbub};
use crate::support::token::signed;

/// The configuration of a file with the block `name`.
#[track_caller]
fn file(name: &str) -> Config {
    load(&text("configuration", name), BTreeMap::new())
}

#[track_caller]
fn load(text: &str, variables: BTreeMap<String, String>) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, text).unwrap();
    let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    Config::load(&Sources { file: Some(path), variables, flags: Vec::new() }).unwrap()
}

/// The hub's variables after the shell block `name`.
#[track_caller]
fn variables(name: &str, given: &[(&str, &str)]) -> BTreeMap<String, String> {
    let script = format!("{}\nenv -0", text("configuration", name));
    let output = Command::new("sh").args(["-euc", &script]).envs(given.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let output = String::from_utf8(output.stdout).unwrap();
    let pairs = output.split('\0').filter_map(|line| line.split_once('='));
    let ours = pairs.filter(|(name, _)| name.starts_with("HUBBUB_"));
    ours.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn the_variables_and_the_file_of_the_page_are_the_same() {
    let variables = variables("variables", &[]);
    assert_eq!(variables.len(), 8, "{variables:?}");
    assert_eq!(load("", variables), file("file"));
}

#[test]
fn the_variables_without_a_file_are_a_whole_configuration_without_a_warning() {
    let dir = directory(&[("jwt", "a secret of tokens in a file\n")]);
    let mut variables = variables("variables-only", &[]);
    let secret = variables.get_mut("HUBBUB_AUTH__JWT_SECRET_FILE").unwrap();
    *secret = dir.path().join("jwt").display().to_string();
    let config = load("", variables);
    assert_eq!(warnings(&config, 0), [""; 0]);
    assert_eq!(config.auth.jwt_secret.unwrap().expose(), "a secret of tokens in a file");
    let [shop, monitor] = &config.api.keys[..] else { panic!("{:?}", config.api.keys) };
    assert_eq!((shop.name.as_str(), shop.expires, monitor.name.as_str()), ("shop", None, "monitor"));
    assert!(monitor.expires.is_some());
}

#[tokio::test]
async fn the_names_of_laravel_set_a_key_a_secret_and_the_application() {
    // The SHA-256 of `abc`.
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let secret = "the secret in the .env of Laravel";
    let given =
        [("WEBSOCKET_API_KEY_HASH", hash), ("JWT_SECRET", secret), ("LARAVEL_API_URL", "https://app.example.com")];
    let config = load("", variables("laravel", &given));
    assert_eq!(config.auth.backend.url.as_deref(), Some("https://app.example.com/api/user"));
    assert_eq!(config.api.keys[0].name, "laravel");
    // The same values in a file.
    let hub = Hub::with(&format!(
        "auth.jwt_secret = {secret:?}\n[[api.keys]]\nname = \"laravel\"\nsha256 = {:?}",
        config.api.keys[0].sha256.as_ref().unwrap().expose()
    ));
    assert_eq!(config.auth.jwt_secret.unwrap().expose(), secret);
    let token = signed(jsonwebtoken::Algorithm::HS256, secret, &json!({"sub": 7, "exp": 4_000_000_000_u64}));
    Client::connect(&hub, &token).await;
    let request = hub.http().request("GET", "/api/status").header("X-WebSocket-API-Key", "abc").send();
    assert_eq!(request.status, 200);
}

#[test]
fn the_typical_configurations_are_valid_without_a_warning() {
    for name in ["development", "production", "browsers", "push"] {
        let mut config = file(name);
        // A warning depends on the files there.
        config.server.data_dir = "/nonexistent".into();
        assert_eq!(warnings(&config, 0), [""; 0], "{name}");
    }
}

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// Runs the one command of the block `name` in `dir`.
#[track_caller]
fn run(dir: &Path, name: &str) -> CommandOutput {
    let command = text("configuration", name);
    let words: Vec<_> = command.split_whitespace().collect();
    assert_eq!((words[0], command.lines().count()), ("hubbub", 1), "{command}");
    finish(hubbub(dir).args(&words[1..]))
}

#[test]
fn check_prints_what_the_page_shows() {
    let page = page("configuration");
    let dir = directory(&[("config.toml", "server.port = 0\nbackend.url = 'http://127.0.0.1:1'")]);
    let checked = run(dir.path(), "check");
    assert_eq!((checked.status, checked.stdout.as_str()), (Some(0), "the configuration is valid\n"));
    let rules = checked.stderr.lines().last().unwrap();
    assert!(page.contains(rules), "{rules}");

    let live = run(dir.path(), "check-live");
    assert_eq!(live.status, Some(1), "{live:?}");
    for (documented, printed) in page.split("server.port: ok").nth(1).unwrap().lines().zip(live.stdout.lines()) {
        let start = |line: &str| line.split([',', ' ']).next().unwrap_or_default().to_owned();
        if printed.starts_with("server.port") {
            continue;
        }
        assert_eq!(start(documented), start(printed));
    }
    assert!(live.stderr.ends_with("hubbub: 1 of 7 checks failed\n"), "{}", live.stderr);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the file is there");

    let new = "server.port = 9000\nlimits.http.requests_per_minute = 600";
    let dir = directory(&[("config.toml", ""), ("new.toml", new)]);
    let changes = run(dir.path(), "check-diff");
    assert_eq!(changes.status, Some(0), "{changes:?}");
    assert!(page.contains(&changes.stdout), "{}", changes.stdout);
}

#[test]
fn errors_are_as_the_page_shows() {
    let page = page("configuration");
    let dir = directory(&[("config.toml", "[server]\n\nprot = 1")]);
    let wrong = finish(hubbub(dir.path()).arg("check"));
    assert!(page.contains(wrong.stderr.lines().last().unwrap()), "{}", wrong.stderr);
    let dir = directory(&[]);
    let wrong = finish(hubbub(dir.path()).arg("check").env("HUBBUB_SERVER__PORT", "abc"));
    assert_eq!(wrong.status, Some(1));
    assert!(page.contains(wrong.stderr.lines().last().unwrap()), "{}", wrong.stderr);
}

#[test]
fn a_new_key_is_valid_by_its_entry() {
    let dir = directory(&[]);
    let printed = run(dir.path(), "new-key").stdout;
    let (key, entry) = printed.strip_prefix("key: ").unwrap().split_once("\n\n").unwrap();
    assert!(entry.starts_with("[[api.keys]]\nname = \"billing\"\nsha256 = \""), "{entry}");
    let hub = Hub::with(entry);
    let status = |key: &str| hub.http().request("GET", "/api/status").header("X-API-Key", key).send().status;
    assert_eq!((status(key), status("another")), (200, 401));
}
