//! The messages of a raw WebSocket out of a stream of bytes: the same ones however the stream is cut, and never larger than
//! allowed.

use bytes::{Bytes, BytesMut};
use hubbub::websocket::assembler::{FRAGMENTS_MAX, Incoming, MessageAssembler, Violation};

/// The sizes that a message may have here.
const SIZES: [usize; 8] = [0, 1, 10, 125, 126, 1_000, 65_536, 1 << 20];

/// The longest header of a client's frame, bytes.
const HEADER_MAX: usize = 14;

/// The longest payload of a control frame, bytes.
const CONTROL_MAX: usize = 125;

/// What a stream was read as, until it broke the protocol or ended.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    messages: Vec<Incoming>,
    violation: Option<Violation>,
}

/// The first byte says which messages are allowed, the second where the stream is cut; the rest is the stream. Then the rest
/// is a message, which is cut into frames and has to come out as it went in.
pub(crate) fn raw_assembler(bytes: &[u8]) {
    let &[kind, cuts, ref stream @ ..] = bytes else { return };
    let size_max = SIZES[usize::from(kind >> 1) % SIZES.len()];
    let is_of_text = kind & 1 == 1;
    let assembler = || if is_of_text { MessageAssembler::of_text(size_max) } else { MessageAssembler::new(size_max) };

    let whole = read(assembler(), size_max, [stream].into_iter());
    assert_eq!(read(assembler(), size_max, stream.chunks(1)), whole, "byte by byte");
    assert_eq!(read(assembler(), size_max, stream.chunks(2)), whole, "two by two");
    assert_eq!(read(assembler(), size_max, pieces(stream, cuts).into_iter()), whole, "cut somewhere");

    put_together(stream, cuts, size_max);
}

/// Reads the stream piece by piece, as a socket brings it.
fn read<'a>(mut assembler: MessageAssembler, size_max: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Read {
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
                    let (code, words) = violation.close();
                    assert!([1002, 1007, 1009].contains(&code) && !words.is_empty() && words.len() <= 123);
                    return Read { messages, violation: Some(violation) };
                }
            }
        }
        assert!(assembler.frames() >= frames && assembler.frames() as usize >= messages.len());
        frames = assembler.frames();
        assert!(
            buffer.len() < HEADER_MAX + size_max.max(CONTROL_MAX),
            "{} bytes of one frame wait, where a message has at most {size_max}",
            buffer.len()
        );
    }
    if buffer.is_empty() {
        // What is held of a message shows when an empty frame ends it.
        buffer.extend_from_slice(&[0x80, 0x80, 0, 0, 0, 0]);
        if let Ok(Some(message)) = assembler.next(&mut buffer) {
            check(&message, size_max);
        }
    }
    Read { messages, violation: None }
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

/// A message in as many frames as `cuts` makes, with control frames between them, is that message.
fn put_together(payload: &[u8], cuts: u8, size_max: usize) {
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
    let mut want: Vec<_> = (1..pieces.len()).map(|_| Incoming::Ping(Bytes::from_static(b"?"))).collect();
    let payload = Bytes::copy_from_slice(payload);
    want.push(if opcode == 0x01 { Incoming::Text(payload) } else { Incoming::Binary(payload) });
    assert_eq!(read, Read { messages: want, violation: None });
}

/// A client's frame, its length in the shortest form.
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

/// The bytes in pieces of changing lengths, some of them empty; at least one piece.
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
