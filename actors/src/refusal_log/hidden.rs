//! Removes secrets and client data from the texts of a log line: tokens, the query of a path, and values that an error
//! message repeats. Pure.

use std::borrow::Cow;

/// The first characters of every JSON Web Token: its header is an object, in base64url.
const TOKEN_START: &str = "eyJ";

/// Fewest characters after [`TOKEN_START`] that make a token.
const TOKEN_LEAST: usize = 10;

/// The replacement for a token.
const REPLACEMENT: &str = "[token]";

/// `text` without JSON Web Tokens: clients send them as paths, events and rooms by mistake.
pub(super) fn without_tokens(text: &str) -> Cow<'_, str> {
    let is_token = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let (mut shown, mut rest) = (String::new(), text);
    while let Some((before, found)) = rest.find(TOKEN_START).and_then(|at| rest.split_at_checked(at)) {
        let end = found.find(|char| !is_token(char)).unwrap_or(found.len());
        let Some((token, behind)) = found.split_at_checked(end) else { break };
        shown.push_str(before);
        shown.push_str(if end < TOKEN_START.len() + TOKEN_LEAST { token } else { REPLACEMENT });
        rest = behind;
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// A path without its query, also when the client encoded the `?`.
pub(super) fn without_query(path: &str) -> &str {
    let end = ["?", "%3F", "%3f"].iter().filter_map(|mark| path.find(mark)).min();
    end.and_then(|end| path.get(..end)).unwrap_or(path)
}

/// An error message without the values that a client sent. serde's messages have the received value and the expected
/// type.
pub(super) fn without_values(sentence: &str) -> Cow<'_, str> {
    const BEFORE_A_VALUE: [&str; 4] = ["invalid type", "invalid value", "unknown variant", "unknown field"];

    let found = BEFORE_A_VALUE.iter().filter_map(|words| sentence.find(words).map(|at| at + words.len())).min();
    let Some((message, rest)) = found.and_then(|at| sentence.split_at_checked(at)) else {
        return Cow::Borrowed(sentence);
    };
    let expected = rest.rfind(", expected ").and_then(|at| rest.get(at..)).unwrap_or_default();
    Cow::Owned(format!("{message}{expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_sent_by_a_client_are_removed() {
        for (message, logged) in [
            ("`limit`: invalid type: string \"s3cret\", expected usize", "`limit`: invalid type, expected usize"),
            ("`a`: invalid type: string \", expected x\", expected a map", "`a`: invalid type, expected a map"),
            (
                "`type`: unknown variant `s3cret`, expected one of `a`, `b`",
                "`type`: unknown variant, expected one of `a`, `b`",
            ),
            ("`password`: invalid type: string \"s3c", "`password`: invalid type"),
            ("The token has expired", "The token has expired"),
        ] {
            assert_eq!(without_values(message), logged);
        }
    }

    #[test]
    fn a_token_is_hidden_at_any_position() {
        const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl-_";

        for (before, behind) in
            [("", ""), ("/sessions/", ""), ("there is no event \"", "\""), ("é ", " é"), ("eyJ ", "")]
        {
            let text = format!("{before}{TOKEN}{behind}");
            assert_eq!(without_tokens(&text), format!("{before}[token]{behind}"));
        }
        assert_eq!(without_tokens(&format!("{TOKEN},{TOKEN}")), "[token],[token]");
        let begun = TOKEN.get(..20).unwrap();
        assert_eq!(without_tokens(begun), "[token]", "a truncated token");
        for text in ["", "eyJ", "room:join", "eyJaney", "chat:eyJ.7"] {
            assert!(matches!(without_tokens(text), Cow::Borrowed(_)) || text.contains("eyJ"));
            assert_eq!(without_tokens(text), text);
        }
    }

    #[test]
    fn the_query_of_a_path_is_removed_also_when_encoded() {
        for path in ["/ws", "/ws?token=a", "/ws%3Ftoken=a", "/ws%3ftoken=a?b"] {
            assert_eq!(without_query(path), "/ws");
        }
        assert_eq!(without_query("/api/rooms/%C3%A9"), "/api/rooms/%C3%A9");
    }
}
