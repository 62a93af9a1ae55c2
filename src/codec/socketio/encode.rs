//! Packets as the server sends them: WebSocket frames, ready for an outbox.

use bytes::{Bytes, BytesMut};
use hubbub_actors::events::json;
use serde::Serialize;

use super::super::engineio::append_message;
use super::super::frame::{self, Opcode};

/// The answer to a client that is let in.
#[derive(Serialize)]
struct ConnectReply<'a> {
    sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a str>,
}

/// Lets a client into a namespace, where it is called `sid`, and may come back by `pid`.
pub fn connect(namespace: &str, sid: &str, pid: Option<&str>) -> Bytes {
    packet(b"0", namespace, &[&json::encode(&ConnectReply { sid, pid })])
}

/// Refuses a client. `data` is the JSON text of an object, whose `message` becomes the client's error.
pub fn connect_error(namespace: &str, data: &[u8]) -> Bytes {
    packet(b"4", namespace, &[data])
}

/// Puts a client out of a namespace.
pub fn disconnect(namespace: &str) -> Bytes {
    packet(b"1", namespace, &[])
}

/// An event. `args` is the JSON text of an array that begins with its name, with a placeholder for each attachment: see
/// [`super::extract`]. The client is to answer by the name `ack`, if there is one.
pub fn emit(namespace: &str, args: &[u8], ack: Option<u64>, attachments: &[Bytes]) -> Bytes {
    emit_parts(namespace, &[args], ack, attachments)
}

/// As [`emit`], of an array that comes in parts.
pub fn emit_parts(namespace: &str, args: &[&[u8]], ack: Option<u64>, attachments: &[Bytes]) -> Bytes {
    whole(["2", "5"], namespace, ack, args, attachments)
}

/// The answer to the event that the client called `id`. `args` is the JSON text of an array.
pub fn ack(namespace: &str, id: u64, args: &[u8], attachments: &[Bytes]) -> Bytes {
    ack_parts(namespace, id, &[args], attachments)
}

/// As [`ack`], of an array that comes in parts.
pub fn ack_parts(namespace: &str, id: u64, args: &[&[u8]], attachments: &[Bytes]) -> Bytes {
    whole(["3", "6"], namespace, Some(id), args, attachments)
}

/// A packet without attachments.
fn packet(kind: &[u8], namespace: &str, payload: &[&[u8]]) -> Bytes {
    let mut frames = BytesMut::new();
    append(&mut frames, kind, namespace, b"", payload);
    frames.freeze()
}

/// A packet and its attachments in one piece, so that nothing comes between them. `kinds` are the types of a packet
/// without attachments and with some.
fn whole(kinds: [&str; 2], namespace: &str, id: Option<u64>, args: &[&[u8]], attachments: &[Bytes]) -> Bytes {
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    let mut frames = BytesMut::new();
    if attachments.is_empty() {
        append(&mut frames, kinds[0].as_bytes(), namespace, id.as_bytes(), args);
    } else {
        let kind = format!("{}{}-", kinds[1], attachments.len());
        append(&mut frames, kind.as_bytes(), namespace, id.as_bytes(), args);
    }
    for attachment in attachments {
        frame::append(&mut frames, Opcode::Binary, std::iter::once(&attachment[..]));
    }
    frames.freeze()
}

fn append(frames: &mut BytesMut, kind: &[u8], namespace: &str, id: &[u8], payload: &[&[u8]]) {
    let (namespace, comma): (&str, &[u8]) = if namespace == "/" { ("", b"") } else { (namespace, b",") };
    append_message(frames, [kind, namespace.as_bytes(), comma, id].into_iter().chain(payload.iter().copied()));
}
