//! The token of `Authorization: Bearer …` (RFC 6750, section 2.1), for plain HTTP and for upgrades.

use actix_http::header::{self, HeaderMap};

/// The token, if there is one; the scheme is case-insensitive. An empty token counts as absent, so that another source
/// of a token is used.
pub fn token(headers: &HeaderMap) -> Option<String> {
    headers.get_all(header::AUTHORIZATION).find_map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            token(&headers)
        };
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(of("bEARER  abc ").as_deref(), Some("abc"));
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("Bearerabc"), None);
        assert_eq!(token(&HeaderMap::new()), None);
    }

    #[test]
    fn an_empty_token_or_another_scheme_does_not_hide_a_token() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            token(&headers)
        };
        assert_eq!(of(&["Bearer "]), None);
        assert_eq!(of(&["Bearer   ", "Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(of(&["Basic dTpw", "Bearer abc", "Bearer def"]).as_deref(), Some("abc"));
    }
}
