//! Finds parts of a text without parsing it.

/// The bytes between `start` and the next quotation mark.
pub(crate) fn quoted<'a>(text: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    let rest = text.get(position(text, start)? + start.len()..)?;
    rest.get(..position(rest, b"\"")?)
}

/// The index of `part` in `text`.
pub(crate) fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
