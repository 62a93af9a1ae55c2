//! Programs that the documents' clients need: Node and Python with packages, Chromium, PHP, SQLite's command line. A missing program is
//! installed once, under `target/` where possible. A test fails when that is impossible; none is skipped.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

use super::wait::{DEADLINE, wait_until};

/// A running program. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    /// Holds its output and its other files.
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

    /// Waits until it succeeds; the last line of its output as JSON.
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
            eprintln!("---- the output of the program:\n{}----", self.output());
        }
    }
}

/// A `node_modules` with the packages of the lock file in `dir`.
#[track_caller]
pub(crate) fn node_modules(dir: &Path) -> PathBuf {
    let wanted = ["package.json", "package-lock.json"].map(|name| dir.join(name));
    let target = installed("node", &wanted, |target| {
        for file in &wanted {
            fs::copy(file, target.join(file.file_name().unwrap())).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(target);
        install(&mut npm, "Node.js with npm (Debian: nodejs, npm)");
    });
    target.join("node_modules")
}

/// A Python interpreter with these requirements.
#[track_caller]
pub(crate) fn python(requirements: &Path) -> PathBuf {
    let target = installed("python", &[requirements.to_owned()], |target| {
        let mut venv = Command::new("python3");
        install(venv.args(["-m", "venv"]).arg(target), "Python 3 with venv (Debian: python3-venv)");
        let mut pip = Command::new(target.join("bin/pip"));
        pip.args(["install", "--require-hashes", "--disable-pip-version-check", "-r"]);
        install(pip.arg(requirements), "the Python packages of the tests");
    });
    target.join("bin/python")
}

/// An installed Chromium.
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
    let _lock = lock("chromium");
    let look = || ["chromium", "google-chrome", "chromium-browser"].into_iter().find_map(in_path);
    if let Some(found) = look() {
        return found;
    }
    let missing = "a Chromium (Debian: `apt-get install chromium`, or any `google-chrome`)";
    debian(&["chromium"], missing);
    look().unwrap_or_else(|| panic!("missing: {missing}"))
}

/// PHP 8 with Guzzle 7, which Laravel's HTTP client uses.
#[track_caller]
pub(crate) fn php() -> Command {
    const READY: &str = r#"require "GuzzleHttp/autoload.php";
        exit(PHP_MAJOR_VERSION === 8 && GuzzleHttp\ClientInterface::MAJOR_VERSION === 7 && function_exists("curl_init") ? 0 : 1);"#;
    php_with(READY, &["php-cli", "php-curl", "php-guzzlehttp-guzzle"], "PHP 8 with cURL and Guzzle 7")
}

/// PHP 8 with Laravel's HTTP client.
#[track_caller]
pub(crate) fn laravel() -> Command {
    const READY: &str = r#"error_reporting(0); require "Illuminate/Http/autoload.php"; require "GuzzleHttp/autoload.php";
        exit(class_exists("Illuminate\Http\Client\Factory") && class_exists("GuzzleHttp\Client") ? 0 : 1);"#;
    let packages = ["php-cli", "php-curl", "php-guzzlehttp-guzzle", "php-illuminate-http"];
    php_with(READY, &packages, "PHP 8 with Laravel's HTTP client")
}

/// PHP with these Debian packages, installed unless the program `ready` succeeds.
#[track_caller]
fn php_with(ready: &str, packages: &[&str], what: &str) -> Command {
    let missing = format!("{what} (Debian: {})", packages.join(", "));
    let _lock = lock("php");
    let mut output = None;
    let mut is_ready = || {
        output = Command::new("php").args(["-r", ready]).stdin(Stdio::null()).output().ok();
        output.as_ref().is_some_and(|output| output.status.success())
    };
    if !is_ready() {
        debian(packages, &missing);
        let is_installed = is_ready();
        assert!(is_installed, "missing: {missing}; the installed one prints: {output:?}");
    }
    Command::new("php")
}

/// A program of a Debian package, which is installed when the program is missing.
#[track_caller]
pub(crate) fn debian_program(program: &str, package: &str) -> PathBuf {
    let _lock = lock(package);
    let look = || in_path(program).or_else(|| Some(Path::new("/usr/sbin").join(program)).filter(|file| file.is_file()));
    if let Some(found) = look() {
        return found;
    }
    let missing = format!("{program} (Debian: `apt-get install {package}`)");
    debian(&[package], &missing);
    look().unwrap_or_else(|| panic!("missing: {missing}"))
}

/// Installs Debian packages.
#[track_caller]
fn debian(packages: &[&str], missing: &str) {
    let _lock = lock("apt");
    let patient = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300"];
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(patient).args(args);
        install(&mut command, missing);
    };
    apt(&["update"]);
    apt(&[&["install", "--no-install-recommends"], packages].concat());
}

/// The directory for `name`, installed by `make` unless it exists for exactly these files.
fn installed(name: &str, wanted: &[PathBuf], make: impl FnOnce(&Path)) -> PathBuf {
    let mut digest = Sha256::new();
    for file in wanted {
        digest.update(fs::read(file).unwrap());
    }
    let version = hex::encode(&digest.finalize()[..8]);
    let target = installations().join(format!("{name}-{version}"));
    let _lock = lock(name);
    let done = target.join("installed");
    if !done.exists() {
        // An interrupted installation may have left a part of it.
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(&target).unwrap();
        make(&target);
        fs::write(done, "").unwrap();
    }
    target
}

/// The directory of all installations.
fn installations() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    fs::create_dir_all(&root).unwrap();
    root
}

/// A lock that one test holds at a time, over all processes.
fn lock(name: &str) -> File {
    let file = File::create(installations().join(format!("{name}.lock"))).unwrap();
    file.lock().unwrap();
    file
}

/// Runs an installer to its end; fails with the missing program and the installer's output.
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
