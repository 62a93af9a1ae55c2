//! Schemathesis makes requests from the description, valid and invalid ones, and checks the responses of a running hub.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::{described, file, hub};
use crate::support::account::TestSignIn;
use crate::support::tools::{Program, python};
use crate::support::{API_KEY, Hub};

/// What is checked in each response.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,ignored_auth";

/// Most generated requests of an operation in a phase.
const EXAMPLES: &str = "10";

/// Runs Schemathesis with a document in `dir`.
fn run(dir: &Path, hub: &Hub, admin: &TestSignIn, more: &[&str]) -> Output {
    let program = python(&file("tests/openapi/requirements.txt")).with_file_name("schemathesis");
    let mut command = Command::new(program);
    command.current_dir(dir).env("NO_COLOR", "1").arg("--config-file").arg(file("tests/openapi/schemathesis.toml"));
    command.args(["run", "openapi.json", "--url"]).arg(format!("http://{}", hub.address()));
    command.args(["-H", &format!("X-API-Key: {API_KEY}"), "-H", &format!("Authorization: Bearer {}", admin.access)]);
    command.args(["--phases", "examples,coverage,fuzzing", "--checks", CHECKS, "--max-examples", EXAMPLES]);
    command.args(["--no-shrink", "--warnings", "off", "--request-timeout", "30"]).args(more);
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn schemathesis_finds_no_difference_between_the_description_and_the_hub() {
    let (hub, admin) = hub();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("openapi.json"), described().to_string()).unwrap();
    let output = run(dir.path(), &hub, &admin, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let all = format!("Tested: {}", hubbub::api::described().len());
    assert!(text(&output).contains(&all), "not {all}: {}", text(&output));
}

#[test]
fn schemathesis_finds_a_wrong_schema() {
    let (hub, admin) = hub();
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = described();
    wrong["components"]["schemas"]["CommandReply"]["properties"]["recipients"]["type"] = "string".into();
    fs::write(dir.path().join("openapi.json"), wrong.to_string()).unwrap();
    let output = run(dir.path(), &hub, &admin, &["--include-operation-id", "push"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("Response violates schema"), "{}", text(&output));
}

#[test]
fn the_document_is_valid_openapi_and_its_examples_fit_their_schemas() {
    let dir = tempfile::tempdir().unwrap();
    let document = dir.path().join("openapi.json");
    fs::write(&document, described().to_string()).unwrap();
    let mut python = Command::new(python(&file("tests/openapi/requirements.txt")));
    let report = Program::start(python.arg(file("tests/openapi/validate.py")).arg(document)).report();
    assert!(report["examples"].as_u64().unwrap() > 30, "{report}");
}
