//! Passes JSON values through unchanged, and converts parse errors into faults that name the field.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::model::fault::Fault;

/// Longest error message for a caller, in characters: a parser's message repeats the invalid value.
const EXPLANATION_MAX: usize = 300;

/// Longest number that is returned unchanged, in characters.
pub const NUMBER_MAX: usize = 64;

/// Any JSON value. It keeps its original text, so the hub sends it unchanged.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// A value that the hub created.
    pub fn of<T: Serialize>(value: &T) -> Self {
        // Only a map with keys that are not strings can fail, and no caller has such a map.
        Self(serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// JSON text that the hub created.
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

/// Any JSON number. It keeps its original text: `1e3` is returned as `1e3`.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct RawNumber(Box<RawValue>);

impl<'de> Deserialize<'de> for RawNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        match value.get().as_bytes() {
            [b'-' | b'0'..=b'9', ..] if value.get().len() <= NUMBER_MAX => Ok(Self(value)),
            _ => Err(D::Error::custom("expected a number of at most 64 characters")),
        }
    }
}

impl schemars::JsonSchema for RawNumber {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number" })
    }
}

/// A type that event data can be read as.
pub trait Readable: Sized {
    /// Reads an event's data.
    ///
    /// # Errors
    /// As [`parse`].
    fn read(data: &str) -> Result<Self, Fault>;
}

impl<T: DeserializeOwned> Readable for T {
    fn read(data: &str) -> Result<Self, Fault> {
        parse_str(data)
    }
}

/// A whole object: its original text with all its members, and the `T` that the hub reads from it.
#[derive(Debug, Clone)]
pub struct Entire<T> {
    /// The original text.
    pub text: Json,
    /// The members that the hub reads.
    pub read: T,
}

impl<T: DeserializeOwned> Readable for Entire<T> {
    fn read(data: &str) -> Result<Self, Fault> {
        let read = parse_str(data)?;
        Ok(Self { text: parse_str(data)?, read })
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

/// The JSON text of an object. An empty array becomes `{}`, because PHP writes an empty object as `[]`.
pub fn object(text: &[u8]) -> &[u8] {
    if is_empty_array(text) { b"{}" } else { text }
}

fn is_empty_array(text: &[u8]) -> bool {
    let inside = text.trim_ascii().strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
    inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

/// Reads an object into a map from member to value. An empty array counts as an empty object, as in [`object`].
///
/// # Errors
/// The value is neither, or a member is not a `V`.
pub fn map<'de, D: Deserializer<'de>, V: Deserialize<'de>>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error> {
    struct ObjectReader<V>(PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for ObjectReader<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
            BTreeMap::deserialize(MapAccessDeserializer::new(members))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            match items.next_element::<IgnoredAny>()? {
                None => Ok(BTreeMap::new()),
                Some(_) => Err(A::Error::invalid_type(Unexpected::Seq, &self)),
            }
        }
    }
    deserializer.deserialize_any(ObjectReader(PhantomData))
}

/// Reads `data` as a `T`. An empty array is an empty object, as in [`object`].
///
/// # Errors
/// [`crate::model::fault::Code::InvalidRequest`] naming the offending field by its path in `data`.
pub fn parse<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, Fault> {
    let data = object(data);
    parse_object(data, || serde_json::Deserializer::from_slice(data))
}

/// As [`parse`], for text that is known to be UTF-8: its strings are not checked again.
///
/// # Errors
/// As [`parse`].
pub fn parse_str<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Fault> {
    let data = if is_empty_array(data.as_bytes()) { "{}" } else { data };
    parse_object(data.as_bytes(), || serde_json::Deserializer::from_str(data))
}

/// Reads the object `data`, for which `reader` makes a reader.
fn parse_object<'a, T: Deserialize<'a>, R: serde_json::de::Read<'a>>(
    data: &[u8],
    reader: impl Fn() -> serde_json::Deserializer<R>,
) -> Result<T, Fault> {
    // serde would read an array's items as a struct's fields, in their order.
    if !data.trim_ascii_start().starts_with(b"{") {
        return Err(Fault::field("data", "`data`: expected an object"));
    }
    let mut once = reader();
    let value = T::deserialize(&mut once).and_then(|value| once.end().map(|()| value));
    // Tracking the path is expensive, so it is done only after an error.
    value.or_else(|_| serde_path_to_error::deserialize(&mut reader()).map_err(|error| parse_fault(&error, "data")))
}

/// Serializes a value that the hub created.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    to_vec(value).into()
}

/// As [`encode`], for a text that is not shared.
pub fn to_vec<T: Serialize>(value: &T) -> Vec<u8> {
    // Only a map with keys that are not strings can fail, and no event has such a map. The client would receive an
    // empty object, which it can still parse.
    serde_json::to_vec(value).unwrap_or_else(|error| {
        log::error!("an event could not be serialized: {error}");
        b"{}".to_vec()
    })
}

/// Whether `text` is one JSON value in UTF-8.
pub fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// The message for an empty text where a text is required: it counts as missing.
pub const EMPTY: &str = "an empty text counts as missing";

/// The message for a missing field.
pub fn missing(field: &str) -> String {
    format!("`{field}` is missing")
}

/// Describes an invalid value and its field for the caller. `root` is the name of the whole value.
pub fn parse_fault(error: &serde_path_to_error::Error<serde_json::Error>, root: &str) -> Fault {
    let full = error.inner().to_string();
    let sentence = full.split(" at line ").next().unwrap_or(&full);
    let absent = sentence.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    // The path of the whole value is a single dot.
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
        _at: Option<RawNumber>,
    }

    fn field_and_message(text: &str) -> (Option<String>, String) {
        let fault = parse::<Sample>(text.as_bytes()).unwrap_err();
        assert_eq!(parse_str::<Sample>(text).unwrap_err(), fault);
        (fault.field.clone(), fault.message.into_owned())
    }

    #[test]
    fn a_fault_names_the_field_by_its_path() {
        assert_eq!(field_and_message("{}"), (Some("topics".into()), "`topics` is missing".into()));
        assert_eq!(field_and_message(r#"{"topics":["a",7]}"#).0.as_deref(), Some("topics[1]"));
        assert_eq!(field_and_message(r#"{"topics":"a"}"#).0.as_deref(), Some("topics"));
        assert_eq!(field_and_message(r#"{"topics":[],"at":"x"}"#).0.as_deref(), Some("at"));
        assert_eq!(field_and_message("[[]]"), (Some("data".into()), "`data`: expected an object".into()));
        assert_eq!(field_and_message("7").0.as_deref(), Some("data"));
    }

    #[test]
    fn an_empty_array_is_read_as_an_empty_object() {
        #[derive(Debug, Default, PartialEq, Deserialize)]
        struct Optional {
            a: Option<u32>,
            #[serde(default, deserialize_with = "map")]
            by_name: BTreeMap<String, u32>,
        }
        let read = |text: &str| {
            let read = parse_str::<Optional>(text);
            assert_eq!(parse::<Optional>(text.as_bytes()), read);
            read.map_err(|fault| fault.field.unwrap())
        };
        for text in ["[]", " [ ]\n", "{}", r#"{"by_name":[]}"#, r#"{"by_name":[ ]}"#] {
            assert_eq!(read(text), Ok(Optional::default()), "{text}");
        }
        let by_name = BTreeMap::from([("x".to_owned(), 1)]);
        assert_eq!(read(r#"{"by_name":{"x":1}}"#), Ok(Optional { a: None, by_name }));
        for (text, field) in [
            ("[1]", "data"),
            ("[[]]", "data"),
            ("[", "data"),
            (r#"{"by_name":[1]}"#, "by_name"),
            (r#"{"by_name":null}"#, "by_name"),
            (r#"{"by_name":{"x":"y"}}"#, "by_name.x"),
        ] {
            assert_eq!(read(text), Err(field.to_owned()), "{text}");
        }
        assert_eq!(field_and_message("[]"), (Some("topics".into()), "`topics` is missing".into()));
    }

    #[test]
    fn a_number_keeps_its_text() {
        for text in ["1", "-0.5", "1e3", "123456789012345678901234567890"] {
            let number: RawNumber = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&number).unwrap(), text);
        }
        for text in ["\"1\"", "null", "[1]", "true"] {
            assert!(serde_json::from_str::<RawNumber>(text).is_err(), "{text}");
        }
    }
}
