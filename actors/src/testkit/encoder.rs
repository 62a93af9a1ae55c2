//! An encoder of readable lines.

use bytes::Bytes;

use crate::model::surface::Surface;
use crate::publication::{Correlation, Encoder, Event, EventError, Format, Offset, Payload};

/// Encodes each event and each reply as one line of text. An event with the offset 7, and a reply to the request `#1`:
///
/// ```text
/// 7: Broadcast {"topic":"news","payload":1}
/// Status {"status":"subscribed"} #1
/// ```
#[derive(Debug)]
pub(crate) struct LineEncoder;

/// Bytes as text.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The client's id of the request, after a space.
fn correlation_suffix(correlation: &Correlation) -> String {
    correlation.as_ref().map(|id| format!(" #{}", text(id))).unwrap_or_default()
}

/// A line of text.
fn line(text: &str) -> Payload {
    Payload::text([text.as_bytes(), b"\n"])
}

impl Encoder for LineEncoder {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn surface(&self) -> Surface {
        Surface::Raw
    }

    fn event(&self, event: &Event, _: Offset) -> Payload {
        let offset = event.offset.map(|offset| format!("{offset}: ")).unwrap_or_default();
        line(&format!("{offset}{} {}", event.name, text(&event.data)))
    }

    fn answer(&self, name: &str, data: &[u8], correlation: &Correlation, _: i64) -> Payload {
        line(&format!("{name} {}{}", text(data), correlation_suffix(correlation)))
    }

    fn acknowledgement(&self, data: Option<&[u8]>, correlation: &Bytes, _: i64) -> Payload {
        line(&format!("#{}: {}", text(correlation), text(data.unwrap_or(b"done"))))
    }

    fn refusal(&self, refusal: &EventError<'_>, _: i64) -> Option<Payload> {
        let subject = refusal.room.or(refusal.event).unwrap_or("nothing");
        Some(line(&format!("refused {subject}: {}{}", refusal.fault.code, correlation_suffix(refusal.correlation))))
    }
}
