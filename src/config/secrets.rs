//! The secrets without a configured value: created once, kept in the data directory, and never shown.
//!
//! Two hubs that start at once with one directory use the same secret: a file appears with its whole content or not at
//! all, and the second hub reads it.

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{ApiKeyEntry, Config, ConfigError, Secret};

/// The name of the API key that is created at the first start.
pub const MADE_KEY: &str = "default";

/// The file of the secret that tokens are signed with.
const JWT_FILE: &str = "jwt.secret";

/// The file of the API key that is created at the first start.
const KEY_FILE: &str = "api.key";

/// The location of a secret that is not in the configuration, for the console. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretNotice {
    /// Its kind: `JWT secret` or `API key`.
    pub what: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// Whether this start created it.
    pub made: bool,
    /// Whether other users of the machine may read the file.
    pub exposed: bool,
}

impl fmt::Display for SecretNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.made {
            true => write!(f, "created a random {} in {path}", self.what)?,
            false => write!(f, "the {} is read from {path}", self.what)?,
        }
        match self.exposed {
            true => f.write_str(", which other users may read; chmod 600 it"),
            false => Ok(()),
        }
    }
}

/// Reads the secrets that are not configured from the data directory, and creates the missing ones.
///
/// # Errors
/// When the directory cannot be created or written, or a file in it has invalid content.
pub fn ensure(config: &mut Config) -> Result<Vec<SecretNotice>, ConfigError> {
    check_data_dir(config)?;
    let mut notices = Vec::new();
    if config.auth.jwt_secret.is_none() && config.auth.algorithm.is_symmetric() {
        let (secret, notice) = read_or_make(&config.server.data_dir, JWT_FILE, "JWT secret", "auth.jwt_secret")?;
        config.auth.jwt_secret = Some(secret);
        notices.push(notice);
    }
    if config.api.keys.is_empty() {
        let (secret, notice) = read_or_make(&config.server.data_dir, KEY_FILE, "API key", "[[api.keys]]")?;
        config.api.keys.push(ApiKeyEntry { key: Some(secret), ..ApiKeyEntry::named(MADE_KEY) });
        notices.push(notice);
    }
    Ok(notices)
}

/// The file with the API key of the first start, if it exists and no configured key equals it.
pub fn unused_key(config: &Config) -> Option<PathBuf> {
    let file = config.server.data_dir.join(KEY_FILE);
    let text = Secret::new(std::fs::read_to_string(&file).ok()?.trim());
    let unused = ApiKeyEntry { key: Some(text), ..ApiKeyEntry::named(MADE_KEY) };
    let is_configured = config.api.keys.iter().any(|key| key.digest() == unused.digest());
    (!config.api.keys.is_empty() && !is_configured).then_some(file)
}

/// Whether all secrets of `config` exist, so that [`ensure`] would create none.
pub fn are_made(config: &Config) -> bool {
    let is_made = |name| config.server.data_dir.join(name).is_file();
    let secret = config.auth.jwt_secret.is_some() || !config.auth.algorithm.is_symmetric() || is_made(JWT_FILE);
    secret && (!config.api.keys.is_empty() || is_made(KEY_FILE))
}

/// Checks that a reload keeps the running hub's secrets. If a secret's file is missing, [`ensure`] would create a new
/// secret, and clients with the old one would be refused.
///
/// # Errors
/// One line that names the missing file and the remedy.
pub fn check_still_present(running: &Config, config: &Config) -> Result<(), ConfigError> {
    let needs_jwt = config.auth.jwt_secret.is_none() && config.auth.algorithm.is_symmetric();
    let had_made_key = matches!(&*running.api.keys, [key] if key.name == MADE_KEY);
    let files = [
        (needs_jwt && running.auth.jwt_secret.is_some(), JWT_FILE, "auth.jwt_secret"),
        (config.api.keys.is_empty() && had_made_key, KEY_FILE, "[[api.keys]]"),
    ];
    for (is_needed, name, key) in files {
        let path = config.server.data_dir.join(name);
        if is_needed && !path.try_exists().map_err(|error| failed(&path, "read", &error))? {
            return Err(ConfigError::new(format!(
                "{}: does not exist; put it back, set {key}, or restart the hub, which then makes another",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Reads the secret of tokens from the data directory if it is not configured; never creates it. `None` when the
/// configuration contains it.
///
/// # Errors
/// When there is none yet, or the file has invalid content.
pub fn find_jwt(config: &mut Config) -> Result<Option<SecretNotice>, ConfigError> {
    check_data_dir(config)?;
    if config.auth.jwt_secret.is_some() {
        return Ok(None);
    }
    let path = config.server.data_dir.join(JWT_FILE);
    if !path.try_exists().map_err(|error| failed(&path, "read", &error))? {
        return Err(ConfigError::new(format!(
            "{}: does not exist; start the hub once to create it, set auth.jwt_secret, or name the hub's data directory with \
             --data-dir, or its configuration with --config",
            path.display()
        )));
    }
    let (secret, notice) = read(path, "JWT secret", false)?;
    config.auth.jwt_secret = Some(secret);
    Ok(Some(notice))
}

/// Checks that the data directory can exist.
///
/// # Errors
/// When the path is not a directory.
pub fn check_data_dir(config: &Config) -> Result<(), ConfigError> {
    let directory = &config.server.data_dir;
    match std::fs::metadata(directory) {
        Ok(found) if !found.is_dir() => Err(ConfigError::new(format!(
            "server.data_dir: {} is a file, not a directory; set another one (--data-dir, HUBBUB_SERVER__DATA_DIR)",
            directory.display()
        ))),
        _ => Ok(()),
    }
}

/// 256 random bits in hex, from the operating system.
///
/// # Errors
/// When the system returns no random bytes.
pub fn random() -> Result<Secret, ConfigError> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)
        .map_err(|error| ConfigError::new(format!("no random bytes from the system: {error}")))?;
    Ok(Secret::new(hex::encode(bits)))
}

/// The secret in the file `name`, created if it does not exist; `key` is the configuration key that replaces it.
fn read_or_make(
    directory: &Path,
    name: &str,
    what: &'static str,
    key: &str,
) -> Result<(Secret, SecretNotice), ConfigError> {
    let path = directory.join(name);
    let mut made = false;
    if !path.try_exists().map_err(|error| failed(&path, "read", &error))? {
        let secret = random()?;
        let created =
            DirBuilder::new().recursive(true).mode(0o700).create(directory).and_then(|()| create_whole(&path, &secret));
        made = created.map_err(|error| {
            let line = failed(&path, "made", &error);
            ConfigError::new(format!("{line}; set {key} instead, and no {what} has to be made"))
        })?;
    }
    read(path, what, made)
}

fn failed(path: &Path, doing: &str, error: &io::Error) -> ConfigError {
    ConfigError::new(format!("{}: cannot be {doing}: {error}", path.display()))
}

fn read(path: PathBuf, what: &'static str, made: bool) -> Result<(Secret, SecretNotice), ConfigError> {
    let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, "read", &error))?;
    let text = text.trim();
    if text.len() < 32 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ConfigError::new(format!(
            "{}: contains no {what}: expected one line of at least 32 characters; remove the file to have a new one made",
            path.display()
        )));
    }
    let mode = std::fs::metadata(&path).map_err(|error| failed(&path, "read", &error))?.mode();
    let notice = SecretNotice { what, made, exposed: mode & 0o077 != 0, path };
    Ok((Secret::new(text), notice))
}

/// Writes `secret` to the new file `path`, whole; `false` when another process created the file first.
fn create_whole(path: &Path, secret: &Secret) -> io::Result<bool> {
    // Write a draft next to it and link it: the link appears with its content, and never replaces a file.
    let draft = path.with_extension(uuid::Uuid::new_v4().simple().to_string());
    let written = write_new(&draft, secret).and_then(|()| std::fs::hard_link(&draft, path));
    let removed = match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    match written {
        Ok(()) => removed.map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => removed.map(|()| false),
        // On a file system without links, an existing file is not overwritten either.
        Err(error) if lacks_links(&error) => match write_new(path, secret) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            other => other.map(|()| true),
        },
        Err(error) => Err(error),
    }
}

fn lacks_links(error: &io::Error) -> bool {
    // Linux returns EPERM on a file system without links.
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

fn write_new(path: &Path, secret: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", secret.expose())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(directory: &Path) -> Config {
        let mut config = Config::default();
        config.server.data_dir = directory.join("data");
        config
    }

    fn secrets_of(config: &Config) -> (String, String) {
        let key = config.api.keys[0].key.as_ref().unwrap();
        let secret = config.auth.jwt_secret.as_ref().unwrap();
        (secret.expose().into(), key.expose().into())
    }

    #[test]
    fn a_first_start_makes_secrets_that_only_their_owner_may_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = within(directory.path());
        let notices = ensure(&mut config).unwrap();
        let (secret, key) = secrets_of(&config);
        assert!(secret.len() == 64 && key.len() == 64 && secret != key);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&config.server.data_dir), 0o700);
        let mut files: Vec<_> =
            std::fs::read_dir(&config.server.data_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let expected = ["api.key", "jwt.secret"].map(|name| config.server.data_dir.join(name));
        assert_eq!(files, expected, "no draft is left over");
        assert_eq!(files.iter().map(|it| mode(it)).max(), Some(0o600));
        let shown: Vec<_> = notices.iter().map(ToString::to_string).collect();
        assert_eq!(shown[0], format!("created a random JWT secret in {}", expected[1].display()));
        assert!(!shown.join("").contains(&secret) && !shown.join("").contains(&key));
    }

    #[test]
    fn a_later_start_finds_the_same_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let (mut first, mut second) = (within(directory.path()), within(directory.path()));
        ensure(&mut first).unwrap();
        let notices = ensure(&mut second).unwrap();
        assert_eq!(secrets_of(&first), secrets_of(&second));
        assert!(notices.iter().all(|it| !it.made && !it.exposed));
    }

    #[test]
    fn hubs_that_start_at_once_use_the_same_secret() {
        let directory = tempfile::tempdir().unwrap();
        let seen: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        let mut config = within(directory.path());
                        let made = ensure(&mut config).unwrap()[0].made;
                        (secrets_of(&config), made)
                    })
                })
                .collect();
            started.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(seen.iter().all(|(secrets, _)| *secrets == seen[0].0));
        assert_eq!(seen.iter().filter(|(_, made)| *made).count(), 1);
    }

    #[test]
    fn with_configured_secrets_no_data_directory_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = within(directory.path());
        config.auth.jwt_secret = Some(Secret::new("0123456789abcdef"));
        config.api.keys = toml::from_str::<super::super::Api>("[[keys]]\nname = 'one'\nkey = 'k'").unwrap().keys;
        assert_eq!(ensure(&mut config), Ok(vec![]));
        assert!(!config.server.data_dir.exists());
    }

    #[test]
    fn a_data_directory_that_is_a_file_is_refused_with_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = within(directory.path());
        std::fs::write(&config.server.data_dir, "").unwrap();
        for error in [ensure(&mut config).unwrap_err(), find_jwt(&mut config).unwrap_err()] {
            assert!(error.to_string().starts_with("server.data_dir: "), "{error}");
            assert!(error.to_string().contains("is a file, not a directory"), "{error}");
        }
    }

    #[test]
    fn reading_a_secret_does_not_make_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = within(directory.path());
        let error = find_jwt(&mut config).unwrap_err().to_string();
        assert!(error.contains("start the hub once to create it, set auth.jwt_secret"), "{error}");
        assert!(!config.server.data_dir.exists());
        ensure(&mut within(directory.path())).unwrap();
        assert!(find_jwt(&mut config).unwrap().is_some() && config.auth.jwt_secret.is_some());
        assert_eq!(find_jwt(&mut config), Ok(None), "it is configured");
    }

    #[test]
    fn a_damaged_file_is_refused_by_name_without_its_content() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("data")).unwrap();
        let path = directory.path().join("data/jwt.secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let error = ensure(&mut within(directory.path())).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: contains no JWT secret", path.display())));
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn a_secret_that_other_users_may_read_is_reported() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let mut config = within(directory.path());
        let path = ensure(&mut config).unwrap()[0].path.clone();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let notices = ensure(&mut within(directory.path())).unwrap();
        assert!(notices[0].exposed && !notices[1].exposed);
        assert!(notices[0].to_string().ends_with("chmod 600 it"));
    }
}
