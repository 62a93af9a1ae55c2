//! The base64 of clients in polling bodies. Node accepts all of these forms: lines of 76 characters (Android), no
//! padding, the URL alphabet, trailing bits.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Decodes base64 of either alphabet, with ASCII white space anywhere, full padding or none, and any trailing bits.
/// `None` for anything else. Reads the text at most twice and allocates at most one copy of it.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let (mut has_space, mut is_url_safe) = (false, false);
    for byte in text {
        has_space |= byte.is_ascii_whitespace();
        is_url_safe |= matches!(byte, b'-' | b'_');
    }
    if has_space {
        let dense: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        decode_dense(&dense, is_url_safe)
    } else {
        decode_dense(text, is_url_safe)
    }
}

fn decode_dense(text: &[u8], is_url_safe: bool) -> Option<Vec<u8>> {
    if text.ends_with(b"=") && !text.len().is_multiple_of(4) {
        return None;
    }
    let alphabet = if is_url_safe { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_node_accepts_is_decoded() {
        let bytes: Vec<u8> = (0..=255).chain([0xfb, 0xff, 0xfe]).collect();
        let plain = base64::engine::general_purpose::STANDARD.encode(&bytes);
        let wrapped = |end: &str| {
            let lines: Vec<&str> = plain.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
            lines.join(end) + end
        };
        let url_safe = plain.replace('+', "-").replace('/', "_");
        for text in [
            plain.clone(),
            wrapped("\n"),
            wrapped("\r\n"),
            wrapped(" \t"),
            plain.trim_end_matches('=').to_owned(),
            url_safe.clone(),
            url_safe.trim_end_matches('=').to_owned() + "\n",
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(&bytes[..]), "{text:?}");
        }
        for (text, bytes) in
            [("", &b""[..]), (" \n", b""), ("AQ=\n=", b"\x01"), ("AR==", b"\x01"), ("AQJ", b"\x01\x02")]
        {
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text:?}");
        }
    }

    #[test]
    fn other_text_is_rejected() {
        for text in [
            "A",
            "AQIDB",
            "AQ=",
            "AQ===",
            "=",
            "====",
            "A===",
            "AQ==AQ==",
            "AQ=A",
            "AQ*=",
            "A\u{a0}Q=",
            "+_AA",
            "AQ\0=",
        ] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
    }
}
