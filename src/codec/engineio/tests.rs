use super::*;

fn read(body: &[u8]) -> Vec<Result<EnginePacket, &'static str>> {
    payload(Bytes::copy_from_slice(body)).map(|packet| packet.map_err(Malformed::reason)).collect()
}

fn binary_frame(bytes: &[u8]) -> Bytes {
    frame::encode(Opcode::Binary, &[bytes])
}

fn message(text: &str) -> EnginePacket {
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
        ("4", message("")),
        ("4hello €", message("hello €")),
        ("42[\"a\"]", message("2[\"a\"]")),
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
        [Ok(message("hello")), Ok(EnginePacket::Ping(Bytes::new())), Ok(message("world"))]
    );
    assert_eq!(
        read("4héllo\x1ebAQIDBA==\x1eb\x1e4€".as_bytes()),
        [
            Ok(message("héllo")),
            Ok(EnginePacket::Binary(Bytes::from_static(&[1, 2, 3, 4]))),
            Ok(EnginePacket::Binary(Bytes::new())),
            Ok(message("€")),
        ]
    );
    let body = Bytes::from_static(b"4a\x1e4b");
    let address = body[4..].as_ptr();
    let Some(Ok(EnginePacket::Message(text))) = payload(body).nth(1) else { panic!("two messages") };
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
fn packets_are_sent_as_frames() {
    for (bytes, text) in [(PING, "2"), (PROBED, "3probe")] {
        assert_eq!(frame::encode(Opcode::Text, &[text.as_bytes()]), bytes);
    }
    assert_eq!(&message_frame(&[b"2", b"[\"a\"]"])[..], b"\x81\x0742[\"a\"]");
    assert_eq!(&message_frame(&[])[..], b"\x81\x014");
}

#[test]
fn frames_are_converted_to_a_polling_body() {
    let long = "x".repeat(70_000);
    let several =
        [&message_frame(&[b"a"])[..], &binary_frame(&[1, 2, 3, 4]), b"\x89\x01x", &binary_frame(b"")].concat();
    let frames = [&several[..], b"\x88\x02\x03\xe8", PING, b"", &message_frame(&[long.as_bytes()])];
    let body = polling_body(frames.into_iter());
    assert_eq!(body, format!("4a\x1ebAQIDBA==\x1eb\x1e2\x1e4{long}").into_bytes());
    let wanted = [
        Ok(message("a")),
        Ok(EnginePacket::Binary(Bytes::from_static(&[1, 2, 3, 4]))),
        Ok(EnginePacket::Binary(Bytes::new())),
        Ok(EnginePacket::Ping(Bytes::new())),
        Ok(message(&long)),
    ];
    assert_eq!(read(&body), wanted);
    assert_eq!(polling_body([&b"\x89\x00"[..]].into_iter()), b"");
}

#[test]
fn an_answer_ends_before_a_text_frame() {
    let (text, bytes) = (message_frame(&[b"a"]), binary_frame(&[1]));
    // Three events with no attachment, two and one.
    let frames = [&text, &text, &bytes, &bytes, &text, &bytes].map(|frame| &frame[..]).concat();
    let ends = [0, text.len(), text.len() * 2 + bytes.len() * 2, frames.len()];
    for (most, fits) in [(0, 0), (1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (16, 3)] {
        assert_eq!(fit(&frames, most), (ends[fits], [0, 1, 4, 6][fits]), "{most}");
    }
    let pinged = [b"\x89\x00", &text[..], b"\x89\x00", &text].concat();
    assert_eq!(fit(&pinged, 1), (2 + text.len() + 2, 1));
    assert_eq!((fit(b"", 16), fit(b"\x89\x00", 0)), ((0, 0), (2, 0)));
    let larger = [&text[..], &bytes.repeat(ANSWER_PACKETS_MAX), &text].concat();
    let (first, rest) = (larger.len() - text.len(), ANSWER_PACKETS_MAX - 1);
    assert_eq!(fit(&larger, rest), (0, 0), "not behind another");
    assert_eq!(fit(&larger, ANSWER_PACKETS_MAX), (first, ANSWER_PACKETS_MAX + 1), "alone, more than it may be");
}
