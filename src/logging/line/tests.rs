//! The format of a line, for all kinds of values.

use std::time::{Duration, UNIX_EPOCH};

use log::Level;
use log::kv::Source;
use serde_json::{Value as Json, json};

use super::*;

/// The line of a record at 2026-11-27T23:15:42.123Z.
fn line(format: LogFormat, message: &str, fields: &dyn Source) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(1_795_821_342_123);
    let mut record = Record::builder();
    record.level(Level::Info).target("hubbub::server").key_values(&fields);
    write(format, time, &record.args(format_args!("{message}")).build())
}

fn text(message: &str, fields: &dyn Source) -> String {
    line(LogFormat::Text, message, fields)
}

#[track_caller]
fn json(message: &str, fields: &dyn Source) -> Json {
    let line = line(LogFormat::Json, message, fields);
    assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line}");
    serde_json::from_str(&line).unwrap()
}

#[test]
fn a_line_has_time_level_target_message_and_fields() {
    let fields: &[(&str, Value<'_>)] = &[
        ("requestId", "abc-1".into()),
        ("count", 7.into()),
        ("less", (-7).into()),
        ("share", 0.5.into()),
        ("is", true.into()),
        ("user", Value::null()),
    ];
    let expected =
        "2026-11-27T23:15:42.123Z INFO  hubbub::server: refused requestId=abc-1 count=7 less=-7 share=0.5 is=true\n";
    assert_eq!(text("refused", &fields), expected);
    let expected = json!({
        "time": "2026-11-27T23:15:42.123Z", "level": "INFO", "target": "hubbub::server", "message": "refused",
        "requestId": "abc-1", "count": 7, "less": -7, "share": 0.5, "is": true,
    });
    assert_eq!(json("refused", &fields), expected);
}

#[test]
fn ambiguous_values_are_quoted() {
    for (value, expected) in [
        ("plain", "plain"),
        ("ünïcode/ß", "ünïcode/ß"),
        ("", r#""""#),
        ("two words", r#""two words""#),
        ("a=b", r#""a=b""#),
        (r#"say "hi""#, r#""say \"hi\"""#),
        (r"C:\", r#""C:\\""#),
        ("no\u{a0}break", "\"no\u{a0}break\""),
    ] {
        let line = text("m", &[("v", value)]);
        assert_eq!(line.split_once(" v=").unwrap().1, format!("{expected}\n"), "{value:?}");
        assert_eq!(json("m", &[("v", value)])["v"], value);
    }
}

#[test]
fn control_characters_of_messages_and_values_are_escaped() {
    let hidden = [
        '\0', '\u{7}', '\u{8}', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{61c}', '\u{200e}',
        '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{feff}',
    ];
    for char in hidden {
        let forged = format!("a{char}2026-11-27T23:15:42.123Z ERROR forged");
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = line(format, &forged, &[("v", forged.as_str())]);
            assert_eq!(line.matches(char).count(), usize::from(char == '\n'), "{char:?}: {line:?}");
            assert!(line.ends_with('\n'));
        }
        let read = json(&forged, &[("v", forged.as_str())]);
        assert_eq!((&read["message"], &read["v"]), (&json!(forged), &json!(forged)));
    }
    assert!(text("a\nb", &[("v", "\u{1b}[31m")]).ends_with("a\\nb v=\"\\u{1b}[31m\"\n"));
}

#[test]
fn a_field_cannot_overwrite_another_or_a_reserved_name() {
    let fields =
        [("time", "t"), ("level", "l"), ("target", "g"), ("message", "m"), ("cut", "c"), ("v", "1"), ("v", "2")];
    let read = json("the message", &fields);
    assert_eq!((&read["message"], &read["level"]), (&json!("the message"), &json!("INFO")));
    assert_eq!(
        (&read["message_"], &read["time_"], &read["cut_"], &read["v"]),
        (&json!("m"), &json!("t"), &json!("c"), &json!("1"))
    );
    assert_eq!(read.as_object().unwrap().len(), 4 + 6);
    assert!(text("m", &fields).ends_with(" target_=g message_=m cut_=c v=1\n"));
}

#[test]
fn a_long_line_is_cut_and_marked() {
    // Each of these takes six bytes as an escape.
    let long = "\u{1b}".repeat(100_000);
    let names: Vec<_> = (0..40).map(|n| format!("field{n}")).collect();
    let fields: Vec<_> = names.iter().map(|name| (name.as_str(), long.as_str())).collect();
    for format in [LogFormat::Text, LogFormat::Json] {
        let line = line(format, &long, &fields.as_slice());
        assert!(line.len() <= LINE_MAX, "{}", line.len());
        assert!(line.len() > MESSAGE_MAX + VALUE_MAX);
        assert_eq!(line.matches('\n').count(), 1);
    }
    let read = json(&long, &fields.as_slice());
    assert_eq!(read["cut"], true);
    assert!(long.starts_with(read["field0"].as_str().unwrap()));
    assert!(text(&long, &fields.as_slice()).ends_with(" cut=true\n"));
    assert!(!text("short", &[("v", "short")]).contains("cut"));
}
