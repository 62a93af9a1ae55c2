//! Positions of topics as JSON.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::position::Position;

/// A position in a topic's history.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(
    remote = "Position",
    deny_unknown_fields,
    expecting = "an object {epoch, offset}, as `positions` has it, not a time"
)]
#[schemars(rename = "Position")]
struct PositionView {
    /// The numbering that `offset` belongs to.
    epoch: String,
    /// The number of the last message before this position.
    offset: u64,
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PositionView::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PositionView::deserialize(deserializer)
    }
}

impl JsonSchema for Position {
    fn schema_name() -> Cow<'static, str> {
        PositionView::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        PositionView::json_schema(generator)
    }
}
