//! The files for systemd, containers, Kubernetes and pm2 are valid, and their numbers fit the hub's defaults.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use hubbub::config::Config;

use crate::support::run::{finish, hubbub};
use crate::support::tools::{debian_program, python};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn file(name: &str) -> String {
    fs::read_to_string(format!("{ROOT}/deploy/{name}")).unwrap()
}

/// The number behind `name` in a file of `deploy/`.
#[track_caller]
fn number(file_name: &str, name: &str) -> u64 {
    let text = file(file_name);
    let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("deploy/{file_name} has no {name}"));
    line.chars().filter(|letter| letter.is_ascii_digit()).collect::<String>().parse().unwrap()
}

/// A Python program that the tests install.
fn python_program(name: &str) -> PathBuf {
    python(format!("{ROOT}/tests/deploy/requirements.txt").as_ref()).with_file_name(name)
}

#[track_caller]
fn assert_accepted(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

#[test]
fn every_stop_waits_longer_than_a_shutdown() {
    let longest = u64::from(Config::default().server.shutdown_secs);
    for (file_name, name, unit) in [
        ("systemd/hubbub.service", "TimeoutStopSec=", 1),
        ("container/compose.yaml", "stop_grace_period:", 1),
        ("kubernetes/hubbub.yaml", "terminationGracePeriodSeconds:", 1),
        ("pm2/ecosystem.config.cjs", "kill_timeout:", 1_000),
    ] {
        assert!(number(file_name, name) > longest * unit, "deploy/{file_name}: {name}");
    }
}

#[test]
fn every_limit_of_open_files_allows_all_connections() {
    // Each session may have a connection, and each plain HTTP connection has one.
    let needed = 2 * Config::default().server.max_connections as u64 + 2_048;
    for (file_name, name) in [("systemd/hubbub.service", "LimitNOFILE="), ("container/compose.yaml", "nofile:")] {
        assert!(number(file_name, name) > needed, "deploy/{file_name}: {name}");
    }
}

#[test]
fn systemd_accepts_the_unit() {
    let analyze = debian_program("systemd-analyze", "systemd");
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("hubbub.service");
    // It checks that the program exists.
    fs::write(&unit, file("systemd/hubbub.service").replace("/usr/local/bin/hubbub", env!("CARGO_BIN_EXE_hubbub")))
        .unwrap();
    let output = Command::new(&analyze).arg("verify").arg(&unit).output().unwrap();
    // Some versions also write about other units, or about the machine. An unknown key has the status 0.
    let written = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !written.contains("hubbub.service"), "{output:?}");
    assert_accepted(
        Command::new(&analyze).args(["security", "--offline=yes", "--threshold=20", "--no-pager"]).arg(&unit),
    );
}

#[test]
fn the_image_is_built_by_the_oldest_rust_that_the_packages_allow() {
    let cargo = fs::read_to_string(format!("{ROOT}/Cargo.toml")).unwrap();
    let line = cargo.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let image = format!("FROM rust:{}-", line.trim_matches('"'));
    assert!(file("container/Dockerfile").contains(&image), "deploy/container/Dockerfile: {image}");
}

#[test]
fn the_container_files_are_valid() {
    assert_accepted(Command::new(python_program("hadolint")).arg(format!("{ROOT}/deploy/container/Dockerfile")));
    let mut schema = Command::new(python_program("check-jsonschema"));
    schema.args(["--builtin-schema", "vendor.compose-spec"]);
    assert_accepted(schema.arg(format!("{ROOT}/deploy/container/compose.yaml")));
}

#[test]
fn kubernetes_accepts_the_manifests() {
    let mut validate = Command::new(python_program("kubernetes-validate"));
    assert_accepted(validate.arg("--strict").arg(format!("{ROOT}/deploy/kubernetes/hubbub.yaml")));
}

#[test]
fn the_hub_accepts_the_configuration_in_the_manifests() {
    let manifests = file("kubernetes/hubbub.yaml");
    let (_, rest) = manifests.split_once("config.toml: |\n").unwrap();
    let (config, _) = rest.split_once("---").unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), config).unwrap();
    let keys = r#"[{name = "backend", sha256 = "replace-me"}]"#;
    for (variable, quote, placeholder) in
        [("HUBBUB_AUTH__JWT_SECRET", '"', "replace-me"), ("HUBBUB_API__KEYS", '\'', keys)]
    {
        assert!(manifests.contains(&format!("{variable}: {quote}{placeholder}{quote}\n")), "{variable}");
        let refused = finish(hubbub(dir.path()).arg("check").env(variable, placeholder));
        assert!(refused.status != Some(0) && refused.stderr.contains(variable), "{refused:?}");
    }
    let mut check = hubbub(dir.path());
    check
        .arg("check")
        .env("HUBBUB_API__KEYS", keys.replace("replace-me", &"0".repeat(64)))
        .env("HUBBUB_SERVER__TRUSTED_PROXIES", r#"["172.30.81.1"]"#);
    let checked = finish(&mut check);
    assert_eq!((checked.status, checked.stdout.as_str()), (Some(0), "the configuration is valid\n"), "{checked:?}");
    assert!(file("container/compose.yaml").contains(r#"HUBBUB_SERVER__TRUSTED_PROXIES: '["172.30.81.1"]'"#));
}

#[test]
fn pm2_runs_the_program_once_and_not_as_a_script() {
    let script = "const [app, ...more] = require(process.argv[1]).apps; \
                  console.log([more.length, app.interpreter, app.exec_mode, app.instances].join());";
    let file = format!("{ROOT}/deploy/pm2/ecosystem.config.cjs");
    let output = Command::new("node").args(["-e", script, &file]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0,none,fork,1\n", "{output:?}");
}
