//! The documents agree with the program.

use std::fs;

use hubbub::config::reference;
use hubbub_actors::events::catalogue;

use crate::support::run::hubbub;
use crate::support::tables::assert_tables;

/// The page `docs/{name}.md`.
fn page(name: &str) -> String {
    fs::read_to_string(format!("{}/docs/{name}.md", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Each generated page with its command and its tables.
fn generated() -> [(&'static str, &'static str, String); 4] {
    [
        ("events", "events", catalogue::markdown()),
        ("errors", "errors", hubbub::error::table::markdown()),
        ("metrics", "metrics", hubbub::telemetry::markdown()),
        ("configuration-keys", "settings", reference::markdown()),
    ]
}

#[test]
fn the_generated_tables_equal_the_output_of_their_commands() {
    for (name, command, tables) in generated() {
        let mends = format!("docs/{name}.md (`cargo run -q -- {command} --write docs/{name}.md` replaces its tables)");
        assert_tables(&mends, &page(name), &tables);
        assert!(page(name).contains(&format!("`hubbub {command}`")), "docs/{name}.md does not name its command");
    }
}

#[test]
fn a_command_prints_its_tables_or_writes_them_into_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| hubbub(dir.path()).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    for (name, command, tables) in generated() {
        assert_eq!(text(run(&[command]).stdout), tables, "{command}");
        let file = format!("{name}.md");
        fs::write(dir.path().join(&file), page(name)).unwrap();
        let same = run(&[command, "--write", &file]);
        assert_eq!(text(same.stdout), format!("{file}: the tables are up to date\n"));

        // Without its last row, the last table differs.
        let last = tables.trim_end().rsplit('\n').next().unwrap();
        let head = tables.trim_end().rsplit("\n\n").next().unwrap().lines().next().unwrap();
        fs::write(dir.path().join(&file), page(name).replace(&format!("{last}\n"), "")).unwrap();
        let changed = run(&[command, "--write", &file]);
        assert_eq!(text(changed.stdout), format!("{file}: replaced the table {head}\n"));
        assert_eq!(fs::read_to_string(dir.path().join(&file)).unwrap(), page(name));
    }
    fs::write(dir.path().join("empty.md"), "# Empty\n").unwrap();
    let failed = run(&["errors", "--write", "empty.md"]);
    let error = "hubbub: empty.md: has no table with the first row | code | HTTP | meaning | what a client does |\n";
    assert_eq!((failed.status.code(), text(failed.stderr).as_str()), (Some(1), error));
    assert_eq!(run(&["errors", "--write", "absent.md"]).status.code(), Some(1));
}

/// Integers that are no bound: they choose an address, or a number of threads.
const NO_BOUND: [&str; 2] = ["server.port", "server.workers"];

#[test]
fn the_page_of_limits_names_every_bound_of_the_configuration() {
    let limits = page("limits");
    let sections = ["server", "auth", "backend", "socketio", "recovery", "topics", "presence", "limits"];
    let is_bound = |row: &&reference::KeyRow| {
        row.key.starts_with("limits.")
            || (row.values.starts_with(|first: char| first.is_ascii_digit())
                && sections.contains(&row.key.split('.').next().unwrap())
                && !NO_BOUND.contains(&row.key.as_str()))
    };
    let sections = reference::sections();
    let bounds: Vec<_> = sections.iter().flat_map(|section| &section.rows).filter(is_bound).collect();
    assert!(bounds.len() > 50, "{}", bounds.len());
    let missing: Vec<_> =
        bounds.iter().map(|row| &row.key).filter(|key| !limits.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/limits.md has no row for {missing:?}");
}

#[test]
fn the_documented_commands_exist() {
    let names = ["getting-started", "configuration", "configuration-keys", "backends", "errors", "metrics", "http-api"];
    let pages = names.map(page).concat();
    let dir = tempfile::tempdir().unwrap();
    for command in ["check", "token", "user", "key", "events", "errors", "metrics", "settings", "openapi"] {
        assert!(pages.contains(&format!("hubbub {command}")), "{command}");
        let status = hubbub(dir.path()).args([command, "--help"]).output().unwrap().status;
        assert_eq!(status.code(), Some(0), "{command}");
    }
}
