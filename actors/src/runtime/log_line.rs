//! Writes log lines with optional fields: the macros of `log` take a fixed set of fields.

use log::kv::Value;
use log::{Level, Record};

/// A field of a line.
pub type Field<'a> = (&'static str, Value<'a>);

/// Writes a line.
pub fn write(level: Level, target: &str, message: &str, fields: &[Field<'_>]) {
    log::logger().log(
        &Record::builder()
            .level(level)
            .target(target)
            .module_path_static(Some(module_path!()))
            .key_values(&fields)
            .args(format_args!("{message}"))
            .build(),
    );
}
