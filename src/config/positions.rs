//! The positions of keys in a TOML text: the dotted path of each key and list item, and its line.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Notes the position of every key in `table`, which is at the path `within`. `position` describes a byte of the text.
pub(super) fn note_table(
    positions: &mut BTreeMap<String, String>,
    within: &str,
    table: &DeTable<'_>,
    position: &dyn Fn(usize) -> String,
) {
    for (key, value) in table {
        let path = match within {
            "" => key.get_ref().to_string(),
            _ => format!("{within}.{}", key.get_ref()),
        };
        positions.insert(path.clone(), position(key.span().start));
        note_value(positions, &path, value, position);
    }
}

fn note_value(
    positions: &mut BTreeMap<String, String>,
    path: &str,
    value: &Spanned<DeValue<'_>>,
    position: &dyn Fn(usize) -> String,
) {
    match value.get_ref() {
        DeValue::Table(table) => note_table(positions, path, table, position),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                positions.insert(path.clone(), position(item.span().start));
                note_value(positions, &path, item, position);
            }
        }
        _ => {}
    }
}

/// The lines of a text. A text has a position for each key, so a look-up must not read the text again.
pub(super) struct Lines {
    /// The positions of the line feeds, in order.
    ends: Vec<usize>,
}

impl Lines {
    /// The lines of `text`.
    pub(super) fn of(text: &[u8]) -> Self {
        Self { ends: memchr::memchr_iter(b'\n', text).collect() }
    }

    /// The number of the line that contains the byte `at`, from 1.
    pub(super) fn number(&self, at: usize) -> usize {
        self.ends.partition_point(|&end| end < at) + 1
    }
}

/// The number of the line that contains the byte `at`, from 1.
pub(super) fn line_of(text: &[u8], at: usize) -> usize {
    Lines::of(text).number(at)
}
