//! `hubbub check --live`: tries the configured resources like a start does. Leaves nothing behind.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hubbub_actors::store::{FILE, Store};
use reqwest::Url;
use rlimit::Resource;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::auth::key_source::KeySource;
use crate::config::{Auth, Config, Server};
use crate::{serve, state};

/// Longest time for a connection.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Fewest free bytes on the store's disk.
const FREE_MIN: u64 = 64 << 20;

/// The result of one trial.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TrialResult {
    Ok(String),
    Failed(String),
    Skipped(&'static str),
}

use TrialResult::{Failed, Ok as Fine, Skipped};

/// A trial: its configuration key and its result.
#[derive(Debug)]
pub(super) struct Trial(&'static str, TrialResult);

impl Trial {
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.1, Failed(_))
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.1 {
            Fine(what) => write!(f, "{}: ok, {what}", self.0),
            Failed(why) => write!(f, "{}: failed, {why}", self.0),
            Skipped(why) => write!(f, "{}: skipped because {why}", self.0),
        }
    }
}

/// Tries everything.
pub(super) fn all(config: &Config) -> Vec<Trial> {
    let data_dir = &config.server.data_dir;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (keys, verifier, application) = match &runtime {
        Ok(runtime) => runtime.block_on(async {
            tokio::join!(
                token_keys(&config.auth),
                reach(config.auth.backend.url.as_deref()),
                reach(config.backend.url.as_deref())
            )
        }),
        Err(error) => {
            let failed = || Failed(error.to_string());
            (failed(), failed(), failed())
        }
    };
    vec![
        Trial("server.port", port(&config.server)),
        Trial("server.data_dir", data_directory(data_dir)),
        Trial("store", store(data_dir)),
        Trial(if config.auth.jwks.is_some() { "auth.jwks" } else { "auth.public_key_file" }, keys),
        Trial("auth.backend.url", verifier),
        Trial("backend.url", application),
        Trial("server.max_connections", open_files(config.server.max_connections)),
    ]
}

fn port(server: &Server) -> TrialResult {
    match serve::listen(server) {
        Ok(_) if server.port == 0 => {
            Fine(format!("the hub can listen on {}; the system chooses the port", server.host))
        }
        Ok(_) => Fine(format!("the hub can listen on {}", server.authority())),
        Err(error) => Failed(error.to_string()),
    }
}

/// Whether files can be created in the data directory, or the directory itself; and the free space.
fn data_directory(directory: &Path) -> TrialResult {
    let shown = directory.display();
    let Some(existing) = existing(directory) else {
        return Failed(format!("{shown}: no parent directory exists"));
    };
    let trial = existing.join(format!(".hubbub-check-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&trial)
        .and_then(|mut file| file.write_all(&[0; 4_096]).and_then(|()| file.sync_all()));
    let removed = fs::remove_file(&trial);
    if let Err(error) = written.and(removed) {
        return Failed(format!("{}: cannot be written: {error}", existing.display()));
    }
    let free = rustix::fs::statvfs(&existing).map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    let state = if existing == directory { "can be written" } else { "does not exist and can be made" };
    match free {
        Ok(free) if free < FREE_MIN => {
            Failed(format!("{shown}: {} MiB are free; {} should be", free >> 20, FREE_MIN >> 20))
        }
        Ok(free) => Fine(format!("{shown} {state}, {} MiB are free", free >> 20)),
        Err(_) => Fine(format!("{shown} {state}")),
    }
}

/// The directory, or its nearest existing parent.
fn existing(directory: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(directory).ok()?;
    if directory.try_exists().is_ok_and(|exists| exists) {
        return Some(directory.to_owned());
    }
    absolute.ancestors().skip(1).find(|above| above.exists()).map(Path::to_owned)
}

fn store(directory: &Path) -> TrialResult {
    match Store::look(directory) {
        Ok(true) => Fine(format!("{} can be opened", directory.join(FILE).display())),
        Ok(false) => Skipped("there is none yet; the first start makes it"),
        Err(error) => Failed(error.to_string()),
    }
}

/// Whether there is a key that verifies tokens.
async fn token_keys(auth: &Auth) -> TrialResult {
    if auth.algorithm.is_symmetric() {
        return Skipped("auth.algorithm has a shared secret");
    }
    let Some(jwks) = &auth.jwks else {
        return match state::tokens(auth) {
            Ok(_) => Fine("the key can be read".into()),
            Err(why) => Failed(why),
        };
    };
    let algorithm = auth.algorithm.to_jwt();
    let loaded = match jwks.contains("://") {
        true => match KeySource::url(jwks, algorithm) {
            Ok(source) => source.try_load().await,
            Err(why) => Err(why),
        },
        false => KeySource::file(jwks.as_ref(), algorithm).map(|source| source.load_counts().0.unwrap_or(0)),
    };
    match loaded {
        Ok(0) => Failed(format!("no key fits {algorithm:?}")),
        Ok(1) => Fine(format!("1 key is for {algorithm:?}")),
        Ok(keys) => Fine(format!("{keys} keys are for {algorithm:?}")),
        Err(why) => Failed(why),
    }
}

/// Whether the host of `url` accepts a connection. Nothing is sent.
async fn reach(url: Option<&str>) -> TrialResult {
    let Some(url) = url else { return Skipped("it is not set") };
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    let Some((host, port)) = host else { return Failed("is not a URL with a host".into()) };
    // An IPv6 address has brackets in a URL, and none elsewhere.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let connected = async {
        let addresses = lookup_host((name, port)).await.map_err(|error| format!("{host} is not known: {error}"))?;
        let mut why = format!("{host} has no address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(_) => return Ok(address),
                Err(error) => why = format!("{address}: {error}"),
            }
        }
        Err(why)
    };
    match timeout(CONNECT_TIME, connected).await {
        Ok(Ok(address)) => Fine(format!("{address} accepts connections")),
        Ok(Err(why)) => Failed(why),
        Err(_) => Failed(format!("{host}:{port}: no connection within {} s", CONNECT_TIME.as_secs())),
    }
}

/// Whether the limit on open files is high enough for the configured connections.
fn open_files(connections: usize) -> TrialResult {
    let needed = serve::descriptors_needed(connections);
    match rlimit::getrlimit(Resource::NOFILE) {
        Ok((_, hard)) if hard < needed => Failed(format!(
            "the system allows {hard} open files; {connections} connections need {needed} (ulimit -n, LimitNOFILE=)"
        )),
        Ok((_, hard)) => Fine(format!("{connections} connections need {needed} open files; the system allows {hard}")),
        Err(error) => Failed(format!("the limit of open files is not known: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_used_port_fails_and_a_free_port_passes() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        let server = |port| Server { port, ..Server::default() };
        let Failed(why) = port(&server(number)) else { panic!("it is taken") };
        assert!(why.contains(&number.to_string()) && why.contains("--port"), "{why}");
        drop(taken);
        assert!(matches!(port(&server(0)), Fine(_)));
    }

    #[test]
    fn the_check_of_the_data_directory_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("a/b");
        for (directory_of, state) in
            [(directory.path(), "can be written"), (&missing, "does not exist and can be made")]
        {
            let Fine(what) = data_directory(directory_of) else { panic!("{directory_of:?}") };
            assert!(what.contains(state), "{what}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        for within in [file.clone(), file.join("data")] {
            assert!(matches!(data_directory(&within), Failed(_)), "{within:?}");
        }
    }

    #[tokio::test]
    async fn an_unreachable_application_is_a_failure() {
        assert_eq!(reach(None).await, Skipped("it is not set"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/path", listener.local_addr().unwrap());
        assert!(matches!(reach(Some(&url)).await, Fine(_)));
        drop(listener);
        assert!(matches!(reach(Some(&url)).await, Failed(_)));
        assert!(matches!(reach(Some("http://host.invalid/")).await, Failed(_)));
    }

    #[test]
    fn a_limit_of_open_files_that_is_too_low_is_a_failure() {
        assert!(matches!(open_files(1), Fine(_)));
        assert!(matches!(open_files(usize::MAX / 2), Failed(_)));
    }
}
