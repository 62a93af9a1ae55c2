//! Programs that the documents' clients run in: Node with its packages, Python with its own,
//! Chromium, PHP. What a machine lacks is installed once, under `target/` where that is possible; what
//! cannot be installed fails the test with what is missing, and nothing is ever skipped.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

use super::wait::{DEADLINE, wait_until};

/// A running program, ended with the test.
pub(crate) struct Program {
    child: Child,
    /// Its output, and whatever it needs a directory for.
    dir: TempDir,
}

impl Program {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_in(command, tempfile::tempdir().unwrap())
    }

    #[track_caller]
    fn start_in(command: &mut Command, dir: TempDir) -> Self {
        let output = |name: &str| File::create(dir.path().join(name)).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
        Self { child, dir }
    }

    /// Everything it has printed so far.
    pub(crate) fn output(&self) -> String {
        let read = |name: &str| fs::read(self.dir.path().join(name)).unwrap();
        let (out, err) = (read("stdout"), read("stderr"));
        format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err))
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for it to succeed; the last line of its output as JSON.
    #[track_caller]
    pub(crate) fn report(mut self) -> Value {
        let mut status = None;
        wait_until(DEADLINE * 4, "the client's driver ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let status = status.unwrap();
        assert!(status.success(), "the client's driver failed ({status}):\n{}", self.output());
        let out = fs::read_to_string(self.dir.path().join("stdout")).unwrap();
        serde_json::from_str(out.lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("no report ({error}):\n{}", self.output()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the program said:\n{}----", self.output());
        }
    }
}

/// `node_modules` with what the lock file in `dir` names.
#[track_caller]
pub(crate) fn node_modules(dir: &Path) -> PathBuf {
    let wanted = ["package.json", "package-lock.json"].map(|name| dir.join(name));
    let place = installed("node", &wanted, |place| {
        for file in &wanted {
            fs::copy(file, place.join(file.file_name().unwrap())).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(place);
        install(&mut npm, "Node.js with npm (Debian: nodejs, npm)");
    });
    place.join("node_modules")
}

/// A Python interpreter that has what these requirements name.
#[track_caller]
pub(crate) fn python(requirements: &Path) -> PathBuf {
    let place = installed("python", &[requirements.to_owned()], |place| {
        let mut venv = Command::new("python3");
        install(venv.args(["-m", "venv"]).arg(place), "Python 3 with venv (Debian: python3-venv)");
        let mut pip = Command::new(place.join("bin/pip"));
        pip.args(["install", "--require-hashes", "--disable-pip-version-check", "-r"]);
        install(pip.arg(requirements), "the Python packages of the tests");
    });
    place.join("bin/python")
}

/// A Chromium that is there.
pub(crate) struct Browser {
    program: PathBuf,
}

impl Browser {
    /// Finds a Chromium, or installs one.
    #[track_caller]
    pub(crate) fn ready() -> Self {
        Self { program: browser() }
    }

    /// Runs it, headless, on `url`.
    #[track_caller]
    pub(crate) fn show(&self, url: &str) -> Program {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(&self.program);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
            .arg("--enable-logging=stderr")
            .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
            .arg(url);
        Program::start_in(&mut command, dir)
    }
}

/// A Chromium in the `PATH`, installed when there is none.
#[track_caller]
fn browser() -> PathBuf {
    let _alone = lock("chromium");
    let look = || ["chromium", "google-chrome", "chromium-browser"].into_iter().find_map(in_path);
    if let Some(found) = look() {
        return found;
    }
    let missing = "a Chromium (Debian: `apt-get install chromium`, or any `google-chrome`)";
    debian(&["chromium"], missing);
    look().unwrap_or_else(|| panic!("missing: {missing}"))
}

/// PHP 8 with Guzzle 7, which is what Laravel's own HTTP client stands on.
#[track_caller]
pub(crate) fn php() -> Command {
    const READY: &str = r#"require "GuzzleHttp/autoload.php";
        exit(PHP_MAJOR_VERSION === 8 && GuzzleHttp\ClientInterface::MAJOR_VERSION === 7 && function_exists("curl_init") ? 0 : 1);"#;
    let missing = "PHP 8 with cURL and Guzzle 7 (Debian: php-cli, php-curl, php-guzzlehttp-guzzle)";
    let _alone = lock("php");
    let mut output = None;
    let mut ready = || {
        output = Command::new("php").args(["-r", READY]).stdin(Stdio::null()).output().ok();
        output.as_ref().is_some_and(|output| output.status.success())
    };
    if !ready() {
        debian(&["php-cli", "php-curl", "php-guzzlehttp-guzzle"], missing);
        let there = ready();
        assert!(there, "missing: {missing}; what there is says: {output:?}");
    }
    Command::new("php")
}

/// Installs these packages of Debian's.
#[track_caller]
fn debian(packages: &[&str], missing: &str) {
    let _alone = lock("apt");
    let patient = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300"];
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(patient).args(args);
        install(&mut command, missing);
    };
    apt(&["update"]);
    apt(&[&["install", "--no-install-recommends"], packages].concat());
}

/// The directory for `name` with exactly these files' wishes fulfilled, made when it is not there.
fn installed(name: &str, wanted: &[PathBuf], make: impl FnOnce(&Path)) -> PathBuf {
    let mut digest = Sha256::new();
    for file in wanted {
        digest.update(fs::read(file).unwrap());
    }
    let version = hex::encode(&digest.finalize()[..8]);
    let place = shelf().join(format!("{name}-{version}"));
    let _alone = lock(name);
    let done = place.join("installed");
    if !done.exists() {
        // What an interrupted installation left is of no use.
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        make(&place);
        fs::write(done, "").unwrap();
    }
    place
}

/// Where installed things are kept.
fn shelf() -> PathBuf {
    let shelf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    fs::create_dir_all(&shelf).unwrap();
    shelf
}

/// Held by one test at a time, in whatever process.
fn lock(name: &str) -> File {
    let file = File::create(shelf().join(format!("{name}.lock"))).unwrap();
    file.lock().unwrap();
    file
}

/// Runs an installer to its end; fails with what is missing and what the installer said.
#[track_caller]
fn install(command: &mut Command, missing: &str) {
    let output = command.stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "missing: {missing}; {command:?} failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("missing: {missing}; {command:?} cannot be run: {error}"),
    }
}

fn in_path(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program.as_ref())).find(|file| file.is_file())
}
