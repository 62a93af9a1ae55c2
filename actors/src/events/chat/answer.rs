//! The form of every acknowledgement on `/chat`: a JSON object with `success`.

use std::borrow::Cow;

/// The start of the replies in the chat document.
const WITH_SUCCESS: &[u8] = b"{\"success\":";

/// The acknowledgement on `/chat` for a successful reply with the JSON text `data`. Replies of the chat document begin
/// with `success`; replies of other events get it here. Without data: `{"success":true}`.
pub fn successful(data: Option<&[u8]>) -> Cow<'_, [u8]> {
    match data.and_then(|data| Some((data, data.strip_prefix(b"{")?))) {
        Some((data, _)) if data.starts_with(WITH_SUCCESS) => Cow::Borrowed(data),
        Some((_, fields)) if fields != b"}" => [b"{\"success\":true,", fields].concat().into(),
        _ => Cow::Borrowed(b"{\"success\":true}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_success_once() {
        for (data, answer) in [
            (Some(r#"{"recipients":2}"#), r#"{"success":true,"recipients":2}"#),
            (Some(r#"{"success":true,"rooms":[]}"#), r#"{"success":true,"rooms":[]}"#),
            (Some("{}"), r#"{"success":true}"#),
            (None, r#"{"success":true}"#),
        ] {
            assert_eq!(*successful(data.map(str::as_bytes)), *answer.as_bytes(), "{data:?}");
        }
    }
}
