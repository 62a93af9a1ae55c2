use hubbub_actors::publication::{MessageKind, Payload};

use super::*;

fn read(text: &str) -> Result<Packet, &'static str> {
    decode(Bytes::copy_from_slice(text.as_bytes())).map_err(Malformed::reason)
}

#[test]
fn the_examples_of_the_protocol_are_read() {
    let namespace = || Namespace(ByteString::from_static("/admin"));
    let event = |namespace, args: &'static str, ack, attachments| Packet::Event {
        namespace,
        event: EventArguments::read(ByteString::from_static(args)).unwrap(),
        ack,
        attachments,
    };
    for (text, packet) in [
        ("0", Packet::Connect { namespace: Namespace::MAIN, data: None }),
        ("0/admin,", Packet::Connect { namespace: namespace(), data: None }),
        ("0/admin", Packet::Connect { namespace: namespace(), data: None }),
        (
            "0/admin,{\"token\":\"123\"}",
            Packet::Connect { namespace: namespace(), data: Some(Bytes::from_static(b"{\"token\":\"123\"}")) },
        ),
        ("0{}", Packet::Connect { namespace: Namespace::MAIN, data: Some(Bytes::from_static(b"{}")) }),
        ("1", Packet::Disconnect { namespace: Namespace::MAIN }),
        ("1/admin,", Packet::Disconnect { namespace: namespace() }),
        ("2[\"foo\"]", event(Namespace::MAIN, "[\"foo\"]", None, 0)),
        ("2/admin,[\"bar\"]", event(namespace(), "[\"bar\"]", None, 0)),
        ("212[\"foo\"]", event(Namespace::MAIN, "[\"foo\"]", Some(12), 0)),
        (
            "51-[\"baz\",{\"_placeholder\":true,\"num\":0}]",
            event(Namespace::MAIN, "[\"baz\",{\"_placeholder\":true,\"num\":0}]", None, 1),
        ),
        (
            "52-/admin,[\"baz\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
            event(
                namespace(),
                "[\"baz\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
                None,
                2,
            ),
        ),
        (
            "3/admin,13[\"bar\"]",
            Packet::Ack { namespace: namespace(), id: 13, args: Bytes::from_static(b"[\"bar\"]"), attachments: 0 },
        ),
        (
            "61-15[\"bar\",{\"_placeholder\":true,\"num\":0}]",
            Packet::Ack {
                namespace: Namespace::MAIN,
                id: 15,
                args: Bytes::from_static(b"[\"bar\",{\"_placeholder\":true,\"num\":0}]"),
                attachments: 1,
            },
        ),
    ] {
        assert_eq!(read(text), Ok(packet), "{text}");
    }
}

#[test]
fn an_illegal_packet_is_rejected() {
    let long = format!("0/{}", "a".repeat(NAMESPACE_MAX));
    for (text, reason) in [
        ("", "an empty packet"),
        ("7", "an unknown packet type"),
        ("x", "an unknown packet type"),
        ("€", "an unknown packet type"),
        (" 2[\"a\"]", "an unknown packet type"),
        ("4{\"message\":\"no\"}", "a packet type of the server's"),
        ("4", "a packet type of the server's"),
        // Connect: an object or nothing.
        ("0\"a\"", "an illegal payload"),
        ("0[1]", "an illegal payload"),
        ("0null", "an illegal payload"),
        ("0{", "an illegal payload"),
        ("012{}", "an illegal payload"),
        ("0admin,", "an illegal payload"),
        // Disconnect: nothing.
        ("1{}", "an illegal payload"),
        ("17", "an illegal payload"),
        ("1/admin,[]", "an illegal payload"),
        // Event: a name and arguments.
        ("2", "an illegal payload"),
        ("2/admin", "an illegal payload"),
        ("2/admin[\"a\"]", "an illegal payload"),
        ("2{}", "an illegal payload"),
        ("2 [\"a\"]", "an illegal payload"),
        ("2-1[\"a\"]", "an illegal payload"),
        ("2\"a\"", "an illegal payload"),
        ("2[\"connect\"]", "an illegal payload"),
        ("2[\"connect_error\"]", "an illegal payload"),
        ("2[\"disconnect\"]", "an illegal payload"),
        ("2[\"disconnecting\"]", "an illegal payload"),
        ("2[\"newListener\"]", "an illegal payload"),
        ("2[\"removeListener\"]", "an illegal payload"),
        ("2[\"\\u0063onnect\"]", "an illegal payload"),
        ("51-[\"connect\"]", "an illegal payload"),
        // Acknowledgement: an id and an array.
        ("3", "an acknowledgement without an id"),
        ("3[]", "an acknowledgement without an id"),
        ("3/admin,[]", "an acknowledgement without an id"),
        ("61-[]", "an acknowledgement without an id"),
        ("31", "an illegal payload"),
        ("31{}", "an illegal payload"),
        ("61-1{}", "an illegal payload"),
        // Ids.
        ("201[\"a\"]", "an illegal acknowledgement id"),
        ("200[\"a\"]", "an illegal acknowledgement id"),
        ("218446744073709551616[\"a\"]", "an illegal acknowledgement id"),
        // Attachments.
        ("5", "illegal attachments"),
        ("5[\"a\"]", "illegal attachments"),
        ("5-[\"a\"]", "illegal attachments"),
        ("51[\"a\"]", "illegal attachments"),
        ("51", "illegal attachments"),
        ("501-[\"a\"]", "illegal attachments"),
        ("5-1-[\"a\"]", "illegal attachments"),
        ("5 1-[\"a\"]", "illegal attachments"),
        ("51.0-[\"a\"]", "illegal attachments"),
        ("518446744073709551616-[\"a\"]", "illegal attachments"),
        ("511-[\"a\"]", "too many attachments"),
        ("611-1[]", "too many attachments"),
        // Namespaces.
        (&long, "an illegal namespace"),
        ("0/a\u{1e}b,", "an illegal namespace"),
        ("0/a\u{85}b,", "an illegal namespace"),
    ] {
        assert_eq!(read(text), Err(reason), "{text}");
    }
    assert_eq!(decode(Bytes::from_static(b"2[\"\xff\"]")), Err(Malformed("not UTF-8")));
}

/// The field of an unreadable packet's fault, its number of attachments, and its acknowledgement id.
fn unreadable(text: &str) -> (String, usize, Option<u64>) {
    match read(text) {
        Ok(Packet::Unreadable { fault, attachments, ack, .. }) => (fault.field.unwrap(), attachments, ack),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn an_unreadable_array_is_reported_with_its_field() {
    let many = format!("2[\"a\"{}]", ",1".repeat(ARGUMENTS_MAX));
    for (text, field) in [
        ("2[]", "event"),
        ("2[null]", "event"),
        ("2[true]", "event"),
        ("2[[\"a\"]]", "event"),
        ("2[{\"a\":1}]", "event"),
        ("2[\"a\"", "data"),
        ("2[\"a\"]]", "data"),
        ("2[\"a\"]x", "data"),
        ("2[\"a\",]", "data"),
        ("2[\"a\" 1]", "data"),
        ("2[\"a\",01]", "data"),
        ("2[\"a\",NaN]", "data"),
        ("2[\"a\",'b']", "data"),
        ("2[\"a\",\u{b}1]", "data"),
        ("2[\"a\nb\"]", "data"),
        ("2[\"a\",\"\\u12\"]", "data"),
        (&many, "data"),
    ] {
        assert_eq!(unreadable(text), (field.into(), 0, None), "{text}");
    }
    assert_eq!(unreadable("2/chat,7[\"a\""), ("data".into(), 0, Some(7)));
    assert_eq!(unreadable("52-7[\"a\","), ("data".into(), 2, Some(7)), "its attachments still follow");
    assert_eq!(unreadable("61-7[1"), ("data".into(), 1, None), "nobody waits for an answer to an answer");
}

#[test]
fn a_number_is_a_name_by_its_text() {
    for (text, name) in [("2[7,1]", "7"), ("2[-1.50]", "-1.50"), ("2[\"7\"]", "7")] {
        let Ok(Packet::Event { event, .. }) = read(text) else { panic!("{text}") };
        assert_eq!(event.name, name, "{text}");
    }
}

#[test]
fn an_auth_is_recognized_by_its_first_and_last_character() {
    for (text, auth) in [("0[]", "[]"), ("0[ ]", "[ ]"), ("0{\"a\"}", "{\"a\"}"), ("0/chat,{}{}", "{}{}")] {
        let Ok(Packet::Connect { data: Some(data), .. }) = read(text) else { panic!("{text}") };
        assert_eq!(data, auth, "{text}");
    }
}

#[test]
fn packets_at_the_bounds_are_accepted() {
    for text in [
        format!("2[\"a\",{}{}]", "[".repeat(127), "]".repeat(127)),
        format!("2[\"a\"{}]", ",1".repeat(ARGUMENTS_MAX - 1)),
        format!("0/{}?{},{{}}", "a".repeat(NAMESPACE_MAX - 1), "q".repeat(1000)),
        format!("5{ATTACHMENTS_MAX}-[\"a\"]"),
        "50-[\"a\"]".to_owned(),
        "2[\"\"]".to_owned(),
        "20[\"a\"]".to_owned(),
        "218446744073709551615[\"a\"]".to_owned(),
        "2[\"Connect\",\"connect\"]".to_owned(),
        // Limits of receivers are checked where the data is read.
        format!("2[\"a\",{}{}]", "[".repeat(1_000), "]".repeat(1_000)),
        "2[\"a\",1e400]".to_owned(),
        // Half a surrogate pair, in JSON.stringify's form.
        "2[\"a\",\"\\ud800\"]".to_owned(),
        "2[\"\\ud800\"]".to_owned(),
        "2[\"a\"] ".to_owned(),
        "30[]".to_owned(),
    ] {
        assert!(read(&text).is_ok(), "{text}");
    }
}

#[test]
fn the_main_namespace_has_one_name_and_a_query_is_not_part_of_a_name() {
    for (text, name) in [
        ("2[\"a\"]", "/"),
        ("2/,[\"a\"]", "/"),
        ("2/?token=x,[\"a\"]", "/"),
        ("2/chat,[\"a\"]", "/chat"),
        ("2/chat?token=x&y=/z?,[\"a\"]", "/chat"),
        ("2/chât/€,[\"a\"]", "/chât/€"),
    ] {
        let Ok(Packet::Event { namespace, event, .. }) = read(text) else { panic!("{text}") };
        assert_eq!((namespace.as_str(), &*event.text), (name, "[\"a\"]"), "{text}");
    }
}

#[test]
fn an_event_keeps_its_name_and_arguments_unchanged() {
    let text = Bytes::from_static(br#"27["a\"b" , {"x": 1.50} ,[ ],"\n"]"#);
    let Ok(Packet::Event { event, .. }) = decode(text.clone()) else { panic!("an event") };
    assert_eq!((&*event.name, event.data.as_deref()), ("a\"b", Some(r#"{"x": 1.50}"#)));
    assert_eq!(event.text.as_bytes(), &text[2..]);
    let data = event.data.unwrap();
    assert!(text.as_ptr_range().contains(&data.as_ptr()), "a slice of the message");
    assert_eq!(EventArguments::read(ByteString::from_static("[\"a\"]")).unwrap().data, None);
    for args in ["[]", "[null]", "{}", "", "[\"a\",]"] {
        assert!(EventArguments::read(ByteString::from_static(args)).is_err(), "{args}");
    }
}

#[test]
fn unnecessary_escapes_in_arguments_are_resolved() {
    let Ok(Packet::Event { event, .. }) = read(r#"2["\u0061",{"\u00e9":"\ud800"}]"#) else { panic!("an event") };
    assert_eq!(event.text, "[\"a\",{\"é\":\"\u{fffd}\"}]");
    assert_eq!(read("2[\"\\u0063onnect\"]"), Err("an illegal payload"));
}

#[test]
fn packets_are_sent_as_messages() {
    let text = |payload: &Payload| {
        let messages: Vec<_> = payload.messages().collect();
        let [(MessageKind::Text, text)] = messages[..] else { panic!("{payload:?}") };
        String::from_utf8(text.to_vec()).unwrap()
    };
    assert_eq!(text(&connect("/", "a\"b", None)), r#"40{"sid":"a\"b"}"#);
    assert_eq!(text(&connect("/chat", "abc", Some("p"))), r#"40/chat,{"sid":"abc","pid":"p"}"#);
    assert_eq!(text(&connect_error("/", br#"{"message":"no"}"#)), r#"44{"message":"no"}"#);
    assert_eq!(text(&connect_error("/chat", b"{}")), "44/chat,{}");
    assert_eq!(text(&disconnect("/")), "41");
    assert_eq!(text(&disconnect("/chat")), "41/chat,");
    assert_eq!(text(&emit("/", b"[\"a\"]", None, &[])), "42[\"a\"]");
    assert_eq!(text(&emit_parts("/chat", &[b"[\"a\"", b",1", b"]"], Some(12), &[])), "42/chat,12[\"a\",1]");
    assert_eq!(text(&ack("/", 0, b"[]", &[])), "430[]");
    assert_eq!(text(&ack_parts("/chat", u64::MAX, &[b"[", b"]"], &[])), "43/chat,18446744073709551615[]");
}

#[test]
fn attachments_are_sent_directly_after_their_packet() {
    let attachments = [Bytes::from_static(&[1, 2]), Bytes::new()];
    let emitted = emit("/chat", b"[\"a\"]", Some(7), &attachments);
    let wanted = [
        (MessageKind::Text, &b"452-/chat,7[\"a\"]"[..]),
        (MessageKind::Binary, b"\x01\x02"),
        (MessageKind::Binary, b""),
    ];
    assert_eq!(emitted.messages().collect::<Vec<_>>(), wanted);
    let acked = ack("/", 15, b"[]", &attachments[..1]);
    let wanted = [(MessageKind::Text, &b"461-15[]"[..]), (MessageKind::Binary, b"\x01\x02")];
    assert_eq!(acked.messages().collect::<Vec<_>>(), wanted);
}
