//! Parses JSON bodies, with errors that name the position or the field. Knows no endpoint.

use hubbub_actors::events::json::{is_json, object, parse_fault};
use hubbub_actors::events::text::check_members;
use hubbub_actors::model::fault::{Code, Fault};
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// Parses the body of a request, a JSON object. An empty array counts as an empty object, as PHP writes it.
///
/// # Errors
/// `INVALID_REQUEST` with the line and column of the first error, or with the field that is missing or has the wrong type.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    let body = object(body);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|byte| *byte != b'{') {
        // serde would also read a derived struct from an array.
        serde_json::from_slice::<&RawValue>(body).map_err(|error| not_json(&error))?;
        return Err(Fault::new(Code::InvalidRequest, "The body is not a JSON object"));
    }
    let parsed =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| match error.inner().classify() {
            Category::Data => parse_fault(&error, "body"),
            // A number beyond the range of a double is valid JSON, but has no value.
            Category::Syntax | Category::Eof | Category::Io => {
                let invalid = check_members(body, "body").err().filter(|_| is_json(body));
                invalid.unwrap_or_else(|| not_json(error.inner()))
            }
        })?;
    deserializer.end().map_err(|error| not_json(&error))?;
    Ok(parsed)
}

fn not_json(error: &serde_json::Error) -> Fault {
    Fault::new(Code::InvalidRequest, format!("The body is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct OuterBody<'a> {
        name: String,
        inner: Option<InnerBody>,
        #[serde(borrow)]
        data: &'a RawValue,
    }

    #[derive(Debug, Deserialize)]
    struct InnerBody {
        #[expect(dead_code, reason = "only its absence is tested")]
        id: u32,
    }

    fn fault(body: &str) -> (Option<String>, String) {
        let fault = parse::<OuterBody<'_>>(body.as_bytes()).unwrap_err();
        assert_eq!(fault.code, Code::InvalidRequest);
        (fault.field, fault.message.into_owned())
    }

    #[test]
    fn any_json_value_keeps_its_text() {
        for data in ["null", "1e400", "[1, 2]", "{\"a\" :\n 1}", "\"\\u0041\""] {
            let body = format!(" {{\"name\":\"n\",\"data\":{data}}} ");
            let parsed: OuterBody<'_> = parse(body.as_bytes()).unwrap();
            assert_eq!(parsed.name, "n");
            assert!(parsed.inner.is_none());
            assert_eq!(parsed.data.get(), data);
        }
    }

    #[test]
    fn text_that_is_not_json_is_refused_with_its_position() {
        for (body, message) in [
            ("", "The body is not JSON: EOF while parsing a value at line 1 column 0"),
            ("{\"name\":\n oops}", "The body is not JSON: expected value at line 2 column 2"),
            ("{\"name\":\"n\",\"data\":1} x", "The body is not JSON: trailing characters at line 1 column 23"),
            ("hello", "The body is not JSON: expected value at line 1 column 1"),
        ] {
            assert_eq!(fault(body), (None, message.to_owned()), "{body}");
        }
    }

    #[test]
    fn json_that_is_not_an_object_is_refused() {
        for body in ["[\"n\", null, 1]", "null", "\"text\"", "5"] {
            assert_eq!(fault(body), (None, "The body is not a JSON object".to_owned()));
        }
    }

    #[test]
    fn a_missing_field_is_named_with_its_path() {
        assert_eq!(fault("{\"name\":\"n\"}"), (Some("data".into()), "`data` is missing".into()));
        assert_eq!(
            fault("{\"name\":\"n\",\"inner\":{},\"data\":1}"),
            (Some("inner.id".into()), "`inner.id` is missing".into())
        );
    }

    #[test]
    fn a_mistyped_field_is_named_with_its_path() {
        assert_eq!(
            fault("{\"name\":5}"),
            (Some("name".into()), "`name`: invalid type: integer `5`, expected a string".into())
        );
        let (field, _) = fault("{\"inner\":{\"id\":-1}}");
        assert_eq!(field.as_deref(), Some("inner.id"));
    }

    #[test]
    fn an_error_text_does_not_repeat_the_whole_body() {
        let (_, message) = fault(&format!("{{\"inner\":\"{}\"}}", "x".repeat(100_000)));
        assert!(message.chars().count() < 400, "{message}");
    }

    #[test]
    fn a_number_beyond_a_double_is_named() {
        let (field, message) = fault(r#"{"name":"n","data":1,"inner":{"id":1e400}}"#);
        assert_eq!(field.as_deref(), Some("inner.id"));
        assert_eq!(message, "`inner.id`: a number beyond the range of a double");
        for not_json in [r#"{"inner":{"id":1e400,}}"#, "hello -5e"] {
            assert_eq!(fault(not_json).0, None, "{not_json}");
        }
    }

    #[test]
    fn an_empty_array_is_an_empty_object() {
        assert_eq!(fault("[]"), (Some("name".into()), "`name` is missing".into()));
        assert_eq!(fault("[0]"), (None, "The body is not a JSON object".to_owned()));
    }
}
