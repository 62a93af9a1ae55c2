//! The documents agree with the program.

use std::collections::BTreeSet;
use std::fs;

use hubbub::config::diff;
use hubbub_actors::events::catalogue;

use crate::support::run::hubbub;
use crate::support::tables::assert_tables;

/// The page `docs/{name}.md`.
fn page(name: &str) -> String {
    fs::read_to_string(format!("{}/docs/{name}.md", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_event_tables_equal_the_output_of_hubbub_events() {
    assert_tables("docs/events.md (`hubbub events` prints its tables)", &page("events"), &catalogue::markdown());
}

#[test]
fn the_table_of_reloads_has_every_configuration_key() {
    let manual = page("operate");
    let keys = |row: &str| -> BTreeSet<String> { row.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    for row in diff::markdown().lines().skip(2) {
        let (_, effect) = row.trim_end_matches(" |").rsplit_once("| ").unwrap();
        let documented =
            manual.lines().find(|line| line.starts_with("| `") && line.ends_with(&format!("| {effect} |")));
        let (expected, documented) = (keys(row), keys(documented.unwrap_or_default()));
        let missing: Vec<_> = expected.difference(&documented).collect();
        let surplus: Vec<_> = documented.difference(&expected).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "docs/operate.md, row of keys that apply {effect}: add {missing:?}, remove {surplus:?}"
        );
    }
    assert_tables("docs/operate.md", &manual, &diff::markdown());
}

#[test]
fn the_documented_commands_exist() {
    let pages = ["getting-started", "configuration", "backends", "http-api"].map(page).concat();
    let dir = tempfile::tempdir().unwrap();
    for command in ["check", "token", "user", "key", "events", "openapi"] {
        assert!(pages.contains(&format!("hubbub {command}")), "{command}");
        let status = hubbub(dir.path()).args([command, "--help"]).output().unwrap().status;
        assert_eq!(status.code(), Some(0), "{command}");
    }
}

#[test]
fn the_tables_of_errors_have_every_code_and_every_close() {
    assert_tables("docs/errors.md", &page("errors"), &hubbub::error::table::markdown());
}
