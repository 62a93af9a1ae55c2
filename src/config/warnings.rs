//! Valid settings that are probably mistakes. A warning stops nothing: the start logs it, and `hubbub check` prints it.

use super::Config;
use crate::peer::AllowedOrigins;

/// All warnings, one per line. Contains no secret.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    let auth = &config.auth;
    if auth.jwks.is_some() && auth.issuer.is_empty() && auth.audience.is_empty() {
        warnings.push(
            "auth.jwks: neither auth.issuer nor auth.audience is set, so tokens that its issuer made for other \
             applications are accepted"
                .into(),
        );
    }
    origins(config, &mut warnings);
    warnings
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

    fn warned(text: &str) -> Vec<String> {
        warnings(&toml::from_str(text).unwrap())
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
