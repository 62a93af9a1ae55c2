//! The WebSocket frames of a load generator (RFC 6455 section 5.2). Pure.

/// The mask of every sent frame. A fixed mask costs the server the same as a random one, and the client less.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Text and the control frames.
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// Appends a masked final frame to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ ..126), _) => out.push(0x80 | short),
        (_, Ok(medium)) => {
            out.push(0x80 | 126);
            out.extend(medium.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A frame: its opcode, its payload, and its total length.
pub(crate) type ParsedFrame<'a> = (u8, &'a [u8], usize);

/// The first frame in `bytes`; `None` while it is incomplete.
///
/// # Errors
/// Fragments, extensions and masks, which the servers never send.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<ParsedFrame<'_>>, String> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    if first & 0xF0 != 0x80 || second & 0x80 != 0 {
        return Err(format!("not an unfragmented, plain frame: {first:#x} {second:#x}"));
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |number, &byte| (number << 8) | usize::from(byte));
    let (header, length): (usize, usize) = match (second, bytes.get(2..4), bytes.get(2..10)) {
        (126, Some(length), _) => (4, number(length)),
        (127, _, Some(length)) => (10, number(length)),
        (126 | 127, ..) => return Ok(None),
        (short, ..) => (2, usize::from(short)),
    };
    let end = header.saturating_add(length);
    Ok(bytes.get(header..end).map(|payload| (first & 0x0F, payload, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_frame_is_parsed_when_it_is_complete() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            encode(&mut bytes, TEXT, &vec![7; length]);
            // The same frame without its mask.
            let header = bytes.len() - length - 4;
            bytes.drain(header..header + 4);
            bytes[1] &= 0x7F;
            assert_eq!(parse(&bytes[..bytes.len() - 1]), Ok(None));
            let whole = bytes.len();
            bytes.push(0x81);
            let (opcode, payload, end) = parse(&bytes).unwrap().unwrap();
            assert_eq!((opcode, payload.len(), end), (TEXT, length, whole));
        }
        assert!(parse(&[0x01, 0]).is_err());
    }
}
