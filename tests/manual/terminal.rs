//! A terminal of a reader: runs a `sh` block of a page, takes typed lines, and compares what it prints with a `text` block.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;

use crate::support::run::hubbub;
use crate::support::tools::node_modules;
use crate::support::wait::{DEADLINE, wait_until};

/// Lines that depend on the other terminals, or on the directory.
const OTHERS: [&str; 4] = ["user_online ", "user_offline ", "connect_error ", "hubbub: reading "];

/// Commands of the pages that tests replace, so that they build nothing, and install nothing but pinned packages.
pub(super) struct Shims {
    dir: PathBuf,
}

impl Shims {
    /// Writes `cargo`, `npm` and `npx` for a hub on `port` into `dir`.
    pub(super) fn write(dir: &Path, port: u16) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let wscat = node_modules(&tests.join("manual/packages")).join("wscat/bin/wscat");
        let packages = node_modules(&tests.join("clients/socketio"));
        let cargo = format!(
            "[ \"$1\" = run ] || exit 2\nshift\n[ \"$1\" = -q ] && shift\n[ \"$1\" = -- ] && shift\n\
             HUBBUB_SERVER__PORT={port} exec {:?} \"$@\"",
            hubbub(dir).get_program()
        );
        let npm = format!(
            "[ \"$*\" = 'install --silent --prefix target/try socket.io-client@4' ] || exit 2\n\
             mkdir -p target/try\nln -sfn {packages:?} target/try/node_modules"
        );
        let npx = format!("[ \"$1 $2\" = '-y wscat' ] || exit 2\nshift 2\nexec node {wscat:?} \"$@\"");
        let shims = Self { dir: dir.join("shims") };
        fs::create_dir(&shims.dir).unwrap();
        for (name, script) in [("cargo", cargo), ("npm", npm), ("npx", npx)] {
            let file = shims.dir.join(name);
            fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            make_executable(&file);
        }
        shims
    }

    /// A shell in `dir` that runs `script`, by these commands.
    fn shell(&self, dir: &Path, script: &str) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(dir).env("PATH", format!("{}:{path}", self.dir.display()));
        for (name, _) in hubbub(dir).get_envs() {
            shell.env_remove(name);
        }
        shell
    }
}

fn make_executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A shell in a process group of its own. Killed with its programs when dropped.
pub(super) struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    /// Holds its output.
    dir: TempDir,
    /// The number of lines that were compared.
    read: usize,
}

impl Terminal {
    #[track_caller]
    pub(super) fn run(shims: &Shims, dir: &Path, script: &str) -> Self {
        let own = tempfile::tempdir().unwrap();
        let output = File::create(own.path().join("output")).unwrap();
        let mut shell = shims.shell(dir, script);
        shell.stdin(Stdio::piped()).stdout(output.try_clone().unwrap()).stderr(output).process_group(0);
        let mut child = shell.spawn().unwrap();
        let input = child.stdin.take();
        Self { child, input, dir: own, read: 0 }
    }

    /// Types these lines.
    #[track_caller]
    pub(super) fn type_in(&mut self, lines: &str) {
        self.input.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    }

    /// Waits until the next lines are `expected`, where `…` is any text.
    #[track_caller]
    pub(super) fn expect(&mut self, expected: &str) {
        for pattern in expected.lines() {
            let mut line = String::new();
            wait_until(DEADLINE * 2, &format!("the terminal prints {pattern:?}"), || {
                let lines = self.lines();
                while lines.get(self.read).is_some_and(|line| OTHERS.iter().any(|other| line.starts_with(other))) {
                    self.read += 1;
                }
                line = lines.get(self.read).cloned().unwrap_or_default();
                !line.is_empty()
            });
            assert!(matches(pattern, &line), "expected: {pattern}\nprinted:  {line}");
            self.read += 1;
        }
    }

    /// Waits until the program ends.
    #[track_caller]
    pub(super) fn wait_for_end(&mut self) {
        wait_until(DEADLINE, "the program ends", || self.child.try_wait().unwrap().is_some());
    }

    /// Presses Ctrl+C.
    pub(super) fn interrupt(&self) {
        self.signal("INT");
    }

    fn signal(&self, name: &str) {
        let group = format!("kill -{name} -{}", self.child.id());
        let _ = Command::new("sh").args(["-c", &group]).stderr(Stdio::null()).status();
    }

    /// The complete lines that it printed, without the marks that wscat shows on a terminal only.
    fn lines(&self) -> Vec<String> {
        let output = self.output();
        let complete = output.rsplit_once('\n').map_or("", |(complete, _)| complete);
        complete.lines().map(|line| line.trim_start_matches("> ").to_owned()).collect()
    }

    fn output(&self) -> String {
        fs::read_to_string(self.dir.path().join("output")).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the output of the terminal:\n{}----", self.output());
        }
    }
}

/// Whether a line is the pattern, where `…` is any text. `< ` is what wscat shows on a terminal before a message.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.trim_start_matches("< ").split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn an_ellipsis_stands_for_any_text() {
    assert!(matches("< a…c", "abc") && matches("a…", "a") && matches("a…c…e", "abcde") && matches("a", "a"));
    assert!(!matches("a…c", "abcd") && !matches("a", "ab") && !matches("a…c…e", "abde") && !matches("ab…bc", "abc"));
}
