//! Runs the binary as a command to its end; its output and its exit status.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::wait::{DEADLINE, wait_until};

/// The result of a command.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    /// The exit status, or none when a signal ended it.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The hub's binary in `dir`, in an environment without the hub's variables.
pub(crate) fn hubbub(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    command.current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("HUBBUB_") || text.starts_with("RUST_LOG") {
            command.env_remove(&name);
        }
    }
    command
}

/// Shell commands after which no file can grow, as on a full disk: a write fails with an error of the disk.
pub(crate) const FULL_DISK: &str = "trap '' XFSZ; ulimit -S -f 0";

/// As [`hubbub`], started by a shell that runs `first` before.
pub(crate) fn hubbub_after(dir: &Path, first: &str) -> Command {
    let program = hubbub(dir);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{first} && exec \"$0\" \"$@\"")]).arg(program.get_program());
    shell.current_dir(dir).stdin(Stdio::null());
    for (name, _) in program.get_envs() {
        shell.env_remove(name);
    }
    shell
}

/// Runs `hubbub ARGS` in `dir` to its end; fails at the deadline.
#[track_caller]
pub(crate) fn run(dir: &Path, args: &[&str]) -> CommandOutput {
    finish(hubbub(dir).args(args))
}

/// Runs a prepared command to its end.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> CommandOutput {
    // The output goes into files, so that the command never waits for a reader.
    let files = tempfile::tempdir().unwrap();
    let (out, err) = (files.path().join("out"), files.path().join("err"));
    let mut child = command
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(&err).unwrap())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut status = None;
    let started = std::time::Instant::now();
    wait_until(DEADLINE * 2, &format!("{command:?} ends"), || {
        status = child.try_wait().unwrap();
        if started.elapsed() > DEADLINE && status.is_none() {
            child.kill().unwrap();
        }
        status.is_some()
    });
    let ended = CommandOutput {
        status: status.and_then(|status| status.code()),
        stdout: fs::read_to_string(&out).unwrap(),
        stderr: fs::read_to_string(&err).unwrap(),
    };
    assert!(started.elapsed() < DEADLINE, "{command:?} did not end within {DEADLINE:?}: {ended:?}");
    ended
}
