//! The README says what is.

use std::fs;

use hubbub_actors::events::catalogue;
use hubbub_actors::model::close::Close;

use crate::support::run::hubbub;

fn readme() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

#[test]
fn the_event_tables_are_those_of_the_catalogue() {
    let tables = catalogue::markdown();
    assert!(readme().contains(&tables), "put these into README.md (hubbub events prints them):\n{tables}");
}

#[test]
fn the_commands_it_names_are_there() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["serve", "check", "token", "user", "key", "events"] {
        assert!(readme().contains(command), "{command}");
        let status = hubbub(dir.path()).args([command, "--help"]).output().unwrap().status;
        assert_eq!(status.code(), Some(0), "{command}");
    }
}

#[test]
fn every_close_code_is_in_it() {
    for close in Close::ALL {
        assert!(readme().contains(&close.code().to_string()), "{close:?}");
    }
}
