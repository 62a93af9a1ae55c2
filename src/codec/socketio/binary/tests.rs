use super::*;

/// Attachments for these tests: number n has n + 1 bytes of value n.
fn attachments(count: u8) -> Vec<Bytes> {
    (0..count).map(|number| vec![number; usize::from(number) + 1].into()).collect()
}

fn embedded(json: &str, count: u8) -> Result<String, Malformed> {
    let json = embed(Bytes::copy_from_slice(json.as_bytes()), &attachments(count))?;
    Ok(String::from_utf8(json.to_vec()).unwrap())
}

fn extracted(json: &str) -> (String, Vec<Bytes>) {
    let (json, attachments) = extract(json.as_bytes());
    (String::from_utf8(json.into_owned()).unwrap(), attachments)
}

#[test]
fn attachments_replace_their_placeholders() {
    for (json, wanted) in [
        (r#"["a",{"_placeholder":true,"num":0}]"#, r#"["a",{"$binary":"AA=="}]"#),
        (
            r#"["a",{"_placeholder":true,"num":2},{"b":[{"_placeholder":true,"num":0}]}]"#,
            r#"["a",{"$binary":"AgIC"},{"b":[{"$binary":"AA=="}]}]"#,
        ),
        (r#"[{"num":1,"_placeholder":true}]"#, r#"[{"$binary":"AQE="}]"#),
        ("[ {\t\"_placeholder\" :\n true , \"num\" : 0 } ]", r#"[ {"$binary":"AA=="} ]"#),
        (r#"{"_placeholder":true,"num":0}"#, r#"{"$binary":"AA=="}"#),
        // No placeholders.
        (r#"["a"]"#, r#"["a"]"#),
        (r#"["{\"_placeholder\":true,\"num\":0}"]"#, r#"["{\"_placeholder\":true,\"num\":0}"]"#),
        (r#"["_placeholder",true]"#, r#"["_placeholder",true]"#),
        (r#"[{"_placeholder":false,"num":0}]"#, r#"[{"_placeholder":false,"num":0}]"#),
        (r#"[{"_placeholder":1,"num":0}]"#, r#"[{"_placeholder":1,"num":0}]"#),
        (r#"[{"num":0},{"$binary":"AQ=="}]"#, r#"[{"num":0},{"$binary":"AQ=="}]"#),
        ("[\"\\\\\",{\"_placeholder\":true,\"num\":0}]", "[\"\\\\\",{\"$binary\":\"AA==\"}]"),
    ] {
        assert_eq!(embedded(json, 3).as_deref(), Ok(wanted), "{json}");
    }
}

#[test]
fn a_placeholder_names_exactly_one_attachment_of_its_own() {
    for json in [
        r#"[{"_placeholder":true,"num":2}]"#,
        r#"[{"_placeholder":true,"num":99999999999999999999}]"#,
        r#"[{"_placeholder":true,"num":-1}]"#,
        r#"[{"_placeholder":true,"num":0.0}]"#,
        r#"[{"_placeholder":true,"num":0e0}]"#,
        r#"[{"_placeholder":true,"num":"0"}]"#,
        r#"[{"_placeholder":true,"num":null}]"#,
        r#"[{"_placeholder":true}]"#,
        r#"[{"_placeholder":true,"num":0,"a":1}]"#,
        r#"[{"_placeholder":true,"a":1,"num":0}]"#,
        r#"[{"a":{},"_placeholder":true,"num":0}]"#,
        r#"[{"_placeholder":true,"_placeholder":true}]"#,
        r#"[{"num":0,"num":0,"_placeholder":true}]"#,
        r#"[{"_placeholder":false,"num":0,"_placeholder":true}]"#,
        r#"[{"\u005fplaceholder":true,"num":0}]"#,
        r#"[{"_placeholder":true,"\u006eum":0}]"#,
        r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
    ] {
        assert_eq!(embedded(json, 2), Err(ILLEGAL_ATTACHMENTS), "{json}");
    }
}

#[test]
fn text_without_attachments_stays_as_it_is() {
    let json = Bytes::from_static(br#"["a",{"_placeholder":true,"num":0}]"#);
    let same = embed(json.clone(), &[]).unwrap();
    assert_eq!((same.as_ptr(), same.len()), (json.as_ptr(), json.len()));
    assert!(matches!(extract(&json), (Cow::Borrowed(text), attachments) if text == json && attachments.is_empty()));
}

#[test]
fn binary_data_is_moved_out_in_order() {
    let (json, taken) = extracted(r#"["a",{"$binary":"AQIDBA=="},{"b":[ { "$binary" : "" } ]},{"$binary":"\/\/8="}]"#);
    let wanted =
        r#"["a",{"_placeholder":true,"num":0},{"b":[ {"_placeholder":true,"num":1} ]},{"_placeholder":true,"num":2}]"#;
    assert_eq!(json, wanted);
    assert_eq!(taken, [&[1, 2, 3, 4][..], &[], &[0xFF, 0xFF]]);
    assert_eq!(extracted(r#"{"$binary":"AA=="}"#), (r#"{"_placeholder":true,"num":0}"#.into(), attachments(1)));
}

#[test]
fn objects_that_only_resemble_binary_data_stay() {
    for json in [
        r#"[{"$binary":"AQ"}]"#,
        r#"[{"$binary":"AR=="}]"#,
        r#"[{"$binary":"_-=="}]"#,
        r#"[{"$binary":"AQ==\n"}]"#,
        r#"[{"$binary":"\ud800"}]"#,
        r#"[{"$binary":1}]"#,
        r#"[{"$binary":{"$binary":1}}]"#,
        r#"[{"$binary":"AQ==","a":1}]"#,
        r#"[{"a":1,"$binary":"AQ=="}]"#,
        r#"[{"$binary":"AQ==","$binary":"AQ=="}]"#,
        r#"[{"\u0024binary":"AQ=="},"$binary"]"#,
        r#"["{\"$binary\":\"AQ==\"}","$binary"]"#,
    ] {
        assert_eq!(extracted(json), (json.into(), Vec::new()), "{json}");
    }
}

#[test]
fn the_number_of_attachments_is_bounded() {
    let bytes = [r#"{"$binary":"AA=="}"#; ATTACHMENTS_MAX + 2].join(",");
    let (json, taken) = extracted(&format!("[{bytes}]"));
    assert_eq!(taken.len(), ATTACHMENTS_MAX);
    assert!(json.ends_with(r#"{"_placeholder":true,"num":9},{"$binary":"AA=="},{"$binary":"AA=="}]"#), "{json}");
}

/// A client closes its connection when a placeholder in a packet with attachments names none of them. Data from one
/// client must not cause that at other clients.
#[test]
fn text_with_an_existing_placeholder_is_unchanged() {
    for placeholder in [
        r#"{"_placeholder":true,"num":0}"#,
        r#"{"_placeholder":true,"num":99}"#,
        r#"{"num":"x","_placeholder" : true}"#,
        r#"{"_placeholder":1,"num":99}"#,
        r#"{"_placeholder":false,"num":0}"#,
        r#"{"\u005fplac\u0065holder":true}"#,
        r#"{"\u005f\u0070\u006c\u0061\u0063\u0065\u0068\u006f\u006c\u0064\u0065\u0072":true}"#,
    ] {
        for json in
            [format!(r#"[{{"$binary":"AQ=="}},{placeholder}]"#), format!(r#"[{placeholder},{{"$binary":"AQ=="}}]"#)]
        {
            assert_eq!(extracted(&json), (json.clone(), Vec::new()), "{json}");
        }
    }
    let harmless = r#"[{"$binary":"AA=="},{"placeholder":true},"_placeholder"]"#;
    assert_eq!(extracted(harmless).1, attachments(1));
}
