//! Valid settings that are probably mistakes. A warning stops nothing: the start logs it, and `hubbub check` prints it.

use super::{ApiKeyEntry, Config, secrets};
use crate::peer::AllowedOrigins;

/// How long before its end a key causes a warning, in ms.
const SOON_MS: i64 = 30 * 86_400_000;

/// Fewer characters of an API key cause a warning.
const SHORT: usize = 16;

/// All warnings at `now`, ms since the epoch, one per line. Contains no secret.
pub fn warnings(config: &Config, now: i64) -> Vec<String> {
    let mut warnings = Vec::new();
    let auth = &config.auth;
    if auth.jwks.is_some() && auth.issuer.is_empty() && auth.audience.is_empty() {
        warnings.push(
            "auth.jwks: neither auth.issuer nor auth.audience is set, so tokens that its issuer made for other \
             applications are accepted"
                .into(),
        );
    }
    expiries(&config.api.keys, now, &mut warnings);
    lengths(&config.api.keys, &mut warnings);
    warnings.extend(secrets::unused_key(config).map(|file| {
        format!("{}: its API key is not valid, because [[api.keys]] is set; delete the file", file.display())
    }));
    origins(config, &mut warnings);
    warnings
}

/// Warnings about keys that have expired at `now`, or expire soon.
fn expiries(keys: &[ApiKeyEntry], now: i64, warnings: &mut Vec<String>) {
    for (index, key) in keys.iter().enumerate() {
        let Some(expires) = key.expires.filter(|expires| expires.0.saturating_sub(now) < SOON_MS) else { continue };
        let state =
            if expires.0 <= now { "has expired: it is refused since" } else { "expires soon: it is refused from" };
        warnings.push(format!("api.keys[{index}].expires: the key {:?} {state} {expires}", key.name));
    }
}

/// Warnings about keys that can be guessed.
fn lengths(keys: &[ApiKeyEntry], warnings: &mut Vec<String>) {
    for (index, key) in keys.iter().enumerate() {
        let length = key.key.as_ref().map_or(SHORT, |key| key.expose().len());
        if length < SHORT {
            warnings.push(format!(
                "api.keys[{index}].key: the key {:?} has {length} characters and can be guessed; `hubbub key new` prints a random one",
                key.name
            ));
        }
    }
}

/// Warnings about the list of origins.
fn origins(config: &Config, warnings: &mut Vec<String>) {
    // Invalid origins stop the start.
    let Ok(origins) = AllowedOrigins::parse(&config.server.allowed_origins) else { return };
    if origins.lists_null() {
        warnings.push(
            "server.allowed_origins: `null` means any page: every page can have that origin by a sandboxed frame"
                .into(),
        );
    }
    if config.server.allow_credentials && !origins.lists_server() {
        warnings.push(
            "server.allow_credentials: does nothing, because server.allowed_origins lists no origin that may have \
             credentials; `*`, `null`, `file://` and the same host never do"
                .into(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-07-19T10:30:00Z.
    const NOW: i64 = 1_752_921_000_000;

    fn warned(text: &str) -> Vec<String> {
        let mut config: Config = toml::from_str(text).unwrap();
        config.server.data_dir = "/nonexistent".into();
        warnings(&config, NOW)
    }

    #[test]
    fn the_defaults_cause_no_warning() {
        assert_eq!(warned(""), [""; 0]);
    }

    #[test]
    fn a_key_set_without_issuer_and_audience_causes_a_warning() {
        let jwks = "auth.algorithm = 'ES256'\nauth.jwks = 'https://id.example/keys'\n";
        let found = warned(jwks);
        assert!(found.len() == 1 && found[0].starts_with("auth.jwks: "), "{found:?}");
        assert_eq!(warned(&format!("{jwks}auth.issuer = 'https://id.example'")), [""; 0]);
        assert_eq!(warned(&format!("{jwks}auth.audience = ['chat', 'push']")), [""; 0]);
    }

    #[test]
    fn a_short_key_causes_a_warning() {
        let entry = |key: &str| format!("[[api.keys]]\nname = 'app'\n{key}");
        let found = warned(&entry("key = 'fifteen-letters'"));
        assert!(found.len() == 1 && found[0].contains("\"app\" has 15 characters"), "{found:?}");
        assert_eq!(warned(&entry("key = 'sixteen-letters.'")), [""; 0]);
        assert_eq!(warned(&entry(&format!("sha256 = '{}'", "a".repeat(64)))), [""; 0]);
    }

    #[test]
    fn a_key_file_beside_configured_keys_causes_a_warning_unless_its_key_is_one_of_them() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("api.key"), "key-of-the-first-start\n").unwrap();
        let warned = |keys: &str| {
            let mut config: Config = toml::from_str(keys).unwrap();
            config.server.data_dir = directory.path().into();
            warnings(&config, NOW)
        };
        assert_eq!(warned(""), [""; 0]);
        assert_eq!(warned("[[api.keys]]\nname = 'first'\nkey = 'key-of-the-first-start'"), [""; 0]);
        let found = warned("[[api.keys]]\nname = 'app'\nkey = 'another-key-0123456789'");
        assert!(found.len() == 1 && found[0].ends_with("because [[api.keys]] is set; delete the file"), "{found:?}");
    }

    #[test]
    fn a_key_that_has_expired_or_expires_within_30_days_causes_a_warning() {
        let key =
            |expires: &str| format!("[[api.keys]]\nname = 'shop'\nkey = 'key-0123456789abcdef'\nexpires = {expires}");
        for (expires, warning) in [
            ("2025-07-19T10:30:00Z", Some("has expired: it is refused since 2025-07-19T10:30:00.000Z")),
            ("2025-07-19T10:30:01Z", Some("expires soon: it is refused from 2025-07-19T10:30:01.000Z")),
            ("2025-08-18", Some("expires soon: it is refused from 2025-08-18T00:00:00.000Z")),
            ("2025-08-19", None),
        ] {
            let expected = warning.map(|warning| format!("api.keys[0].expires: the key \"shop\" {warning}"));
            assert_eq!(warned(&key(expires)), Vec::from_iter(expected), "{expires}");
        }
    }

    #[test]
    fn misleading_origins_cause_a_warning() {
        for (text, key) in [
            ("server.allowed_origins = ['https://a.example', 'null']", "server.allowed_origins: `null` means any page"),
            ("server.allow_credentials = true", "server.allow_credentials: does nothing"),
            (
                "server.allow_credentials = true\nserver.allowed_origins = ['*']",
                "server.allow_credentials: does nothing",
            ),
            ("server.allow_credentials = true\nserver.allowed_origins = ['file://']", "server.allow_credentials: does"),
        ] {
            let found = warned(text);
            assert!(found.len() == 1 && found[0].starts_with(key), "{text}: {found:?}");
        }
        for text in [
            "server.allowed_origins = ['*']",
            "server.allowed_origins = ['file://', 'capacitor://localhost']",
            "server.allow_credentials = true\nserver.allowed_origins = ['https://a.example']",
        ] {
            assert_eq!(warned(text), [""; 0], "{text}");
        }
    }
}
