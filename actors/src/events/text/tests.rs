use super::*;
use crate::model::fault::Code;

fn text(json: &str) -> String {
    let resolved = resolve_str(json.into());
    assert_eq!(resolve(Bytes::copy_from_slice(json.as_bytes())), *resolved.as_bytes());
    resolved.to_string()
}

#[test]
fn an_escape_that_json_does_not_need_is_resolved() {
    for (written, resolved) in [
        (r#""\u00e9\u00E9""#, "\"éé\""),
        (r#""\u6f22\u5b57""#, "\"漢字\""),
        (r#""\ud83e\udd80""#, "\"🦀\""),
        (r#"{"\u0061":"\/"}"#, r#"{"a":"/"}"#),
        (r#""\u2028\u2029\u007f\ufeff""#, "\"\u{2028}\u{2029}\u{7f}\u{feff}\""),
        (r#""a\u0020b" "#, r#""a b" "#),
    ] {
        assert_eq!(text(written), resolved, "{written}");
    }
}

#[test]
fn an_escape_that_json_needs_stays_in_its_shortest_form() {
    for (written, resolved) in [
        (r#""\u0022\u005c""#, r#""\"\\""#),
        (r#""\u0008\u0009\u000a\u000C\u000d""#, r#""\b\t\n\f\r""#),
        (r#""\u0000\u001E\u001f""#, r#""\u0000\u001e\u001f""#),
        // An escaped backslash begins no escape.
        (r#""\\u00e9""#, r#""\\u00e9""#),
        (r#""\\\u00e9""#, r#""\\é""#),
    ] {
        assert_eq!(text(written), resolved, "{written}");
    }
}

#[test]
fn half_of_a_surrogate_pair_becomes_the_replacement_character() {
    for (written, resolved) in [
        (r#""\ud800""#, "\"\u{fffd}\""),
        (r#""\udc00\ud800""#, "\"\u{fffd}\u{fffd}\""),
        (r#""\ud800\ud800\udc00""#, "\"\u{fffd}\u{10000}\""),
        (r#""\ud800\u0061""#, "\"\u{fffd}a\""),
        (r#""\ud800\n""#, "\"\u{fffd}\\n\""),
        (r#""\ud800x\udc00""#, "\"\u{fffd}x\u{fffd}\""),
        (r#"{"\ud800":1}"#, "{\"\u{fffd}\":1}"),
    ] {
        assert_eq!(text(written), resolved, "{written}");
    }
}

#[test]
fn text_with_nothing_to_resolve_is_not_copied() {
    for json in [r#"{"a":"é","n":1.50e3}"#, r#""\"\\\n\u0000""#, "null", r#"{"a":"\u00e9""#, "\\u0031", "\"\\ud80\""] {
        let text = Bytes::copy_from_slice(json.as_bytes());
        let resolved = resolve(text.clone());
        assert_eq!((resolved.as_ptr(), &resolved), (text.as_ptr(), &text), "{json}");
    }
    let not_utf8 = Bytes::from_static(b"\"\xff\\u0041\"");
    assert_eq!(resolve(not_utf8.clone()), not_utf8);
}

fn invalid_field(json: &str) -> Option<String> {
    let fault = check_members(json.as_bytes(), "data").err()?;
    assert_eq!(fault.code, Code::InvalidRequest);
    fault.field
}

#[test]
fn a_number_beyond_a_double_is_named_by_its_path() {
    for (json, path) in [
        ("1e400", "data"),
        ("-1e400", "data"),
        ("[1,[2,1E+309]]", "[1][1]"),
        (r#"{"a":{"b\"":[{},[1],{"c":1e400}]}}"#, r#"a.b"[2].c"#),
        (r#"{"x":"1e400","y,":{"a":1},"z":1.8e308}"#, "z"),
        (r#"{"x":[{"y":[]},1e999]}"#, "x[1]"),
    ] {
        assert_eq!(invalid_field(json).as_deref(), Some(path), "{json}");
        let fault = check_value(json.as_bytes(), "data").unwrap_err();
        let prefixed = match path {
            "data" => path.to_owned(),
            path if path.starts_with('[') => format!("data{path}"),
            path => format!("data.{path}"),
        };
        assert_eq!(fault.field.as_deref(), Some(&*prefixed), "{json}");
        assert_eq!(fault.message, format!("`{prefixed}`: a number beyond the range of a double"));
    }
    let digits = format!("[{}]", "9".repeat(309));
    assert_eq!(invalid_field(&digits).as_deref(), Some("[0]"));
    let long = format!("{{\"{}\":1e400}}", "k".repeat(10_000));
    assert_eq!(invalid_field(&long).map(|path| path.len()), Some(PATH_MAX));
}

#[test]
fn a_number_within_the_range_of_a_double_is_accepted() {
    let digits = "9".repeat(308);
    for json in [
        "1e308",
        "-1.7976931348623157e308",
        "1e-400",
        "0e999999999",
        "123456789012345678901234567890",
        &digits,
        "\"1e400\"",
    ] {
        assert_eq!(invalid_field(json), None, "{json}");
    }
    let fraction = format!("0.{}", "9".repeat(1_000));
    assert_eq!(invalid_field(&fraction), None);
}

#[test]
fn depth_counts_brackets_outside_strings_only() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(invalid_field(&nested(DEPTH_MAX)), None);
    assert_eq!(invalid_field(&nested(DEPTH_MAX + 1)).as_deref(), Some("data"));
    assert_eq!(invalid_field(&format!("\"{}\\\"{}\"", "[".repeat(200), "{".repeat(200))), None);
    let fault = check_value(nested(DEPTH_MAX + 1).as_bytes(), "auth").unwrap_err();
    assert_eq!(fault.message, "`auth` is nested more than 128 levels deep");
}
