//! A user's availability as JSON.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::availability::Availability;

/// A user's availability. A client cannot send `offline`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", remote = "Availability")]
#[schemars(rename = "Availability")]
enum AvailabilityView {
    /// Connected.
    Online,
    /// Connected and inactive.
    Away,
    /// Connected and busy.
    Busy,
    /// Without a session.
    #[serde(skip_deserializing)]
    Offline,
}

impl Serialize for Availability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        AvailabilityView::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Availability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AvailabilityView::deserialize(deserializer)
    }
}

impl JsonSchema for Availability {
    fn schema_name() -> Cow<'static, str> {
        AvailabilityView::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        AvailabilityView::json_schema(generator)
    }
}
