//! What a configuration may say, and most likely does not mean. A warning stops nothing: the start logs it, and
//! `hubbub check` prints it.

use super::Config;

/// Everything that deserves a second look, a line each. Holds no secret.
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
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(text: &str) -> Vec<String> {
        warnings(&toml::from_str(text).unwrap())
    }

    #[test]
    fn the_defaults_deserve_no_warning() {
        assert_eq!(warned(""), [""; 0]);
    }

    #[test]
    fn a_key_set_without_issuer_and_audience_is_warned_of() {
        let jwks = "auth.algorithm = 'ES256'\nauth.jwks = 'https://id.example/keys'\n";
        let found = warned(jwks);
        assert!(found.len() == 1 && found[0].starts_with("auth.jwks: "), "{found:?}");
        assert_eq!(warned(&format!("{jwks}auth.issuer = 'https://id.example'")), [""; 0]);
        assert_eq!(warned(&format!("{jwks}auth.audience = ['chat', 'push']")), [""; 0]);
    }
}
