//! The messages of a raw WebSocket in a stream of bytes. They do not depend on how the stream is split, and none exceeds the
//! size limit.

use bytes::{Bytes, BytesMut};
use hubbub::websocket::assembler::{FRAGMENTS_MAX, Incoming, MessageAssembler, Violation};

/// The size limits of a message.
const SIZES: [usize; 8] = [0, 1, 10, 125, 126, 1_000, 65_536, 1 << 20];

/// The maximum header size of a client's frame, bytes.
const HEADER_MAX: usize = 14;

/// The maximum payload size of a control frame, bytes.
const CONTROL_MAX: usize = 125;

/// The messages of a stream until its end or its violation of the protocol.
#[derive(Debug, PartialEq, Eq)]
struct ReadResult {
    messages: Vec<Incoming>,
    violation: Option<Violation>,
}

/// The first byte selects the kind and the size limit of the messages, the second the splits; the rest is the stream. Then
/// the rest is one message, which must be unchanged after it was sent in frames.
pub(crate) fn raw_assembler(bytes: &[u8]) {
    let &[kind, cuts, ref stream @ ..] = bytes else { return };
    let size_max = SIZES[usize::from(kind >> 1) % SIZES.len()];
    let is_of_text = kind & 1 == 1;
    let assembler = || if is_of_text { MessageAssembler::of_text(size_max) } else { MessageAssembler::new(size_max) };

    let whole = read(assembler(), size_max, [stream].into_iter());
    assert_eq!(read(assembler(), size_max, stream.chunks(1)), whole, "byte by byte");
    assert_eq!(read(assembler(), size_max, stream.chunks(2)), whole, "two by two");
    assert_eq!(read(assembler(), size_max, pieces(stream, cuts).into_iter()), whole, "in pieces of several sizes");

    check_fragmented(stream, cuts, size_max);
}

/// Reads the stream piece by piece, as from a socket.
fn read<'a>(mut assembler: MessageAssembler, size_max: usize, pieces: impl Iterator<Item = &'a [u8]>) -> ReadResult {
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    let mut frames = 0;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match assembler.next(&mut buffer) {
                Ok(Some(message)) => {
                    check(&message, size_max);
                    messages.push(message);
                }
                Ok(None) => break,
                Err(violation) => {
                    let (code, reason) = violation.close();
                    assert!([1002, 1007, 1009].contains(&code) && !reason.is_empty() && reason.len() <= 123);
                    return ReadResult { messages, violation: Some(violation) };
                }
            }
        }
        assert!(assembler.frames() >= frames && assembler.frames() as usize >= messages.len());
        frames = assembler.frames();
        assert!(
            buffer.len() < HEADER_MAX + size_max.max(CONTROL_MAX),
            "{} bytes of one frame are buffered; the limit of a message is {size_max}",
            buffer.len()
        );
    }
    if buffer.is_empty() {
        // An empty final frame completes a buffered message.
        buffer.extend_from_slice(&[0x80, 0x80, 0, 0, 0, 0]);
        if let Ok(Some(message)) = assembler.next(&mut buffer) {
            check(&message, size_max);
        }
    }
    ReadResult { messages, violation: None }
}

fn check(message: &Incoming, size_max: usize) {
    match message {
        Incoming::Text(text) => {
            assert!(text.len() <= size_max);
            assert!(std::str::from_utf8(text).is_ok());
        }
        Incoming::Binary(bytes) => assert!(bytes.len() <= size_max),
        Incoming::Ping(payload) => assert!(payload.len() <= CONTROL_MAX),
        Incoming::Close(code) => assert!(code.is_none_or(|code| (1_000..5_000).contains(&code))),
        Incoming::Pong => {}
    }
}

/// A message is unchanged when it is sent in several frames with control frames between them.
fn check_fragmented(payload: &[u8], cuts: u8, size_max: usize) {
    let text = String::from_utf8_lossy(payload).into_owned();
    let (opcode, payload) = if cuts & 1 == 0 { (0x02, payload) } else { (0x01, text.as_bytes()) };
    let pieces = pieces(payload, cuts);
    assert!(pieces.len() < FRAGMENTS_MAX);
    let mut stream = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let is_last = number + 1 == pieces.len();
        let first = if number == 0 { opcode } else { 0 } | if is_last { 0x80 } else { 0 };
        frame(&mut stream, first, piece, [cuts, 0, 0xFF, number as u8]);
        if !is_last {
            frame(&mut stream, 0x89, b"?", [1, 2, 3, 4]);
        }
    }
    let read = read(MessageAssembler::new(size_max), size_max, stream.chunks(usize::from(cuts) + 1));
    if payload.len() > size_max {
        assert_eq!(read.violation, Some(Violation::TooBig));
        return;
    }
    let mut expected: Vec<_> = (1..pieces.len()).map(|_| Incoming::Ping(Bytes::from_static(b"?"))).collect();
    let payload = Bytes::copy_from_slice(payload);
    expected.push(if opcode == 0x01 { Incoming::Text(payload) } else { Incoming::Binary(payload) });
    assert_eq!(read, ReadResult { messages: expected, violation: None });
}

/// Appends a client's frame, with its length in the shortest form.
fn frame(stream: &mut Vec<u8>, first: u8, payload: &[u8], mask: [u8; 4]) {
    stream.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => stream.push(0x80 | short),
        (_, Ok(medium)) => {
            stream.push(0x80 | 126);
            stream.extend(medium.to_be_bytes());
        }
        _ => {
            stream.push(0x80 | 127);
            stream.extend((payload.len() as u64).to_be_bytes());
        }
    }
    stream.extend(mask);
    stream.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Splits bytes into at least one piece, of several lengths, some of them empty.
fn pieces(mut bytes: &[u8], cuts: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut length = usize::from(cuts % 7);
    while length < bytes.len() && pieces.len() < 1_000 {
        let (piece, rest) = bytes.split_at(length);
        pieces.push(piece);
        bytes = rest;
        length = (length * 3 + usize::from(cuts)) % 17;
    }
    pieces.push(bytes);
    pieces
}
