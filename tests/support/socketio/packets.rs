//! The packets of Engine.IO v4 and Socket.IO v5, as a client reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The separator of the packets of a polling body.
pub(crate) const SEPARATOR: char = '\u{1e}';

/// A packet of Engine.IO. A text packet begins with the digit of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WirePacket {
    Text(String),
    Binary(Vec<u8>),
}

/// The handshake in an open packet.
#[track_caller]
pub(super) fn read_handshake(packet: &str) -> Value {
    let text = packet.strip_prefix('0').unwrap_or_else(|| panic!("no open packet: {packet}"));
    serde_json::from_str(text).unwrap()
}

/// The packets of a polling body.
pub(crate) fn decode_payload(body: &str) -> impl Iterator<Item = WirePacket> {
    body.split(SEPARATOR).map(|packet| match packet.strip_prefix('b') {
        Some(text) => WirePacket::Binary(STANDARD.decode(text).unwrap()),
        None => WirePacket::Text(packet.to_owned()),
    })
}

/// A packet of Socket.IO from the hub.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SocketPacket {
    /// The digit of the type.
    pub(crate) kind: char,
    pub(crate) namespace: String,
    /// The id of an acknowledgement.
    pub(crate) id: Option<u64>,
    /// The payload, or `null`.
    pub(crate) data: Value,
    pub(crate) attachments: Vec<Vec<u8>>,
}

impl SocketPacket {
    pub(crate) const CONNECT: char = '0';
    pub(crate) const DISCONNECT: char = '1';
    pub(crate) const EVENT: char = '2';
    pub(crate) const ACK: char = '3';
    pub(crate) const CONNECT_ERROR: char = '4';
    pub(crate) const BINARY_EVENT: char = '5';

    /// Reads a packet. The number is how many attachments follow.
    pub(crate) fn parse(text: &str) -> (Self, usize) {
        let (kind, mut rest) = (text.chars().next().unwrap(), &text[1..]);
        let mut attachments = 0;
        if matches!(kind, '5' | '6') {
            let (number, behind) = rest.split_once('-').unwrap();
            attachments = number.parse().unwrap();
            rest = behind;
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let id = rest[..digits].parse().ok();
        let data = match &rest[digits..] {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")),
        };
        (Self { kind, namespace: namespace.to_owned(), id, data, attachments: Vec::new() }, attachments)
    }

    /// The name of the event; none for another packet.
    pub(crate) fn event(&self) -> Option<&str> {
        matches!(self.kind, Self::EVENT | Self::BINARY_EVENT).then(|| self.data[0].as_str().unwrap())
    }
}

/// The data of events on `/` without their timestamps. Asserts that each has one.
#[track_caller]
pub(crate) fn events(packets: &[SocketPacket]) -> Vec<Value> {
    packets
        .iter()
        .map(|packet| match packet.kind {
            SocketPacket::DISCONNECT => json!(format!("41{}", packet.namespace)),
            _ => {
                let mut data = packet.data.clone();
                if let Some(fields) = data[1].as_object_mut() {
                    let stamp = fields.remove("timestamp").unwrap_or_default();
                    let iso = stamp.as_str().is_some_and(|stamp| stamp.ends_with('Z') && stamp.len() == 24);
                    assert!(iso || data[0] == "authentication_error", "timestamp is {stamp} in {packet:?}");
                }
                data
            }
        })
        .collect()
}

/// The namespace in front of a payload.
pub(super) fn prefix(namespace: &str) -> String {
    if namespace == "/" { String::new() } else { format!("{namespace},") }
}
