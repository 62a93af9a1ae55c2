//! Describes a key that a file sets twice, with its name and both lines. The TOML parser reports only the second
//! position.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::positions::{Lines, note_table};

/// Most characters of a key that are shown.
const SHOWN_MAX: usize = 80;

/// Describes the key at the byte `at` of `text`, where it is set for the second time.
pub(super) fn explain(text: &str, at: usize) -> String {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let (before, rest) = text.split_at_checked(start).unwrap_or((text, ""));
    let line = rest.lines().next().unwrap_or_default().trim();
    let first = DeTable::parse(before).ok().and_then(|parsed| {
        let mut lines = BTreeMap::new();
        let numbers = Lines::of(before.as_bytes());
        note_table(&mut lines, "", parsed.get_ref(), &|at| numbers.number(at).to_string());
        let path = path(before, line, &lines)?;
        let first = lines.get(&path)?.clone();
        Some((path, first))
    });
    match first {
        Some((path, first)) => format!("{path}: is set twice; the first is in line {first}"),
        None => {
            // In an inline table, the path is that of the outer key, which is set once. Name only the inner key.
            let key = text.get(at..).unwrap_or_default().split(['=', ']', '\n']).next().unwrap_or_default();
            let key: String = key.trim().chars().take(SHOWN_MAX).collect();
            format!("{key}: is set twice")
        }
    }
}

/// The dotted key that `line` sets, after the prefix `before`.
fn path(before: &str, line: &str, lines: &BTreeMap<String, String>) -> Option<String> {
    if line.starts_with('[') {
        return header(line, lines);
    }
    let key = dotted(line.split_once('=')?.0);
    match before.lines().rev().map(str::trim).find(|line| line.starts_with('[') && !line.contains('=')) {
        Some(section) => Some(format!("{}.{key}", header(section, lines)?)),
        None => Some(key),
    }
}

/// `[server]` → `server`; `[[topics]]` → the last item, `topics[1]`.
fn header(line: &str, lines: &BTreeMap<String, String>) -> Option<String> {
    let name = dotted(line.split(']').next()?.trim_start_matches('['));
    if !line.starts_with("[[") {
        return Some(name);
    }
    let last = (0..).take_while(|index| lines.contains_key(&format!("{name}[{index}]"))).last()?;
    Some(format!("{name}[{last}]"))
}

/// A dotted key without spaces and quotes around its parts.
fn dotted(key: &str) -> String {
    key.split('.').map(|part| part.trim().trim_matches(['"', '\''])).collect::<Vec<_>>().join(".")
}
