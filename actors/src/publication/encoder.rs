//! Turns events, replies and refusals into the messages of one wire format.

use std::fmt;

use bytes::Bytes;

use super::{Event, EventError, Format, Offset, Payload};
use crate::model::surface::Surface;

/// The client's id of a request; the reply repeats it unchanged. Raw: the JSON text of `id`. Socket.IO: the ack id.
pub type Correlation = Option<Bytes>;

/// Encodes for the clients of one [`Format`].
pub trait Encoder: Send + Sync + fmt::Debug {
    /// The format. Two encoders of one format write the same bytes for the same event.
    fn format(&self) -> Format;

    /// The surface of the sessions that use it.
    fn surface(&self) -> Surface;

    /// A published event, or an unread notification, with its offset.
    fn event(&self, event: &Event, offset: Offset) -> Payload;

    /// Whether its events carry their offset. A client needs the offset to recover its session.
    fn is_numbered(&self) -> bool {
        false
    }

    /// The event `name` from the hub to one client. `data` is JSON text; `timestamp` is in ms since the
    /// epoch. `correlation` is the request that the event replies to; some formats repeat it in the event.
    fn answer(&self, name: &str, data: &[u8], correlation: &Correlation, timestamp: i64) -> Payload;

    /// The ack of the request `correlation`, with the JSON text `data`. Without data it only confirms the request.
    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, timestamp: i64) -> Payload;

    /// Refuses a request; `None` when the client receives no message.
    fn refusal(&self, refusal: &EventError<'_>, timestamp: i64) -> Option<Payload>;
}
