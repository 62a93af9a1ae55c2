//! User names: the form that the user typed, and the form that is compared.

use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::ids::printable;
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;

/// Longest user name, in characters.
pub const USERNAME_MAX: usize = 200;

/// A user name: 1 to 200 printable characters. Names that differ only in case or in Unicode form (NFKC) are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username {
    typed: String,
    key: String,
}

impl Username {
    /// Parses the name in `field` of a request.
    ///
    /// # Errors
    /// [`hubbub_actors::model::fault::Code::InvalidRequest`] with the field.
    pub fn parse(text: &str, field: &str) -> Result<Self, Fault> {
        printable(text, field, USERNAME_MAX)?;
        if text.trim() != text || text.chars().any(is_invisible) {
            return Err(Fault::field(
                field,
                format!("`{field}` begins or ends with a space, or contains an invisible character"),
            ));
        }
        // The lower-case text may no longer be in normal form, so it is normalised again.
        let lower = text.nfkc().collect::<String>().to_lowercase();
        Ok(Self { typed: text.to_owned(), key: lower.nfkc().collect() })
    }

    /// The name as the user typed it.
    pub fn as_typed(&self) -> &str {
        &self.typed
    }

    /// The form of the name that is compared.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The SHA-256 of [`Username::key`]: the same length for every name.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.key).into()
    }
}

/// Characters that make two different names look equal: soft hyphen, zero-width and direction marks, the byte order
/// mark.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_unicode_form() {
        let key = |text: &str| Username::parse(text, "username").unwrap().key;
        for (one, other) in [
            ("Alice@Example.com", "alice@example.COM"),
            ("Zoë", "Zoe\u{308}"),
            ("ﬁne", "FINE"),
            ("ＡＢＣ", "abc"),
            ("İx", "i\u{307}X"),
        ] {
            assert_eq!(key(one), key(other), "{one} {other}");
        }
        assert_ne!(key("zoe"), key("zoë"));
        assert_eq!(key(&key("ẛ̣İΣ")), key("ẛ̣İΣ"), "a key is its own key");
    }

    #[test]
    fn a_name_has_1_to_200_printable_characters() {
        for bad in ["", "a\nb", &"é".repeat(201)] {
            assert_eq!(Username::parse(bad, "username").unwrap_err().field.as_deref(), Some("username"));
        }
        assert_eq!(Username::parse(&"É".repeat(200), "username").unwrap().as_typed(), "É".repeat(200));
    }

    #[test]
    fn a_name_with_an_invisible_character_or_outer_space_is_refused() {
        for name in [" alice", "alice ", "al\u{200b}ice", "\u{202e}alice", "alice\u{feff}"] {
            assert!(Username::parse(name, "username").is_err(), "{name:?}");
        }
        assert!(Username::parse("alice b. 👩", "username").is_ok());
    }
}
