//! JSON that passes through unread, and bad JSON turned into a fault that names the field.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::fault::Fault;

/// How deep arrays and objects may nest in what a caller sends. Members parse with recursive parsers; this keeps a
/// stranger from overflowing their stacks.
pub const DEPTH_MAX: usize = 128;

/// Longest explanation given to a caller, in characters: a parser's sentence repeats the offending value.
const EXPLANATION_MAX: usize = 300;

/// Longest number that is given back as it came, in characters.
pub const NUMBER_MAX: usize = 64;

/// Any JSON value, kept as the text it came as, so that it leaves as it came.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// A value that the hub made.
    pub fn of<T: Serialize>(value: &T) -> Self {
        // Only a map with keys that are no strings can fail, and no caller has one.
        Self(serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// JSON text of the hub's own.
    pub fn text(data: &[u8]) -> Self {
        serde_json::from_slice::<Box<RawValue>>(data).map_or_else(|_| Self::null(), Self)
    }

    /// `null`.
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl From<Box<RawValue>> for Json {
    fn from(value: Box<RawValue>) -> Self {
        Self(value)
    }
}

impl schemars::JsonSchema for Json {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

/// Any JSON number, kept as the text it came as: `1e3` goes back as `1e3`.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Number(Box<RawValue>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        match value.get().as_bytes() {
            [b'-' | b'0'..=b'9', ..] if value.get().len() <= NUMBER_MAX => Ok(Self(value)),
            _ => Err(serde::de::Error::custom("expected a number of at most 64 characters")),
        }
    }
}

impl schemars::JsonSchema for Number {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number" })
    }
}

/// What an event's data can be read as.
pub trait Readable: Sized {
    /// Reads an event's data.
    ///
    /// # Errors
    /// As [`parse`].
    fn read(data: &[u8]) -> Result<Self, Fault>;
}

impl<T: DeserializeOwned> Readable for T {
    fn read(data: &[u8]) -> Result<Self, Fault> {
        parse(data)
    }
}

/// A whole object as it came, with whatever is in it, and the `T` that it is.
#[derive(Debug, Clone)]
pub struct Entire<T> {
    /// The object.
    pub text: Json,
    /// What the hub reads in it.
    pub read: T,
}

impl<T: DeserializeOwned> Readable for Entire<T> {
    fn read(data: &[u8]) -> Result<Self, Fault> {
        let read = parse(data)?;
        Ok(Self { text: parse(data)?, read })
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Entire<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// Reads `data` as a `T`.
///
/// # Errors
/// [`crate::fault::Code::InvalidRequest`] naming the offending field by its path in `data`.
pub fn parse<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, Fault> {
    // serde would read an array's items as a struct's fields, in their order.
    if !data.trim_ascii_start().starts_with(b"{") {
        return Err(Fault::field("data", "`data`: expected an object"));
    }
    // The path costs; it is looked for only when there is something to blame.
    serde_json::from_slice(data).or_else(|_| {
        let mut reader = serde_json::Deserializer::from_slice(data);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| blame(&error, "data"))
    })
}

/// Serialises what the hub made itself.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    // Only a map with keys that are no strings can fail, and no event has one; the empty object keeps a client whole.
    Bytes::from(serde_json::to_vec(value).unwrap_or_else(|error| {
        log::error!("an event could not be serialised: {error}");
        b"{}".to_vec()
    }))
}

/// Whether `text` is one JSON value in UTF-8.
pub fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// Whether arrays and objects nest at most [`DEPTH_MAX`] deep in the JSON `text`.
pub fn is_shallow(text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return false;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// What a reader says of a text that may not be empty: such a text counts as missing.
pub const EMPTY: &str = "an empty text counts as missing";

/// The sentence about a field that is missing.
pub fn missing(field: &str) -> String {
    format!("`{field}` is missing")
}

/// Says in the caller's words what is wrong with a value and where. `root` is what the whole of it is called.
pub fn blame(error: &serde_path_to_error::Error<serde_json::Error>, root: &str) -> Fault {
    let full = error.inner().to_string();
    let sentence = full.split(" at line ").next().unwrap_or(&full);
    let absent = sentence.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    // For the whole value the path is a single dot.
    let path = Some(error.path().to_string()).filter(|path| path != ".");
    let field = match (path, absent) {
        (Some(path), Some(name)) => format!("{path}.{name}"),
        (None, Some(name)) => name.to_owned(),
        (Some(path), None) => path,
        (None, None) => root.to_owned(),
    };
    let message = match absent {
        Some(_) => missing(&field),
        None if sentence == EMPTY => missing(&field),
        None => {
            let sentence: String = sentence.chars().take(EXPLANATION_MAX).collect();
            format!("`{field}`: {sentence}")
        }
    };
    Fault::field(field, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(rename = "topics")]
        _topics: Vec<String>,
        #[serde(rename = "at")]
        _at: Option<Number>,
    }

    fn blamed(text: &str) -> (Option<String>, String) {
        let fault = parse::<Sample>(text.as_bytes()).unwrap_err();
        (fault.field.clone(), fault.message.into_owned())
    }

    #[test]
    fn a_fault_names_the_field_by_its_path() {
        assert_eq!(blamed("{}"), (Some("topics".into()), "`topics` is missing".into()));
        assert_eq!(blamed(r#"{"topics":["a",7]}"#).0.as_deref(), Some("topics[1]"));
        assert_eq!(blamed(r#"{"topics":"a"}"#).0.as_deref(), Some("topics"));
        assert_eq!(blamed(r#"{"topics":[],"at":"x"}"#).0.as_deref(), Some("at"));
        assert_eq!(blamed("[[]]"), (Some("data".into()), "`data`: expected an object".into()));
        assert_eq!(blamed("7").0.as_deref(), Some("data"));
    }

    #[test]
    fn a_number_goes_back_as_it_came() {
        for text in ["1", "-0.5", "1e3", "123456789012345678901234567890"] {
            let number: Number = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&number).unwrap(), text);
        }
        for text in ["\"1\"", "null", "[1]", "true"] {
            assert!(serde_json::from_str::<Number>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        assert!(is_shallow(format!("{}{}", "[".repeat(128), "]".repeat(128)).as_bytes()));
        assert!(!is_shallow("[".repeat(129).as_bytes()));
        assert!(is_shallow(format!("\"{}\\\"{}\"", "[".repeat(200), "{".repeat(200)).as_bytes()));
    }
}
