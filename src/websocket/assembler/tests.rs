//! Valid and invalid client frames, and the messages assembled from them.

use super::*;

/// A client's frame, masked with zeros, which leave the payload unchanged.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ ..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
        medium @ ..65_536 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn read(max_size: usize, bytes: &[u8]) -> Result<Vec<Incoming>, Violation> {
    let mut assembler = MessageAssembler::new(max_size);
    let mut buffer = BytesMut::from(bytes);
    let mut all = Vec::new();
    while let Some(incoming) = assembler.next(&mut buffer)? {
        all.push(incoming);
    }
    Ok(all)
}

fn text(text: &str) -> Incoming {
    Incoming::Text(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn fragments_make_one_message_and_control_frames_pass_between_them() {
    let bytes = [
        frame(0x01, "é".as_bytes().split_at(1).0),
        frame(0x89, b"ping"),
        frame(0x00, "é".as_bytes().split_at(1).1),
        frame(0x80, b"!"),
        frame(0x82, b"\xff"),
    ]
    .concat();
    let want =
        vec![Incoming::Ping(Bytes::from_static(b"ping")), text("é!"), Incoming::Binary(Bytes::from_static(b"\xff"))];
    assert_eq!(read(100, &bytes), Ok(want));
}

#[test]
fn bytes_that_come_one_by_one_make_the_same_messages() {
    let bytes = [frame(0x81, b"hello"), frame(0x81, &[b'x'; 300]), frame(0x88, b"\x03\xe8bye")].concat();
    let mut assembler = MessageAssembler::new(1000);
    let mut buffer = BytesMut::new();
    let mut all = Vec::new();
    for byte in bytes {
        buffer.extend_from_slice(&[byte]);
        all.extend(assembler.next(&mut buffer).unwrap());
    }
    assert_eq!(all, vec![text("hello"), text(&"x".repeat(300)), Incoming::Close(Some(1000))]);
}

#[test]
fn the_size_of_the_whole_message_is_bounded_and_checked_at_the_header() {
    assert!(read(10, &frame(0x81, b"0123456789")).is_ok());
    assert_eq!(read(10, &frame(0x81, b"0123456789a")[..2]), Err(Violation::TooBig));
    let parts = [frame(0x01, b"012345"), frame(0x80, b"6789a")].concat();
    assert_eq!(read(10, &parts), Err(Violation::TooBig));
    let huge = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(read(10, &huge), Err(Violation::TooBig));
}

#[test]
fn a_frame_length_has_one_encoding_and_63_bits() {
    let head = |second: u8, length: &[u8]| [&[0x81, second], length, &[0; 4]].concat();
    for (what, bytes) in [
        ("16 bits for 0", head(0xFE, &[0, 0])),
        ("16 bits for 125", head(0xFE, &[0, 125])),
        ("64 bits for 125", head(0xFF, &125_u64.to_be_bytes())),
        ("64 bits for 65,535", head(0xFF, &65_535_u64.to_be_bytes())),
        ("64 bits with the highest set", head(0xFF, &(1_u64 << 63).to_be_bytes())),
        ("all of 64 bits", head(0xFF, &u64::MAX.to_be_bytes())),
    ] {
        assert_eq!(read(100_000, &bytes).map_err(|violation| violation.close().0), Err(1002), "{what}");
    }
    for length in [125, 126, 65_535, 65_536] {
        assert_eq!(read(100_000, &frame(0x81, &vec![b'x'; length])), Ok(vec![text(&"x".repeat(length))]));
    }
}

#[test]
fn the_bound_may_grow_within_a_message_and_shrink_after_it() {
    let mut assembler = MessageAssembler::new(10);
    let mut buffer = BytesMut::from(&frame(0x01, b"0123456789")[..]);
    assert_eq!(assembler.next(&mut buffer), Ok(None));
    assembler.set_max_size(11);
    buffer.extend_from_slice(&frame(0x80, b"a"));
    assert_eq!(assembler.next(&mut buffer), Ok(Some(text("0123456789a"))));
    assembler.set_max_size(2);
    buffer.extend_from_slice(&frame(0x01, b"01"));
    assert_eq!(assembler.next(&mut buffer), Ok(None));
    assembler.set_max_size(1);
    buffer.extend_from_slice(&frame(0x80, b"2"));
    assert_eq!(assembler.next(&mut buffer), Err(Violation::TooBig));
}

#[test]
fn the_number_of_fragments_is_bounded_and_an_empty_last_one_is_free() {
    let pieces = |count: usize, last: &[u8]| {
        let mut bytes = frame(0x01, b"x");
        bytes.extend(std::iter::repeat_with(|| frame(0x00, b"x")).take(count - 1).flatten());
        bytes.extend(frame(0x80, last));
        bytes
    };
    let whole = "x".repeat(FRAGMENTS_MAX);
    assert_eq!(read(FRAGMENTS_MAX, &pieces(FRAGMENTS_MAX, b"")), Ok(vec![text(&whole)]));
    assert_eq!(read(FRAGMENTS_MAX, &pieces(FRAGMENTS_MAX - 1, b"x")), Ok(vec![text(&whole)]));
    assert_eq!(read(2 * FRAGMENTS_MAX, &pieces(FRAGMENTS_MAX, b"x")), Err(Violation::TooBig));
}

#[test]
fn a_protocol_violation_ends_with_1002() {
    let mut unmasked = frame(0x81, b"x");
    unmasked[1] &= 0x7f;
    for (what, bytes) in [
        ("reserved bits", frame(0xC1, b"x")),
        ("unmasked", unmasked),
        ("opcode 3", frame(0x83, b"x")),
        ("opcode 11", frame(0x8B, b"x")),
        ("fragmented ping", frame(0x09, b"x")),
        ("long ping", frame(0x89, &[0; 126])),
        ("nothing to continue", frame(0x80, b"x")),
        ("text in text", [frame(0x01, b"a"), frame(0x81, b"b")].concat()),
        ("close of one byte", frame(0x88, b"\x03")),
        ("close with 1005", frame(0x88, &1005_u16.to_be_bytes())),
        ("close with 999", frame(0x88, &999_u16.to_be_bytes())),
    ] {
        assert_eq!(read(1000, &bytes).map_err(|violation| violation.close().0), Err(1002), "{what}");
    }
}

#[test]
fn invalid_utf8_ends_with_1007_as_soon_as_it_is_known() {
    assert_eq!(read(100, &frame(0x81, b"\xc3\x28")), Err(Violation::NotUtf8));
    assert_eq!(read(100, &frame(0x81, b"\xc3")), Err(Violation::NotUtf8));
    assert_eq!(read(100, &frame(0x01, b"ok\xff")), Err(Violation::NotUtf8));
    assert_eq!(read(100, &[frame(0x01, b"\xc3"), frame(0x80, b"")].concat()), Err(Violation::NotUtf8));
    assert_eq!(read(100, &frame(0x88, b"\x03\xe8\xff")), Err(Violation::NotUtf8));
    assert_eq!(read(100, &frame(0x88, b"")), Ok(vec![Incoming::Close(None)]));
}

#[test]
fn binary_messages_of_a_text_surface_are_utf8_too() {
    let mut buffer = BytesMut::from(&[frame(0x82, b"text"), frame(0x82, b"\xff")].concat()[..]);
    let mut assembler = MessageAssembler::of_text(100);
    assert_eq!(assembler.next(&mut buffer), Ok(Some(text("text"))));
    assert_eq!(assembler.next(&mut buffer), Err(Violation::NotUtf8));
}

#[test]
fn the_reason_does_not_depend_on_how_the_bytes_arrive() {
    for (what, bytes) in [
        ("unmasked and too big", &[0x81, 0x7e, 0xff, 0xff][..]),
        ("reserved bits and too big", &[0xC1, 0xfe, 0xff, 0xff]),
        ("unknown opcode and too big", &[0x83, 0xfe, 0xff, 0xff]),
        ("masked, known and too big", &[0x81, 0xfe, 0xff, 0xff]),
        ("a long ping with a length in too many bytes", &[0x89, 0xfe, 0, 5]),
        ("a continuation of nothing with such a length", &[0x80, 0xfe, 0, 5]),
    ] {
        let at_once = read(10, bytes);
        let mut assembler = MessageAssembler::new(10);
        let mut buffer = BytesMut::new();
        let by_bytes = bytes.iter().find_map(|&byte| {
            buffer.extend_from_slice(&[byte]);
            assembler.next(&mut buffer).err()
        });
        assert!(at_once.is_err(), "{what}");
        assert_eq!(at_once.err(), by_bytes, "{what}");
    }
}
