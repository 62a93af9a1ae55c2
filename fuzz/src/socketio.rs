//! The codecs of `/socket.io/`: encoding and decoding are inverse.

use bytes::Bytes;
use hubbub::codec::frame;
use hubbub::codec::socketio::EventArguments;
use hubbub::codec::{engineio, socketio};
use hubbub_actors::events::text;
use hubbub_actors::publication::{MessageKind, Payload};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// The maximum size of an assembled packet.
const SIZE_MAX: usize = 1 << 20;

/// A packet and a polling body: a decoded packet is encoded as the same bytes, except base64, which has several forms.
pub(crate) fn engine_decode(bytes: &[u8]) {
    let input = Bytes::copy_from_slice(bytes);
    if let Ok(packet) = engineio::decode(input.clone()) {
        check_encoding(&packet, bytes);
    }
    let packets: Vec<_> = engineio::packets(input).collect();
    let (last, others) = packets.split_last().expect("a body without packets is an error");
    assert!(packets.len() <= engineio::PACKETS_MAX + 1);
    assert!(others.iter().all(Result::is_ok), "the first error is the last item");
    if last.is_ok() {
        let items: Vec<_> = bytes.split(|&byte| byte == 0x1E).collect();
        assert_eq!(items.len(), packets.len());
        packets.iter().flatten().zip(items).for_each(|(packet, item)| check_encoding(packet, item));
    }
}

/// A packet decoded from `item` is encoded as `item`. Binary packets are encoded in canonical base64.
fn check_encoding(packet: &engineio::EnginePacket, item: &[u8]) {
    let Some(written) = encoded(packet) else { return };
    if matches!(packet, engineio::EnginePacket::Binary(_)) {
        assert_eq!(engineio::decode(written.into()).as_ref(), Ok(packet));
    } else {
        assert_eq!(written, item);
    }
}

/// Messages made of the input become a polling body with the same packets.
pub(crate) fn engine_polling_body(bytes: &[u8]) {
    let mut rest = bytes;
    let mut payloads = Vec::new();
    let mut sent = Vec::new();
    while let Some((&[kind, high, low], behind)) = rest.split_first_chunk() {
        // Most payloads are small.
        let length = usize::from(u16::from_be_bytes([high & 1, low]));
        let (piece, behind) = behind.split_at(length.min(behind.len()));
        rest = behind;
        let mut payload = piece.to_vec();
        if high & 0xF0 == 0xF0 {
            payload = piece.repeat(140);
        }
        let letters: String = String::from_utf8_lossy(&payload).chars().filter(|&letter| letter != '\u{1E}').collect();
        let (payload, packet) = match kind % 8 {
            0 => (binary(&payload), Some(engineio::EnginePacket::Binary(payload.into()))),
            1 => (text_message(engineio::PING.as_bytes(), b""), Some(engineio::EnginePacket::Ping(Bytes::new()))),
            2 => (text_message(b"6", b""), Some(engineio::EnginePacket::Noop)),
            3 => (text_message(b"3", letters.as_bytes()), Some(engineio::EnginePacket::Pong(letters.into()))),
            4 => (Payload::message(MessageKind::Ping, payload), None),
            5 => (frame::close(1000, &letters), None),
            _ => (engineio::message([letters.as_bytes()]), Some(engineio::EnginePacket::Message(letters.into()))),
        };
        payloads.push(payload);
        sent.extend(packet);
    }
    let body = engineio::polling_body(payloads.iter().flat_map(Payload::messages));
    if sent.is_empty() {
        assert!(body.is_empty());
        return;
    }
    let read: Result<Vec<_>, _> = engineio::packets(body.into()).collect();
    assert_eq!(read.as_deref(), Ok(&sent[..]));
}

/// The messages of a connection, separated by `0xFE`; a first byte of `0xFF` marks a binary message. An assembled packet is
/// encoded and decoded as the same packet.
pub(crate) fn socket_decode(bytes: &[u8]) {
    let mut assembler = socketio::PacketAssembler::new(SIZE_MAX);
    for message in bytes.split(|&byte| byte == 0xFE) {
        let was_waiting = assembler.is_waiting();
        let taken = match message.split_first() {
            Some((0xFF, binary)) => assembler.binary(Bytes::copy_from_slice(binary)),
            _ => {
                let taken = assembler.text(Bytes::copy_from_slice(message));
                assert!(!was_waiting || taken.is_err(), "text was accepted between a packet and its attachments");
                taken
            }
        };
        match taken {
            Ok(None) => assert!(assembler.is_waiting()),
            Ok(Some(whole)) => {
                assert!(!assembler.is_waiting());
                check(&whole);
            }
            Err(_) => assert!(!assembler.is_waiting(), "an error clears the assembler"),
        }
    }
}

/// JSON text with `$binary` objects or with placeholders. The first byte sets the number of attachments.
pub(crate) fn socket_binary(bytes: &[u8]) {
    let Some((&count, text)) = bytes.split_first() else { return };
    let attachments: Vec<Bytes> = (0..count % 12).map(|number| vec![number; usize::from(number)].into()).collect();
    let input = Bytes::copy_from_slice(text);
    let is_json = std::str::from_utf8(text).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    let (extracted, taken) = socketio::extract(text);
    let embedded = socketio::embed(input.clone(), &attachments);
    if !is_json {
        return;
    }

    assert!(taken.len() <= socketio::ATTACHMENTS_MAX);
    if let Ok(value) = serde_json::from_slice::<Value>(text)
        && !has_placeholders(&value)
        && !text.windows(2).any(|piece| piece == b"\\u")
        && text.windows(8).filter(|piece| piece == b"$binary\"").count() == count_bytes(&value)
    {
        assert_eq!(taken.len(), count_bytes(&value).min(socketio::ATTACHMENTS_MAX), "all bytes are extracted");
    }
    if taken.is_empty() {
        assert_eq!(extracted, text);
    } else {
        let back =
            socketio::embed(extracted.clone().into_owned().into(), &taken).expect("what was extracted is embedded");
        let (again, taken_again) = socketio::extract(&back);
        assert_eq!((&again, &taken_again), (&extracted, &taken));
        // `Value` cannot represent all JSON: half a surrogate pair, a number out of range.
        if let Ok(value) = serde_json::from_slice::<Value>(text) {
            assert!(!has_placeholders(&value), "a client would read them as placeholders");
            assert_eq!(serde_json::from_slice::<Value>(&back).ok(), Some(value.clone()));
            let received = serde_json::from_slice(&extracted).expect("JSON before, JSON after");
            assert_eq!(reconstructed(received, &taken), Some(value), "a client would close, or read other data");
        } else {
            assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&extracted).is_ok());
        }
    }

    if let Ok(embedded) = embedded {
        assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&embedded).is_ok());
        if attachments.is_empty() {
            assert_eq!(embedded, input);
        } else if let Ok(value) = serde_json::from_slice::<Value>(text) {
            assert_eq!(serde_json::from_slice(&embedded).ok(), reconstructed(value, &attachments));
        }
    }
}

/// An Engine.IO packet of this type.
fn text_message(kind: &[u8], content: &[u8]) -> Payload {
    Payload::text([kind, content])
}

fn binary(bytes: &[u8]) -> Payload {
    Payload::message(MessageKind::Binary, bytes.to_vec())
}

/// A packet as in a polling body. `None` for an open packet: its content is not kept.
fn encoded(packet: &engineio::EnginePacket) -> Option<Vec<u8>> {
    let payload = match packet {
        engineio::EnginePacket::Open => return None,
        engineio::EnginePacket::Close => text_message(b"1", b""),
        engineio::EnginePacket::Ping(payload) => text_message(b"2", payload),
        engineio::EnginePacket::Pong(payload) => text_message(b"3", payload),
        engineio::EnginePacket::Message(text) => engineio::message([&text[..]]),
        engineio::EnginePacket::Binary(bytes) => binary(bytes),
        engineio::EnginePacket::Upgrade => text_message(b"5", b""),
        engineio::EnginePacket::Noop => text_message(b"6", b""),
    };
    Some(engineio::polling_body(payload.messages()))
}

/// Checks an accepted packet.
fn check(whole: &socketio::Whole) {
    let attachments = &whole.attachments;
    assert_eq!(whole.packet.attachments(), attachments.len());
    assert!(attachments.len() <= socketio::ATTACHMENTS_MAX);
    let sent = match &whole.packet {
        socketio::Packet::Connect { namespace, data: None } => {
            assert_eq!(socketio::decode(format!("0{namespace},").into()).as_ref(), Ok(&whole.packet));
            return;
        }
        // With its data, it is encoded as a refusal.
        socketio::Packet::Connect { namespace, data: Some(data) } => {
            assert!(data.starts_with(b"{") || data.starts_with(b"["));
            let sent = socketio::connect_error(namespace, data);
            let again = [b"0", &sent.bytes()[2..]].concat();
            assert_eq!(socketio::decode(again.into()).as_ref(), Ok(&whole.packet));
            return;
        }
        // The client gets an error; the packet is not encoded again.
        socketio::Packet::Unreadable { fault, .. } => {
            assert!(matches!(fault.field.as_deref(), Some("data" | "event")), "{fault:?}");
            return;
        }
        socketio::Packet::Disconnect { namespace } => socketio::disconnect(namespace),
        socketio::Packet::Event { namespace, event, ack, .. } => {
            let EventArguments { text, name, data } = event;
            assert_eq!(text::resolve_str(text.clone()), *text, "escapes that JSON does not need");
            let arguments: Vec<&RawValue> = serde_json::from_str(text).expect("an array");
            assert_eq!(data.as_deref(), arguments.get(1).map(|data| data.get()));
            let quoted = serde_json::to_string(&**name).expect("a string");
            let again = std::iter::once(&*quoted).chain(arguments.iter().skip(1).map(|argument| argument.get()));
            let again = format!("[{}]", again.collect::<Vec<_>>().join(","));
            let again = EventArguments::read(again.into()).expect("an event's arguments");
            assert_eq!((&again.name, &again.data), (name, data));
            let _ = socketio::embed(text.as_bytes().clone(), attachments);
            socketio::emit(namespace, text.as_bytes(), *ack, attachments)
        }
        socketio::Packet::Ack { namespace, id, args, .. } => {
            let _ = socketio::embed(args.clone(), attachments);
            socketio::ack(namespace, *id, args, attachments)
        }
    };
    let mut assembler = socketio::PacketAssembler::new(SIZE_MAX * 2);
    let mut again = None;
    for (kind, message) in sent.messages() {
        assert!(again.is_none(), "no message follows a complete packet");
        again = match kind {
            MessageKind::Text => assembler.text(Bytes::copy_from_slice(message.strip_prefix(b"4").expect("a message"))),
            _ => assembler.binary(Bytes::copy_from_slice(message)),
        }
        .expect("an encoded packet can be decoded");
    }
    assert_eq!(again.as_ref(), Some(whole));
}

/// The values that the reference implementation builds from received values and attachments, with bytes as in the hub.
/// `None` when it throws.
fn reconstructed(value: Value, attachments: &[Bytes]) -> Option<Value> {
    match value {
        Value::Object(members) if members.get("_placeholder") == Some(&Value::Bool(true)) => {
            let number = members.get("num")?.as_u64()?;
            Some(bytes(attachments.get(usize::try_from(number).ok()?)?))
        }
        Value::Object(members) => {
            let members: Option<Map<_, _>> =
                members.into_iter().map(|(key, value)| Some((key, reconstructed(value, attachments)?))).collect();
            members.map(Value::Object)
        }
        Value::Array(items) => items.into_iter().map(|item| reconstructed(item, attachments)).collect(),
        other => Some(other),
    }
}

/// Whether a client could read a value as a placeholder: some clients check only the key.
fn has_placeholders(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.contains_key("_placeholder") || members.values().any(has_placeholders),
        Value::Array(items) => items.iter().any(has_placeholders),
        _ => false,
    }
}

/// The number of objects that represent bytes.
fn count_bytes(value: &Value) -> usize {
    match value {
        Value::Object(members) => match members.get("$binary") {
            Some(Value::String(text)) if members.len() == 1 => {
                let packet = format!("b{text}");
                let read = engineio::decode(packet.clone().into()).ok();
                usize::from(read.and_then(|read| encoded(&read)).is_some_and(|written| written == packet.as_bytes()))
            }
            _ => members.values().map(count_bytes).sum(),
        },
        Value::Array(items) => items.iter().map(count_bytes).sum(),
        _ => 0,
    }
}

/// Bytes in the hub's JSON form.
fn bytes(bytes: &Bytes) -> Value {
    let body = engineio::polling_body(Payload::message(MessageKind::Binary, bytes.clone()).messages());
    json!({ "$binary": String::from_utf8_lossy(&body[1..]) })
}
