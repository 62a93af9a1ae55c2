use super::*;

fn read(body: &[u8]) -> Vec<Result<EnginePacket, &'static str>> {
    packets(Bytes::copy_from_slice(body)).map(|packet| packet.map_err(Malformed::reason)).collect()
}

fn text_packet(text: &str) -> EnginePacket {
    EnginePacket::Message(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn each_type_is_read_and_keeps_its_payload() {
    for (text, packet) in [
        ("0{}", EnginePacket::Open),
        ("1", EnginePacket::Close),
        ("2", EnginePacket::Ping(Bytes::new())),
        ("2probe", EnginePacket::Ping(Bytes::from_static(b"probe"))),
        ("3", EnginePacket::Pong(Bytes::new())),
        ("3probe", EnginePacket::Pong(Bytes::from_static(b"probe"))),
        ("4", text_packet("")),
        ("4hello €", text_packet("hello €")),
        ("42[\"a\"]", text_packet("2[\"a\"]")),
        ("5", EnginePacket::Upgrade),
        ("6", EnginePacket::Noop),
        ("b", EnginePacket::Binary(Bytes::new())),
        ("bAQIDBA==", EnginePacket::Binary(Bytes::from_static(&[1, 2, 3, 4]))),
        ("bAQID\nBA\n", EnginePacket::Binary(Bytes::from_static(&[1, 2, 3, 4]))),
        ("b_-8", EnginePacket::Binary(Bytes::from_static(&[0xff, 0xef]))),
    ] {
        assert_eq!(decode(Bytes::from_static(text.as_bytes())), Ok(packet), "{text}");
    }
}

#[test]
fn a_malformed_packet_is_rejected() {
    for (text, reason) in [
        ("", "an empty packet"),
        ("7", "an unknown packet type"),
        ("abc", "an unknown packet type"),
        (" 4", "an unknown packet type"),
        ("bA", "not base64"),
        ("bAQ=", "not base64"),
        ("b*Q==", "not base64"),
        ("\u{1e}4", "an unknown packet type"),
        ("1x", "a packet that bears no payload"),
        ("5probe", "a packet that bears no payload"),
        ("6\n", "a packet that bears no payload"),
    ] {
        assert_eq!(decode(Bytes::from_static(text.as_bytes())), Err(Malformed(reason)), "{text}");
    }
}

#[test]
fn a_payload_is_split_at_its_separators_without_a_copy() {
    assert_eq!(
        read(b"4hello\x1e2\x1e4world"),
        [Ok(text_packet("hello")), Ok(EnginePacket::Ping(Bytes::new())), Ok(text_packet("world"))]
    );
    assert_eq!(
        read("4héllo\x1ebAQIDBA==\x1eb\x1e4€".as_bytes()),
        [
            Ok(text_packet("héllo")),
            Ok(EnginePacket::Binary(Bytes::from_static(&[1, 2, 3, 4]))),
            Ok(EnginePacket::Binary(Bytes::new())),
            Ok(text_packet("€")),
        ]
    );
    let body = Bytes::from_static(b"4a\x1e4b");
    let address = body[4..].as_ptr();
    let Some(Ok(EnginePacket::Message(text))) = packets(body).nth(1) else { panic!("two messages") };
    assert_eq!(text.as_ptr(), address);
}

#[test]
fn a_payload_ends_with_its_first_error() {
    let cases: [(&[u8], &str, usize); 10] = [
        (b"", "an empty packet", 0),
        (b"abc", "an unknown packet type", 0),
        (b"\x1e", "an empty packet", 0),
        (b"4a\x1e", "an empty packet", 1),
        (b"4a\x1e\x1e4b", "an empty packet", 1),
        (b"4a\x1e9\x1e4b", "an unknown packet type", 1),
        (b"4a\x1e4\xff", "not UTF-8", 0),
        (b"bA", "not base64", 0),
        (b"bAQ=", "not base64", 0),
        (b"4a\x1eb_+==", "not base64", 1),
    ];
    for (body, reason, before) in cases {
        let packets = read(body);
        assert_eq!(packets.len(), before + 1, "{body:?}");
        assert!(packets[..before].iter().all(Result::is_ok), "{body:?}");
        assert_eq!(packets[before], Err(reason), "{body:?}");
    }
}

#[test]
fn the_packets_of_a_payload_are_bounded() {
    let full = vec!["6"; PACKETS_MAX].join("\x1e");
    assert_eq!(read(full.as_bytes()).len(), PACKETS_MAX);
    assert!(read(full.as_bytes()).iter().all(Result::is_ok));
    let packets = read(format!("{full}\x1e6\x1e6").as_bytes());
    assert_eq!((packets.len(), packets.last()), (PACKETS_MAX + 1, Some(&Err("too many packets"))));
}

#[test]
fn a_handshake_has_its_five_keys_in_their_order() {
    let handshake = OpenPayload {
        sid: "lv_VI97HAXpY6yYWAAAC",
        upgrades: &["websocket"],
        ping_interval_ms: 25_000,
        ping_timeout_ms: 20_000,
        max_payload: 1_000_000,
    };
    let text = r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    assert_eq!(open(&handshake), text);
    let none = OpenPayload { sid: "a\"", upgrades: &[], ..handshake };
    assert!(open(&none).starts_with(br#"0{"sid":"a\"","upgrades":[],"#));
}

#[test]
fn a_message_has_its_type_and_its_parts() {
    assert_eq!(message([&b"2"[..], b"[\"a\"]"]), Payload::text([&b"42[\"a\"]"[..]]));
    assert_eq!(message([]), Payload::text([&b"4"[..]]));
}

#[test]
fn messages_are_joined_to_a_polling_body() {
    let long = "x".repeat(70_000);
    let payloads = [
        packet([&b"a"[..]], &[Bytes::from_static(&[1, 2, 3, 4])]),
        Payload::message(MessageKind::Ping, "x"),
        Payload::message(MessageKind::Binary, ""),
        Payload::message(MessageKind::Close, &b"\x03\xe8"[..]),
        Payload::message(MessageKind::Text, PING),
        message([long.as_bytes()]),
    ];
    let body = polling_body(payloads.iter().flat_map(Payload::messages));
    assert_eq!(body, format!("4a\x1ebAQIDBA==\x1eb\x1e2\x1e4{long}").into_bytes());
    assert!(body.capacity() <= body.len() + 1, "{}", body.capacity());
    let wanted = [
        Ok(text_packet("a")),
        Ok(EnginePacket::Binary(Bytes::from_static(&[1, 2, 3, 4]))),
        Ok(EnginePacket::Binary(Bytes::new())),
        Ok(EnginePacket::Ping(Bytes::new())),
        Ok(text_packet(&long)),
    ];
    assert_eq!(read(&body), wanted);
    assert_eq!(polling_body(Payload::message(MessageKind::Ping, "").messages()), b"");
}

#[test]
fn a_response_ends_before_a_text_message() {
    use MessageKind::{Binary, Ping, Text};
    let fits = |kinds: &[MessageKind]| fit(kinds.iter().copied());
    assert_eq!((fits(&[]), fits(&[Ping]), fits(&[Text; 16]), fits(&[Text; 17])), (0, 1, 16, 16));
    let after = |texts: usize, rest: &[MessageKind]| [&vec![Text; texts][..], rest].concat();
    assert_eq!(fits(&after(14, &[Binary, Binary])), 16);
    assert_eq!(fits(&after(14, &[Binary, Binary, Binary])), 13, "attachments stay with their packet");
    assert_eq!(fits(&after(15, &[Ping, Text, Ping, Text])), 18, "a ping is no packet");
    let larger = after(1, &[Binary; ANSWER_PACKETS_MAX]);
    assert_eq!(fits(&[&larger[..], &[Text]].concat()), larger.len(), "alone, more than a response may have");
    assert_eq!(fits(&[&[Text][..], &larger].concat()), 1, "not behind another");
}
