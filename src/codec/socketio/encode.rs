//! Packets from the server as WebSocket frames, ready for an outbox.

use bytes::{Bytes, BytesMut};
use hubbub_actors::events::json;
use serde::Serialize;

use super::super::engineio::append_message;
use super::super::frame::{self, Opcode};

/// The payload of the reply to a CONNECT.
#[derive(Serialize)]
struct ConnectReply<'a> {
    sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a str>,
}

/// Accepts a CONNECT. `sid` is the session's id, and `pid` the private id for recovery.
pub fn connect(namespace: &str, sid: &str, pid: Option<&str>) -> Bytes {
    packet(b"0", namespace, &[&json::encode(&ConnectReply { sid, pid })])
}

/// Refuses a CONNECT. `data` is the JSON text of an object; its `message` becomes the client's error.
pub fn connect_error(namespace: &str, data: &[u8]) -> Bytes {
    packet(b"4", namespace, &[data])
}

/// Disconnects a client from a namespace.
pub fn disconnect(namespace: &str) -> Bytes {
    packet(b"1", namespace, &[])
}

/// An event. `args` is the JSON text of an array that starts with the event's name and has a placeholder for each
/// attachment: see [`super::extract`]. With an `ack` id, the client is asked for an acknowledgement.
pub fn emit(namespace: &str, args: &[u8], ack: Option<u64>, attachments: &[Bytes]) -> Bytes {
    emit_parts(namespace, &[args], ack, attachments)
}

/// Like [`emit`], with the array in parts.
pub fn emit_parts(namespace: &str, args: &[&[u8]], ack: Option<u64>, attachments: &[Bytes]) -> Bytes {
    whole(["2", "5"], namespace, ack, args, attachments)
}

/// The acknowledgement of a client's event with this id. `args` is the JSON text of an array.
pub fn ack(namespace: &str, id: u64, args: &[u8], attachments: &[Bytes]) -> Bytes {
    ack_parts(namespace, id, &[args], attachments)
}

/// Like [`ack`], with the array in parts.
pub fn ack_parts(namespace: &str, id: u64, args: &[&[u8]], attachments: &[Bytes]) -> Bytes {
    whole(["3", "6"], namespace, Some(id), args, attachments)
}

/// A packet without attachments.
fn packet(kind: &[u8], namespace: &str, payload: &[&[u8]]) -> Bytes {
    let mut frames = BytesMut::new();
    append(&mut frames, kind, namespace, b"", payload);
    frames.freeze()
}

/// A packet and its attachments in one buffer, so that nothing comes between them. `kinds`: the packet types without
/// and with attachments.
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
