//! Packets from the server, for an outbox.

use std::borrow::Cow;

use bytes::Bytes;
use hubbub_actors::events::json;
use hubbub_actors::publication::Payload;
use serde::Serialize;

use super::super::engineio;

/// The payload of the reply to a CONNECT.
#[derive(Serialize)]
struct ConnectReply<'a> {
    sid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a str>,
}

/// Accepts a CONNECT. `sid` is the session's id, and `pid` the private id for recovery.
pub fn connect(namespace: &str, sid: &str, pid: Option<&str>) -> Payload {
    packet(b"0", namespace, &[&json::encode(&ConnectReply { sid, pid })])
}

/// Refuses a CONNECT. `data` is the JSON text of an object; its `message` becomes the client's error.
pub fn connect_error(namespace: &str, data: &[u8]) -> Payload {
    packet(b"4", namespace, &[data])
}

/// Disconnects a client from a namespace.
pub fn disconnect(namespace: &str) -> Payload {
    packet(b"1", namespace, &[])
}

/// An event. `args` is the JSON text of an array that starts with the event's name and has a placeholder for each
/// attachment: see [`super::extract`]. With an `ack` id, the client is asked for an acknowledgement.
pub fn emit(namespace: &str, args: &[u8], ack: Option<u64>, attachments: &[Bytes]) -> Payload {
    emit_parts(namespace, &[args], ack, attachments)
}

/// Like [`emit`], with the array in parts.
pub fn emit_parts(namespace: &str, args: &[&[u8]], ack: Option<u64>, attachments: &[Bytes]) -> Payload {
    whole(["2", "5"], namespace, ack, args, attachments)
}

/// The acknowledgement of a client's event with this id. `args` is the JSON text of an array.
pub fn ack(namespace: &str, id: u64, args: &[u8], attachments: &[Bytes]) -> Payload {
    ack_parts(namespace, id, &[args], attachments)
}

/// Like [`ack`], with the array in parts.
pub fn ack_parts(namespace: &str, id: u64, args: &[&[u8]], attachments: &[Bytes]) -> Payload {
    whole(["3", "6"], namespace, Some(id), args, attachments)
}

/// A packet without attachments.
fn packet(kind: &[u8], namespace: &str, payload: &[&[u8]]) -> Payload {
    engineio::message(header(kind, namespace, b"").into_iter().chain(payload.iter().copied()))
}

/// A packet with its attachments. `kinds`: the packet types without and with attachments.
fn whole(kinds: [&str; 2], namespace: &str, id: Option<u64>, args: &[&[u8]], attachments: &[Bytes]) -> Payload {
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    let [plain, binary] = kinds;
    let kind = match attachments.len() {
        0 => Cow::Borrowed(plain),
        count => Cow::Owned(format!("{binary}{count}-")),
    };
    let header = header(kind.as_bytes(), namespace, id.as_bytes());
    engineio::packet(header.into_iter().chain(args.iter().copied()), attachments)
}

/// The parts of a packet before its payload.
fn header<'a>(kind: &'a [u8], namespace: &'a str, id: &'a [u8]) -> [&'a [u8]; 4] {
    let (namespace, comma): (&str, &[u8]) = if namespace == "/" { ("", b"") } else { (namespace, b",") };
    [kind, namespace.as_bytes(), comma, id]
}
