//! Tests: the output of the commands, except running the hub.

use super::*;
use crate::auth::jwt::{Keys, Verifier, VerifierSettings as Verification};

fn parsed(arguments: &[&str]) -> Result<Cli, clap::Error> {
    parse(std::iter::once(&"hubbub").chain(arguments).map(OsString::from))
}

/// The output of `hubbub` with these arguments; for a failure, its lines joined.
fn hubbub(arguments: &[&str]) -> Result<String, String> {
    let cli = parsed(arguments).map_err(|error| error.to_string())?;
    let mut status = ExitCode::SUCCESS;
    execute(cli, &mut status, |_| ()).map_err(|CommandError(lines)| lines.join("\n"))
}

/// A directory with a configuration that keeps its secrets there.
struct TestDirectory {
    directory: tempfile::TempDir,
}

impl TestDirectory {
    fn with(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("hub.toml"), text).unwrap();
        Self { directory }
    }

    fn hubbub(&self, arguments: &[&str]) -> Result<String, String> {
        let path = |name| self.directory.path().join(name).display().to_string();
        let (config, data) = (path("hub.toml"), path("data"));
        let settings = ["--config", &config, "--data-dir", &data];
        hubbub(&[arguments, &settings].concat())
    }

    /// The data directory, which is empty.
    fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    /// Makes the secret, as a start does.
    fn secret(&self) -> String {
        let secret = "0123456789abcdef".repeat(4);
        std::fs::create_dir(self.data()).unwrap();
        std::fs::write(self.data().join("jwt.secret"), &secret).unwrap();
        secret
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

/// The flags of a start.
fn flags_of_serve(arguments: &[&str]) -> Vec<(&'static str, String)> {
    let cli = parsed(arguments).unwrap();
    let settings = match cli.command {
        None => cli.settings,
        Some(Command::Serve(settings)) => settings.over(cli.settings),
        other => panic!("{other:?}"),
    };
    settings.sources().flags.into_iter().map(|flag| (flag.key, flag.value.to_string())).collect()
}

#[test]
fn serve_accepts_flags_before_and_after_its_name_and_without_it() {
    let expected = [("server.host", "\"::1\"".to_owned()), ("server.port", "9000".to_owned())];
    for arguments in [
        &["--port", "9000", "--host", "::1"][..],
        &["--port", "9000", "--host", "::1", "serve"],
        &["serve", "--port", "9000", "--host", "::1"],
        &["--port", "9000", "serve", "--host", "::1"],
        &["--port", "1", "serve", "--host", "::1", "--port", "9000"],
    ] {
        assert_eq!(flags_of_serve(arguments), expected, "{arguments:?}");
    }
}

#[test]
fn a_flag_without_effect_is_a_usage_error_that_names_it() {
    for (arguments, flag) in [
        (&["key", "hash", "--port", "1"][..], "--port"),
        (&["--port", "1", "key", "hash"], "--port"),
        (&["key", "new", "--config", "x"], "--config"),
        (&["--config", "x", "key", "new"], "--config"),
        (&["events", "--data-dir", "x"], "--data-dir"),
        (&["--data-dir", "x", "events"], "--data-dir"),
        (&["token", "--user", "a", "--port", "1"], "--port"),
        (&["--host", "::1", "token", "--user", "a"], "--host"),
        (&["user", "list", "--workers", "1"], "--workers"),
        (&["--workers", "1", "user", "list"], "--workers"),
        (&["serve", "--live"], "--live"),
        (&["--port", "-1"], "--port"),
        (&["serve", "--workers", "-1"], "--workers"),
    ] {
        let error = parsed(arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
        let text = error.to_string();
        assert!(text.lines().next().unwrap().contains(flag), "{arguments:?}: {text}");
    }
}

#[test]
fn configuration_flags_are_accepted_before_and_after_a_command() {
    for arguments in [
        &["--config", "c", "--data-dir", "d", "user", "list"][..],
        &["user", "--config", "c", "--data-dir", "d", "list"],
        &["user", "list", "--config", "c", "--data-dir", "d"],
        &["--config", "c", "user", "list", "--data-dir", "d"],
        &["token", "--user", "a", "--config", "c", "--data-dir", "d"],
        &["--config", "c", "--data-dir", "d", "token", "--user", "a"],
    ] {
        let cli = parsed(arguments).unwrap();
        let location = match cli.command.unwrap() {
            Command::User(users) => users.location,
            Command::Token(token) => token.location,
            other => panic!("{other:?}"),
        };
        let sources = location.over(cli.settings).sources();
        assert_eq!(sources.file.as_deref(), Some("c".as_ref()), "{arguments:?}");
        assert_eq!(sources.flags.len(), 1, "{arguments:?}");
    }
}

#[test]
fn the_help_of_a_command_shows_only_its_own_flags() {
    let help = |arguments: &[&str]| parsed(arguments).unwrap_err().to_string();
    for (arguments, flags) in [
        (&["serve", "--help"][..], &["--config", "--data-dir", "--host", "--port", "--workers"][..]),
        (&["check", "--help"], &["--config", "--data-dir", "--host", "--port", "--workers", "--live"]),
        (&["token", "--help"], &["--config", "--data-dir"]),
        (&["user", "list", "--help"], &["--config", "--data-dir"]),
        (&["key", "new", "--help"], &[]),
        (&["events", "--help"], &[]),
    ] {
        let text = help(arguments);
        for flag in ["--config", "--data-dir", "--host", "--port", "--workers", "--live"] {
            assert_eq!(text.contains(flag), flags.contains(&flag), "{arguments:?} {flag}: {text}");
        }
    }
}

#[test]
fn commands_without_a_data_directory_make_nothing_and_name_the_remedy() {
    let directory = TestDirectory::with("server.port = 0");
    let refused = directory.hubbub(&["token", "--user", "alice"]).unwrap_err();
    assert!(refused.contains("data/jwt.secret: does not exist; start the hub once"), "{refused}");
    let refused = directory.hubbub(&["user", "list"]).unwrap_err();
    assert!(refused.contains("data/hubbub.db: does not exist; start the hub once"), "{refused}");
    directory.hubbub(&["check"]).unwrap();
    assert!(!directory.data().exists());
}

#[test]
fn the_configuration_file_is_named_even_if_it_does_not_exist() {
    let named = Sources { file: Some("/etc/hubbub/config.toml".into()), ..Sources::default() };
    assert_eq!(named.reading(), "reading /etc/hubbub/config.toml");
    let directory = std::env::current_dir().unwrap();
    // Tests run in the directory of the shipped file.
    assert_eq!(Sources::default().reading(), format!("reading {}/config.toml", directory.display()));
}

#[test]
fn a_usage_error_has_status_2() {
    for arguments in [
        &["hubbub", "--port", "65536"][..],
        &["hubbub", "token"],
        &["hubbub", "token", "--user", ""],
        &["hubbub", "token", "--user", "alice", "--ttl", "0s"],
        &["hubbub", "token", "--user", "alice", "--ttl", "soon"],
        &["hubbub", "key", "hash", "a-key-in-the-open"],
        &["hubbub", "frobnicate"],
    ] {
        let error = parsed(&arguments[1..]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
    }
}

#[test]
fn check_prints_every_error() {
    let sound = TestDirectory::with("server.port = 0");
    assert_eq!(sound.hubbub(&["check"]), Ok("the configuration is valid\n".into()));
    let wrong = TestDirectory::with("server.shutdown_secs = 0\nserver.max_connections = 0");
    let lines = wrong.hubbub(&["check"]).unwrap_err();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("hub.toml:1: server.shutdown_secs: "));
}

#[tokio::test]
async fn a_token_is_signed_with_the_secret_of_the_data_directory() {
    let directory = TestDirectory::with("");
    let secret = directory.secret();
    let answer = directory.hubbub(&[
        "token",
        "--user",
        "alice",
        "--name",
        "Alice",
        "--role",
        "admin",
        "--role",
        "editor",
        "--permission",
        "push",
        "--ttl",
        "1h",
    ]);
    let answer = answer.unwrap();
    let token = answer.strip_suffix('\n').unwrap();
    assert!(!token.contains(char::is_whitespace));
    let settings = Verification { leeway_secs: 0, ..Verification::default() };
    let verifier = Verifier::new(Keys::Secret(secret.into_bytes()), settings);
    let identity = verifier.verify(token, Clock::System.now_ms()).await.unwrap();
    assert_eq!(identity.user.as_str(), "alice");
    assert_eq!(identity.display_name(), "Alice");
    assert_eq!(identity.roles, ["admin", "editor"]);
    assert_eq!(identity.permissions, ["push"]);
}

#[tokio::test]
async fn a_token_names_the_first_issuer_and_audience_of_the_configuration() {
    let directory = TestDirectory::with("auth.issuer = 'hub'\nauth.audience = ['chat', 'push']");
    let secret = directory.secret();
    let token = directory.hubbub(&["token", "--user", "alice"]).unwrap();
    let verifier = |issuer: &str, audience: &str| {
        let (issuers, audiences) = (vec![issuer.to_owned()], vec![audience.to_owned()]);
        let settings = Verification { issuers, audiences, ..Verification::default() };
        Verifier::new(Keys::Secret(secret.clone().into_bytes()), settings)
    };
    verifier("hub", "chat").verify(token.trim(), Clock::System.now_ms()).await.unwrap();
    verifier("hub", "push").verify(token.trim(), Clock::System.now_ms()).await.unwrap_err();
    verifier("other", "chat").verify(token.trim(), Clock::System.now_ms()).await.unwrap_err();
}

#[test]
fn a_token_has_the_requested_lifetime() {
    let claims = Claims {
        user: UserId::parse("42", "id").unwrap(),
        name: None,
        username: Some("al".into()),
        roles: vec![],
        permissions: vec![],
        ttl: None,
    };
    let expected = json!({ "sub": "42", "username": "al", "iat": 1_000, "exp": 4_600 });
    assert_eq!(claims.to_json(1_000, 3_600), expected);
}

#[test]
fn a_new_key_is_printed_with_its_configuration_entry() {
    let answer = hubbub(&["key", "new", "--name", "the \"app\""]).unwrap();
    let (line, table) = answer.split_once("\n\n").unwrap();
    let key = line.strip_prefix("key: ").unwrap();
    assert_eq!(key.len(), 64);
    let config: Config = toml::from_str(table).unwrap();
    assert_eq!(config.api.keys[0].name, "the \"app\"");
    let hashed = key_hash(key.as_bytes()).ok().unwrap();
    let digest = config.api.keys[0].sha256.as_ref().unwrap();
    assert_eq!(hashed.trim(), digest.expose());
    assert_ne!(hubbub(&["key", "new"]).unwrap(), hubbub(&["key", "new"]).unwrap());
}

#[test]
fn a_key_is_hashed_without_its_line_end() {
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    for input in ["abc", "abc\n", "abc\r\n"] {
        assert_eq!(key_hash(input.as_bytes()).ok().unwrap(), expected);
    }
    let longest = "k".repeat(KEY_MAX) + "\r\n";
    assert!(key_hash(longest.as_bytes()).is_ok());
    for input in ["", "\n", "two words", "two\nlines", &"k".repeat(KEY_MAX + 1)] {
        assert!(key_hash(input.as_bytes()).is_err(), "{input}");
    }
}
