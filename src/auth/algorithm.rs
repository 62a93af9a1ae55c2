//! The names of signature algorithms in tokens, key sets and messages.
//!
//! RFC 9864 replaces the name `EdDSA` by `Ed25519`. Both mean the same algorithm here, because the hub accepts only
//! Ed25519 keys. All other names are compared exactly (RFC 7515, section 4.1.1: they are case-sensitive).

use jsonwebtoken::Algorithm;

/// Longest algorithm name from a token that an error repeats, in bytes. Registered names are shorter.
const SHOWN_MAX: usize = 20;

/// The algorithm with that name; `None` for an algorithm that the hub does not verify, `none` included.
pub(super) fn named(name: &str) -> Option<Algorithm> {
    match name {
        "Ed25519" => Some(Algorithm::EdDSA),
        _ => name.parse().ok(),
    }
}

/// The name of the algorithm in messages.
fn shown(algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::EdDSA => "Ed25519 (EdDSA)".to_owned(),
        _ => format!("{algorithm:?}"),
    }
}

/// The message for a token with the algorithm `found` in its header when `expected` is required. `found` comes from the
/// client, so it is repeated only if it can be a registered name.
pub(super) fn mismatch(found: &str, expected: Algorithm) -> String {
    let expected = shown(expected);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+".contains(&byte);
    if found.eq_ignore_ascii_case("none") {
        format!("The token is not signed; expected a signature with {expected}")
    } else if (1..=SHOWN_MAX).contains(&found.len()) && found.bytes().all(is_plain) {
        format!("The token is not signed with {expected}, but with {found}")
    } else {
        format!("The token is not signed with {expected}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ed25519_and_eddsa_are_the_same_and_other_names_are_exact() {
        assert_eq!((named("Ed25519"), named("EdDSA")), (Some(Algorithm::EdDSA), Some(Algorithm::EdDSA)));
        assert_eq!(named("HS256"), Some(Algorithm::HS256));
        for other in ["", "none", "ed25519", "ED25519", "EDDSA", "Ed25519 ", "Ed448", "ES256K", "ES512", "hs256"] {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn a_mismatch_names_the_expected_algorithm_and_repeats_no_unprintable_name() {
        for (found, expected, message) in [
            ("HS384", Algorithm::HS256, "The token is not signed with HS256, but with HS384"),
            ("ES256K", Algorithm::ES256, "The token is not signed with ES256, but with ES256K"),
            ("ML-DSA-44", Algorithm::EdDSA, "The token is not signed with Ed25519 (EdDSA), but with ML-DSA-44"),
            ("nOnE", Algorithm::HS256, "The token is not signed; expected a signature with HS256"),
            ("", Algorithm::HS256, "The token is not signed with HS256"),
            ("a b", Algorithm::HS256, "The token is not signed with HS256"),
            ("\u{202e}", Algorithm::HS256, "The token is not signed with HS256"),
            (&"a".repeat(21), Algorithm::HS256, "The token is not signed with HS256"),
        ] {
            assert_eq!(mismatch(found, expected), message);
        }
    }
}
