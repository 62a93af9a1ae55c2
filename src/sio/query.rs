//! What a request's query asks for: `EIO`, `transport`, `sid` (Engine.IO v4, "HTTP long-polling" and "WebSocket").

use actix_web::web::Query;
use serde::Deserialize;

use super::refusal::Refusal;
use super::sid::Sid;

/// How a session is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// By requests.
    Polling,
    /// By a socket.
    WebSocket,
}

/// A query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) transport: Transport,
    sid: Option<String>,
}

impl Ask {
    /// Reads a query.
    ///
    /// # Errors
    /// What of it is missing or wrong.
    pub(super) fn parse(query: &str) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(rename = "EIO")]
            version: Option<String>,
            transport: Option<String>,
            sid: Option<String>,
        }

        let raw = Query::<Raw>::from_query(query).map_err(|error| Refusal::bad_request(&error.to_string()))?;
        let raw = raw.into_inner();
        let transport = match raw.transport.as_deref() {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(Refusal::unknown_transport()),
        };
        if raw.version.as_deref() != Some("4") {
            return Err(Refusal::bad_version());
        }
        Ok(Self { transport, sid: raw.sid })
    }

    /// Whether a new session is asked for.
    pub(super) fn is_new(&self) -> bool {
        self.sid.is_none()
    }

    /// The session that is asked for; `None` for a new one.
    ///
    /// # Errors
    /// When it can be nobody's.
    pub(super) fn sid(&self) -> Result<Option<Sid>, Refusal> {
        match &self.sid {
            None => Ok(None),
            Some(text) => Sid::parse(text).map(Some).ok_or_else(Refusal::unknown_sid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_judged_by_transport_version_and_sid() {
        for (query, refusal) in [
            ("EIO=4", Refusal::unknown_transport()),
            ("EIO=4&transport=flashsocket", Refusal::unknown_transport()),
            ("transport=polling", Refusal::bad_version()),
            ("EIO=3&transport=polling", Refusal::bad_version()),
            ("EIO=abc&transport=websocket", Refusal::bad_version()),
        ] {
            assert_eq!(Ask::parse(query), Err(refusal), "{query}");
        }
        let ask = Ask::parse("EIO=4&transport=polling&t=abc&b64=1").unwrap();
        assert_eq!((ask.transport, ask.sid()), (Transport::Polling, Ok(None)));
        let ask = Ask::parse("EIO=4&transport=websocket&sid=abc").unwrap();
        assert_eq!((ask.transport, ask.sid()), (Transport::WebSocket, Err(Refusal::unknown_sid())));
    }
}
