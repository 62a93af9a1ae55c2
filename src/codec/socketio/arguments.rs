//! The arguments of events and acknowledgements: a JSON array, parsed once.

use std::fmt;

use bytestring::ByteString;
use hubbub_actors::events::text::resolve_str;
use hubbub_actors::model::fault::Fault;
use hubbub_actors::model::ids::EVENT_NAMES_RESERVED;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{ILLEGAL_PAYLOAD, Malformed};
use crate::codec::text_in;

/// Most arguments of one event, including its name.
pub const ARGUMENTS_MAX: usize = 1024;

/// The arguments of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventArguments {
    /// JSON text of an array: the name and all arguments.
    pub text: ByteString,
    /// The name, the first argument. A number counts as a name by its text, as in the reference server.
    pub name: ByteString,
    /// JSON text of the argument after the name, if any: a slice of `text`.
    pub data: Option<ByteString>,
}

impl EventArguments {
    /// Reads the array `text`.
    ///
    /// # Errors
    /// The fault to report.
    pub fn read(text: ByteString) -> Result<Self, Fault> {
        let Array { name, data, count } = array(&text)?;
        if count > ARGUMENTS_MAX {
            let message = format!("`data`: an event has at most {ARGUMENTS_MAX} arguments, its name among them");
            return Err(Fault::field("data", message));
        }
        let name = name_of(&text, name.ok_or_else(|| Fault::field("event", "`event` is missing"))?)?;
        let data = data.map(|data| text.slice_ref(data.get()));
        Ok(Self { name, data, text })
    }
}

/// The arguments of an event, with their escapes resolved; or the fault to report.
///
/// # Errors
/// The event has a reserved name, which no client library sends.
pub(super) fn of_event(payload: ByteString) -> Result<Result<EventArguments, Box<Fault>>, Malformed> {
    match EventArguments::read(resolve_str(payload)) {
        Ok(event) if EVENT_NAMES_RESERVED.contains(&&*event.name) => Err(ILLEGAL_PAYLOAD),
        Ok(event) => Ok(Ok(event)),
        Err(fault) => Ok(Err(Box::new(fault))),
    }
}

/// The name of an event, the first argument, if it can be read.
pub fn event_name(args: &ByteString) -> Option<Box<str>> {
    let first = args.trim_ascii_start().strip_prefix('[')?;
    // The text after the name is ignored.
    let name = <&RawValue>::deserialize(&mut serde_json::Deserializer::from_str(first)).ok()?;
    name_of(args, name).ok().map(|name| (*name).into())
}

/// The first items of an array, if any, and the number of all items.
pub(super) struct Array<'a> {
    name: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    count: usize,
}

/// Parses the text of an array.
pub(super) fn array(text: &str) -> Result<Array<'_>, Fault> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!("`data`: the arguments of the event are not JSON: {error}");
        Fault::field("data", message)
    })
}

/// The name of an event from its JSON text, a part of `args`: a string, or a number by its text.
fn name_of(args: &ByteString, json: &RawValue) -> Result<ByteString, Fault> {
    match text_in(args, json) {
        Ok(name) => Ok(name),
        Err(_) if json.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            Ok(args.slice_ref(json.get()))
        }
        Err(_) => Err(Fault::field("event", "`event`: expected a string")),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Array<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Array<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Array<'de>, A::Error> {
                let name: Option<&RawValue> = items.next_element()?;
                let data: Option<&RawValue> = items.next_element()?;
                let mut count = usize::from(name.is_some()) + usize::from(data.is_some());
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Array { name, data, count })
            }
        }
        deserializer.deserialize_seq(Items)
    }
}
