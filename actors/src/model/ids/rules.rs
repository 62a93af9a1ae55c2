//! The rules for names: their length and their characters.

use std::sync::Arc;

use crate::model::fault::Fault;

/// Whether a character is invisible, or changes the direction of the text after it: two names that differ only in it
/// look alike. U+200C and U+200D are allowed, because scripts and emoji need them.
fn is_hidden(char: char) -> bool {
    matches!(
        char,
        '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Checks that a name is visible: it is not only white space, and it has no [hidden](is_hidden) character.
pub(super) fn visible(text: &str, field: &str) -> Result<(), Fault> {
    // Most names are ASCII, which has no hidden characters.
    let hidden = if text.is_ascii() { None } else { text.chars().find(|&char| is_hidden(char)) };
    let why = match hidden {
        Some(char) => format!("has an invisible character (U+{:04X})", u32::from(char)),
        None if text.chars().all(char::is_whitespace) => "is white space alone".into(),
        None => return Ok(()),
    };
    Err(Fault::field(field, format!("`{field}` {why}")))
}

/// The rule that `text` breaks, if any: 1 to `max` characters, no control characters.
fn unprintable(text: &str, max: usize) -> Option<String> {
    if text.is_empty() {
        return Some("is empty".into());
    }
    if text.len() > max && text.chars().count() > max {
        return Some(format!("is longer than {max} characters"));
    }
    text.chars()
        .any(|char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}'))
        .then(|| "has a character that is not printable".into())
}

/// Checks a text of the request field `field`: 1 to `max` characters, no control characters.
///
/// # Errors
/// [`crate::model::fault::Code::InvalidRequest`] naming the field.
pub fn printable(text: &str, field: &str, max: usize) -> Result<(), Fault> {
    match unprintable(text, max) {
        None => Ok(()),
        Some(why) => Err(Fault::field(field, format!("`{field}` {why}"))),
    }
}

pub(super) fn checked(text: &str, field: &str, max: usize) -> Result<Arc<str>, Fault> {
    printable(text, field, max).map(|()| Arc::from(text))
}

/// As [`checked`], for a name that users see: it must also be [`visible`].
pub(super) fn shown(text: &str, field: &str, max: usize) -> Result<Arc<str>, Fault> {
    let name = checked(text, field, max)?;
    visible(text, field).map(|()| name)
}

#[cfg(test)]
mod tests {
    use crate::model::ids::{ChatId, RoomName, UserId};

    #[test]
    fn an_invisible_name_is_refused_and_zero_width_joiners_are_accepted() {
        let hidden =
            [0xad, 0x61c, 0x200b, 0x200e, 0x200f, 0x202a, 0x202e, 0x2060, 0x2066, 0x2069, 0xfeff, 0xe0000, 0xe007f];
        for code in hidden {
            let name = format!("a{}b", char::from_u32(code).unwrap());
            let words = format!("`room` has an invisible character (U+{code:04X})");
            assert_eq!(RoomName::parse(&name, "room").unwrap_err().message, words);
            assert_eq!(RoomName::of_thread(&name, "room").unwrap_err().message, words);
            assert!(UserId::parse(&name, "id").is_err() && ChatId::parse(&name, "id").is_err(), "{code:x}");
            // Names that an earlier version accepted can be found and deleted.
            assert!(UserId::of_store(&name).is_ok() && ChatId::parse_existing(&name, "id").is_ok(), "{code:x}");
        }
        for blank in [" ", "\u{a0}\u{3000}", "\u{2003}"] {
            assert_eq!(UserId::parse(blank, "id").unwrap_err().message, "`id` is white space alone");
            assert_eq!(RoomName::of_thread(blank, "id").unwrap_err().message, "`id` is white space alone");
            assert!(RoomName::parse(blank, "room").is_err() && ChatId::parse(blank, "id").is_err());
        }
        for name in ["می\u{200c}خواهم", "👩\u{200d}💻", "क्\u{200d}ष", " a b "] {
            assert!(RoomName::parse(name, "room").is_ok() && UserId::parse(name, "id").is_ok(), "{name}");
            assert!(ChatId::parse(name, "id").is_ok(), "{name}");
        }
    }
}
