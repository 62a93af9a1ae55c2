//! The query parameters of a request: `EIO`, `transport` and `sid` (Engine.IO v4, "HTTP long-polling" and "WebSocket").

use actix_web::web::Query;

use super::error::EngineError;
use super::sid::Sid;

/// The transport of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EngineTransport {
    /// HTTP long polling.
    Polling,
    /// WebSocket.
    WebSocket,
}

/// The parsed query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EngineQuery {
    pub(super) transport: EngineTransport,
    sid: Option<String>,
}

impl EngineQuery {
    /// Parses a query.
    ///
    /// # Errors
    /// A parameter is missing or wrong.
    pub(super) fn parse(query: &str) -> Result<Self, EngineError> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query);
        let pairs = pairs.map_err(|error| EngineError::bad_request(&error.to_string()))?.into_inner();
        let values = |name: &'static str| pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| &**value);
        let transport = match values("transport").next() {
            Some("polling") => EngineTransport::Polling,
            Some("websocket") => EngineTransport::WebSocket,
            _ => return Err(EngineError::unknown_transport()),
        };
        // Some clients send `EIO` twice.
        if !values("EIO").any(|version| version == "4") {
            return Err(EngineError::bad_version());
        }
        // An empty `sid` counts as absent.
        let sid = values("sid").find(|sid| !sid.is_empty()).map(str::to_owned);
        Ok(Self { transport, sid })
    }

    /// Whether the request opens a session.
    pub(super) fn is_new(&self) -> bool {
        self.sid.is_none()
    }

    /// The session's id; `None` to open a session.
    ///
    /// # Errors
    /// The id is invalid.
    pub(super) fn sid(&self) -> Result<Option<Sid>, EngineError> {
        match &self.sid {
            None => Ok(None),
            Some(text) => Sid::parse(text).map(Some).ok_or_else(EngineError::unknown_sid),
        }
    }
}

/// Whether a query contains a non-empty `sid`. The rest of the query may be malformed.
pub(crate) fn names_session(query: &str) -> bool {
    query.split('&').any(|pair| pair.strip_prefix("sid=").is_some_and(|sid| !sid.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_needs_a_transport_and_a_version_and_may_name_a_session() {
        for (query, refusal) in [
            ("EIO=4", EngineError::unknown_transport()),
            ("EIO=4&transport=flashsocket", EngineError::unknown_transport()),
            ("transport=polling", EngineError::bad_version()),
            ("EIO=3&transport=polling", EngineError::bad_version()),
            ("EIO=abc&transport=websocket", EngineError::bad_version()),
        ] {
            assert_eq!(EngineQuery::parse(query), Err(refusal), "{query}");
        }
        let query = EngineQuery::parse("EIO=4&transport=polling&t=abc&b64=1").unwrap();
        assert_eq!((query.transport, query.sid()), (EngineTransport::Polling, Ok(None)));
        for query in ["EIO=4&transport=polling&sid=", "EIO=4&EIO=4&transport=polling&transport=polling&sid=&sid="] {
            let parsed = EngineQuery::parse(query).unwrap();
            assert_eq!(
                (parsed.transport, parsed.sid(), parsed.is_new()),
                (EngineTransport::Polling, Ok(None), true),
                "{query}"
            );
        }
        for (query, names) in [("sid=", false), ("transport=x&sid=a", true), ("asid=a", false), ("sid=&sid=a", true)] {
            assert_eq!(names_session(query), names, "{query}");
        }
        let query = EngineQuery::parse("EIO=3&EIO=4&transport=websocket&sid=abc").unwrap();
        assert_eq!((query.transport, query.sid()), (EngineTransport::WebSocket, Err(EngineError::unknown_sid())));
    }
}
