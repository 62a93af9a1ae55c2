//! The description of the HTTP API is current, valid, and true of a running hub.

mod examples;
mod schemathesis;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hubbub::openapi::{document, markdown};
use serde_json::{Value, json};

use crate::support::account::{PASSWORD, TestSignIn, UNLIMITED, add_user, sign_in};
use crate::support::run::run;
use crate::support::{Hub, JWT_SECRET};

/// A file of the repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The document of the route table.
fn described() -> Value {
    document::json(&hubbub::api::described())
}

/// A hub without rate limits, with a history of every topic, and an administrator that signed in.
fn hub() -> (Hub, TestSignIn) {
    let hub = Hub::with(&format!("{UNLIMITED}\n[[topics]]\npattern = \"*\"\nhistory = 10\n"));
    let user = json!({"username": "admin", "password": PASSWORD, "roles": ["admin"]});
    assert_eq!(add_user(&hub.http(), &user).status, 201);
    let admin = sign_in(&hub, "admin");
    (hub, admin)
}

#[track_caller]
fn assert_current(path: &str, expected: &str, format: &str) {
    let text = fs::read_to_string(file(path)).unwrap();
    let differs = text.lines().zip(expected.lines()).position(|(is, should)| is != should);
    let renew = format!("cargo run -q -- openapi --format {format} --write {path}");
    assert!(text == expected, "{path} differs from line {:?} on; renew it: {renew}", differs.map(|line| line + 1));
}

#[test]
fn the_openapi_document_in_docs_is_current() {
    assert_current("docs/openapi.json", &format!("{:#}\n", described()), "json");
}

#[test]
fn the_page_of_the_http_api_is_current() {
    assert_current("docs/http-api.md", &markdown::of(&hubbub::api::described()), "markdown");
}

#[test]
fn the_command_prints_and_writes_both_formats() {
    let dir = tempfile::tempdir().unwrap();
    for (format, path) in [("json", "docs/openapi.json"), ("markdown", "docs/http-api.md")] {
        let expected = fs::read_to_string(file(path)).unwrap();
        let printed = run(dir.path(), &["openapi", "--format", format]);
        assert_eq!((printed.status, printed.stdout == expected), (Some(0), true), "{format}");
        let written = run(dir.path(), &["openapi", "--format", format, "--write", "out"]);
        assert_eq!((written.status, written.stdout.as_str()), (Some(0), "out: written\n"));
        assert!(fs::read_to_string(dir.path().join("out")).unwrap() == expected, "{format}");
    }
    let refused = run(dir.path(), &["openapi", "--write", "no/such/directory"]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.starts_with("hubbub: no/such/directory: "), "{}", refused.stderr);
}

#[test]
fn a_hub_serves_its_document_under_its_base_path() {
    for (base, url) in [("", "/"), ("/realtime", "/realtime")] {
        // Not waited for, because the wait asks without a base path.
        let hub = Hub::unready(&format!("[server]\nbase_path = \"{base}\""));
        let answer = hub.http().get(&format!("{base}/openapi.json"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let mut expected = described();
        expected["servers"] = json!([{"url": url}]);
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        assert!(answer.json() == expected, "the served document of {base:?} is another one");
        assert!(!answer.body.contains(JWT_SECRET));
    }
}

#[test]
fn every_route_is_described_once_with_its_parameters() {
    let (document, routes) = (described(), hubbub::api::described());
    let names: BTreeSet<_> = routes.iter().map(|route| route.operation.id).collect();
    assert_eq!(names.len(), routes.len(), "two routes have the same name");
    for route in &routes {
        let described = &document["paths"][&route.path][route.method.to_lowercase()];
        assert_eq!(described["operationId"], route.operation.id);
        let parameters = described["parameters"].as_array().unwrap().iter();
        let in_path = parameters.filter(|parameter| parameter["in"] == "path");
        let named: Vec<_> = in_path.map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap())).collect();
        let segments = route.path.split('/').filter(|segment| segment.starts_with('{'));
        assert_eq!(named, segments.collect::<Vec<_>>(), "{} {}", route.method, route.path);
    }
    let operations: usize =
        document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(operations, routes.len());
}

#[test]
fn every_field_and_every_parameter_has_a_meaning() {
    let document = described();
    let mut silent = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            if schema["description"].as_str().is_none_or(str::is_empty) {
                silent.push(format!("{name}.{field}"));
            }
        }
    }
    for (path, methods) in document["paths"].as_object().unwrap() {
        for described in methods.as_object().unwrap().values() {
            let parameters = described["parameters"].as_array().unwrap().iter();
            let silent_ones = parameters.filter(|it| it.get("$ref").is_none() && it["description"].is_null());
            silent.extend(silent_ones.map(|parameter| format!("{path} {}", parameter["name"])));
        }
    }
    assert!(silent.is_empty(), "without a doc comment: {silent:?}");
}
