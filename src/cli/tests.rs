//! What the commands answer, short of running the hub.

use clap::CommandFactory as _;

use super::*;
use crate::auth::jwt::{Algorithm, Keys, Settings as Verification, Verifier};

/// The answer to `hubbub` with these arguments; a failure's lines, joined.
fn hubbub(arguments: &[&str]) -> Result<String, String> {
    let cli = Cli::try_parse_from(std::iter::once(&"hubbub").chain(arguments)).map_err(|error| error.to_string())?;
    let mut status = ExitCode::SUCCESS;
    answer(cli, &mut status, |_| ()).map_err(|Failure(lines)| lines.join("\n"))
}

/// A directory with a configuration that keeps its secrets there.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
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

    fn secret(&self) -> String {
        let path = self.directory.path().join("data/jwt.secret");
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn no_command_is_serve() {
    let cli = Cli::try_parse_from(["hubbub", "--port", "0", "--host", "::1"]).unwrap();
    assert!(cli.command.is_none());
    let flags = cli.settings.sources().flags;
    let keys: Vec<_> = flags.iter().map(|flag| flag.key).collect();
    assert_eq!(keys, ["server.host", "server.port"]);
    let cli = Cli::try_parse_from(["hubbub", "serve", "--workers", "2"]).unwrap();
    assert!(matches!(cli.command, Some(Command::Serve)));
}

#[test]
fn a_usage_that_does_not_exist_has_status_2() {
    for arguments in [
        &["hubbub", "--port", "65536"][..],
        &["hubbub", "token"],
        &["hubbub", "token", "--user", ""],
        &["hubbub", "token", "--user", "alice", "--ttl", "0s"],
        &["hubbub", "token", "--user", "alice", "--ttl", "soon"],
        &["hubbub", "key", "hash", "a-key-in-the-open"],
        &["hubbub", "frobnicate"],
    ] {
        let error = Cli::try_parse_from(arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
    }
}

#[test]
fn check_says_everything_that_is_wrong() {
    let sound = Place::with("server.port = 0");
    assert_eq!(sound.hubbub(&["check"]), Ok("the configuration is sound\n".into()));
    let wrong = Place::with("server.shutdown_secs = 0\nserver.max_connections = 0");
    let lines = wrong.hubbub(&["check"]).unwrap_err();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("hub.toml:1: server.shutdown_secs: "));
}

#[tokio::test]
async fn a_token_made_before_the_first_start_holds_after_it() {
    let place = Place::with("");
    let answer = place.hubbub(&[
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
    let settings = Verification { algorithm: Algorithm::HS256, require_exp: true, leeway_secs: 0 };
    let verifier = Verifier::new(Keys::Secret(place.secret().into_bytes()), settings);
    let identity = verifier.verify(token, Clock::System.now_ms()).await.unwrap();
    assert_eq!(identity.user.as_str(), "alice");
    assert_eq!(identity.display_name(), "Alice");
    assert_eq!(identity.roles, ["admin", "editor"]);
    assert_eq!(identity.permissions, ["push"]);
}

#[test]
fn a_token_lives_as_long_as_asked() {
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
fn a_fresh_key_comes_with_its_place_in_the_configuration() {
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
