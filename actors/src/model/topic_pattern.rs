//! Topic patterns: `chat.*`, `news.*.sport`.

use serde::Deserialize;

/// A pattern over room names, in which `*` stands for any run of characters, dots included, also for none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern from its text. Every text is a pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` matches the pattern. Linear in the name for each `*`, never exponential.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut from) = (0, 0);
        // The position of the last `*`, and the number of bytes of the name that it covers so far.
        let mut star: Option<(usize, usize)> = None;
        while from < name.len() {
            if pattern.get(at) == Some(&b'*') {
                star = Some((at, from));
                at += 1;
            } else if pattern.get(at) == Some(&name[from]) {
                at += 1;
                from += 1;
            } else if let Some((star_at, swallowed)) = star {
                star = Some((star_at, swallowed + 1));
                at = star_at + 1;
                from = swallowed + 1;
            } else {
                return false;
            }
        }
        pattern[at..].iter().all(|&byte| byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*", "anything.at.all", true),
            ("chat.*", "chat.general", true),
            ("chat.*", "chat.", true),
            ("chat.*", "chat", false),
            ("chat.*", "my.chat.general", false),
            ("*.de", "news.sport.de", true),
            ("a*b*c", "a--b--b--c", true),
            ("a*b*c", "a--b--b--", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("ü*", "über", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), fits, "{pattern} on {name}");
        }
    }
}
