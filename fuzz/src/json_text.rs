//! JSON text from callers: the forwarded text has the same value, and every receiver can parse it.

use bytes::Bytes;
use hubbub_actors::events::{json, text};
use serde_json::Value;

/// Arbitrary bytes where JSON is expected.
pub(crate) fn json_text(bytes: &[u8]) {
    let input = Bytes::copy_from_slice(bytes);
    let resolved = text::resolve(input.clone());
    let checked = text::check_members(&resolved, "data");
    if !json::is_json(bytes) {
        assert_eq!(resolved, input);
        return;
    }
    assert!(json::is_json(&resolved) && resolved.len() <= input.len());
    assert_eq!(text::resolve(resolved.clone()), resolved);
    assert!(!has_spare_escapes(&resolved), "{}", resolved.escape_ascii());
    assert_eq!(text::check_members(bytes, "data").is_ok(), checked.is_ok(), "escapes do not change the result");
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        assert_eq!(serde_json::from_slice::<Value>(&resolved).ok().as_ref(), Some(&value));
    }
    match (serde_json::from_slice::<Value>(&resolved), checked) {
        (Err(error), Ok(())) => assert!(error.to_string().starts_with("recursion limit"), "{error}"),
        (Ok(_), Err(fault)) => panic!("{fault} for text that can be parsed"),
        (Err(_), Err(fault)) => assert!(fault.field.is_some_and(|field| !field.is_empty())),
        (Ok(_), Ok(())) => {}
    }
}

/// Whether the text has an unnecessary escape, or a longer one than necessary.
fn has_spare_escapes(json: &[u8]) -> bool {
    let (mut rest, mut spare) = (json, false);
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        let escape = &rest[at..];
        spare |= match escape.get(1) {
            Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') => false,
            // The other control characters have a short form.
            Some(b'u') => !matches!(
                escape.get(2..6),
                Some(
                    [b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f']
                    | [b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f'],
                )
            ),
            _ => true,
        };
        rest = escape.get(2..).unwrap_or_default();
    }
    spare
}
