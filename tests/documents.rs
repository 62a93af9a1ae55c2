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
    let pages = [page("getting-started"), page("configuration"), page("backends")].concat();
    let dir = tempfile::tempdir().unwrap();
    for command in ["check", "token", "user", "key", "events"] {
        assert!(pages.contains(&format!("hubbub {command}")), "{command}");
        let status = hubbub(dir.path()).args([command, "--help"]).output().unwrap().status;
        assert_eq!(status.code(), Some(0), "{command}");
    }
}

#[test]
fn the_tables_of_errors_have_every_code_and_every_close() {
    assert_tables("docs/errors.md", &page("errors"), &hubbub::error::table::markdown());
}

/// The parameters of a path have other names in the code: `/api/rooms/{room:.+}` and `/api/rooms/{room}` are `/api/rooms/{}`.
fn without_names(path: &str) -> String {
    let mut parts = path.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |path, part| path + "{}" + part.split_once('}').unwrap().1)
}

/// Method and path of every route in `src/api/mod.rs`. `GET /ws` only refuses requests without an upgrade.
fn routes() -> BTreeSet<String> {
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/mod.rs")).unwrap();
    let mut routes = BTreeSet::new();
    let is_route = |line: &&str| line.contains("service(public(") || line.contains("service(guarded(");
    assert_eq!(source.lines().filter(is_route).count(), source.matches(".service(").count(), "a route is one line");
    for line in source.lines().filter(is_route) {
        let mut parts = line.splitn(3, '"').skip(1);
        let (path, handlers) = (without_names(parts.next().unwrap()), parts.next().unwrap());
        let known = routes.len();
        for method in ["get", "put", "post", "delete"] {
            if handlers.contains(&format!(".{method}(")) {
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        assert!(routes.len() > known, "a route without a known method: {line}");
    }
    assert!(routes.remove("GET /ws"));
    routes
}

/// Method and path of every endpoint in the table of docs/backends.md.
fn documented_routes() -> BTreeSet<String> {
    let page = page("backends");
    let (_, table) = page.split_once("| endpoint | what it does |\n|---|---|\n").unwrap();
    let mut routes = BTreeSet::new();
    for row in table.lines().take_while(|line| line.starts_with('|')) {
        let row = row.replace("\\|", "");
        let mut methods = Vec::new();
        let mut is_new = true;
        for span in row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            for word in span.split(' ').take_while(|word| !word.starts_with('{')) {
                if ["GET", "PUT", "POST", "DELETE"].contains(&word) {
                    if !is_new {
                        methods.clear();
                    }
                    methods.push(word);
                    is_new = true;
                } else if word.starts_with('/') {
                    let path = without_names(word.split('?').next().unwrap());
                    routes.extend(methods.iter().map(|method| format!("{method} {path}")));
                    is_new = false;
                }
            }
        }
    }
    routes
}

#[test]
fn the_table_of_endpoints_has_every_route() {
    let (routes, documented) = (routes(), documented_routes());
    let missing: Vec<_> = routes.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/backends.md lacks {missing:?}");
    let unknown: Vec<_> = documented.difference(&routes).collect();
    assert!(unknown.is_empty(), "docs/backends.md has endpoints that src/api/mod.rs lacks: {unknown:?}");
}
