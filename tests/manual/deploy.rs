//! docs/deploy.md: its settings are valid, its limits are the hub's, and each file of `deploy/` is on the page.

use std::fs;

use hubbub::config::Config;
use serde_json::{Value, json};

use crate::support::blocks::{block, page};
use crate::support::run::{finish, hubbub};
use crate::support::token::token;
use crate::support::{Hub, Sio};

/// Asserts that a hub accepts a configuration and variables.
#[track_caller]
fn assert_valid(config: &str, variables: &str) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), config).unwrap();
    let mut check = hubbub(dir.path());
    check.arg("check").envs(variables.lines().map(|line| line.split_once('=').unwrap()));
    let checked = finish(&mut check);
    assert_eq!((checked.status, checked.stdout.as_str()), (Some(0), "the configuration is valid\n"), "{checked:?}");
}

#[test]
fn the_settings_are_valid() {
    let variables = block("deploy", "deploy-secrets").text;
    let variables =
        variables.replace("SECRET=replace-me", "SECRET=0123456789abcdef").replace("replace-me", &"0".repeat(64));
    assert_valid(&block("deploy", "deploy-proxied").text, &variables);
    assert_valid(&block("deploy", "deploy-nat").text, "");
}

#[test]
fn the_placeholders_of_the_secrets_are_refused() {
    let variables = block("deploy", "deploy-secrets").text;
    assert_eq!(variables.matches("replace-me").count(), variables.lines().count());
    for variable in variables.lines().map(|line| line.split_once('=').unwrap()) {
        let dir = tempfile::tempdir().unwrap();
        let refused = finish(hubbub(dir.path()).arg("check").envs([variable]));
        assert!(refused.status != Some(0) && refused.stderr.contains(variable.0), "{refused:?}");
    }
}

#[test]
fn the_limits_behind_one_address_have_their_defaults() {
    let config = serde_json::to_value(Config::default()).unwrap();
    let mut checked = 0;
    for row in page("deploy").lines().filter(|line| line.starts_with("| `limits.")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let pointer = format!("/{}", cells[1].trim_matches('`').replace('.', "/"));
        assert_eq!(config.pointer(&pointer).map(Value::to_string).as_deref(), Some(cells[2]), "{row}");
        checked += 1;
    }
    assert_eq!(checked, 8);
    let chat = &config["limits"]["chat"];
    assert_eq!((&chat["attempts_window_secs"], &chat["block_secs"]), (&json!(300), &json!(900)));
}

/// The results of six connections to `/chat` of six clients behind one proxy: 1 for each accepted one.
async fn six_clients(hub: &Hub) -> Vec<u8> {
    let mut accepted = Vec::new();
    for n in 1..=6 {
        let mut client = Sio::open_with(hub, &[("X-Forwarded-For", &format!("203.0.113.{n}"))]).await;
        accepted.push(client.connect("/chat", &json!({"token": token("alice")})).await.is_ok().into());
    }
    accepted
}

#[tokio::test]
async fn clients_of_a_proxy_that_is_not_trusted_share_the_attempts_on_chat() {
    assert_eq!(six_clients(&Hub::with("[server]\ntrusted_proxies = [\"127.0.0.1\"]")).await, [1, 1, 1, 1, 1, 1]);
    let hub = Hub::start();
    assert_eq!(six_clients(&hub).await, [1, 1, 1, 1, 1, 0]);
    assert!(hub.output().contains("X-Forwarded-For is ignored"), "{}", hub.output());
}

#[test]
fn each_directory_of_deploy_is_on_the_page() {
    let page = page("deploy");
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy")).unwrap() {
        let link = format!("](../deploy/{}", entry.unwrap().file_name().display());
        assert!(page.contains(&link), "docs/deploy.md has no link {link}");
    }
}
