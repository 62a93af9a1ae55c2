//! Runs the code blocks of a page, each with the program of its language.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::Hub;
use crate::support::blocks::block;
use crate::support::run::{CommandOutput, finish};
use crate::support::tools::{Program, laravel, node_modules, php, python};

/// A program from the blocks of a page.
pub(super) struct Snippet {
    command: Command,
    /// Holds the program's file.
    dir: TempDir,
}

impl Snippet {
    /// The program of the block `name`; `change` edits its text.
    #[track_caller]
    pub(super) fn changed(page: &str, name: &str, change: impl FnOnce(String) -> String) -> Self {
        let block = block(page, name);
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let text = change(block.text);
        let mut command = match block.language.as_str() {
            "sh" => {
                let mut shell = Command::new("sh");
                shell.arg("-eu").arg(file("snippet.sh", &text));
                shell
            }
            "python" => {
                let mut interpreter = Command::new(python(&packages("requirements.txt")));
                interpreter.arg(file("snippet.py", &text));
                interpreter
            }
            "js" => {
                symlink(node_modules(&packages("")), dir.path().join("node_modules")).unwrap();
                let mut node = Command::new("node");
                node.arg(file("snippet.mjs", &text));
                node
            }
            "php" if text.contains("Illuminate\\") => {
                let mut php = laravel();
                let facades = packages("laravel.php");
                php.arg("-d").arg(format!("auto_prepend_file={}", facades.display())).arg(file("snippet.php", &text));
                php
            }
            "php" => {
                let mut php = php();
                php.arg(file("snippet.php", &text));
                php
            }
            other => panic!("docs/{page}.md: the block {name} is in {other}"),
        };
        command.current_dir(dir.path());
        Self { command, dir }
    }

    /// The program of the block `name`.
    #[track_caller]
    pub(super) fn of(page: &str, name: &str) -> Self {
        Self::changed(page, name, |text| text)
    }

    /// With this variable.
    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With the address of `hub` and this key, as the pages name them.
    pub(super) fn for_hub(self, hub: &Hub, key: &str) -> Self {
        self.env("HUB_URL", &format!("http://{}", hub.address())).env("HUB_KEY", key)
    }

    /// In this directory.
    pub(super) fn within(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Starts it, to run beside the test.
    #[track_caller]
    pub(super) fn start(mut self) -> (Program, TempDir) {
        (Program::start(&mut self.command), self.dir)
    }

    /// Runs it to its end.
    #[track_caller]
    pub(super) fn finish(mut self) -> CommandOutput {
        finish(&mut self.command)
    }

    /// Runs it to its end, which must be a success; what it prints.
    #[track_caller]
    pub(super) fn output(self) -> String {
        let done = self.finish();
        assert_eq!(done.status, Some(0), "{}{}", done.stdout, done.stderr);
        done.stdout
    }

    /// As [`Snippet::output`], as one JSON text.
    #[track_caller]
    pub(super) fn json(self) -> Value {
        let output = self.output();
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("not JSON ({error}): {output}"))
    }
}

/// A file of the packages that the blocks use.
pub(super) fn packages(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manual/packages").join(name)
}

/// The block `name` of a page as text.
#[track_caller]
pub(super) fn text(page: &str, name: &str) -> String {
    block(page, name).text
}
