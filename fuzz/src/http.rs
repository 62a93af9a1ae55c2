//! Requests over plain HTTP: the hub's stream and actix-http parse them alike, to the byte.

use actix_codec::Decoder;
use actix_http::ServiceConfig;
use actix_http::h1::{Codec, Message, MessageType};
use bytes::BytesMut;
use hubbub::http_stream::body::RemainingBody;
use hubbub::http_stream::head::{self, Framing};
use hubbub::peer::BasePath;

thread_local! {
    /// A codec's configuration. Its shared clock needs a runtime.
    static CONFIG: ServiceConfig = actix_rt::Runtime::new().unwrap().block_on(async { ServiceConfig::default() });
}

fn codec() -> Codec {
    CONFIG.with(|config| Codec::new(config.clone()))
}

/// An accepted head is a complete head for actix-http, with the same framing. The replacement of a refused head is valid.
pub(crate) fn http_head(bytes: &[u8]) {
    let stand_in = head::stand_in(&BasePath::default(), bytes);
    let replacement = head::parse(&stand_in).expect("the replacement is a valid head").expect("a complete head");
    assert_eq!((replacement.length, replacement.framing, replacement.is_last), (stand_in.len(), Framing::None, true));
    assert_eq!(decoded(&stand_in), Framing::None);

    let Ok(Some(head)) = head::parse(bytes) else { return };
    let original = &bytes[..head.length];
    for end in 0..head.length {
        assert!(
            !matches!(head::parse(&original[..end]), Ok(Some(_))),
            "a head was complete at {end} of {}",
            head.length
        );
    }
    let passed = head.rewritten.as_deref().unwrap_or(original);
    if head.upgrades {
        assert_eq!(message_type(passed), MessageType::Stream);
    } else {
        assert_eq!(decoded(passed), head.framing);
    }
}

fn message_type(head: &[u8]) -> MessageType {
    let (mut codec, mut input) = (codec(), BytesMut::from(head));
    let message = codec.decode(&mut input).expect("actix-http accepts the head");
    assert!(matches!(message, Some(Message::Item(_))) && input.is_empty(), "actix-http finds another end");
    codec.message_type()
}

/// The framing that actix-http finds. It does not expose the length.
fn decoded(head: &[u8]) -> Framing {
    match (message_type(head), head::parse(head)) {
        (MessageType::None, _) => Framing::None,
        (MessageType::Payload, Ok(Some(head))) if head.framing != Framing::None => head.framing,
        (other, parsed) => panic!("{other:?} for {parsed:?}"),
    }
}

/// The hub and actix-http find the same end of a chunked body, however it is split.
pub(crate) fn http_body(bytes: &[u8]) {
    let mut whole = RemainingBody::of(Framing::Chunked);
    let mut data = u64::MAX;
    let taken = whole.take(bytes, &mut data);
    let mut split = RemainingBody::of(Framing::Chunked);
    let (mut at, mut most, mut failed) = (0, u64::MAX, false);
    for byte in bytes.chunks(1) {
        match split.take(byte, &mut most) {
            Ok(0) => break,
            Ok(one) => at += one,
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    assert_eq!(taken.is_err(), failed);
    let Ok(taken) = taken else { return };
    assert_eq!((taken, data, &whole), (at, most, &split));
    if whole != RemainingBody::Done {
        return;
    }
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut codec, mut input) = (codec(), BytesMut::from(&[head, &bytes[..taken]].concat()[..]));
    let mut read = 0;
    loop {
        match codec.decode(&mut input).expect("actix-http accepts the body") {
            Some(Message::Item(_)) => {}
            Some(Message::Chunk(Some(chunk))) => read += chunk.len() as u64,
            Some(Message::Chunk(None)) => break,
            None => panic!("actix-http expects more bytes"),
        }
    }
    assert!(input.is_empty(), "actix-http finds an earlier end");
    assert_eq!(read, u64::MAX - data);
}
