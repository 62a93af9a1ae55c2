//! The documents agree with the program.

use std::collections::BTreeSet;
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
    let names = ["getting-started", "configuration", "configuration-keys", "backends", "errors", "metrics"];
    let pages = names.map(page).concat();
    let dir = tempfile::tempdir().unwrap();
    for command in ["check", "token", "user", "key", "events", "errors", "metrics", "settings"] {
        assert!(pages.contains(&format!("hubbub {command}")), "{command}");
        let status = hubbub(dir.path()).args([command, "--help"]).output().unwrap().status;
        assert_eq!(status.code(), Some(0), "{command}");
    }
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
