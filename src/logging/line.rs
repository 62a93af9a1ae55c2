//! Formats a line of the log. Pure: the time is an argument.
//!
//! A record is always one line: control characters, line separators and characters that change the direction of text are
//! escaped. In the format `text`, a value with a space, a quote or `=` is quoted. A line has at most [`LINE_MAX`] bytes; a longer
//! one is cut and gets the field `cut`.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use log::Record;
use log::kv::{self, Key, Value, VisitSource, VisitValue};

use super::LogFormat;

/// Longest line, in bytes, its end included.
pub(super) const LINE_MAX: usize = 8_192;

/// Longest message, in bytes with escapes.
const MESSAGE_MAX: usize = 4_096;

/// Longest value of a field, in bytes with escapes.
const VALUE_MAX: usize = 1_024;

/// Longest name of a field, in bytes with escapes.
const NAME_MAX: usize = 100;

/// Bytes reserved for the end of a line.
const END_MAX: usize = 32;

/// Reserved names. A field with such a name gets an underscore after it.
const RESERVED: [&str; 5] = ["time", "level", "target", "message", "cut"];

/// The line of `record`, with its end.
pub(super) fn write(format: LogFormat, time: SystemTime, record: &Record<'_>) -> String {
    let mut line = LineBuilder { format, text: String::with_capacity(256), names: Vec::new(), is_cut: false };
    line.begin(time, record);
    // Only the `Display` of a value can fail. The line keeps what was written before.
    if record.key_values().visit(&mut line).is_err() {
        line.is_cut = true;
    }
    line.end()
}

/// `text` as in a line of the log: one line, escaped and bounded.
pub(super) fn escaped(text: &str) -> String {
    let mut line = LineBuilder { format: LogFormat::Text, text: String::new(), names: Vec::new(), is_cut: false };
    line.escaped(MESSAGE_MAX, &text);
    line.text
}

struct LineBuilder {
    format: LogFormat,
    text: String,
    /// The names so far. Of two fields with one name, the first is written.
    names: Vec<String>,
    is_cut: bool,
}

impl LineBuilder {
    fn begin(&mut self, time: SystemTime, record: &Record<'_>) {
        let time = humantime::format_rfc3339_millis(time);
        let level = record.level();
        match self.format {
            LogFormat::Text => {
                let _ = write!(self.text, "{time} {level:<5} ");
                self.escaped(NAME_MAX, &record.target());
                self.text.push_str(": ");
                self.escaped(MESSAGE_MAX, record.args());
            }
            LogFormat::Json => {
                let _ = write!(self.text, "{{\"time\":\"{time}\",\"level\":\"{level}\",\"target\":");
                self.quoted(NAME_MAX, &record.target());
                self.text.push_str(",\"message\":");
                self.quoted(MESSAGE_MAX, record.args());
            }
        }
    }

    fn end(mut self) -> String {
        self.text.push_str(match (self.format, self.is_cut) {
            (LogFormat::Text, false) => "\n",
            (LogFormat::Text, true) => " cut=true\n",
            (LogFormat::Json, false) => "}\n",
            (LogFormat::Json, true) => ",\"cut\":true}\n",
        });
        self.text
    }

    /// Writes the name of a field; `false` if the line has no room or already has the name.
    fn name(&mut self, name: &str) -> bool {
        let name = if RESERVED.contains(&name) { format!("{name}_") } else { name.to_owned() };
        if self.names.contains(&name) {
            return false;
        }
        if self.text.len() + NAME_MAX + VALUE_MAX + 8 > LINE_MAX - END_MAX {
            self.is_cut = true;
            return false;
        }
        match self.format {
            LogFormat::Text => {
                self.text.push(' ');
                self.value(NAME_MAX, &name);
                self.text.push('=');
            }
            LogFormat::Json => {
                self.text.push(',');
                self.quoted(NAME_MAX, &name);
                self.text.push(':');
            }
        }
        self.names.push(name);
        true
    }

    /// Writes a text value, in quotes if it needs them.
    fn value(&mut self, most: usize, value: &dyn fmt::Display) {
        let start = self.text.len();
        let is_plain = self.quoted(most, value);
        if self.format == LogFormat::Text && is_plain {
            self.text.pop();
            self.text.remove(start);
        }
    }

    /// Writes `value` in quotes; returns whether it needs none.
    fn quoted(&mut self, most: usize, value: &dyn fmt::Display) -> bool {
        self.text.push('"');
        let start = self.text.len();
        let mut escaping = Escaping { most: start + most, in_quotes: true, is_plain: true, is_full: false, line: self };
        let failed = write!(escaping, "{value}").is_err();
        let is_plain = escaping.is_plain && !failed;
        self.is_cut |= failed;
        let is_empty = self.text.len() == start;
        self.text.push('"');
        is_plain && !is_empty
    }

    fn escaped(&mut self, most: usize, value: &dyn fmt::Display) {
        let most = self.text.len() + most;
        let mut escaping = Escaping { most, in_quotes: false, is_plain: true, is_full: false, line: self };
        let failed = write!(escaping, "{value}").is_err();
        self.is_cut |= failed;
    }
}

/// Appends text with escapes, until the line has `most` bytes.
struct Escaping<'a> {
    line: &'a mut LineBuilder,
    most: usize,
    in_quotes: bool,
    /// The text so far needs no quotes.
    is_plain: bool,
    is_full: bool,
}

impl Escaping<'_> {
    fn push(&mut self, char: char) -> fmt::Result {
        let text = &mut self.line.text;
        match (self.line.format, char) {
            (_, '"' | '\\') if self.in_quotes => {
                text.push('\\');
                text.push(char);
            }
            (_, '\n') => text.push_str("\\n"),
            (_, '\r') => text.push_str("\\r"),
            (_, '\t') => text.push_str("\\t"),
            (LogFormat::Text, char) if is_hidden(char) => write!(text, "\\u{{{:x}}}", u32::from(char))?,
            (LogFormat::Json, char) if is_hidden(char) => write!(text, "\\u{:04x}", u32::from(char))?,
            (_, char) => {
                text.push(char);
                self.is_plain &= !char.is_whitespace() && char != '=';
                return Ok(());
            }
        }
        self.is_plain = false;
        Ok(())
    }
}

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_full {
            return Err(fmt::Error);
        }
        for char in text.chars() {
            let before = self.line.text.len();
            self.push(char)?;
            if self.line.text.len() > self.most {
                self.line.text.truncate(before);
                self.is_full = true;
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// Whether a character could begin a line, control a terminal, or change the order of displayed text. All of them are in the
/// first Unicode plane.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl<'kvs> VisitSource<'kvs> for LineBuilder {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        value.visit(FieldWriter { line: self, name: key.as_str() })
    }
}

/// Writes one field. A field without a value (`None`) is left out.
struct FieldWriter<'a> {
    line: &'a mut LineBuilder,
    name: &'a str,
}

impl FieldWriter<'_> {
    fn bare(&mut self, value: &dyn fmt::Display) -> Result<(), kv::Error> {
        if self.line.name(self.name) {
            let _ = write!(self.line.text, "{value}");
        }
        Ok(())
    }
}

impl<'v> VisitValue<'v> for FieldWriter<'_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        if self.line.name(self.name) {
            self.line.value(VALUE_MAX, &value);
        }
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.bare(&value)
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.bare(&value)
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.bare(&number),
            None => self.visit_any(Value::from_display(&value)),
        }
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.bare(&value)
    }
}

#[cfg(test)]
mod tests;
